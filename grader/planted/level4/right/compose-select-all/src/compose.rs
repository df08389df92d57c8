//! Composition.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use futures::StreamExt as _;
use futures::future::{BoxFuture, join_all, select_all};
use futures::stream::{self, TryStreamExt as _};
use tokio::sync::Semaphore;

/// A step of [`fold_steps`] where the steps are different functions: boxed, so that they have one type.
pub type Step<'a, T, E> = Box<dyn FnOnce(T) -> BoxFuture<'a, Result<T, E>> + Send + 'a>;

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {index} failed: {source}")]
pub struct StepError<E> {
    /// Its place in the list of steps; the first is 0.
    pub index: usize,
    /// Its error.
    pub source: E,
}

/// Runs `steps` one after the other.
pub async fn fold_steps<T, E, S, F>(init: T, steps: Vec<S>) -> Result<T, StepError<E>>
where
    S: FnOnce(T) -> F,
    F: Future<Output = Result<T, E>>,
{
    stream::iter(steps)
        .enumerate()
        .map(Ok)
        .try_fold(init, |value, (index, step)| async move {
            step(value).await.map_err(|source| StepError { index, source })
        })
        .await
}

/// What [`keep_ok`] returns. Both lists are in the order of the operations, each entry with the operation's place
/// in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected<T, E> {
    /// The values that were wanted.
    pub kept: Vec<(usize, T)>,
    /// The errors of the operations that failed.
    pub failed: Vec<(usize, E)>,
}

/// Runs `ops`, at most `limit` of them at once, and keeps the values that `keep` wants.
pub async fn keep_ok<T, E, F>(
    limit: NonZeroUsize,
    ops: Vec<F>,
    keep: impl Fn(&T, usize) -> bool,
) -> Selected<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let permits = Semaphore::new(limit.get().min(ops.len().max(1)));
    let outcomes = join_all(ops.into_iter().map(|op| async {
        let _permit = permits.acquire().await;
        op.await
    }))
    .await;
    let (mut kept, mut failed) = (Vec::new(), Vec::new());
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(value) => kept.extend(Some((index, value)).filter(|(at, it)| keep(it, *at))),
            Err(error) => failed.push((index, error)),
        }
    }
    Selected { kept, failed }
}

/// No operation of [`first_ok`] succeeded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("none of {} operations succeeded", errors.len())]
pub struct AllFailed<E> {
    /// The error of each operation, in the order of the operations. Empty if there was no operation.
    pub errors: Vec<E>,
}

fn places<F: Future>(
    ops: Vec<F>,
) -> Vec<std::pin::Pin<Box<impl Future<Output = (usize, F::Output)>>>> {
    ops.into_iter().enumerate().map(|(at, op)| Box::pin(async move { (at, op.await) })).collect()
}

/// Runs all `ops` at once and returns the first success.
pub async fn first_ok<T, E, F>(ops: Vec<F>) -> Result<(usize, T), AllFailed<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut errors = BTreeMap::new();
    let mut left = places(ops);
    while !left.is_empty() {
        let ((index, outcome), _, others) = select_all(left).await;
        left = others;
        match outcome {
            Ok(value) => {
                drop(left);
                return Ok((index, value));
            }
            Err(error) => drop(errors.insert(index, error)),
        }
    }
    Err(AllFailed { errors: errors.into_values().collect() })
}

/// A part of a whole as a fraction, above zero and at most one.
///
/// A float would not do: 0.55 is a little more than 55/100, so 0.55 of 100 would be 56.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    num: u32,
    den: u32,
}

/// A fraction that [`Ratio::new`] refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RatioError {
    /// The denominator is zero.
    #[error("the denominator of a ratio must not be zero")]
    ZeroDenominator,
    /// The numerator is zero: a quorum without members.
    #[error("a ratio of zero needs no agreement at all")]
    Zero,
    /// The fraction is above one: more than all.
    #[error("a ratio above one can never be reached")]
    AboveOne,
}

impl Ratio {
    /// `num / den`.
    ///
    /// # Errors
    ///
    /// [`RatioError`] unless the fraction is above zero and at most one.
    pub const fn new(num: u32, den: u32) -> Result<Self, RatioError> {
        match (num, den) {
            (_, 0) => Err(RatioError::ZeroDenominator),
            (0, _) => Err(RatioError::Zero),
            _ if num > den => Err(RatioError::AboveOne),
            _ => Ok(Self { num, den }),
        }
    }

    /// The least whole number that is at least this part of `count`, and at least one.
    #[must_use]
    pub fn of(self, count: usize) -> usize {
        // Wide enough for every product of the two. The quotient is at most `count`, since the ratio is at most
        // one, so the conversion does not fail.
        let needed = (count as u128 * u128::from(self.num)).div_ceil(u128::from(self.den));
        usize::try_from(needed).unwrap_or(count).max(1)
    }
}

/// When the operations of a [`quorum`] agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// Enough of them succeed, whatever their values.
    Count,
    /// Enough of them succeed with the same value.
    SameValue,
}

/// The operations that have made a [`quorum`], in the order of the operations, each with its place in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum<T> {
    /// Places and values. With [`Agreement::SameValue`] all values are equal.
    pub agreed: Vec<(usize, T)>,
}

/// There was no [`quorum`], and none could come any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no quorum: {needed} had to agree; {} succeeded, {} failed", succeeded.len(), failed.len())]
pub struct NoQuorum<T, E> {
    /// How many would have had to agree.
    pub needed: usize,
    /// What had succeeded by then, in the order of the operations, each with its place.
    pub succeeded: Vec<(usize, T)>,
    /// What had failed by then, in the same way.
    pub failed: Vec<(usize, E)>,
}

/// Runs all `ops` at once until enough of them agree.
pub async fn quorum<T, E, F>(
    ops: Vec<F>,
    need: Ratio,
    mode: Agreement,
) -> Result<Quorum<T>, NoQuorum<T, E>>
where
    T: PartialEq,
    F: Future<Output = Result<T, E>>,
{
    let needed = need.of(ops.len());
    let (mut succeeded, mut failed) = (BTreeMap::new(), BTreeMap::new());
    // One place for each different value: an example of it, and how many have it.
    let mut counts: Vec<(usize, usize)> = Vec::new();
    let mut left = places(ops);
    while !left.is_empty()
        && counts.iter().map(|(_, count)| *count).max().unwrap_or(0) + left.len() >= needed
    {
        let ((index, outcome), _, others) = select_all(left).await;
        left = others;
        let value = match outcome {
            Ok(value) => value,
            Err(error) => {
                failed.insert(index, error);
                continue;
            }
        };
        let same = |example: usize| mode == Agreement::Count || succeeded[&example] == value;
        let at = match counts.iter().position(|(example, _)| same(*example)) {
            Some(at) => at,
            None => {
                counts.push((index, 0));
                counts.len() - 1
            }
        };
        succeeded.insert(index, value);
        counts[at].1 += 1;
        if counts[at].1 == needed {
            let example = succeeded.remove(&counts[at].0);
            let mut agreed: Vec<(usize, T)> = succeeded
                .into_iter()
                .filter(|(_, value)| mode == Agreement::Count || example.as_ref() == Some(value))
                .collect();
            agreed.extend(example.map(|value| (counts[at].0, value)));
            agreed.sort_by_key(|(index, _)| *index);
            return Ok(Quorum { agreed });
        }
    }
    Err(NoQuorum {
        needed,
        succeeded: succeeded.into_iter().collect(),
        failed: failed.into_iter().collect(),
    })
}
