//! Stopping an operation.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::coop::unconstrained;
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

async fn run<T, E>(
    limit: Option<Duration>,
    token: Option<&CancellationToken>,
    op: impl Future<Output = Result<T, E>>,
) -> Result<T, Stopped<E>> {
    let mut op = Box::pin(op);
    // Unconstrained: an operation that has used up the turn of its task does not stop the clock.
    let mut timer = pin!(limit.map(|limit| unconstrained(sleep(limit))));
    let mut listener = pin!(token.map(CancellationToken::cancelled));
    let result = poll_fn(|cx| {
        if let Some(listener) = listener.as_mut().as_pin_mut()
            && listener.poll(cx).is_ready()
        {
            return Poll::Ready(Err(Stopped::Cancelled));
        }
        if let Poll::Ready(result) = op.as_mut().poll(cx) {
            return Poll::Ready(result.map_err(Stopped::Failed));
        }
        match timer.as_mut().as_pin_mut().map(|timer| timer.poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(Stopped::TimedOut(limit.unwrap_or_default()))),
            _ => Poll::Pending,
        }
    })
    .await;
    drop(op);
    result
}

/// Runs `op` for `limit` at most.
pub fn with_timeout<T, E>(
    limit: Duration,
    op: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, Stopped<E>>> {
    run(Some(limit), None, op)
}

/// Runs `op` until `token` is cancelled.
pub fn cancellable<T, E>(
    token: &CancellationToken,
    op: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, Stopped<E>>> {
    run(None, Some(token), op)
}

/// Runs `op` for `limit` at most and until `token` is cancelled.
pub fn with_timeout_and_cancel<T, E>(
    limit: Duration,
    token: &CancellationToken,
    op: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, Stopped<E>>> {
    run(Some(limit), Some(token), op)
}
