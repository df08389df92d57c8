//! Level 3: a payment gateway that never loses or doubles a payment.
//!
//! | module | what it is |
//! |---|---|
//! | [`deadline`], [`retry`], [`breaker`], [`limiter`], [`dead_letters`], [`idempotency`] | the parts, each of use alone |
//! | [`request`] | what is refused before anything is called |
//! | [`overload`] | which payments are admitted when too many are offered |
//! | [`saga`] | steps that succeed together or are undone |
//! | [`gateway`] | all of them together |
//!
//! Every module here is an exercise, and the README is the assignment. The course provides the rest in
//! packages beside this one:
//!
//! | package | what it has |
//! |---|---|
//! | `level3-domain` | [`money`], [`ids`], [`payment`], the services as traits ([`provider`]), the [`journal`], what a gateway says ([`answer`], [`event`]); named here as modules of this crate |
//! | `level3-sim` | the services, simulated |
//! | `level3-harness` | payments under load and under every fault; the grader runs it |
//! | `level3-adapters` | Stripe, SendGrid, SQLite and PostgreSQL |
//! | `payment-gateway` | a program that pays through this gateway |
//!
//! The page of each exercise's module begins with its lesson, a chapter of `level3/lessons`. The chapters'
//! programs are compiled and run by `cargo test -p level3 --doc`.

/// The chapters and contracts of a module, for its documentation. The module's own documentation follows them.
///
/// A chapter refers to other chapters with links such as `[saga][lesson-saga]`. Its file defines them at
/// its end, as paths, for readers of the repository. Here other definitions come first, and of two
/// definitions the first one counts.
#[cfg(doc)]
macro_rules! lesson {
    ($($file:literal, $contract:literal);+) => {
        concat!(
            include_str!("../lessons/rustdoc-links.txt"),
            $(include_str!(concat!("../lessons/", $file)), "\n",)+
            "\n# The contract\n\n",
            $(include_str!(concat!("../contract/", $contract)), "\n",)+
            "\n# The module\n\n",
        )
    };
}

pub use level3_domain::{answer, event, ids, journal, money, nonzero, payment, provider};

#[cfg_attr(doc, doc = lesson!("breaker.md", "breaker.md"))]
pub mod breaker;
#[cfg_attr(doc, doc = lesson!("dead_letters.md", "dead-letters.md"))]
pub mod dead_letters;
#[cfg_attr(doc, doc = lesson!("deadline.md", "deadline.md"))]
pub mod deadline;
#[cfg_attr(doc, doc = lesson!("gateway.md", "gateway.md"; "recovery.md", "recovery.md"))]
pub mod gateway;
#[cfg_attr(doc, doc = lesson!("idempotency.md", "idempotency.md"))]
pub mod idempotency;
#[cfg_attr(doc, doc = lesson!("limiter.md", "limiter.md"))]
pub mod limiter;
#[cfg_attr(doc, doc = lesson!("overload.md", "overload.md"))]
pub mod overload;
#[cfg_attr(doc, doc = lesson!("request.md", "request.md"))]
pub mod request;
#[cfg_attr(doc, doc = lesson!("retry.md", "retry.md"))]
pub mod retry;
#[cfg_attr(doc, doc = lesson!("saga.md", "saga.md"))]
pub mod saga;

/// What the grader says that these sources are, if it has them compiled: how it notices a stale build.
#[doc(hidden)]
pub const BUILT_FROM: Option<&str> = option_env!("COURSE_SOURCES_LEVEL3");
