//! JavaScript's promise, written by hand.
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
//!
//! Lesson: [`lessons/promise.md`](crate::lessons::promise).
//!
//! # Contract
//!
#![doc = include_str!("../../contract/promise.md")]

mod chain;
mod combine;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

pub use self::chain::IntoPromise;
pub use self::combine::{AggregateError, all, all_settled, any, race};

use crate::panics::message;

/// The state of a promise.
///
/// ```
/// use level1::promise::{Broken, Promise, State};
///
/// let promise = Promise::<u32, Broken>::resolved(42);
/// assert_eq!(promise.state(), State::Fulfilled);
/// ```
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
///
/// ```
/// use level1::promise::{Broken, Promise};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let promise = Promise::<u32, Broken>::new(drop); // no resolver is left
/// assert_eq!(promise.await, Err(Broken::Abandoned));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Every resolver was dropped before the promise was settled.
    #[error("the promise was abandoned: its last resolver was dropped")]
    Abandoned,
    /// The executor, a handler or the future behind the promise panicked, with this message.
    #[error("a promise handler panicked: {0}")]
    Panicked(String),
}

/// A value that arrives later, or the error that replaces it.
///
/// As a [`Future`] it resolves to that result; it must not be polled after that.
/// Dropping it stops nothing.
///
/// ```
/// use level1::promise::{Broken, Promise};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let promise = Promise::<u32, Broken>::new(|resolver| resolver.resolve(20));
/// let sum = promise.then(|n| Ok(n + 1)).then(|n| Promise::resolved(2 * n));
/// assert_eq!(sum.await, Ok(42));
/// # }
/// ```
#[must_use = "an error in it goes unnoticed unless it is awaited or caught"]
#[derive(Debug)]
pub struct Promise<T, E> {
    shared: Arc<Shared<T, E>>,
}

impl<T, E> Promise<T, E>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    /// A promise that is settled through the [`Resolver`] that `executor` gets.
    pub fn new(executor: impl FnOnce(Resolver<T, E>)) -> Self {
        let promise = Self::pending();
        let resolver = Resolver::first(&promise.shared);
        let outcome = catch_unwind(AssertUnwindSafe(|| executor(resolver.clone())));
        if let Err(payload) = outcome {
            let text = message(payload.as_ref());
            resolver.reject(E::from(Broken::Panicked(text)));
        }
        promise
    }

    /// A promise that is fulfilled already.
    pub fn resolved(value: T) -> Self {
        let promise = Self::pending();
        promise.shared.close(Some(Ok(value)));
        promise
    }

    /// A promise that is rejected already.
    pub fn rejected(error: E) -> Self {
        let promise = Self::pending();
        promise.shared.close(Some(Err(error)));
        promise
    }

    /// A promise of the future's result.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn from_future(future: impl Future<Output = Result<T, E>> + Send + 'static) -> Self {
        // The first task may panic; the second sees it.
        let promise = Self::pending();
        let resolver = Resolver::first(&promise.shared);
        let work = tokio::spawn(future);
        tokio::spawn(async move {
            match work.await {
                Ok(result) => resolver.shared.close(Some(result)),
                Err(ended) if ended.is_panic() => {
                    let text = message(ended.into_panic().as_ref());
                    resolver.reject(Broken::Panicked(text).into());
                }
                // The runtime shuts down: the resolver is dropped.
                Err(_) => {}
            }
        });
        promise
    }

    /// Returns the current state.
    pub fn state(&self) -> State {
        self.shared.lock().state
    }

    fn pending() -> Self {
        let inner = Inner { state: State::Pending, result: None, taken: false, waker: None };
        Self { shared: Arc::new(Shared { resolvers: AtomicUsize::new(0), inner: Mutex::new(inner) }) }
    }
}

impl<T, E> Future for Promise<T, E>
where
    E: From<Broken>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut inner = self.shared.lock();
        if inner.state == State::Pending {
            match &mut inner.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        assert!(!inner.taken, "a promise was polled after it was done");
        inner.taken = true;
        let result = inner.result.take();
        drop(inner);
        Poll::Ready(result.unwrap_or_else(|| Err(Broken::Abandoned.into())))
    }
}

/// Settles a promise. Clones settle the same one, and the first call wins: later calls have no
/// effect.
///
/// ```
/// use std::time::Duration;
///
/// use level1::promise::{Broken, Promise};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let promise = Promise::<&str, Broken>::new(|resolver| {
///     tokio::spawn(async move {
///         tokio::time::sleep(Duration::from_millis(1)).await;
///         resolver.resolve("first");
///         resolver.resolve("too late");
///     });
/// });
/// assert_eq!(promise.await, Ok("first"));
/// # }
/// ```
#[derive(Debug)]
pub struct Resolver<T, E> {
    shared: Arc<Shared<T, E>>,
}

impl<T, E> Resolver<T, E> {
    fn first(shared: &Arc<Shared<T, E>>) -> Self {
        shared.resolvers.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(shared) }
    }

    /// Fulfils the promise.
    pub fn resolve(&self, value: T) {
        self.shared.close(Some(Ok(value)));
    }

    /// Rejects the promise.
    pub fn reject(&self, error: E) {
        self.shared.close(Some(Err(error)));
    }
}

impl<T, E> Clone for Resolver<T, E> {
    fn clone(&self) -> Self {
        Self::first(&self.shared)
    }
}

impl<T, E> Drop for Resolver<T, E> {
    fn drop(&mut self) {
        if self.shared.resolvers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.close(None);
        }
    }
}

#[derive(Debug)]
struct Shared<T, E> {
    /// How many resolvers there are.
    resolvers: AtomicUsize,
    inner: Mutex<Inner<T, E>>,
}

#[derive(Debug)]
struct Inner<T, E> {
    state: State,
    /// Nothing when it is pending, taken or abandoned.
    result: Option<Result<T, E>>,
    taken: bool,
    waker: Option<Waker>,
}

impl<T, E> Shared<T, E> {
    fn lock(&self) -> MutexGuard<'_, Inner<T, E>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first call settles; `None` stands for an abandoned promise.
    fn close(&self, result: Option<Result<T, E>>) {
        let unused = {
            let mut inner = self.lock();
            if inner.state == State::Pending {
                inner.state = match result {
                    Some(Ok(_)) => State::Fulfilled,
                    Some(Err(_)) | None => State::Rejected,
                };
                inner.result = result;
                Ok(inner.waker.take())
            } else {
                Err(result)
            }
        };
        // Both the wake-up and the drop of an unused value run without the lock.
        if let Ok(Some(waker)) = unused {
            waker.wake();
        }
    }
}
