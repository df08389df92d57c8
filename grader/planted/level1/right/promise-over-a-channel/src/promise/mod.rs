//! JavaScript's promise, written by hand on a mutex and a waker.
//!
//! A promise is pending until it is fulfilled with a value or rejected with an error, and stays as it
//! is from then on. It is eager where a future is lazy: its work and its handlers run whether or not
//! it is awaited, and dropping it stops nothing.
//!
//! Two differences to JavaScript follow from ownership. A promise has one consumer, for the value is
//! moved to it and not shared. And a promise whose last [`Resolver`] is gone cannot be settled any
//! more: it is rejected with [`Broken::Abandoned`] instead of keeping its consumer waiting.
//!
//! | function | fulfilled | rejected | of nothing |
//! | --- | --- | --- | --- |
//! | [`all`] | all are: their values | at the first rejection | fulfilled, no values |
//! | [`all_settled`] | all are settled: their results | never | fulfilled, no results |
//! | [`race`] | the first to settle is | the first to settle is | stays pending |
//! | [`any`] | at the first fulfilled one | all are: [`AggregateError`] | rejected, no errors |

mod chain;
mod combine;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use futures::channel::oneshot;

pub use self::chain::IntoPromise;
pub use self::combine::{AggregateError, all, all_settled, any, race};

use crate::panics::message;

/// Where a promise stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not settled yet.
    Pending,
    /// Settled with a value.
    Fulfilled,
    /// Settled with an error.
    Rejected,
}

/// A rejection that no code asked for. A promise's error type must be constructible from it
/// (`E: From<Broken>`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Every resolver was dropped before the promise was settled.
    #[error("the promise was abandoned: its last resolver was dropped")]
    Abandoned,
    /// The executor, a handler or the future behind the promise panicked, with this message.
    #[error("a promise handler panicked: {0}")]
    Panicked(String),
}

type Sender<T, E> = Mutex<Option<oneshot::Sender<Result<T, E>>>>;

/// A value that will be there later, or the error that took its place.
#[must_use = "an error in it goes unnoticed unless it is awaited or caught"]
#[derive(Debug)]
pub struct Promise<T, E> {
    receiver: oneshot::Receiver<Result<T, E>>,
    state: Arc<Mutex<State>>,
    sender: Weak<Sender<T, E>>,
    /// Only for a promise that is never settled.
    _kept: Option<Arc<Sender<T, E>>>,
}

impl<T, E> Promise<T, E>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    fn deferred() -> (Self, Resolver<T, E>) {
        let (sender, receiver) = oneshot::channel();
        let sender = Arc::new(Mutex::new(Some(sender)));
        let state = Arc::new(Mutex::new(State::Pending));
        let promise = Self {
            receiver,
            state: Arc::clone(&state),
            sender: Arc::downgrade(&sender),
            _kept: None,
        };
        (promise, Resolver { sender, state })
    }

    /// A promise that is settled through the [`Resolver`] that `executor` gets.
    pub fn new(executor: impl FnOnce(Resolver<T, E>)) -> Self {
        let (promise, resolver) = Self::deferred();
        let spare = resolver.clone();
        let run = catch_unwind(AssertUnwindSafe(move || executor(resolver)));
        if let Err(payload) = run {
            spare.reject(Broken::Panicked(message(&*payload)).into());
        }
        promise
    }

    /// A promise that is fulfilled already.
    pub fn resolved(value: T) -> Self {
        Self::new(|resolver| resolver.resolve(value))
    }

    /// A promise that is rejected already.
    pub fn rejected(error: E) -> Self {
        Self::new(|resolver| resolver.reject(error))
    }

    /// A promise of the future's result.
    pub fn from_future(future: impl Future<Output = Result<T, E>> + Send + 'static) -> Self {
        let (promise, resolver) = Self::deferred();
        let work = tokio::spawn(future);
        tokio::spawn(async move {
            match work.await {
                Ok(result) => resolver.settle(result),
                Err(failure) if failure.is_panic() => {
                    resolver.reject(Broken::Panicked(message(&*failure.into_panic())).into())
                }
                Err(_) => {}
            }
        });
        promise
    }

    /// Where it stands now.
    pub fn state(&self) -> State {
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            State::Pending if self.sender.strong_count() == 0 => State::Rejected,
            state => state,
        }
    }

    fn pending() -> Self {
        let (promise, resolver) = Self::deferred();
        Self { _kept: Some(Arc::clone(&resolver.sender)), ..promise }
    }
}

impl<T, E> Future for Promise<T, E>
where
    E: From<Broken>,
{
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(cx).map(|received| match received {
            Ok(result) => result,
            Err(oneshot::Canceled) => Err(Broken::Abandoned.into()),
        })
    }
}

/// Settles a promise.
#[derive(Debug)]
pub struct Resolver<T, E> {
    sender: Arc<Sender<T, E>>,
    state: Arc<Mutex<State>>,
}

impl<T, E> Resolver<T, E> {
    /// Fulfils the promise.
    pub fn resolve(&self, value: T) {
        self.settle(Ok(value));
    }

    /// Rejects the promise.
    pub fn reject(&self, error: E) {
        self.settle(Err(error));
    }

    fn settle(&self, result: Result<T, E>) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            let state = if result.is_ok() { State::Fulfilled } else { State::Rejected };
            *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
            // The promise may be gone: then the result is not needed.
            let _ = sender.send(result);
        }
    }
}

impl<T, E> Clone for Resolver<T, E> {
    fn clone(&self) -> Self {
        Self { sender: Arc::clone(&self.sender), state: Arc::clone(&self.state) }
    }
}
