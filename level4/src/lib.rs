//! Level 4: patterns for promises and streams.
//!
//! | module | what it is |
//! |---|---|
//! | [`limiter`] | a limit for the number of operations that run at once, alone and in batches |
//! | [`cancel`] | an operation that ends at a limit, or when a token is cancelled |
//! | [`compose`] | steps in a row, selected results, the first success, a quorum |
//! | [`sources`] | events and timers as streams |
//! | [`debounce`] | the first or the last value of each burst of values |
//! | [`chunk`] | the items of a stream in groups, bounded by number and time |
//! | [`paging`] | a window on a long list that is loaded page by page |
//! | [`bulkhead`] | a pool of slots for each dependency, with a bounded queue |
//! | [`recovery`] | retries by the class of the error, then a fallback, with figures |
//! | [`single_flight`] | one run of the work for all concurrent callers of a key |
//! | [`ttl_cache`] | values with an age; a missing one is fetched once for all concurrent callers |
//! | [`state_store`] | one state with many readers, and which operations run or have failed |
//! | [`dashboard`] | what a page shows while it loads, when parts are missing and when it failed |
//! | [`http_client`] | copies, shared requests, batches and progressive loads over a transport |
//! | [`socket`] | a socket that reconnects, with heartbeat and a queue |
//! | [`resubscribe`] | a stream that outlives the errors of its source, by class |
//! | [`realtime`] | a list that is loaded once and then follows the updates of a socket |
//!
//! Every module here is an exercise, and the README is the assignment.
//!
//! The page of each exercise's module begins with its lesson, a chapter of `level4/lessons`. The chapters'
//! programs are compiled and run by `cargo test -p level4 --doc`.
//!
//! # What all modules have in common
//!
//! * A future or a stream does nothing until it is polled, and stops where it is when it is dropped. Everything
//!   that it has started stops with it: no task outlives the future or the stream that it works for.
//! * Time is tokio's, so that a test can run an hour in microseconds.
//! * Nothing grows without a bound.
//! * A constructor refuses an invalid configuration, with a typed error.

#![cfg_attr(doc, doc = concat!("\n", include_str!("../lessons/rustdoc-links.txt"), "\n"))]
#![cfg_attr(doc, doc = include_str!("../lessons/promise-or-observable.md"))]

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

#[cfg_attr(doc, doc = lesson!("bulkhead.md", "bulkhead.md"))]
pub mod bulkhead;
#[cfg_attr(doc, doc = lesson!("cancel.md", "cancel.md"))]
pub mod cancel;
#[cfg_attr(doc, doc = lesson!("chunk.md", "chunk.md"))]
pub mod chunk;
#[cfg_attr(doc, doc = lesson!("compose.md", "compose.md"))]
pub mod compose;
#[cfg_attr(doc, doc = lesson!("dashboard.md", "dashboard.md"))]
pub mod dashboard;
#[cfg_attr(doc, doc = lesson!("debounce.md", "debounce.md"))]
pub mod debounce;
#[cfg_attr(doc, doc = lesson!("http_client.md", "http-client.md"))]
pub mod http_client;
#[cfg_attr(doc, doc = lesson!("limiter.md", "limiter.md"))]
pub mod limiter;
#[cfg_attr(doc, doc = lesson!("paging.md", "paging.md"))]
pub mod paging;
#[cfg_attr(doc, doc = lesson!("realtime.md", "realtime.md"))]
pub mod realtime;
#[cfg_attr(doc, doc = lesson!("recovery.md", "recovery.md"))]
pub mod recovery;
#[cfg_attr(doc, doc = lesson!("resubscribe.md", "resubscribe.md"))]
pub mod resubscribe;
#[cfg_attr(doc, doc = lesson!("single_flight.md", "single-flight.md"))]
pub mod single_flight;
#[cfg_attr(doc, doc = lesson!("socket.md", "socket.md"))]
pub mod socket;
#[cfg_attr(doc, doc = lesson!("sources.md", "sources.md"))]
pub mod sources;
#[cfg_attr(doc, doc = lesson!("state_store.md", "state-store.md"))]
pub mod state_store;
#[cfg_attr(doc, doc = lesson!("ttl_cache.md", "ttl-cache.md"))]
pub mod ttl_cache;

/// What the grader says that these sources are, if it has them compiled: how it notices a stale build.
#[doc(hidden)]
pub const BUILT_FROM: Option<&str> = option_env!("COURSE_SOURCES_LEVEL4");
