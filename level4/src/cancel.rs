//! Stopping an operation: at a limit of time, by a token, or by whichever comes first.
//!
//! ```text
//!                 ┌─ ready ───────────────▶ its value, or Failed with its error
//!  first poll     │
//!  ─────────▶ running ── the limit is over ─▶ dropped ─▶ TimedOut
//!      │          │
//!      │          └── the token is cancelled ▶ dropped ─▶ Cancelled
//!      └── the token is cancelled already: never polled ─▶ Cancelled
//! ```
//!
//! In Rust a future is stopped by dropping it, so these functions own the operation. A task goes on when its
//! handle is dropped; an operation that spawns tasks has to end them from its own destructor.
//!
//! Lesson: `level4/lessons/cancel.md`.

use std::time::Duration;

use futures::TryFutureExt as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The reason why an operation has no value.
///
/// ```
/// use std::time::Duration;
/// use level4::cancel::{Stopped, with_timeout};
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let search = async {
///     sleep(Duration::from_secs(3)).await;
///     Ok::<_, String>("12 results".to_owned())
/// };
/// let text = match with_timeout(Duration::from_secs(1), search).await {
///     Ok(results) => results,
///     Err(Stopped::TimedOut(limit)) => format!("no answer within {limit:?}"),
///     Err(Stopped::Cancelled) => "cancelled".to_owned(),
///     Err(Stopped::Failed(error)) => error,
/// };
/// assert_eq!(text, "no answer within 1s");
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stopped<E> {
    /// It was not ready within this limit.
    #[error("not ready within {0:?}")]
    TimedOut(Duration),
    /// The token was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// It ended by itself, with this error.
    #[error("{0}")]
    Failed(E),
}

/// Runs `op` for `limit` at most, counted from the first poll of this future.
///
/// An operation that is ready at the very limit is in time. With a limit of zero that is one which is ready
/// when it is first polled. `Duration::MAX` is no limit.
///
/// # Errors
///
/// [`Stopped::TimedOut`] at the limit; `op` has been dropped by then. What it has asked of another machine may
/// still be done there. [`Stopped::Failed`] with an error of `op`.
///
/// # Cancellation
///
/// Dropping the future drops `op`.
pub async fn with_timeout<T, E>(
    limit: Duration,
    op: impl Future<Output = Result<T, E>>,
) -> Result<T, Stopped<E>> {
    // `timeout` polls the operation before it looks at the clock, so a tie goes to the operation. It owns the
    // operation: with `&mut op` only the loan would end at the limit.
    match timeout(limit, op).await {
        Ok(result) => result.map_err(Stopped::Failed),
        Err(_) => Err(Stopped::TimedOut(limit)),
    }
}

/// Runs `op` until `token` is cancelled.
///
/// The function only listens to the token. The end of `op` does not cancel it, so neither other listeners nor the
/// parents of the token notice.
///
/// # Errors
///
/// [`Stopped::Cancelled`] as soon as the token is cancelled; `op` has been dropped by then. If the token is
/// cancelled before the first poll of this future, `op` is never polled. [`Stopped::Failed`] with an error of
/// `op`.
///
/// Where `op` becomes ready in the same instant in which the token is cancelled, either may win.
///
/// # Cancellation
///
/// Dropping the future drops `op`.
pub async fn cancellable<T, E>(
    token: &CancellationToken,
    op: impl Future<Output = Result<T, E>>,
) -> Result<T, Stopped<E>> {
    until_cancelled(token, op.map_err(Stopped::Failed)).await
}

/// Runs `op` for `limit` at most and until `token` is cancelled, whichever comes first.
///
/// # Errors
///
/// Those of [`with_timeout`] and [`cancellable`]. At an instant at which the limit is over and the token is
/// cancelled, it is one of both.
///
/// # Cancellation
///
/// Dropping the future drops `op`.
pub async fn with_timeout_and_cancel<T, E>(
    limit: Duration,
    token: &CancellationToken,
    op: impl Future<Output = Result<T, E>>,
) -> Result<T, Stopped<E>> {
    // The timer is inside, so that cancelling drops it together with the operation.
    until_cancelled(token, with_timeout(limit, op)).await
}

/// What the two functions with a token have in common; `op` may have reasons of its own to stop.
async fn until_cancelled<T, E>(
    token: &CancellationToken,
    op: impl Future<Output = Result<T, Stopped<E>>>,
) -> Result<T, Stopped<E>> {
    // The first poll of an operation often sends its request, so an answer of "cancelled" has to come before.
    if token.is_cancelled() {
        return Err(Stopped::Cancelled);
    }
    // From here on the operation goes first: a result that is there is not thrown away. `select!` owns `op`,
    // and drops it when the token wins.
    tokio::select! {
        biased;
        result = op => result,
        () = token.cancelled() => Err(Stopped::Cancelled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    async fn after(length: u64) -> Result<u64, &'static str> {
        sleep(ms(length)).await;
        if length == 7 { Err("seven") } else { Ok(length) }
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_counts_from_the_first_poll() {
        let run = with_timeout(ms(100), after(100));
        sleep(ms(50)).await;
        assert_eq!(run.await, Ok(100));
        assert_eq!(with_timeout(ms(100), after(101)).await, Err(Stopped::TimedOut(ms(100))));
        assert_eq!(with_timeout(ms(100), after(7)).await, Err(Stopped::Failed("seven")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_token_stops_with_its_parent() {
        let (parent, began) = (CancellationToken::new(), Instant::now());
        let child = parent.child_token();
        let cancels = async {
            sleep(ms(30)).await;
            parent.cancel();
        };
        let both = with_timeout_and_cancel(ms(100), &child, after(200));
        let (result, ()) = tokio::join!(both, cancels);
        assert_eq!((result, began.elapsed()), (Err(Stopped::Cancelled), ms(30)));
        assert_eq!(cancellable(&child, after(0)).await, Err(Stopped::Cancelled));
    }

    #[test]
    fn a_reason_is_readable() {
        assert_eq!(Stopped::TimedOut::<&str>(ms(1500)).to_string(), "not ready within 1.5s");
        assert_eq!(Stopped::Failed("not found").to_string(), "not found");
    }
}
