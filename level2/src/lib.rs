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

pub mod error;
pub mod model;
pub mod picture;
pub mod rest;
pub mod settled;
pub mod source;
pub mod strategy;
pub mod trace;

pub mod all_settled;
pub mod parallel;
pub mod race;
pub mod sequential;

pub mod any;
pub mod cache;
pub mod critical;
pub mod deadline;
pub mod metrics;
pub mod progressive;
pub mod queue;
pub mod recovery;
pub mod retry_failed;
