//! Composition: one operation after the other, the ones that are wanted, the first that succeeds, a quorum.
//!
//! ```text
//!  fold_steps   a ──▶ b ──▶ c ──▶ the last value            a failure names its step and ends the chain
//!
//!  keep_ok      a ├──┤ ok           at most `limit` run      kept:   (0, a) (2, c)
//!               b ├────┤ error                               failed: (1, b)
//!               c    ├──┤ ok
//!
//!  first_ok     a ├─┤ error                                  (1, b): the first success; c is dropped
//!               b ├────┤ ok
//!               c ├────────────✕
//!
//!  quorum       a ├──┤ ok           2 of 3 are needed        (0, a) (1, b); c is dropped
//!               b ├─────┤ ok                                 an error as soon as too few are left
//!               c ├────────────✕
//! ```
//!
//! The operations are futures, and a future does nothing before it is polled: that is why a list of them can be
//! limited, and why dropping one stops it.
//!
//! Lesson: `level4/lessons/compose.md`.

use std::num::NonZeroUsize;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

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

/// Runs `steps` one after the other. The first gets `init`, each other one the value of the step before it; the
/// last value is returned. Without steps that is `init`.
///
/// # Errors
///
/// [`StepError`] with the first failure; the steps after it are not called.
///
/// # Cancellation
///
/// Dropping the future stops the step that runs; no other is called.
pub async fn fold_steps<T, E, S, F>(init: T, steps: Vec<S>) -> Result<T, StepError<E>>
where
    S: FnOnce(T) -> F,
    F: Future<Output = Result<T, E>>,
{
    let mut value = init;
    let mut index = 0;
    for step in steps {
        match step(value).await {
            Ok(next) => value = next,
            Err(source) => return Err(StepError { index, source }),
        }
        index += 1;
    }
    Ok(value)
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
///
/// `keep` sees a value and the place of its operation. A value that it does not want is dropped and stands in
/// neither list. Operations begin in their order, each as soon as another one has ended.
///
/// # Cancellation
///
/// Dropping the future drops all operations.
pub async fn keep_ok<T, E, F>(
    limit: NonZeroUsize,
    ops: Vec<F>,
    keep: impl Fn(&T, usize) -> bool,
) -> Selected<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut outcomes: Vec<Option<Result<T, E>>> = ops.iter().map(|_| None).collect();
    let mut later = ops.into_iter().enumerate();
    let numbered = |(index, op): (usize, F)| async move { (index, op.await) };
    let mut running: FuturesUnordered<_> =
        later.by_ref().take(limit.get()).map(numbered).collect();
    while let Some((index, outcome)) = running.next().await {
        // Asked at once: a value that is not wanted is not kept until the end.
        let unwanted = matches!(&outcome, Ok(value) if !keep(value, index));
        outcomes[index] = (!unwanted).then_some(outcome);
        running.extend(later.next().map(numbered));
    }
    let mut selected = Selected { kept: Vec::new(), failed: Vec::new() };
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Some(Ok(value)) => selected.kept.push((index, value)),
            Some(Err(error)) => selected.failed.push((index, error)),
            None => {}
        }
    }
    selected
}

/// No operation of [`first_ok`] succeeded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("none of {} operations succeeded", errors.len())]
pub struct AllFailed<E> {
    /// The error of each operation, in the order of the operations. Empty if there was no operation.
    pub errors: Vec<E>,
}

/// Runs all `ops` at once and returns the first success, with the place of its operation.
///
/// Of two that succeed in the same instant either may be first.
///
/// # Errors
///
/// [`AllFailed`] when the last has failed, or at once if there is none.
///
/// # Cancellation
///
/// When the first has succeeded the others are dropped. Dropping the future drops all of them.
pub async fn first_ok<T, E, F>(ops: Vec<F>) -> Result<(usize, T), AllFailed<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut errors: Vec<Option<E>> = ops.iter().map(|_| None).collect();
    let mut running = all_at_once(ops);
    while let Some((index, outcome)) = running.next().await {
        match outcome {
            Ok(value) => return Ok((index, value)),
            Err(error) => errors[index] = Some(error),
        }
    }
    Err(AllFailed { errors: errors.into_iter().flatten().collect() })
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
        // Whole parts first: what is left is less than the denominator, and its product fits.
        let (num, den) = (u64::from(self.num), u64::from(self.den));
        let (whole, rest) = (count as u64 / den, count as u64 % den);
        let needed = whole * num + (rest * num).div_ceil(den);
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

/// Runs all `ops` at once until enough of them agree: the part `need` of them, rounded up.
///
/// It compares a value with each different one that came before, which is meant for a handful of replicas.
///
/// # Errors
///
/// [`NoQuorum`] as soon as those that still run could not make a quorum any more, or at once if there is no
/// operation.
///
/// # Cancellation
///
/// When it is decided, the operations that still run are dropped. Dropping the future drops all of them.
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
    let mut succeeded: Vec<(usize, T)> = Vec::new();
    let mut failed = Vec::new();
    let agrees = |a: &T, b: &T| mode == Agreement::Count || a == b;
    let mut running = all_at_once(ops);
    let mut best = 0;
    while best + running.len() >= needed {
        let Some((index, outcome)) = running.next().await else { break };
        let value = match outcome {
            Ok(value) => value,
            Err(error) => {
                failed.push((index, error));
                continue;
            }
        };
        let size = 1 + succeeded.iter().filter(|(_, other)| agrees(other, &value)).count();
        best = best.max(size);
        if size < needed {
            succeeded.push((index, value));
            continue;
        }
        let mut agreed: Vec<_> =
            succeeded.into_iter().filter(|(_, other)| agrees(other, &value)).collect();
        agreed.push((index, value));
        return Ok(Quorum { agreed: in_order(agreed) });
    }
    Err(NoQuorum { needed, succeeded: in_order(succeeded), failed: in_order(failed) })
}

/// Futures with their places, all of which run from the first poll on. They come out as they end; dropping it
/// drops those that still run.
fn all_at_once<F: Future>(
    ops: Vec<F>,
) -> FuturesUnordered<impl Future<Output = (usize, F::Output)>> {
    ops.into_iter().enumerate().map(|(index, op)| async move { (index, op.await) }).collect()
}

fn in_order<T>(mut numbered: Vec<(usize, T)>) -> Vec<(usize, T)> {
    numbered.sort_by_key(|(index, _)| *index);
    numbered
}

