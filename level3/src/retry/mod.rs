//! Trying again: what, how often, when, and when not.
//!
//! * [`Backoff`] is the schedule: pure arithmetic from the number of a failed attempt to a wait.
//! * [`Jitter`] is the only source of chance in it, and it is handed in.
//! * [`Disposition`] is what the caller's classifier says about an error.
//! * [`retry`] ties them together and keeps a [`Deadline`](crate::deadline::Deadline).
//!
//! Everything counts **attempts**, the first call included: three attempts are three calls.

mod backoff;
mod jitter;
mod run;

pub use backoff::{Backoff, BackoffConfigError};
pub use jitter::{Jitter, NoJitter, SeededJitter};
pub use run::{Attempt, Disposition, Reason, Retried, RetryError, RetryPolicy, retry};
