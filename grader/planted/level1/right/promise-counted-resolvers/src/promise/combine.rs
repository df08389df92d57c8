//! `all`, `all_settled`, `race` and `any`.
//!
//! Each gives every promise an observer that reports to one resolver. Because a promise settles once,
//! the first report that counts wins, and the rest is without effect. The promises that lost run on
//! to their end: nothing is cancelled.
//!
//! All four panic when called outside a tokio runtime with at least one promise.
// starter: doc `all`, `all_settled`, `race` and `any`.
// starter: doc
// starter: doc The promises that lost run on to their end: nothing is cancelled.
// starter: doc
// starter: doc All four panic when called outside a tokio runtime with at least one promise.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;

use super::{Broken, Promise, Resolver};

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
    /// One for each promise.
    pub errors: Vec<E>,
}

impl<E: From<Broken>> From<Broken> for AggregateError<E> {
    fn from(broken: Broken) -> Self {
        Self { errors: vec![broken.into()] }
    }
}

/// Fulfilled with the values of all promises, in their order, when the last is fulfilled; rejected
/// with the first rejection, at once. Of no promises: fulfilled with no values.
pub fn all<T, E>(promises: impl IntoIterator<Item = Promise<T, E>>) -> Promise<Vec<T>, E>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    let promises: Vec<_> = promises.into_iter().collect();
    if promises.is_empty() {
        return Promise::resolved(Vec::new());
    }
    begun(|resolver| {
        let values = Gather::new(promises.len());
        for (index, promise) in promises.into_iter().enumerate() {
            let (resolver, values) = (resolver.clone(), Arc::clone(&values));
            observe(promise, move |result| match result {
                Ok(value) => {
                    if let Some(values) = values.put(index, value) {
                        resolver.resolve(values);
                    }
                }
                Err(error) => resolver.reject(error),
            });
        }
    })
}

/// Fulfilled with the results of all promises, in their order, when the last is settled. Never
/// rejected. Of no promises: fulfilled with no results.
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
    begun(|resolver| {
        let results = Gather::new(promises.len());
        for (index, promise) in promises.into_iter().enumerate() {
            let (resolver, results) = (resolver.clone(), Arc::clone(&results));
            observe(promise, move |result| {
                if let Some(results) = results.put(index, result) {
                    resolver.resolve(results);
                }
            });
        }
    })
}

/// Settled as the first promise that settles, with a value or an error. Without promises it stays
/// pending, as in JavaScript.
pub fn race<T, E>(promises: impl IntoIterator<Item = Promise<T, E>>) -> Promise<T, E>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    let mut promises = promises.into_iter().peekable();
    if promises.peek().is_none() {
        return Promise::pending();
    }
    begun(|resolver| {
        for promise in promises {
            let resolver = resolver.clone();
            observe(promise, move |result| match result {
                Ok(value) => resolver.resolve(value),
                Err(error) => resolver.reject(error),
            });
        }
    })
}

/// Fulfilled with the value of the first promise that is fulfilled. Rejected when all are, with their
/// errors. Of no promises: rejected with no errors.
pub fn any<T, E>(promises: impl IntoIterator<Item = Promise<T, E>>) -> Promise<T, AggregateError<E>>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    let promises: Vec<_> = promises.into_iter().collect();
    if promises.is_empty() {
        return Promise::rejected(AggregateError { errors: Vec::new() });
    }
    begun(|resolver| {
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
    })
}

/// A pending promise whose first resolver `begin` gets. A panic of `begin` passes to the caller.
fn begun<T, E>(begin: impl FnOnce(Resolver<T, E>)) -> Promise<T, E>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    let promise = Promise::pending();
    begin(Resolver::first(&promise.shared));
    promise
}

/// Calls `report` with the promise's result, in a task of its own.
fn observe<T, E>(promise: Promise<T, E>, report: impl FnOnce(Result<T, E>) + Send + 'static)
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    tokio::spawn(promise.map(report));
}

/// Collects one thing for each promise and gives them out, in order, with the last.
struct Gather<X>(Mutex<Gathered<X>>);

struct Gathered<X> {
    things: Vec<Option<X>>,
    missing: usize,
}

impl<X> Gather<X> {
    fn new(expected: usize) -> Arc<Self> {
        let things = (0..expected).map(|_| None).collect();
        Arc::new(Self(Mutex::new(Gathered { things, missing: expected })))
    }

    /// Keeps the thing of the promise at `index`, which comes once. The last one gets them all.
    fn put(&self, index: usize, thing: X) -> Option<Vec<X>> {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gathered.things[index] = Some(thing);
        gathered.missing -= 1;
        if gathered.missing > 0 {
            return None;
        }
        gathered.things.drain(..).collect()
    }
}
