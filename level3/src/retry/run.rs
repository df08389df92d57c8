//! The loop: call, classify the error, wait, call again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::jitter::Jitter;
use crate::deadline::Deadline;

/// What [`retry`] does after an error.
///
/// ```
/// use std::time::Duration;
/// use level3::deadline::Deadline;
/// use level3::retry::{Disposition, NoJitter, RetryPolicy, retry};
///
/// enum CallError { Declined, Unavailable, TooManyRequests { retry_after: Duration } }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let classify = |error: &CallError| match error {
///     CallError::Declined => Disposition::GiveUp,
///     CallError::Unavailable => Disposition::Retry,
///     CallError::TooManyRequests { retry_after } => Disposition::RetryAfter(*retry_after),
/// };
/// let busy = CallError::TooManyRequests { retry_after: Duration::from_secs(4) };
/// assert_eq!(classify(&busy), Disposition::RetryAfter(Duration::from_secs(4)));
///
/// let op = |_| async { Err::<(), _>(CallError::Declined) };
/// let given_up = retry(&RetryPolicy::default(), &NoJitter, Deadline::never(), classify, op).await;
/// assert!(given_up.is_err_and(|error| error.attempts == 1));
/// # let _ = CallError::Unavailable;
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The error is transient: try again after the backoff (a timeout, a lost connection, a 5xx).
    Retry,
    /// The error is transient, and the server said when to come back: try again after exactly this
    /// time, which takes precedence over the backoff and its cap (a 429 with `Retry-After`).
    RetryAfter(Duration),
    /// Another attempt cannot help (a decline, bad input, an open breaker).
    GiveUp,
}

/// One attempt, as the operation sees it.
///
/// ```
/// use std::time::Duration;
/// use level3::deadline::{Deadline, Elapsed};
/// use level3::retry::{Attempt, Disposition, NoJitter, RetryPolicy, retry};
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let op = |attempt: Attempt| async move {
///     // Each attempt has one second more than the last one, up to the deadline.
///     let limit = Deadline::after(Duration::from_secs(attempt.number.into()));
///     limit.min(attempt.deadline).run(sleep(Duration::from_millis(2_500))).await
/// };
/// let classify = |_: &Elapsed| Disposition::Retry;
/// let deadline = Deadline::after(Duration::from_secs(20));
/// let done = retry(&RetryPolicy::default(), &NoJitter, deadline, classify, op).await.unwrap();
/// assert_eq!(done.attempts, 3);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The number of this attempt; the first is 1.
    pub number: u32,
    /// The greatest number of attempts, this one included.
    pub of: u32,
    /// The deadline of all attempts together.
    pub deadline: Deadline,
}

/// When [`retry`] makes another attempt.
///
/// ```
/// use level3::deadline::Deadline;
/// use level3::retry::{Disposition, NoJitter, RetryPolicy, retry};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// // The default: three attempts, with waits of 1 s and 2 s.
/// let policy = RetryPolicy::default();
/// let classify = |error: &&str| match *error {
///     "declined" => Disposition::GiveUp,
///     _ => Disposition::Retry,
/// };
/// let done = retry(&policy, &NoJitter, Deadline::never(), classify, |attempt| async move {
///     if attempt.number < 3 { Err("unavailable") } else { Ok("charged") }
/// });
/// let done = done.await.unwrap();
/// assert_eq!((done.value, done.attempts), ("charged", 3));
/// assert_eq!(done.backoff.as_secs(), 3);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RetryPolicy {
    /// The number of attempts and the waits between them.
    pub backoff: Backoff,
    /// The least time that an attempt needs: none begins with less than this left before the deadline.
    /// Zero only demands that the deadline has not passed.
    pub min_attempt: Duration,
}

/// A success, and how many attempts and how much waiting it took.
///
/// ```
/// use std::time::Duration;
/// use level3::deadline::Deadline;
/// use level3::retry::{Attempt, Disposition, NoJitter, Retried, RetryPolicy, retry};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let classify = |_: &&str| Disposition::Retry;
/// let op = |attempt: Attempt| async move {
///     if attempt.number == 1 { Err("unavailable") } else { Ok("charged") }
/// };
/// let done = retry(&RetryPolicy::default(), &NoJitter, Deadline::never(), classify, op).await;
/// let backoff = Duration::from_secs(1);
/// assert_eq!(done, Ok(Retried { value: "charged", attempts: 2, backoff }));
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retried<T> {
    /// The value that the last attempt returned.
    pub value: T,
    /// The number of attempts made, the successful one included.
    pub attempts: u32,
    /// The time spent waiting between attempts.
    pub backoff: Duration,
}

/// Why [`retry`] ended without a success.
///
/// ```
/// use std::time::Duration;
/// use level3::deadline::Deadline;
/// use level3::retry::{Disposition, NoJitter, Reason, RetryPolicy, retry};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let op = |_| async { Err::<(), _>("unavailable") };
/// let classify = |_: &&str| Disposition::Retry;
/// // The first wait, 1 s, would end after the deadline.
/// let deadline = Deadline::after(Duration::from_millis(500));
/// let failed = retry(&RetryPolicy::default(), &NoJitter, deadline, classify, op).await.unwrap_err();
/// assert_eq!((failed.reason, failed.attempts), (Reason::DeadlineTooClose, 1));
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// All attempts failed.
    Exhausted,
    /// The classifier returned [`Disposition::GiveUp`].
    GivenUp,
    /// The next attempt could not have ended by the deadline.
    DeadlineTooClose,
}

/// No attempt succeeded.
///
/// ```
/// use level3::deadline::Deadline;
/// use level3::retry::{Disposition, NoJitter, Reason, RetryPolicy, retry};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let policy = RetryPolicy::default();
/// let classify = |_: &&str| Disposition::GiveUp;
/// let declined = |_| async { Err::<(), _>("declined") };
/// let error = retry(&policy, &NoJitter, Deadline::never(), classify, declined).await.unwrap_err();
/// assert_eq!((error.reason, error.attempts, error.last), (Reason::GivenUp, 1, Some("declined")));
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} after {attempts} attempts", match reason {
    Reason::Exhausted => "failed",
    Reason::GivenUp => "gave up",
    Reason::DeadlineTooClose => "too close to the deadline",
})]
pub struct RetryError<E> {
    /// The error of the last attempt; `None` if the deadline was too close for the first one.
    pub last: Option<E>,
    /// The number of attempts made.
    pub attempts: u32,
    /// Why there was no further attempt.
    pub reason: Reason,
    /// The time spent waiting between attempts.
    pub backoff: Duration,
}

/// Calls `op` until it succeeds, at most [`Backoff::attempts`] times, with the waits of the policy
/// between the attempts.
///
/// The function begins no attempt and no wait that cannot end by `deadline`: when the wait and
/// [`RetryPolicy::min_attempt`] no longer fit, it returns at once instead of after a useless sleep. It does not
/// cut short an attempt that has begun. That belongs into `op` (see [`Deadline::run`]), inside the breaker,
/// which has to see the timeout.
///
/// # Errors
///
/// [`RetryError`], with the last error of `op` and the [`Reason`].
///
/// # Cancellation
///
/// Dropping the future drops the attempt that is running. No further attempt is made.
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
    // The first attempt needs its time as well: for a caller whose deadline has passed, no call is made.
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
        // Moves the error when it is called, and the loop goes on when it is not: `error` is then
        // dropped at the end of the round, since only the last one is reported.
        let give_up = |reason| RetryError { last: Some(error), attempts: number, reason, backoff };
        if disposition == Disposition::GiveUp {
            return Err(give_up(Reason::GivenUp));
        }
        // Checked before the wait, which only delays the answer if no attempt follows. It comes after the
        // classification, so that an error that cannot be retried is reported as such on the last attempt too.
        if number == of {
            return Err(give_up(Reason::Exhausted));
        }
        let wait = match disposition {
            // Neither jitter nor the cap changes it: an earlier attempt would break the server's rule, and the
            // deadline bounds a wait that is too long.
            Disposition::RetryAfter(wait) => wait,
            // One draw for each wait, so that a seed determines the waits and nothing else.
            _ => policy.backoff.delay(number, jitter.unit()),
        };
        // Some time must be left after the wait, even for an attempt that takes none: nothing starts at
        // the deadline itself. `saturating_add`, since a server may ask for any wait.
        let left = deadline.remaining();
        if left <= wait || left < wait.saturating_add(policy.min_attempt) {
            return Err(give_up(Reason::DeadlineTooClose));
        }
        // Measured and not assumed: a sleep ends later than asked for when the runtime is busy.
        let before = Instant::now();
        sleep(wait).await;
        backoff += before.elapsed();
        number += 1;
    }
}

#[cfg(test)]
mod tests;
