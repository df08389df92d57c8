//! Composition.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;

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
    let mut left: VecDeque<S> = steps.into();
    let (mut value, mut index) = (init, 0);
    while let Some(step) = left.pop_front() {
        match step(value).await {
            Ok(next) => value = next,
            Err(source) => return Err(StepError { index, source }),
        }
        index += 1;
    }
    Ok(value)
}

/// Futures that wait, futures that run, each with its place.
struct Pool<F> {
    waiting: VecDeque<(usize, F)>,
    running: Vec<(usize, Pin<Box<F>>)>,
    limit: usize,
}

impl<F: Future> Pool<F> {
    fn new(ops: Vec<F>, limit: usize) -> Self {
        Self { waiting: ops.into_iter().enumerate().collect(), running: Vec::new(), limit }
    }

    fn left(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, F::Output)>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        while self.running.len() < self.limit
            && let Some((index, op)) = self.waiting.pop_front()
        {
            self.running.push((index, Box::pin(op)));
        }
        for at in 0..self.running.len() {
            if let Poll::Ready(output) = self.running[at].1.as_mut().poll(cx) {
                let (index, _) = self.running.remove(at);
                return Poll::Ready(Some((index, output)));
            }
        }
        Poll::Pending
    }

    async fn next(&mut self) -> Option<(usize, F::Output)> {
        poll_fn(|cx| self.poll_next(cx)).await
    }
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
    let mut selected = Selected { kept: Vec::new(), failed: Vec::new() };
    let mut pool = Pool::new(ops, limit.get());
    while let Some((index, outcome)) = pool.next().await {
        match outcome {
            Ok(value) => {
                if keep(&value, index) {
                    selected.kept.push((index, value));
                }
            }
            Err(error) => selected.failed.push((index, error)),
        }
    }
    selected.kept.sort_by_key(|it| it.0);
    selected.failed.sort_by_key(|it| it.0);
    selected
}

/// No operation of [`first_ok`] succeeded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("none of {} operations succeeded", errors.len())]
pub struct AllFailed<E> {
    /// The error of each operation, in the order of the operations. Empty if there was no operation.
    pub errors: Vec<E>,
}

/// Runs all `ops` at once and returns the first success.
pub async fn first_ok<T, E, F>(ops: Vec<F>) -> Result<(usize, T), AllFailed<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut errors: Vec<Option<E>> = ops.iter().map(|_| None).collect();
    let mut pool = Pool::new(ops, usize::MAX);
    while let Some((index, outcome)) = pool.next().await {
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
    let (mut succeeded, mut failed) = (Vec::<(usize, T)>::new(), Vec::new());
    let mut pool = Pool::new(ops, usize::MAX);
    let mut best = 0;
    loop {
        if best + pool.left() < needed {
            break;
        }
        match pool.next().await {
            None => break,
            Some((index, Err(error))) => failed.push((index, error)),
            Some((index, Ok(value))) => {
                let same = |other: &(usize, T)| mode == Agreement::Count || other.1 == value;
                let count = 1 + succeeded.iter().filter(|other| same(other)).count();
                best = best.max(count);
                if count >= needed {
                    let mut agreed: Vec<_> = succeeded.into_iter().filter(same).collect();
                    agreed.push((index, value));
                    agreed.sort_by_key(|it| it.0);
                    return Ok(Quorum { agreed });
                }
                succeeded.push((index, value));
            }
        }
    }
    succeeded.sort_by_key(|it| it.0);
    failed.sort_by_key(|it| it.0);
    Err(NoQuorum { needed, succeeded, failed })
}
