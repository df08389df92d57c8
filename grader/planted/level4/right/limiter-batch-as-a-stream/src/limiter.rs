//! A concurrency limiter.

use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::{Mutex, Notify};

/// How many operations a default limiter runs at once.
pub const DEFAULT_LIMIT: NonZeroUsize = NonZeroUsize::new(3).expect("3 is not 0");

/// Why an operation of [`Limiter::run_all`] has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure<E> {
    /// The operation returned this error.
    #[error("{0}")]
    Error(E),
    /// The operation panicked, in its closure or in its future. What the panic said, or `no message` where it
    /// carried no text.
    #[error("the operation panicked: {0}")]
    Panicked(String),
}

/// Runs operations, but never more than a fixed number at once.
#[derive(Debug, Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max: usize,
    /// Its holder is the first in the line. tokio's mutex is fair.
    door: Mutex<()>,
    running: std::sync::Mutex<usize>,
    freed: Notify,
}

impl Shared {
    fn change<R>(&self, change: impl FnOnce(&mut usize) -> R) -> R {
        change(&mut self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

struct Token(Arc<Shared>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.change(|running| *running -= 1);
        self.0.freed.notify_one();
    }
}

impl Default for Limiter {
    /// A limiter that runs [`DEFAULT_LIMIT`] operations at once.
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

impl Limiter {
    /// A limiter that runs `max` operations at once. Any number is allowed.
    #[must_use]
    pub fn new(max: NonZeroUsize) -> Self {
        let (max, door, running, freed) =
            (max.get(), Mutex::new(()), std::sync::Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { max, door, running, freed }) }
    }

    fn token(&self) -> Pin<Box<impl Future<Output = Token> + use<>>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let door = shared.door.lock().await;
            loop {
                let enters = shared.change(|running| {
                    let enters = *running < shared.max;
                    *running += usize::from(enters);
                    enters
                });
                if enters {
                    break;
                }
                shared.freed.notified().await;
            }
            drop(door);
            Token(shared)
        })
    }

    /// Waits for a slot, then calls `op` and runs its future to the end.
    pub async fn run<T, F>(&self, op: impl FnOnce() -> F) -> T
    where
        F: Future<Output = T>,
    {
        let _token = self.token().await;
        op().await
    }

    /// Runs a batch and returns one result for each operation, in the order of `ops`.
    pub async fn run_all<T, E, F, Op>(&self, ops: Vec<Op>) -> Vec<Result<T, Failure<E>>>
    where
        Op: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        let calls = ops.into_iter().enumerate().map(|(place, op)| async move {
            let call = self.run(move || AssertUnwindSafe(async move { op().await }).catch_unwind());
            let result = match call.await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(error)) => Err(Failure::Error(error)),
                Err(panic) => Err(Failure::Panicked(
                    panic
                        .downcast::<String>()
                        .map(|text| *text)
                        .or_else(|panic| panic.downcast::<&str>().map(|text| (*text).to_owned()))
                        .unwrap_or_else(|_| "no message".to_owned()),
                )),
            };
            (place, result)
        });
        let calls: Vec<_> = calls.collect();
        let few = self.shared.max.min(calls.len()).max(1);
        let mut results: Vec<_> = stream::iter(calls).buffer_unordered(few).collect().await;
        results.sort_by_key(|(place, _)| *place);
        results.into_iter().map(|(_, result)| result).collect()
    }
}
