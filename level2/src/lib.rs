//! Level 2: one dashboard, five sources, four ways to load it.
//!
//! The admin page of a shop shows five sections. Each comes from a service of its own, with its own
//! latency: sales 500 ms, users 300 ms, orders 400 ms, low stock 600 ms, reviews 200 ms. How the five
//! calls are put together decides how long the page takes and what a failure does to it.
//!
//! | module | strategy | takes | when a source fails |
//! |---|---|---|---|
//! | [`sequential`] | one call after another | 2000 ms | ends; later sources are not called |
//! | [`parallel`] | all at once, all or nothing | 600 ms | ends at once; the others are stopped |
//! | [`race`] | the first three successes, the rest as they come | 400 ms | the next success takes its place |
//! | [`all_settled`] | all at once, each section on its own | 600 ms | its section is missing, the rest is there |
//!
//! Beyond the assignment: [`deadline`], [`retry_failed`], [`critical`], [`cache`], [`progressive`],
//! [`any`], [`queue`], [`metrics`] and [`recovery`].
//!
//! The course provides the data types ([`model`]), the errors ([`error`]), the sources ([`source`]),
//! the results that several strategies share ([`settled`], [`rest`]) and what the demo and the report are
//! made of ([`strategy`], [`trace`], [`picture`]). Everything else is an exercise.
//!
//! The page of each exercise's module begins with its lesson, a chapter of `level2/lessons`. The chapters'
//! programs are compiled and run by `cargo test -p level2 --doc`.
//!
//! # What all strategies have in common
//!
//! * A future does nothing until it is polled, and stops where it is when it is dropped. Dropping a
//!   load therefore stops every source call that it started. A strategy that spawns tasks has to
//!   keep that promise itself, because a dropped [`tokio::task::JoinHandle`] leaves its task running.
//! * Time is read from [`tokio::time`], so that a test can run a load of two seconds in microseconds
//!   and still see exactly 2000 ms.
//! * A panic of a source is contained by [`all_settled`] and what builds on it ([`retry_failed`],
//!   [`critical`], [`progressive`]): there it becomes a failure of its section. Everywhere else it
//!   passes to the caller of the load.

/// The chapter of an exercise and its contract, for the documentation of its module. The module's own
/// documentation follows them.
///
/// A chapter refers to other chapters with links such as `[race][lesson-race]`. Its file defines them at
/// its end, as paths, for readers of the repository. Here other definitions come first, and of two
/// definitions the first one counts.
#[cfg(doc)]
macro_rules! lesson {
    ($file:literal, $contract:literal) => {
        concat!(
            include_str!("../lessons/rustdoc-links.txt"),
            include_str!(concat!("../lessons/", $file)),
            "\n# The contract\n\n",
            include_str!(concat!("../contract/", $contract)),
            "\n# The module\n\n",
        )
    };
}

pub mod error;
pub mod model;
pub mod picture;
pub mod rest;
pub mod settled;
pub mod source;
pub mod strategy;
pub mod trace;

#[cfg_attr(doc, doc = lesson!("all_settled.md", "all-settled.md"))]
pub mod all_settled;
#[cfg_attr(doc, doc = lesson!("parallel.md", "parallel.md"))]
pub mod parallel;
#[cfg_attr(doc, doc = lesson!("race.md", "race.md"))]
pub mod race;
#[cfg_attr(doc, doc = lesson!("sequential.md", "sequential.md"))]
pub mod sequential;

#[cfg_attr(doc, doc = lesson!("any.md", "any.md"))]
pub mod any;
#[cfg_attr(doc, doc = lesson!("cache.md", "cache.md"))]
pub mod cache;
#[cfg_attr(doc, doc = lesson!("critical.md", "critical.md"))]
pub mod critical;
#[cfg_attr(doc, doc = lesson!("deadline.md", "deadline.md"))]
pub mod deadline;
#[cfg_attr(doc, doc = lesson!("metrics.md", "metrics.md"))]
pub mod metrics;
#[cfg_attr(doc, doc = lesson!("progressive.md", "progressive.md"))]
pub mod progressive;
#[cfg_attr(doc, doc = lesson!("queue.md", "queue.md"))]
pub mod queue;
#[cfg_attr(doc, doc = lesson!("recovery.md", "recovery.md"))]
pub mod recovery;
#[cfg_attr(doc, doc = lesson!("retry_failed.md", "retry-failed.md"))]
pub mod retry_failed;

/// What the grader says that these sources are, if it has them compiled: how it notices a stale build.
#[doc(hidden)]
pub const BUILT_FROM: Option<&str> = option_env!("COURSE_SOURCES_LEVEL2");
