//! From callbacks to futures and back, as `util.promisify` and `util.callbackify` do in Node.
//!
//! The difference to Node: a callback that is dropped without having been called is noticed here. In
//! JavaScript such a promise stays pending.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use futures::FutureExt;

use crate::panics::message;

/// A callback that gets a result: Node's `(error, result)`, with the illegal pairs ruled out.
pub type ErrorFirst<T, E> = Box<dyn FnOnce(Result<T, E>) + Send>;

/// A callback of an older API, with the result first. Nothing rules out that it gets both or neither.
pub type ResultFirst<T, E> = Box<dyn FnOnce(Option<T>, Option<E>) + Send>;

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError<E> {
    /// The operation failed and said so.
    #[error("{0}")]
    Failed(E),
    /// The callback was dropped without having been called.
    #[error("the callback was dropped without having been called")]
    Dropped,
    /// The callback was called with neither a result nor an error.
    #[error("the callback got neither a result nor an error")]
    Empty,
    /// The future panicked instead of giving a result.
    #[error("the future panicked: {0}")]
    Panicked(String),
}

/// Starts an operation that calls back with a result, and gives a future of that result.
///
/// `start` runs at once, as in Node. Dropping the future does not stop the operation: its callback
/// is then called in vain.
///
/// # Errors
/// [`CallbackError::Failed`] with the operation's error; [`CallbackError::Dropped`] when the callback
/// is dropped uncalled.
pub fn promisify<T, E, S>(start: S) -> impl Future<Output = Result<T, CallbackError<E>>>
where
    T: Send + 'static,
    E: Send + 'static,
    S: FnOnce(ErrorFirst<T, E>),
{
    let slot = Arc::new(Mutex::new(Slot { result: None, waker: None }));
    let guard = Guard { slot: Arc::clone(&slot) };
    start(Box::new(move |result| guard.settle(result.map_err(CallbackError::Failed))));
    poll_fn(move |cx| {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    })
}

struct Slot<T, E> {
    result: Option<Result<T, CallbackError<E>>>,
    waker: Option<Waker>,
}

struct Guard<T, E> {
    slot: Arc<Mutex<Slot<T, E>>>,
}

impl<T, E> Guard<T, E> {
    fn settle(&self, result: Result<T, CallbackError<E>>) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.result.get_or_insert(result);
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }
}

impl<T, E> Drop for Guard<T, E> {
    fn drop(&mut self) {
        // After an answer this comes second, and is without effect unless the answer was taken.
        self.settle(Err(CallbackError::Dropped));
    }
}

/// As [`promisify`], for an operation that calls back with the result first and the error second.
///
/// When the callback gets both, the error counts: a result beside an error is not to be trusted.
///
/// # Errors
/// As [`promisify`], and [`CallbackError::Empty`] when the callback gets neither.
pub fn promisify_result_first<T, E, S>(
    start: S,
) -> impl Future<Output = Result<T, CallbackError<E>>>
where
    T: Send + 'static,
    E: Send + 'static,
    S: FnOnce(ResultFirst<T, E>),
{
    let call = promisify(|callback: ErrorFirst<T, Option<E>>| {
        start(Box::new(move |result, error| {
            callback(match (result, error) {
                (_, Some(error)) => Err(Some(error)),
                (Some(result), None) => Ok(result),
                (None, None) => Err(None),
            });
        }));
    });
    call.map(|result| {
        result.map_err(|error| match error {
            CallbackError::Failed(Some(error)) => CallbackError::Failed(error),
            CallbackError::Failed(None) | CallbackError::Empty => CallbackError::Empty,
            CallbackError::Dropped => CallbackError::Dropped,
            CallbackError::Panicked(reason) => CallbackError::Panicked(reason),
        })
    })
}

/// Runs the future in a task of its own and calls back with its result.
///
/// `callback` is called exactly once and never before this function has returned to code on the same
/// thread. The task cannot be cancelled, and nothing waits for it.
///
/// # Errors
/// The callback gets [`CallbackError::Failed`] with the future's error, and
/// [`CallbackError::Panicked`] with the message when the future panics.
///
/// # Panics
/// When called outside a tokio runtime.
pub fn callbackify<T, E, F, C>(future: F, callback: C)
where
    T: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
    C: FnOnce(Result<T, CallbackError<E>>) + Send + 'static,
{
    let work = tokio::spawn(future);
    tokio::spawn(async move {
        match work.await {
            Ok(result) => callback(result.map_err(CallbackError::Failed)),
            Err(failure) if failure.is_panic() => {
                callback(Err(CallbackError::Panicked(message(&*failure.into_panic()))));
            }
            Err(_) => callback(Err(CallbackError::Dropped)),
        }
    });
}
