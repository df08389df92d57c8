//! Composition: operations in a row, the results that the caller wants, the first success, and a quorum.
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
///
/// ```
/// use futures::FutureExt as _;
/// use level4::compose::{Step, fold_steps};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let double: Step<'_, u32, String> = Box::new(|number| async move { Ok(number * 2) }.boxed());
/// let add: Step<'_, u32, String> = Box::new(|number| async move { Ok(number + 1) }.boxed());
/// assert_eq!(fold_steps(5, vec![double, add]).await, Ok(11));
/// # }
/// ```
pub type Step<'a, T, E> = Box<dyn FnOnce(T) -> BoxFuture<'a, Result<T, E>> + Send + 'a>;

/// The error of [`fold_steps`]: a step failed.
///
/// ```
/// use level4::compose::{StepError, fold_steps};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let double = |number: u8| async move { number.checked_mul(2).ok_or("too large") };
/// assert_eq!(fold_steps(5, vec![double; 3]).await, Ok(40));
/// let failed = fold_steps(100, vec![double; 3]).await;
/// assert_eq!(failed, Err(StepError { index: 1, source: "too large" }));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {index} failed: {source}")]
pub struct StepError<E> {
    /// The place of the step in the list of steps. The first is 0.
    pub index: usize,
    /// The error of the step.
    pub source: E,
}

/// Runs `steps` one after the other and returns the last value.
///
/// The first step gets `init`, each other one the value of the step before it. Without steps the value is `init`.
///
/// # Errors
///
/// [`StepError`] with the first failure; the steps after it are not called.
///
/// # Cancellation
///
/// Before its first poll the future has done nothing. Dropping it stops the step that runs; no other is called.
pub async fn fold_steps<T, E, S, F>(init: T, steps: Vec<S>) -> Result<T, StepError<E>>
where
    S: FnOnce(T) -> F,
    F: Future<Output = Result<T, E>>,
{
    // A step is a function and not a future: its input does not exist before the step in front of it has ended. So
    // nothing of a later step has run when one fails.
    let mut value = init;
    for (index, step) in steps.into_iter().enumerate() {
        value = step(value).await.map_err(|source| StepError { index, source })?;
    }
    Ok(value)
}

/// The result of [`keep_ok`]. Both lists are in the order of the operations, each entry with the operation's place
/// in that order.
///
/// ```
/// use std::future::ready;
/// use std::num::NonZeroUsize;
/// use level4::compose::keep_ok;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let ops = vec![ready(Ok(10)), ready(Err("down")), ready(Ok(7)), ready(Ok(12))];
/// let large = keep_ok(NonZeroUsize::MIN, ops, |number, _| *number >= 10).await;
/// assert_eq!(large.kept, [(0, 10), (3, 12)]);
/// assert_eq!(large.failed, [(1, "down")]);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected<T, E> {
    /// The values that `keep` wanted.
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
/// Before its first poll the future has done nothing. Dropping it drops all operations.
pub async fn keep_ok<T, E, F>(
    limit: NonZeroUsize,
    ops: Vec<F>,
    keep: impl Fn(&T, usize) -> bool,
) -> Selected<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    // Each outcome carries its place, since they arrive in the order in which the operations end. The map is lazy, and
    // the stream takes an operation out of it only when it has a slot: until then it was not polled and does nothing.
    let numbered = ops.into_iter().enumerate().map(|(index, op)| async move { (index, op.await) });
    // Unordered: with `buffered`, the slots behind a slow operation would fill up with results that wait for it, and
    // no other operation would begin. Sorting brings the order back at the end.
    let mut outcomes: Vec<_> = stream::iter(numbered).buffer_unordered(limit.get()).collect().await;
    outcomes.sort_by_key(|(index, _)| *index);

    // `keep` is called in the order of the operations, whichever of them ended first: a closure that counts gives the
    // same result in every run.
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

/// The error of [`first_ok`]: no operation succeeded.
///
/// ```
/// use std::future::ready;
/// use level4::compose::{AllFailed, first_ok};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let replicas = vec![ready(Err::<u32, _>("refused")), ready(Err("timed out"))];
/// let failed = first_ok(replicas).await;
/// assert_eq!(failed, Err(AllFailed { errors: vec!["refused", "timed out"] }));
/// # }
/// ```
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
/// [`AllFailed`] when the last operation has failed, or at once if there is none.
///
/// # Cancellation
///
/// Before its first poll the future has done nothing. The first success drops the operations that still run. Dropping
/// the future drops all of them.
pub async fn first_ok<T, E, F>(ops: Vec<F>) -> Result<(usize, T), AllFailed<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut errors = Vec::new();
    let mut running = all_at_once(ops);
    while let Some((index, outcome)) = running.next().await {
        match outcome {
            // The return drops `running`, and with it the others: they stop where they are, before the caller sees the
            // value.
            Ok(value) => return Ok((index, value)),
            Err(error) => errors.push((index, error)),
        }
    }
    // Every operation has an error here, so the order alone says whose error is whose.
    Err(AllFailed { errors: in_order(errors).into_iter().map(|(_, error)| error).collect() })
}

/// A part of a whole as a fraction, above zero and at most one.
///
/// A float would not do: 0.55 is a little more than 55/100, so 0.55 of 100 would be 56.
///
/// ```
/// use level4::compose::{Ratio, RatioError};
///
/// let two_thirds = Ratio::new(2, 3)?;
/// assert_eq!([1, 3, 4, 100].map(|count| two_thirds.of(count)), [1, 2, 3, 67]);
/// # Ok::<(), RatioError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    /// Private, so that `of` can rely on what `new` has checked: 0 < num <= den.
    num: u32,
    den: u32,
}

/// The reason why [`Ratio::new`] refuses a fraction.
///
/// ```
/// use level4::compose::{Ratio, RatioError};
///
/// assert_eq!(Ratio::new(0, 3), Err(RatioError::Zero));
/// assert_eq!(Ratio::new(4, 3), Err(RatioError::AboveOne));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RatioError {
    /// The denominator is zero.
    #[error("the denominator of a ratio must not be zero")]
    ZeroDenominator,
    /// The numerator is zero: a quorum would need no member.
    #[error("a ratio of zero needs no agreement at all")]
    Zero,
    /// The fraction is above one: a quorum would need more members than there are.
    #[error("a ratio above one can never be reached")]
    AboveOne,
}

impl Ratio {
    /// Makes the fraction `num / den`.
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

    /// Returns the least whole number that is at least this part of `count`, and at least one.
    #[must_use]
    pub fn of(self, count: usize) -> usize {
        // 128 bits hold every product of the two. The quotient is at most `count`, since the ratio is at most one, so
        // the conversion does not fail. At least one, also of no operations, so that an empty list has no quorum.
        let needed = (count as u128 * u128::from(self.num)).div_ceil(u128::from(self.den));
        usize::try_from(needed).unwrap_or(count).max(1)
    }
}

/// When the operations of a [`quorum`] agree.
///
/// ```
/// use std::future::ready;
/// use level4::compose::{Agreement, Ratio, quorum};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let replicas = || vec![ready(Ok::<_, &str>(7)), ready(Ok(8)), ready(Ok(7))];
/// let two_thirds = Ratio::new(2, 3)?;
/// let same = quorum(replicas(), two_thirds, Agreement::SameValue).await?;
/// assert_eq!(same.agreed, [(0, 7), (2, 7)]);
/// // Any two of the three.
/// let any = quorum(replicas(), two_thirds, Agreement::Count).await?;
/// assert_eq!(any.agreed.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// Enough of them succeed, with any values.
    Count,
    /// Enough of them succeed with the same value.
    SameValue,
}

/// The result of [`quorum`]: the operations that agreed.
///
/// ```
/// use std::time::Duration;
/// use level4::compose::{Agreement, Ratio, quorum};
/// use tokio::time::{Instant, sleep};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let began = Instant::now();
/// let replica = |seconds| async move {
///     sleep(Duration::from_secs(seconds)).await;
///     Ok::<_, String>("version 7")
/// };
/// let ops = vec![replica(1), replica(9), replica(2)];
/// let quorum = quorum(ops, Ratio::new(2, 3)?, Agreement::SameValue).await?;
/// assert_eq!(quorum.agreed, [(0, "version 7"), (2, "version 7")]);
/// assert_eq!(began.elapsed(), Duration::from_secs(2)); // without the slow one
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum<T> {
    /// Places and values, in the order of the operations. With [`Agreement::SameValue`] all values are equal.
    pub agreed: Vec<(usize, T)>,
}

/// The error of [`quorum`]: too few operations agreed.
///
/// ```
/// use std::future::ready;
/// use level4::compose::{Agreement, Ratio, quorum};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let replicas = vec![ready(Err("down")), ready(Ok(7)), ready(Ok(8))];
/// let split = quorum(replicas, Ratio::new(2, 3)?, Agreement::SameValue).await.unwrap_err();
/// assert_eq!((split.needed, split.failed), (2, vec![(0, "down")]));
/// assert_eq!(split.succeeded, [(1, 7), (2, 8)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no quorum: {needed} had to agree; {} succeeded, {} failed", succeeded.len(), failed.len())]
pub struct NoQuorum<T, E> {
    /// How many operations had to agree.
    pub needed: usize,
    /// The values of the operations that had succeeded by then, in the order of the operations, each with its place.
    pub succeeded: Vec<(usize, T)>,
    /// The errors of the operations that had failed by then, in the same way.
    pub failed: Vec<(usize, E)>,
}

/// Runs all `ops` at once until enough of them agree: the part `need` of them, rounded up.
///
/// With [`Agreement::SameValue`] it compares each value with those before it up to the first equal one, which suits a
/// handful of replicas.
///
/// # Errors
///
/// [`NoQuorum`] as soon as the operations that still run are too few for a quorum, or at once if there is no
/// operation.
///
/// # Cancellation
///
/// Before its first poll the future has done nothing. The decision drops the operations that still run. Dropping the
/// future drops all of them.
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
    // Checked before each wait, also before the first: without operations the decision needs no wait. The best case is
    // that every operation that still runs joins the largest group. If that is too few, waiting would only delay the
    // caller's answer.
    while tally.largest() + running.len() >= needed {
        // Always `Some`: no group has reached `needed`, so the condition says that an operation still runs.
        let Some((index, outcome)) = running.next().await else { break };
        match outcome {
            Ok(value) => {
                let group = tally.add(index, value);
                if group.len() >= needed {
                    // Taken out of the tally, so that values need not be `Clone`.
                    return Ok(Quorum { agreed: in_order(std::mem::take(group)) });
                }
            }
            Err(error) => failed.push((index, error)),
        }
    }
    let succeeded = in_order(tally.groups.into_iter().flatten().collect());
    Err(NoQuorum { needed, succeeded, failed: in_order(failed) })
}

/// The successes so far, in groups of those that agree. With `Agreement::Count` there is one group.
struct Tally<T> {
    mode: Agreement,
    /// A vector and not a map: a value needs only `PartialEq`, no hash and no order. No group is empty.
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

/// Makes a set of futures with their places. All of them run from the set's first poll on, and the set yields them as
/// they end. Dropping the set drops those that still run.
///
/// The set polls only the futures that were woken. `join_all` would wait for all, and `select_all` returns the rest as
/// a vector to be polled again as a whole.
fn all_at_once<F: Future>(
    ops: Vec<F>,
) -> FuturesUnordered<impl Future<Output = (usize, F::Output)>> {
    ops.into_iter().enumerate().map(|(index, op)| async move { (index, op.await) }).collect()
}

/// Sorts by place: outcomes come in the order of their ends, which differs from run to run.
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
