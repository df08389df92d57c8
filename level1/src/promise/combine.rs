//! The combinators: `all`, `all_settled`, `race` and `any`.
//!
//! Each gives every promise an observer that reports to one resolver. Because a promise settles once,
//! the first report that counts wins, and later reports have no effect. The promises that lost run on
//! to their end: nothing is cancelled.
//!
//! All four panic when called outside a tokio runtime with at least one promise. A panic of the iterator passes to
//! the caller.
// starter: doc `all`, `all_settled`, `race` and `any`.
// starter: doc
// starter: doc The promises that lost run on to their end: nothing is cancelled.
// starter: doc
// starter: doc All four panic when called outside a tokio runtime with at least one promise. A panic of the iterator passes to
// starter: doc the caller.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;

use super::{Broken, Promise};

/// The errors of all promises given to [`any`], in their order.
///
/// ```
/// use level1::promise::{Broken, Promise, any};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let none = any([Promise::<u32, Broken>::rejected(Broken::Abandoned)]);
/// assert_eq!(none.await.unwrap_err().errors, [Broken::Abandoned]);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("all {} promises were rejected", errors.len())]
pub struct AggregateError<E> {
    /// One error for each promise.
    pub errors: Vec<E>,
}

impl<E: From<Broken>> From<Broken> for AggregateError<E> {
    fn from(broken: Broken) -> Self {
        Self { errors: vec![broken.into()] }
    }
}

/// Returns a promise of all values. It is fulfilled, with the values in the order of the promises, when the last
/// promise is, and rejected at once with the first rejection. Of no promises, it is fulfilled with no values.
pub fn all<T, E>(promises: impl IntoIterator<Item = Promise<T, E>>) -> Promise<Vec<T>, E>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    // Collected first, because the number of promises has to be known before the first report arrives: one that is
    // counted too late would not be waited for.
    let promises: Vec<_> = promises.into_iter().collect();
    // Without a promise there is no report that could settle the result.
    if promises.is_empty() {
        return Promise::resolved(Vec::new());
    }
    // `deferred` and not `new`, which would turn the panic of a spawn outside of a runtime into a rejection.
    let (all, resolver) = Promise::deferred();
    let values = Gather::new(promises.len());
    for (index, promise) in promises.into_iter().enumerate() {
        let (resolver, values) = (resolver.clone(), Arc::clone(&values));
        observe(promise, move |result| match result {
            Ok(value) => {
                // Resolved after `put` has released its lock: the consumer may wake on another thread.
                if let Some(values) = values.put(index, value) {
                    resolver.resolve(values);
                }
            }
            // A promise that is rejected puts no value, so the values never become complete, and no
            // `resolve` competes with this.
            Err(error) => resolver.reject(error),
        });
    }
    all
}

/// Returns a promise of all results. It is fulfilled, with the results in the order of the promises, when the last
/// promise is settled, and is never rejected. Of no promises, it is fulfilled with no results.
pub fn all_settled<T, E>(
    promises: impl IntoIterator<Item = Promise<T, E>>,
) -> Promise<Vec<Result<T, E>>, E>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    let promises: Vec<_> = promises.into_iter().collect();
    if promises.is_empty() {
        return Promise::resolved(Vec::new());
    }
    let (all, resolver) = Promise::deferred();
    let results = Gather::new(promises.len());
    for (index, promise) in promises.into_iter().enumerate() {
        let (resolver, results) = (resolver.clone(), Arc::clone(&results));
        observe(promise, move |result| {
            if let Some(results) = results.put(index, result) {
                resolver.resolve(results);
            }
        });
    }
    all
}

/// Returns a promise that settles as the first of the promises does, with a value or an error. Without promises it
/// stays pending, as in JavaScript.
pub fn race<T, E>(promises: impl IntoIterator<Item = Promise<T, E>>) -> Promise<T, E>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    // Only whether there is one has to be known, not how many: no report waits for another.
    let mut promises = promises.into_iter().peekable();
    // `pending` and not `deferred`, whose resolver would be dropped here and reject the promise as abandoned.
    if promises.peek().is_none() {
        return Promise::pending();
    }
    // `deferred` and not `new`: a panic of the iterator is the caller's, and no promise of the race.
    let (race, resolver) = Promise::deferred();
    for promise in promises {
        let resolver = resolver.clone();
        observe(promise, move |result| resolver.settle(result));
    }
    race
}

/// Returns a promise of the first value. It is fulfilled when the first of the promises is, and rejected with all
/// errors, in the order of the promises, when all are rejected. Of no promises, it is rejected with no errors.
pub fn any<T, E>(promises: impl IntoIterator<Item = Promise<T, E>>) -> Promise<T, AggregateError<E>>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    let promises: Vec<_> = promises.into_iter().collect();
    if promises.is_empty() {
        return Promise::rejected(AggregateError { errors: Vec::new() });
    }
    let (any, resolver) = Promise::deferred();
    let errors = Gather::new(promises.len());
    for (index, promise) in promises.into_iter().enumerate() {
        let (resolver, errors) = (resolver.clone(), Arc::clone(&errors));
        observe(promise, move |result| match result {
            Ok(value) => resolver.resolve(value),
            Err(error) => {
                if let Some(errors) = errors.put(index, error) {
                    resolver.reject(AggregateError { errors });
                }
            }
        });
    }
    any
}

/// Calls `report` with the promise's result, in a task of its own. The task owns the promise and runs to its end
/// also when the race is decided: that is why nothing is cancelled.
fn observe<T, E>(promise: Promise<T, E>, report: impl FnOnce(Result<T, E>) + Send + 'static)
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    tokio::spawn(promise.map(report));
}

/// Collects one thing for each promise and returns them, in order, with the last. A lock, because the observers
/// are tasks and may report on several threads at once.
struct Gather<X>(Mutex<Gathered<X>>);

/// The data that the lock guards.
struct Gathered<X> {
    /// A place for each promise, by its index: reports arrive in any order, and the result has the promises' order.
    things: Vec<Option<X>>,
    /// The number of places that are empty. Counted, so that a report need not look through all places: with
    /// thousands of promises that would take millions of looks.
    missing: usize,
}

impl<X> Gather<X> {
    fn new(expected: usize) -> Arc<Self> {
        let things = (0..expected).map(|_| None).collect();
        Arc::new(Self(Mutex::new(Gathered { things, missing: expected })))
    }

    /// Keeps the thing of the promise at `index`; each promise reports once. Returns all things with the last one.
    fn put(&self, index: usize, thing: X) -> Option<Vec<X>> {
        // Keeping and counting are one step. So exactly one report finds that none is missing, and it finds every
        // other thing in its place.
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gathered.things[index] = Some(thing);
        gathered.missing -= 1;
        if gathered.missing > 0 {
            return None;
        }
        // Every place is filled, so this is `Some`: the last report alone gets here.
        gathered.things.drain(..).collect()
    }
}
