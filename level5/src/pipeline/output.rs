//! The results of a run, as a stream that owns the run's tasks.

use std::fmt;
use std::mem;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{Failed, Parcel, StageStats};

/// The results of a run, as a stream.
///
/// It owns the run: nothing happens before its first poll, and all stops when it is dropped. After its end it yields
/// `None`, and none of its tasks is left.
///
/// ```
/// use std::num::NonZeroUsize;
/// use futures::{StreamExt as _, stream};
/// use level5::pipeline::{Pipeline, Stage};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let double = Stage::new("double", NonZeroUsize::MIN, |n: u32| async move { Ok::<_, String>(2 * n) });
/// let mut output = Pipeline::new(NonZeroUsize::MIN).stage(double).run(stream::iter(1..));
/// assert_eq!(output.stats().borrow()[0].taken, 0); // nothing runs before the first poll
/// assert_eq!(output.next().await, Some(Ok(2)));
/// assert_eq!(output.next().await, Some(Ok(4)));
/// drop(output); // stops the run
/// # }
/// ```
#[must_use = "a run does nothing until its output is polled"]
pub struct Output<O, E> {
    state: State<O, E>,
    /// From the beginning, so that a reader can have the figures before the run starts.
    stats: watch::Receiver<Vec<StageStats>>,
}

/// The states of a run. It starts at the first poll, because a stream that is never polled must do nothing.
enum State<O, E> {
    NotStarted(Box<dyn FnOnce() -> Running<O, E> + Send>),
    Running(Running<O, E>),
    Ended,
}

/// A run whose tasks have been started. When it is dropped, the set aborts them, and the sets that they own abort
/// the tasks of the items.
pub(super) struct Running<O, E> {
    pub(super) results: mpsc::Receiver<Parcel<O, E>>,
    pub(super) tasks: JoinSet<()>,
}

impl<O, E> Output<O, E> {
    pub(super) fn new(
        start: impl FnOnce() -> Running<O, E> + Send + 'static,
        stats: watch::Receiver<Vec<StageStats>>,
    ) -> Self {
        Self { state: State::NotStarted(Box::new(start)), stats }
    }

    /// The figures of this run, one entry for each stage, in the order of the stages.
    ///
    /// A result that the stream has yielded is already counted. The receiver is closed when the run has ended or was
    /// dropped, and then keeps the last figures.
    #[must_use]
    pub fn stats(&self) -> watch::Receiver<Vec<StageStats>> {
        self.stats.clone()
    }
}

impl<O, E> Stream for Output<O, E> {
    type Item = Result<O, Failed<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The closure is called once, and must be moved out for that. If it panics, where there is no runtime, the
        // stream has ended.
        if let State::NotStarted(_) = self.state
            && let State::NotStarted(start) = mem::replace(&mut self.state, State::Ended)
        {
            self.state = State::Running(start());
        }
        let State::Running(run) = &mut self.state else { return Poll::Ready(None) };
        if let Some(parcel) = ready!(run.results.poll_recv(cx)) {
            return Poll::Ready(Some(parcel.result));
        }
        // The last channel is closed. That may be the end, or a task before it has panicked, which closes the channels
        // behind it in the same way. Without the results of the tasks, a panic of the input would look like its end,
        // and the caller would miss items without an error.
        while let Some(ended) = ready!(run.tasks.poll_join_next(cx)) {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                self.state = State::Ended;
                resume_unwind(panic);
            }
        }
        // Every task has ended. Drops the channel and the empty set; the next poll returns `None` without a look at
        // either.
        self.state = State::Ended;
        Poll::Ready(None)
    }
}

impl<O, E> fmt::Debug for Output<O, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}
