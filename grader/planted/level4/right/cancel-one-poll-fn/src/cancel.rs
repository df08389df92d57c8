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

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Why an operation has no value.
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
    race(op, Some(limit), None).await
}

/// Runs `op` until `token` is cancelled.
///
/// The token is only listened to. Whatever becomes of `op`, other listeners and the parents of the token do
/// not learn of it.
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
    race(op, None, Some(token)).await
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
    race(op, Some(limit), Some(token)).await
}

/// The operation, and what may end it early. All of it is dropped with this future.
async fn race<T, E>(
    op: impl Future<Output = Result<T, E>>,
    limit: Option<Duration>,
    token: Option<&CancellationToken>,
) -> Result<T, Stopped<E>> {
    if token.is_some_and(CancellationToken::is_cancelled) {
        return Err(Stopped::Cancelled);
    }
    let mut op = Box::pin(op);
    let mut cancelled = token.map(|token| Box::pin(token.cancelled()));
    // Unconstrained: an operation that has used up the task's budget does not stop the clock.
    let mut timer = limit.map(|limit| (limit, Box::pin(unconstrained(sleep(limit)))));
    poll_fn(|cx| {
        if let Poll::Ready(result) = op.as_mut().poll(cx) {
            return Poll::Ready(result.map_err(Stopped::Failed));
        }
        if cancelled.as_mut().is_some_and(|cancelled| cancelled.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(Stopped::Cancelled));
        }
        if let Some((limit, timer)) = &mut timer
            && timer.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(Stopped::TimedOut(*limit)));
        }
        Poll::Pending
    })
    .await
}
