//! One stage: its work, its retries, and the task that takes items and hands on results.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use level3::deadline::Deadline;
use level3::retry::{Backoff, Disposition, Jitter, RetryPolicy, retry};
use level4::limiter::Failure;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::Parcel;
use super::stats::Figures;

/// The failure of an item in a stage.
///
/// ```
/// use std::num::NonZeroUsize;
/// use futures::{StreamExt as _, stream};
/// use level5::pipeline::{Failed, Failure, Pipeline, Stage};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let one = NonZeroUsize::MIN;
/// let check = Stage::new("check", one, |n: u32| async move { Err::<u32, _>(format!("{n} is odd")) });
/// let results: Vec<_> =
///     Pipeline::new(one).stage(check).run(stream::iter([7])).collect().await;
/// let cause = Failure::Error("7 is odd".to_owned());
/// assert_eq!(results, [Err(Failed { stage: "check", index: 0, attempts: 1, cause })]);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("item {index} failed in stage {stage} after {attempts} attempts: {cause}")]
pub struct Failed<E> {
    /// The name of the stage.
    pub stage: &'static str,
    /// The place of the item in the input; the first one is 0.
    pub index: u64,
    /// The number of times that the stage called its work for this item.
    pub attempts: u32,
    /// The error of the last attempt, or the message of the panic.
    pub cause: Failure<E>,
}

/// One step of a pipeline: it makes an `O` of an `I`, or fails with an `E`.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use futures::{StreamExt as _, stream};
/// use level5::pipeline::{Pipeline, Stage};
/// use tokio::time::{Instant, sleep};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let two = NonZeroUsize::new(2).unwrap();
/// let load = Stage::new("load", two, |n: u32| async move {
///     sleep(Duration::from_secs(1)).await;
///     Ok::<_, String>(10 * n)
/// });
/// let began = Instant::now();
/// let output = Pipeline::new(two).stage(load.ordered()).run(stream::iter([1, 2, 3]));
/// assert_eq!(output.collect::<Vec<_>>().await, [Ok(10), Ok(20), Ok(30)]);
/// assert_eq!(began.elapsed(), Duration::from_secs(2)); // two at the same time
/// # }
/// ```
pub struct Stage<I, O, E> {
    name: &'static str,
    max_concurrent: NonZeroUsize,
    ordered: bool,
    /// Boxed with its future, so that the type of a stage names items and errors only.
    work: Box<dyn Fn(I) -> BoxFuture<'static, Result<O, E>> + Send + Sync>,
    retry: Option<Retry<I, E>>,
}

/// The retries of a stage.
struct Retry<I, E> {
    policy: RetryPolicy,
    jitter: Box<dyn Jitter>,
    classify: Box<dyn Fn(&E) -> Disposition + Send + Sync>,
    /// `I::clone`. Kept as a pointer, so that only stages with retries need items that can be cloned.
    copy: fn(&I) -> I,
}

impl<I: Send + 'static, O: Send + 'static, E: Send + 'static> Stage<I, O, E> {
    /// Makes a stage that works on `max_concurrent` items at the same time, hands on results as they are ready, and
    /// makes one attempt for each item. Any number is allowed.
    ///
    /// `work` is called once for each attempt. Its futures run in tasks, at the same time also on several threads. A
    /// panic, in the closure or in its future, is the failure of its item and is not retried.
    #[must_use]
    pub fn new<F>(
        name: &'static str,
        max_concurrent: NonZeroUsize,
        work: impl Fn(I) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<O, E>> + Send + 'static,
    {
        let work = Box::new(move |item| work(item).boxed());
        Self { name, max_concurrent, ordered: false, work, retry: None }
    }

    /// Makes the stage hand on results in the order in which it took their items. Failures keep their places in that
    /// order, also those of earlier stages.
    ///
    /// A result that waits for its turn keeps its slot: one slow item can hold up the stage.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// Makes the stage try again with a clone of the item as long as `classify` asks for it and `backoff` has
    /// attempts, with the waits of [`level3::retry::retry`]. A second call of this method replaces the first.
    ///
    /// An item that waits for its next attempt keeps its slot.
    #[must_use]
    pub fn retry(
        mut self,
        backoff: Backoff,
        jitter: impl Jitter + 'static,
        classify: impl Fn(&E) -> Disposition + Send + Sync + 'static,
    ) -> Self
    where
        I: Clone,
    {
        let policy = RetryPolicy { backoff, min_attempt: Duration::ZERO };
        let (jitter, classify) = (Box::new(jitter), Box::new(classify));
        self.retry = Some(Retry { policy, jitter, classify, copy: I::clone });
        self
    }

    /// Returns the name of the stage, which its failures and figures have.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Takes items while it has slots, until the channel is closed. Each item's own task hands on its result: were
    /// that done here, the stage would stand still whenever the next channel is full.
    pub(super) async fn run(
        self: Arc<Self>,
        mut items: mpsc::Receiver<Parcel<I, E>>,
        next: mpsc::Sender<Parcel<O, E>>,
        figures: Figures,
    ) {
        // One task for each slot that is in use. The set aborts them when this task is aborted.
        let mut inside = JoinSet::new();
        let mut line = Line::default();
        loop {
            tokio::select! {
                // Frees the slot of an item that has been handed on. Of an empty set this is `None`, which disables
                // the branch for this turn. Not `biased`: neither branch can starve the other, since items are taken
                // only while slots are free.
                Some(_) = inside.join_next() => {}
                parcel = items.recv(), if inside.len() < self.max_concurrent.get() => {
                    let Some(parcel) = parcel else { break };
                    if parcel.result.is_ok() {
                        figures.count_taken();
                    }
                    // Here and not in the item's task: the order is the one in which items are taken, and tasks start
                    // in any order. A failure of an earlier stage has a place too.
                    let place = self.ordered.then(|| line.join());
                    let stage = Arc::clone(&self);
                    inside.spawn(stage.pass(parcel, place, next.clone(), figures.clone()));
                }
            }
        }
        // The input has ended, and its last items are still inside. A return here would abort them.
        while inside.join_next().await.is_some() {}
    }

    /// Takes one item through the stage: its work, its turn, and its room in the next channel.
    async fn pass(
        self: Arc<Self>,
        Parcel { index, result }: Parcel<I, E>,
        mut place: Option<Place>,
        next: mpsc::Sender<Parcel<O, E>>,
        figures: Figures,
    ) {
        let is_own = result.is_ok();
        let result = match result {
            Ok(item) => self.settle(index, item).await,
            Err(failed) => Err(failed),
        };
        // After the work and not before it: items are worked on at the same time, and only their results wait. The
        // turn comes before the room. The other way round, results that wait for their turn could hold all the room
        // that the one before them needs.
        if let Some(place) = &mut place {
            place.turn().await;
        }
        // An error says that the next task has gone, and this one is about to be aborted.
        let Ok(room) = next.reserve().await else { return };
        // Before the result can be seen: what the caller has received is already counted.
        if is_own {
            figures.count_handed_on(result.is_ok());
        }
        // The place ends after this, with the function: the next result in the order comes behind this one.
        room.send(Parcel { index, result });
    }

    /// Works on an item, and makes a failure of its error and of its panic.
    async fn settle(&self, index: u64, item: I) -> Result<O, Failed<E>> {
        // Outside of the watched future: the number of calls is known after a panic too. `Relaxed`, since only this
        // task uses it; it is an atomic because a task's future has to be `Send`.
        let calls = AtomicU32::new(0);
        // Nothing of a future that has panicked is used afterwards.
        let cause = match AssertUnwindSafe(self.attempts(item, &calls)).catch_unwind().await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => Failure::Error(error),
            Err(panic) => Failure::Panicked(panic_text(panic.as_ref())),
        };
        let attempts = calls.load(Ordering::Relaxed);
        Err(Failed { stage: self.name, index, attempts, cause })
    }

    async fn attempts(&self, item: I, calls: &AtomicU32) -> Result<O, E> {
        let call = |item| {
            calls.fetch_add(1, Ordering::Relaxed);
            (self.work)(item)
        };
        let Some(Retry { policy, jitter, classify, copy }) = &self.retry else {
            return call(item).await;
        };
        // Owns the item: a borrowed one would have to be `Sync`.
        let attempt = move |_| call(copy(&item));
        match retry(policy, jitter.as_ref(), Deadline::never(), classify, attempt).await {
            Ok(done) => Ok(done.value),
            Err(error) => Err(error.last.expect("without a deadline there is a first attempt")),
        }
    }
}

impl<I, O, E> fmt::Debug for Stage<I, O, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").finish_non_exhaustive()
    }
}

/// The order of an ordered stage. Each place knows only the one before it, so the line needs no list. A place cannot be
/// forgotten either: when its task ends in any way, its sender is dropped, and the next one has its turn.
#[derive(Default)]
struct Line {
    /// Ends when the last place is dropped; the next place waits for it.
    last: Option<oneshot::Receiver<Infallible>>,
}

/// A place in the order. When it is dropped, it is the turn of the place behind it.
struct Place {
    /// `None` for the first place, and when its turn has come.
    before: Option<oneshot::Receiver<Infallible>>,
    /// Sends nothing. Its drop ends the wait of the place behind it.
    _behind: oneshot::Sender<Infallible>,
}

impl Line {
    fn join(&mut self) -> Place {
        let (behind, last) = oneshot::channel();
        Place { before: self.last.replace(last), _behind: behind }
    }
}

impl Place {
    /// Waits until the place before this one is gone.
    async fn turn(&mut self) {
        if let Some(before) = self.before.take() {
            let _ = before.await;
        }
    }
}

/// The message of a panic. `panic!("text")` carries a `&str`, `panic!("row {n}")` a `String`, and `panic_any` whatever
/// it was given.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
