//! Level 5: large systems on the parts of levels 3 and 4.
//!
//! | module | what it is |
//! |---|---|
//! | [`pipeline`] | stages that work at the same time, with backpressure from the output to the input |
//! | [`form_validator`] | a form whose fields are checked while the user fills them in |
//! | [`registration`] | a registration form on it, with what its server says |
//! | [`conflict`] | which of several sources' records counts, whatever their order |
//! | [`multi_source_cache`] | a cache in front of several sources that follows their changes |
//! | [`sync_engine`] | an engine that keeps the records of several sources in step |
//! | [`event_processor`] | events by priority, in batches, delivered at least once |
//! | [`priority_queue`] | a queue in which every priority moves |
//! | [`notifications`] | notifications by channels and preferences, with quiet hours and digests |
//! | [`wall_clock`] | the time of the calendar, passed in; provided |
//! | [`orchestrator`] | requests with priorities, one limit, copies, retries and needs |
//!
//! Every module here but `wall_clock` is an exercise, and the README is the assignment.
//!
//! The page of each exercise's module begins with its lesson, a chapter of `level5/lessons`. The chapters'
//! programs are compiled and run by `cargo test -p level5 --doc`.
//!
//! # What all modules have in common
//!
//! * A future or a stream does nothing until it is polled, and stops where it is when it is dropped. Everything
//!   that it has started stops with it: no task outlives the future or the stream that it works for.
//! * Time is tokio's, so that a test can run an hour in microseconds.
//! * Nothing grows without a bound.
//! * A constructor refuses an invalid configuration, with a typed error.

#![cfg_attr(doc, doc = concat!("\n", include_str!("../lessons/rustdoc-links.txt"), "\n"))]

/// The chapter of an exercise and its contract, for the documentation of its module. The module's own
/// documentation follows them.
///
/// A chapter refers to other chapters with links such as `[limiter][lesson-limiter]`. Its file defines them at
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

#[cfg_attr(doc, doc = lesson!("conflict.md", "conflict.md"))]
pub mod conflict;
#[cfg_attr(doc, doc = lesson!("event_processor.md", "event-processor.md"))]
pub mod event_processor;
#[cfg_attr(doc, doc = lesson!("form_validator.md", "form-validator.md"))]
pub mod form_validator;
#[cfg_attr(doc, doc = lesson!("multi_source_cache.md", "multi-source-cache.md"))]
pub mod multi_source_cache;
#[cfg_attr(doc, doc = lesson!("notifications.md", "notifications.md"))]
pub mod notifications;
#[cfg_attr(doc, doc = lesson!("orchestrator.md", "orchestrator.md"))]
pub mod orchestrator;
#[cfg_attr(doc, doc = lesson!("pipeline.md", "pipeline.md"))]
pub mod pipeline;
pub mod priority_queue;
#[cfg_attr(doc, doc = lesson!("registration.md", "registration.md"))]
pub mod registration;
#[cfg_attr(doc, doc = lesson!("sync_engine.md", "sync-engine.md"))]
pub mod sync_engine;
pub mod wall_clock;

/// What the grader says that these sources are, if it has them compiled: how it notices a stale build.
#[doc(hidden)]
pub const BUILT_FROM: Option<&str> = option_env!("COURSE_SOURCES_LEVEL5");
