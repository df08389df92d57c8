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
use futures::stream::{self, FuturesUnordered};

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
    for (index, step) in steps.into_iter().enumerate() {
        value = step(value).await.map_err(|source| StepError { index, source })?;
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
    let numbered = ops.into_iter().enumerate().map(|(index, op)| async move { (index, op.await) });
    // Unordered: a slow operation must not hold back the ones behind it. The order comes at the end.
    let mut outcomes: Vec<_> = stream::iter(numbered).buffer_unordered(limit.get()).collect().await;
    outcomes.sort_by_key(|(index, _)| *index);

    let mut selected = Selected { kept: Vec::new(), failed: Vec::new() };
    for (index, outcome) in outcomes {
        match outcome {
            Ok(value) if keep(&value, index) => selected.kept.push((index, value)),
            Ok(_) => {}
            Err(error) => selected.failed.push((index, error)),
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
    let mut errors = Vec::new();
    let mut running = all_at_once(ops);
    while let Some((index, outcome)) = running.next().await {
        match outcome {
            // `running` is dropped by the return, and with it the others.
            Ok(value) => return Ok((index, value)),
            Err(error) => errors.push((index, error)),
        }
    }
    Err(AllFailed { errors: in_order(errors).into_iter().map(|(_, error)| error).collect() })
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
    let mut tally = Tally { mode, groups: Vec::new() };
    let mut failed = Vec::new();
    let mut running = all_at_once(ops);
    // Looked at before each wait, also before the first: no operation at all is decided at once.
    while tally.largest() + running.len() >= needed {
        let Some((index, outcome)) = running.next().await else { break };
        match outcome {
            Ok(value) => {
                let group = tally.add(index, value);
                if group.len() >= needed {
                    return Ok(Quorum { agreed: in_order(std::mem::take(group)) });
                }
            }
            Err(error) => failed.push((index, error)),
        }
    }
    let succeeded = in_order(tally.groups.into_iter().flatten().collect());
    Err(NoQuorum { needed, succeeded, failed: in_order(failed) })
}

/// The successes so far, in groups of those that agree.
struct Tally<T> {
    mode: Agreement,
    groups: Vec<Vec<(usize, T)>>,
}

impl<T: PartialEq> Tally<T> {
    /// Adds a success and returns its group.
    fn add(&mut self, index: usize, value: T) -> &mut Vec<(usize, T)> {
        let agrees = |group: &Vec<(usize, T)>| match self.mode {
            Agreement::Count => true,
            Agreement::SameValue => group.iter().any(|(_, other)| *other == value),
        };
        let at = self.groups.iter().position(agrees).unwrap_or_else(|| {
            self.groups.push(Vec::new());
            self.groups.len() - 1
        });
        let group = &mut self.groups[at];
        group.push((index, value));
        group
    }

    fn largest(&self) -> usize {
        self.groups.iter().map(Vec::len).max().unwrap_or_default()
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use tokio::time::{Instant, sleep};

    /// Ready after `length` milliseconds; fails if the length is odd.
    async fn after(length: u64) -> Result<u64, u64> {
        sleep(Duration::from_millis(length)).await;
        if length.is_multiple_of(2) { Ok(length) } else { Err(length) }
    }

    #[tokio::test(start_paused = true)]
    async fn different_functions_are_steps() {
        let double: Step<'_, u64, u64> = Box::new(|n| Box::pin(after(2 * n)));
        let add: Step<'_, u64, u64> = Box::new(|n| Box::pin(async move { Ok(n + 1) }));
        assert_eq!(fold_steps(5, vec![double, add]).await, Ok(11));
        let odd: Step<'_, u64, u64> = Box::new(|n| Box::pin(after(n)));
        assert_eq!(fold_steps(5, vec![odd]).await, Err(StepError { index: 0, source: 5 }));
    }

    #[tokio::test(start_paused = true)]
    async fn selected_values_keep_their_places() {
        let two = NonZeroUsize::new(2).expect("2 is not 0");
        let ops = [40, 11, 20, 10].map(after);
        let selected = keep_ok(two, ops.into(), |value, _| *value > 10).await;
        assert_eq!(selected, Selected { kept: vec![(0, 40), (2, 20)], failed: vec![(1, 11)] });
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_success_and_no_success() {
        let began = Instant::now();
        assert_eq!(first_ok([1, 50, 20].map(after).into()).await, Ok((2, 20)));
        assert_eq!(began.elapsed(), Duration::from_millis(20));
        assert_eq!(first_ok([3, 1].map(after).into()).await, Err(AllFailed { errors: vec![3, 1] }));
    }

    #[test]
    fn ratios_are_exact() {
        assert_eq!(Ratio::new(55, 100).map(|ratio| ratio.of(100)), Ok(55));
        assert_eq!(Ratio::new(2, 3).map(|ratio| ratio.of(4)), Ok(3));
        assert_eq!(Ratio::new(1, 1).map(|ratio| ratio.of(usize::MAX)), Ok(usize::MAX));
        assert_eq!(Ratio::new(3, 2), Err(RatioError::AboveOne));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quorum_of_equal_values() {
        let most = Ratio::new(3, 5).expect("a ratio");
        let of = |values: [u64; 5]| {
            let ops = (1..).zip(values).map(|(nth, value)| async move {
                sleep(Duration::from_millis(nth)).await;
                Ok::<_, ()>(value)
            });
            quorum(ops.collect(), most, Agreement::SameValue)
        };
        assert_eq!(of([7, 8, 7, 7, 9]).await, Ok(Quorum { agreed: vec![(0, 7), (2, 7), (3, 7)] }));
        // After four different ones, the fifth could not make three.
        let none = of([1, 2, 3, 4, 5]).await.expect_err("no quorum");
        assert_eq!((none.needed, none.succeeded.len()), (3, 4));
    }
}
