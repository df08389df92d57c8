//! JavaScript's promise, written by hand.
//!
//! A promise is pending until it is fulfilled with a value or rejected with an error, and stays as it
//! is from then on. It is eager where a future is lazy: its work and its handlers run whether or not
//! it is awaited, and dropping it stops nothing.
//!
//! Two differences to JavaScript follow from ownership. A promise has one consumer, since the value is
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
    /// Neither resolved nor rejected.
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
/// Dropping it stops neither its work nor its handlers.
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
    /// The slot alone and no resolver: if a promise held one, its last resolver could never be dropped, and
    /// an abandoned promise would keep its consumer waiting.
    shared: Arc<Shared<T, E>>,
}

impl<T, E> Promise<T, E>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    /// Makes a promise that `executor` settles through its [`Resolver`].
    ///
    /// `executor` runs at once, before this function returns. When it panics, the promise is rejected
    /// with [`Broken::Panicked`], unless it was settled before.
    pub fn new(executor: impl FnOnce(Resolver<T, E>)) -> Self {
        let (promise, resolver) = Self::deferred();
        // A clone for the executor: this function keeps one to reject the promise if the executor panics, also when
        // the executor has given its own away. It is dropped when this function returns; if the executor has kept
        // none, that drop is the last one and rejects the promise as abandoned.
        let for_executor = resolver.clone();
        // `AssertUnwindSafe`: of this module, a panic of the executor can touch the slot alone, which no panic leaves
        // half written. What the executor borrows is the concern of its author.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| executor(for_executor))) {
            resolver.reject(Broken::Panicked(message(&*payload)).into());
        }
        promise
    }

    /// Makes a promise that is already fulfilled with `value`.
    pub fn resolved(value: T) -> Self {
        Self::settled(Ok(value))
    }

    /// Makes a promise that is already rejected with `error`.
    pub fn rejected(error: E) -> Self {
        Self::settled(Err(error))
    }

    /// Makes a promise of the future's result. The future runs in a task of its own from now on. When it
    /// panics, the promise is rejected with [`Broken::Panicked`].
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn from_future(future: impl Future<Output = Result<T, E>> + Send + 'static) -> Self {
        use futures::FutureExt;
        // `deferred` and not `new`, which turns a panic into a rejection: outside of a runtime `spawn` panics, and that
        // is the caller's mistake.
        let (promise, resolver) = Self::deferred();
        // Caught here and not by the task: a task that panics would drop the resolver, and the promise would be
        // rejected as abandoned, without the message.
        let outcome = AssertUnwindSafe(future).catch_unwind();
        // The resolver moves into the task. If the runtime drops the task at its shutdown, the resolver is
        // dropped with it, and the promise is rejected as abandoned instead of staying pending. The handle is
        // dropped at once, which leaves the task running: the work of a promise does not wait for an `.await`.
        tokio::spawn(outcome.map(move |outcome| {
            resolver.settle(
                outcome.unwrap_or_else(|payload| Err(Broken::Panicked(message(&*payload)).into())),
            );
        }));
        promise
    }

    /// Returns the current state.
    pub fn state(&self) -> State {
        // An abandoned promise is rejected from the drop of its last resolver on, although its error is made later,
        // by the poll that takes it.
        match &*self.shared.lock() {
            Slot::Pending(_) => State::Pending,
            Slot::Settled(Ok(_)) => State::Fulfilled,
            Slot::Settled(Err(_)) | Slot::Abandoned => State::Rejected,
            Slot::Taken(state) => *state,
        }
    }

    /// A pending promise that has no resolver yet. If it never gets one, it stays pending: it is abandoned by the
    /// drop of a resolver and not by their absence. [`race`] of no promises relies on that.
    fn pending() -> Self {
        Self { shared: Arc::new(Shared { slot: Mutex::new(Slot::Pending(None)) }) }
    }

    /// A promise that never has a resolver or a waker: no task has to run to settle it.
    fn settled(result: Result<T, E>) -> Self {
        Self { shared: Arc::new(Shared { slot: Mutex::new(Slot::Settled(result)) }) }
    }

    /// A pending promise and its first resolver.
    fn deferred() -> (Self, Resolver<T, E>) {
        let promise = Self::pending();
        let resolver = promise.resolver();
        (promise, resolver)
    }

    /// The first resolver. Call it once: a second `Last` would abandon the promise while clones of the first one
    /// could still settle it.
    fn resolver(&self) -> Resolver<T, E> {
        Resolver { last: Arc::new(Last { shared: Arc::clone(&self.shared) }) }
    }
}

impl<T, E> Future for Promise<T, E>
where
    E: From<Broken>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // One lock for the look and the waker. If it were released in between, a resolver on another thread could
        // settle the promise there, find no waker, and the task would sleep without end.
        let mut slot = self.shared.lock();
        let state = match &mut *slot {
            Slot::Pending(waker) => {
                // Only the latest poll counts: the promise may have moved to another task, and the old waker would
                // wake the wrong one.
                *waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Slot::Settled(Ok(_)) => State::Fulfilled,
            Slot::Settled(Err(_)) | Slot::Abandoned => State::Rejected,
            // Such a poll is a bug of its caller. It leaves the slot as it is, so that the state stays.
            Slot::Taken(_) => panic!("a promise was polled after it was done"),
        };
        // Moves the result out, and leaves a slot that still says how the promise was settled.
        let taken = std::mem::replace(&mut *slot, Slot::Taken(state));
        // `From<Broken>` is foreign code, and runs without the lock.
        drop(slot);
        Poll::Ready(match taken {
            Slot::Settled(result) => result,
            // Neither pending nor taken, as seen above.
            _ => Err(Broken::Abandoned.into()),
        })
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
    /// An `Arc` of its own, beside the one of the slot: it counts the resolvers without the promise.
    last: Arc<Last<T, E>>,
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
        self.last.shared.settle(Slot::Settled(result));
    }
}

// Written by hand: a derive would ask `T` and `E` for `Clone`, although only the count is raised.
impl<T, E> Clone for Resolver<T, E> {
    fn clone(&self) -> Self {
        Self { last: Arc::clone(&self.last) }
    }
}

/// What the clones of a resolver share: dropped with the last of them.
#[derive(Debug)]
struct Last<T, E> {
    /// What the drop abandons. The promise has the other end, and either may go first.
    shared: Arc<Shared<T, E>>,
}

impl<T, E> Drop for Last<T, E> {
    fn drop(&mut self) {
        // Without effect on a settled promise. Of two threads that drop the last two clones at the same time, the
        // count of the `Arc` makes exactly one run this.
        self.shared.settle(Slot::Abandoned);
    }
}

/// What a promise and its resolver share.
#[derive(Debug)]
struct Shared<T, E> {
    /// A std lock: it is held to look and to replace, never across an `.await`, and `poll` and `Drop`, which
    /// cannot await, take it.
    slot: Mutex<Slot<T, E>>,
}

/// Where a promise is in its life. One value and not a result beside a waker: a settled promise has no waker, and
/// a pending one has no result.
#[derive(Debug)]
enum Slot<T, E> {
    /// With the waker of the task that awaits the promise, if one does already.
    Pending(Option<Waker>),
    /// The result waits for its consumer.
    Settled(Result<T, E>),
    /// The last resolver is gone. Not an error of the type `E`: a drop writes it, and a `Drop` may not ask for
    /// `E: From<Broken>` if its type does not. It would run foreign code in a destructor, too.
    Abandoned,
    /// The consumer has taken the result. What is left says how the promise was settled.
    Taken(State),
}

impl<T, E> Shared<T, E> {
    fn lock(&self) -> MutexGuard<'_, Slot<T, E>> {
        // The slot is replaced as a whole, and before `poll` runs what may panic under the lock. So a poisoned lock
        // still guards a whole slot.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settles a pending promise and wakes its consumer; without effect on a settled one.
    fn settle(&self, outcome: Slot<T, E>) {
        let mut slot = self.lock();
        let Slot::Pending(waker) = &mut *slot else {
            // `outcome` is dropped after the lock: it may hold a resolver of this very promise.
            drop(slot);
            return;
        };
        // Looked up and replaced under one lock: a poll on another thread comes either before, and its waker is
        // here, or after, and finds the result.
        let waker = waker.take();
        *slot = outcome;
        drop(slot);
        // Outside the lock: the woken task may poll at once, on another thread.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
