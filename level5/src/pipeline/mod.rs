//! A pipeline: stages that work at the same time, joined by channels of a fixed size.
//!
//! ```text
//!           room first,          at most `max_concurrent` items inside            the caller
//!           then the item        of each stage, each in a task                    polls
//!  input ──▶ feed ──▶ [buffer] ──▶ stage 1 ──▶ [buffer] ──▶ stage 2 ──▶ [buffer] ──▶ Output
//!                                     │                        ▲
//!                                     └─ a failed item passes ─┘ the later stages
//!
//!  an item in a stage:  taken ──▶ attempt ──▶ waits for its turn, if ordered ──▶ waits for room ──▶ handed on
//!                                  ▲    │
//!                                  └────┘ waits, then tries again
//! ```
//!
//! An item keeps its slot until it is handed on. So a stage whose output is full takes nothing, the channel before
//! it fills up, and in the end the input is not polled any more. There is no other backpressure. Each part knows only
//! the channels on its two sides.
//!
//! Lesson: `level5/lessons/pipeline.md`.

mod output;
mod stage;
mod stats;

use std::fmt;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use output::Running;
use stats::Figures;

// The interface names its types, so that its user needs no dependency on level 3.
pub use level3::retry;
/// Why an item has no value: the error of its last attempt, or its panic.
pub use level4::limiter::Failure;
pub use output::Output;
pub use stage::{Failed, Stage};
pub use stats::StageStats;

/// A message of the channels: an item, or its failure, which the later stages pass on without their work.
struct Parcel<T, E> {
    /// The place of the item in the input. It travels along, because stages that are not ordered mix the items.
    index: u64,
    result: Result<T, Failed<E>>,
}

/// Starts the tasks of all stages for one run and connects them, from the channel of the input to that of the output.
type Connect<I, O, E> =
    dyn Fn(mpsc::Receiver<Parcel<I, E>>, &mut Wiring) -> mpsc::Receiver<Parcel<O, E>> + Send + Sync;

/// A row of stages, each of which takes what the one before it returns.
///
/// A pipeline takes items of type `I` and yields items of type `O`; its stages fail with `E`. It holds no items and
/// runs nothing: each [`run`](Self::run) has its own tasks, channels and figures.
///
/// ```
/// use std::num::NonZeroUsize;
/// use futures::{StreamExt, stream};
/// use level5::pipeline::{Pipeline, Stage};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let (one, two) = (NonZeroUsize::MIN, NonZeroUsize::new(2).unwrap());
/// let parse = Stage::new("parse", two, |text: &'static str| async move { text.parse::<u32>() });
/// let double = Stage::new("double", one, |number| async move { Ok(2 * number) });
/// let pipeline = Pipeline::new(one).stage(parse.ordered()).stage(double);
/// let results: Vec<_> = pipeline.run(stream::iter(["1", "two", "3"])).collect().await;
/// assert_eq!(results[0], Ok(2));
/// let failed = results[1].as_ref().unwrap_err();
/// assert_eq!((failed.stage, failed.index, failed.attempts), ("parse", 1, 1));
/// assert_eq!(results[2], Ok(6));
/// # }
/// ```
pub struct Pipeline<I, O, E> {
    buffer: NonZeroUsize,
    /// Of the stages in their order: the figures of a run need them before its first stage has started.
    names: Vec<&'static str>,
    // Each stage wraps the function of the stages before it. So the types between the stages are checked where
    // `stage` is called, and are hidden afterwards.
    connect: Arc<Connect<I, O, E>>,
}

impl<I: Send + 'static, E: Send + 'static> Pipeline<I, I, E> {
    /// Makes a pipeline without stages, which yields its input. Each of its channels has room for `buffer` items. Any
    /// number is allowed.
    #[must_use]
    pub fn new(buffer: NonZeroUsize) -> Self {
        Self { buffer, names: Vec::new(), connect: Arc::new(|input, _| input) }
    }
}

impl<I: Send + 'static, O: Send + 'static, E: Send + 'static> Pipeline<I, O, E> {
    /// Adds a stage at the end. It takes the values that the pipeline yields without it.
    #[must_use]
    pub fn stage<P: Send + 'static>(self, stage: Stage<O, P, E>) -> Pipeline<I, P, E> {
        let Self { buffer, mut names, connect: before } = self;
        let number = names.len();
        names.push(stage.name());
        // The stage serves all runs of the pipeline at the same time, so each run's task has a clone of this.
        let stage = Arc::new(stage);
        let connect = move |input: mpsc::Receiver<Parcel<I, E>>, wiring: &mut Wiring| {
            // The stages before this one first: their channel is this one's input.
            let items = before(input, wiring);
            let (sender, receiver) = wiring.channel();
            let figures = Figures::new(wiring.stats.clone(), number);
            wiring.tasks.spawn(Arc::clone(&stage).run(items, sender, figures));
            receiver
        };
        Pipeline { buffer, names, connect: Arc::new(connect) }
    }

    /// Runs the items of `input` through all stages. The stream yields one result for each item: the value that the
    /// last stage returned, or the failure of the stage that returned none.
    ///
    /// The stream ends when the input has ended and all its items have been yielded.
    ///
    /// Several runs of one pipeline may go on at the same time. Each has slots and buffers of its own.
    ///
    /// # Backpressure
    ///
    /// The run pulls at most as many items from the input as it has yielded, plus `max_concurrent` of each stage, plus
    /// `buffer` for each channel, of which there is one more than stages. When the caller does not poll, the run works
    /// until it is full and then waits.
    ///
    /// # Panics
    ///
    /// When the stream is first polled outside of a tokio runtime. A panic of the input ends the run: the stream
    /// yields the results of the items before it, and then its next poll panics with the same payload.
    ///
    /// # Cancellation
    ///
    /// Nothing runs and nothing is pulled before the stream's first poll. From then on tasks of the current runtime
    /// do the work, so that it goes on while the caller is busy. Dropping the stream drops the input and aborts all
    /// tasks. A task that is running at that moment on another thread stops at its next await point.
    pub fn run(&self, input: impl Stream<Item = I> + Send + 'static) -> Output<O, E> {
        let stats = self.names.iter().map(|name| StageStats::new(name)).collect();
        let (sender, stats) = watch::channel(stats);
        let (buffer, connect) = (self.buffer, Arc::clone(&self.connect));
        // A closure that the first poll calls: a run that is never polled starts no task and pulls nothing.
        let start = move || {
            let mut wiring = Wiring { buffer, tasks: JoinSet::new(), stats: sender };
            let (items, first) = wiring.channel();
            wiring.tasks.spawn(feed(input, items));
            let results = connect(first, &mut wiring);
            // The rest of the wiring is dropped here: the tasks alone hold the senders, so that a channel is closed
            // when the task before it has ended, and the receivers of the figures end when all tasks have.
            Running { results, tasks: wiring.tasks }
        };
        Output::new(start, stats)
    }
}

impl<I, O, E> fmt::Debug for Pipeline<I, O, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").finish_non_exhaustive()
    }
}

/// The parts of a run while it is being connected.
struct Wiring {
    buffer: NonZeroUsize,
    tasks: JoinSet<()>,
    stats: watch::Sender<Vec<StageStats>>,
}

impl Wiring {
    fn channel<T>(&self) -> (mpsc::Sender<T>, mpsc::Receiver<T>) {
        // A channel panics above the limit of a semaphore, which no number of items reaches. It allocates room as items
        // arrive.
        mpsc::channel(self.buffer.get().min(Semaphore::MAX_PERMITS))
    }
}

/// Numbers the items and moves them from the input to the first channel.
async fn feed<I, E>(input: impl Stream<Item = I>, items: mpsc::Sender<Parcel<I, E>>) {
    // Pinned in this task, which owns it: when the task is aborted, the input is dropped.
    let mut input = pin!(input);
    let mut index = 0;
    // Room first, then the item: otherwise one more item than the bound would wait here, pulled and in no channel.
    while let Ok(room) = items.reserve().await {
        let Some(item) = input.next().await else { break };
        room.send(Parcel { index, result: Ok(item) });
        index += 1;
    }
}
