//! From callbacks to futures and back, as `util.promisify` and `util.callbackify` do in Node.
//!
//! The difference to Node: a callback that is dropped without having been called is noticed here. In
//! JavaScript such a promise stays pending.
//!
//! Lesson: [`lessons/promisify.md`](crate::lessons::promisify).
//!
//! # Contract
//!
#![doc = include_str!("../contract/promisify.md")]

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::sync::oneshot;

use crate::panics::message;

/// A callback that gets a result: Node's `(error, result)`, with the illegal pairs ruled out.
///
/// ```
/// use level1::promisify::{ErrorFirst, promisify};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let read = |callback: ErrorFirst<&str, u32>| callback(Ok("content"));
/// assert_eq!(promisify(read).await, Ok("content"));
/// # }
/// ```
pub type ErrorFirst<T, E> = Box<dyn FnOnce(Result<T, E>) + Send>;

/// A callback of an older API, with the result first. Nothing rules out that it gets both or neither.
///
/// ```
/// use level1::promisify::{ResultFirst, promisify_result_first};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let read = |callback: ResultFirst<&str, u32>| callback(Some("content"), None);
/// assert_eq!(promisify_result_first(read).await, Ok("content"));
/// # }
/// ```
pub type ResultFirst<T, E> = Box<dyn FnOnce(Option<T>, Option<E>) + Send>;

/// Why there is no result.
///
/// ```
/// use level1::promisify::{CallbackError, ErrorFirst, promisify};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let failed = promisify(|callback: ErrorFirst<u32, &str>| callback(Err("no such file")));
/// assert_eq!(failed.await, Err(CallbackError::Failed("no such file")));
///
/// let dropped = promisify(|callback: ErrorFirst<u32, &str>| drop(callback));
/// assert_eq!(dropped.await, Err(CallbackError::Dropped));
/// # }
/// ```
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
    /// The future panicked.
    #[error("the future panicked: {0}")]
    Panicked(String),
}

/// Starts an operation that calls back with a result, and returns a future of that result.
///
/// `start` runs at once, as in Node. Dropping the future does not stop the operation: its callback
/// is then called without effect.
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
    let (sender, receiver) = oneshot::channel();
    start(Box::new(move |result| {
        // Fails only when the future was dropped: then the result is not needed.
        let _ = sender.send(result);
    }));
    // An error of the receiver means that the sender, and so the callback, was dropped uncalled.
    receiver.map(|received| match received {
        Ok(result) => result.map_err(CallbackError::Failed),
        Err(_) => Err(CallbackError::Dropped),
    })
}

/// As [`promisify`], for an operation that calls back with the result first and the error second.
///
/// When the callback gets both, the error counts: a result beside an error cannot be trusted.
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
    // Built on `promisify`, so that a dropped callback is noticed in one place. The inner error is an `Option`:
    // `None` stands for a callback that got neither.
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
    // Without `catch_unwind` a panic would end the task, and the callback would be dropped uncalled.
    let outcome = AssertUnwindSafe(future).catch_unwind();
    tokio::spawn(outcome.map(|outcome| {
        callback(match outcome {
            Ok(result) => result.map_err(CallbackError::Failed),
            Err(payload) => Err(CallbackError::Panicked(message(&*payload))),
        });
    }));
}
