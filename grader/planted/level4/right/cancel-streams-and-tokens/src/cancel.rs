//! Stopping an operation.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
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

/// Runs `op` for `limit` at most.
pub async fn with_timeout<T, E>(
    limit: Duration,
    op: impl Future<Output = Result<T, E>>,
) -> Result<T, Stopped<E>> {
    // Unconstrained: an operation that has used up the turn of its task does not stop the clock.
    let (op, timer) = (pin!(op), pin!(unconstrained(sleep(limit))));
    match select(op, timer).await {
        Either::Left((Ok(value), _)) => Ok(value),
        Either::Left((Err(error), _)) => Err(Stopped::Failed(error)),
        Either::Right(((), _)) => Err(Stopped::TimedOut(limit)),
    }
}

/// Runs `op` until `token` is cancelled.
pub async fn cancellable<T, E>(
    token: &CancellationToken,
    op: impl Future<Output = Result<T, E>>,
) -> Result<T, Stopped<E>> {
    let own = token.child_token();
    match own.run_until_cancelled_owned(op).await {
        Some(result) => result.map_err(Stopped::Failed),
        None => Err(Stopped::Cancelled),
    }
}

/// Runs `op` for `limit` at most and until `token` is cancelled.
pub async fn with_timeout_and_cancel<T, E>(
    limit: Duration,
    token: &CancellationToken,
    op: impl Future<Output = Result<T, E>>,
) -> Result<T, Stopped<E>> {
    match token.run_until_cancelled(with_timeout(limit, op)).await {
        Some(result) => result,
        None => Err(Stopped::Cancelled),
    }
}
