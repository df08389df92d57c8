//! Overload: which payments are admitted when more are offered than can be paid.
//!
//! A payment needs several calls, one after another. A gateway that begins every payment and lets
//! the calls compete for the provider's rate limit spends the limit on first calls: the payments
//! that have begun do not get their last one in time and are undone, which takes further calls. The
//! more payments are offered, the fewer are paid. The remedy is to refuse a payment *before its
//! first call*, unless all of its calls can be made in time.
//!
//! Two decisions, each without a clock, a lock or a future of its own:
//!
//! * `Backlog` knows the limit: it reserves calls of an account, no more than the account can make
//!   within a given time.
//! * `ConcurrencyLimit` does not know the limit: it learns from the time that calls take how many
//!   payments the slowest service can serve at once.
//!
//! Lesson: `level3/lessons/overload.md`.

mod backlog;
mod concurrency;

pub use backlog::Backlog;
pub use concurrency::{ConcurrencyLimit, Source};
