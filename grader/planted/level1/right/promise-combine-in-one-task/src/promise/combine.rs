//! `all`, `all_settled`, `race` and `any`.
//!
//! Each gives every promise an observer that reports to one resolver. Because a promise settles once,
//! the first report that counts wins, and the rest is without effect. The promises that lost run on
//! to their end: nothing is cancelled.
//!
//! All four panic when called outside a tokio runtime with at least one promise.

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

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
    /// One for each promise.
    pub errors: Vec<E>,
}

impl<E: From<Broken>> From<Broken> for AggregateError<E> {
    fn from(broken: Broken) -> Self {
        Self { errors: vec![broken.into()] }
    }
}

/// The promises as a stream of their results, each with its place.
fn numbered<T, E>(
    promises: impl IntoIterator<Item = Promise<T, E>>,
) -> (usize, impl futures::Stream<Item = (usize, Result<T, E>)> + Unpin + Send + 'static)
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    let results: FuturesUnordered<_> = promises
        .into_iter()
        .enumerate()
        .map(|(place, promise)| promise.map(move |result| (place, result)))
        .collect();
    (results.len(), results)
}

fn in_order<X>(mut things: Vec<(usize, X)>) -> Vec<X> {
    things.sort_unstable_by_key(|(place, _)| *place);
    things.into_iter().map(|(_, thing)| thing).collect()
}

/// Fulfilled with the values of all promises, in their order.
pub fn all<T, E>(promises: impl IntoIterator<Item = Promise<T, E>>) -> Promise<Vec<T>, E>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    let (count, mut results) = numbered(promises);
    if count == 0 {
        return Promise::resolved(Vec::new());
    }
    Promise::from_future(async move {
        let mut values = Vec::with_capacity(count);
        while let Some((place, result)) = results.next().await {
            values.push((place, result?));
        }
        Ok(in_order(values))
    })
}

/// Fulfilled with the results of all promises, in their order.
pub fn all_settled<T, E>(
    promises: impl IntoIterator<Item = Promise<T, E>>,
) -> Promise<Vec<Result<T, E>>, E>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    let (count, results) = numbered(promises);
    if count == 0 {
        return Promise::resolved(Vec::new());
    }
    Promise::from_future(async move { Ok(in_order(results.collect().await)) })
}

/// Settled as the first promise that settles.
pub fn race<T, E>(promises: impl IntoIterator<Item = Promise<T, E>>) -> Promise<T, E>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    let (count, mut results) = numbered(promises);
    if count == 0 {
        return Promise::pending();
    }
    Promise::from_future(async move {
        match results.next().await {
            Some((_, result)) => result,
            None => unreachable!("there is at least one promise"),
        }
    })
}

/// Fulfilled with the value of the first promise that is fulfilled.
pub fn any<T, E>(promises: impl IntoIterator<Item = Promise<T, E>>) -> Promise<T, AggregateError<E>>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    let (count, mut results) = numbered(promises);
    if count == 0 {
        return Promise::rejected(AggregateError { errors: Vec::new() });
    }
    Promise::from_future(async move {
        let mut errors = Vec::new();
        while let Some((place, result)) = results.next().await {
            match result {
                Ok(value) => return Ok(value),
                Err(error) => errors.push((place, error)),
            }
        }
        Err(AggregateError { errors: in_order(errors) })
    })
}
