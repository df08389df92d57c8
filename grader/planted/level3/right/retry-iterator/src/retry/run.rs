//! Retry as a loop over attempts.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::backoff::Backoff;
use super::jitter::Jitter;
use crate::deadline::Deadline;

/// What is to be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Try again.
    Retry,
    /// Try again after this time.
    RetryAfter(Duration),
    /// Do not.
    GiveUp,
}

/// One attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Its number.
    pub number: u32,
    /// How many there may be.
    pub of: u32,
    /// When everything has to be over.
    pub deadline: Deadline,
}

/// How `retry` goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RetryPolicy {
    /// The schedule.
    pub backoff: Backoff,
    /// The least time for an attempt.
    pub min_attempt: Duration,
}

/// A success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retried<T> {
    /// The value.
    pub value: T,
    /// The attempts.
    pub attempts: u32,
    /// The waits.
    pub backoff: Duration,
}

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No attempt is left.
    Exhausted,
    /// It would not help.
    GivenUp,
    /// No time is left.
    DeadlineTooClose,
}

/// No success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no success in {attempts} attempts ({reason:?})")]
pub struct RetryError<E> {
    /// The last error.
    pub last: Option<E>,
    /// The attempts.
    pub attempts: u32,
    /// Why.
    pub reason: Reason,
    /// The waits.
    pub backoff: Duration,
}

/// Tries.
///
/// # Errors
///
/// [`RetryError`].
pub async fn retry<T, E, J, C, Op, Fut>(
    policy: &RetryPolicy,
    jitter: &J,
    deadline: Deadline,
    classify: C,
    mut op: Op,
) -> Result<Retried<T>, RetryError<E>>
where
    J: Jitter + ?Sized,
    C: Fn(&E) -> Disposition,
    Op: FnMut(Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let of = policy.backoff.attempts().get();
    let fits = |at: Instant| {
        let end = at.checked_add(policy.min_attempt);
        at < deadline.instant() && end.is_some_and(|end| end <= deadline.instant())
    };
    let mut failure = RetryError {
        last: None,
        attempts: 0,
        reason: Reason::DeadlineTooClose,
        backoff: Duration::ZERO,
    };
    let mut start = Instant::now();
    for number in 1..=of {
        if !fits(start) {
            failure.reason = Reason::DeadlineTooClose;
            return Err(failure);
        }
        if start > Instant::now() {
            failure.backoff += start - Instant::now();
            sleep_until(start).await;
        }
        failure.attempts = number;
        match Box::pin(op(Attempt { number, of, deadline })).await {
            Ok(value) => {
                return Ok(Retried { value, attempts: number, backoff: failure.backoff });
            }
            Err(error) => {
                let wait = match classify(&error) {
                    Disposition::GiveUp => None,
                    Disposition::RetryAfter(wait) => Some(wait),
                    Disposition::Retry => Some(policy.backoff.delay(number, jitter.unit())),
                };
                failure.last = Some(error);
                let Some(wait) = wait else {
                    failure.reason = Reason::GivenUp;
                    return Err(failure);
                };
                // Later than any deadline where the clock cannot express it.
                start = Instant::now().checked_add(wait).unwrap_or(deadline.instant());
            }
        }
    }
    failure.reason = Reason::Exhausted;
    Err(failure)
}
