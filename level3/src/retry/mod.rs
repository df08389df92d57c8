//! Retry: which errors are worth another attempt, how many there are, and how long to wait between them.
//!
//! * [`Backoff`] is the schedule: pure arithmetic from the number of a failed attempt to a wait.
//! * [`Jitter`] is the only source of randomness, and the caller passes it in.
//! * [`Disposition`] is the decision of the caller's classifier about an error.
//! * [`retry`] is the loop that uses them and keeps a [`Deadline`](crate::deadline::Deadline).
//!
//! All numbers count **attempts**, the first call included: three attempts are three calls.
//!
//! Lesson: `level3/lessons/retry.md`.
//!
//! [`Backoff`]: crate::retry::Backoff
//! [`Jitter`]: crate::retry::Jitter
//! [`Disposition`]: crate::retry::Disposition
//! [`retry`]: crate::retry::retry()

mod backoff;
mod jitter;
mod run;

pub use backoff::{Backoff, BackoffConfigError};
pub use jitter::{Jitter, NoJitter, SeededJitter};
pub use run::{Attempt, Disposition, Reason, Retried, RetryError, RetryPolicy, retry};
