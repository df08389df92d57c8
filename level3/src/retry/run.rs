//! The loop.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::jitter::Jitter;
use crate::deadline::Deadline;

/// What is to be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It may pass: try again after the backoff (a timeout, a lost connection, a 5xx).
    Retry,
    /// It may pass, and the server said when: try again after exactly this time, which stands above
    /// the backoff and its cap (a 429 with `Retry-After`).
    RetryAfter(Duration),
    /// Trying again cannot help (a decline, bad input, an open breaker).
    GiveUp,
}

/// One attempt, as the operation sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Its number; the first is 1.
    pub number: u32,
    /// How many there may be in all.
    pub of: u32,
    /// When everything has to be over.
    pub deadline: Deadline,
}

/// How [`retry`] goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RetryPolicy {
    /// The number of attempts and the waits between them.
    pub backoff: Backoff,
    /// The time without which an attempt is not worth its start: no attempt begins with less than
    /// this left before the deadline. Zero asks only that the deadline is not over.
    pub min_attempt: Duration,
}

/// A success, and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retried<T> {
    /// What the last attempt returned.
    pub value: T,
    /// How many attempts were made.
    pub attempts: u32,
    /// The time spent waiting between attempts.
    pub backoff: Duration,
}

/// Why [`retry`] ended without a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// All attempts failed.
    Exhausted,
    /// The classifier said [`Disposition::GiveUp`].
    GivenUp,
    /// The next attempt could not have been done by the deadline.
    DeadlineTooClose,
}

/// No attempt succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} after {attempts} attempts", match reason {
    Reason::Exhausted => "failed",
    Reason::GivenUp => "gave up",
    Reason::DeadlineTooClose => "too close to the deadline",
})]
pub struct RetryError<E> {
    /// The error of the last attempt; none if the deadline was too close for the first one.
    pub last: Option<E>,
    /// How many attempts were made.
    pub attempts: u32,
    /// Why there was no further one.
    pub reason: Reason,
    /// The time spent waiting between attempts.
    pub backoff: Duration,
}

/// Calls `op` until it succeeds, at most [`Backoff::attempts`] times, with the waits of the policy
/// between the attempts.
///
/// Neither an attempt nor a wait begins that cannot be over by `deadline`: when the wait and
/// [`RetryPolicy::min_attempt`] do not fit any more, the call ends at once and not after a sleep in
/// vain. An attempt that has begun is not cut here. Cutting belongs into `op` (see [`Deadline::run`]),
/// below the breaker, which has to see the timeout.
///
/// # Errors
///
/// [`RetryError`], with the last error of `op` and the [`Reason`].
///
/// # Cancellation
///
/// Dropping the future drops the attempt that runs; no further one is made.
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
    let mut backoff = Duration::ZERO;
    if !deadline.allows(policy.min_attempt) {
        let reason = Reason::DeadlineTooClose;
        return Err(RetryError { last: None, attempts: 0, reason, backoff });
    }
    let mut number = 1;
    loop {
        let error = match op(Attempt { number, of, deadline }).await {
            Ok(value) => return Ok(Retried { value, attempts: number, backoff }),
            Err(error) => error,
        };
        let disposition = classify(&error);
        let give_up = |reason| RetryError { last: Some(error), attempts: number, reason, backoff };
        if disposition == Disposition::GiveUp {
            return Err(give_up(Reason::GivenUp));
        }
        if number == of {
            return Err(give_up(Reason::Exhausted));
        }
        let wait = match disposition {
            Disposition::RetryAfter(wait) => wait,
            _ => policy.backoff.delay(number, jitter.unit()),
        };
        // Strictly after the wait something must be left, even for an attempt that takes no time:
        // nothing starts at the deadline itself.
        let left = deadline.remaining();
        if left <= wait || left < wait.saturating_add(policy.min_attempt) {
            return Err(give_up(Reason::DeadlineTooClose));
        }
        let before = Instant::now();
        sleep(wait).await;
        backoff += before.elapsed();
        number += 1;
    }
}

#[cfg(test)]
mod tests;
