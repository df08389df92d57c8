//! Failures of tasks that are not awaited.
//!
//! A program that spawns a task and drops the handle loses the task's error, and its panic too: the task
//! ends without a trace. Node calls this an unhandled rejection and ends the process. Here a tracker
//! spawns the tasks, records their failures, and calls a handler.
//!
//! Lesson: [`lessons/background.md`](crate::lessons::background).
//!
//! # Contract
//!
#![doc = include_str!("../contract/background.md")]

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use tokio::sync::watch;

use crate::panics::message;

/// The failure of one task.
///
/// ```
/// use level1::background::{Cause, Failure};
///
/// let cause = Cause::Error("mailbox full".to_owned());
/// let failure = Failure { task: "mail to ben".to_owned(), cause };
/// assert_eq!(failure.to_string(), "background task mail to ben failed: mailbox full");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The name that the caller of [`Tracker::spawn`] gave the task.
    pub task: String,
    /// The error or the panic.
    pub cause: Cause,
}

/// How a task failed.
///
/// ```
/// use level1::background::{Cause, Tracker};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let tracker = Tracker::new(|failure| println!("{failure}"));
/// tracker.spawn("mail to ben", async { Err::<(), _>("mailbox full") });
/// tracker.drained().await;
/// let text = match &tracker.failures()[0].cause {
///     Cause::Error(text) => format!("try again later: {text}"),
///     Cause::Panic(message) => format!("report a bug: {message}"),
/// };
/// assert_eq!(text, "try again later: mailbox full");
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It returned an error; its `Display` text.
    Error(String),
    /// The task panicked, with this message.
    Panic(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Error(text) => write!(f, "background task {} failed: {text}", self.task),
            Cause::Panic(text) => write!(f, "background task {} panicked: {text}", self.task),
        }
    }
}

/// Spawns tasks and keeps track of those that fail. Clones share one record.
///
/// ```
/// use level1::background::{Cause, Tracker};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let tracker = Tracker::new(|failure| println!("{failure}"));
/// tracker.spawn("mail to ben", async { Err::<(), _>("mailbox full") });
/// tracker.drained().await;
///
/// let failures = tracker.failures();
/// assert_eq!(failures[0].task, "mail to ben");
/// assert_eq!(failures[0].cause, Cause::Error("mailbox full".to_owned()));
/// # }
/// ```
///
/// Dropping the tracker does not stop its tasks, and they still reach the handler.
#[derive(Clone)]
pub struct Tracker {
    /// Each running task has a handle of it too. So the record and the handler live on after the last tracker is
    /// dropped, until the last task has ended.
    shared: Arc<Shared>,
}

impl Tracker {
    /// Makes a tracker that calls `handler` with each failure, after it has recorded the failure. The calls are made one
    /// after another and in the order of the record, also when tasks fail on several threads at once: in a task that
    /// has failed, in most cases the one that the failure is about. The tracker contains a panic of the handler: the
    /// record and the other tasks are not affected.
    pub fn new(handler: impl Fn(&Failure) + Send + Sync + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                handler: Box::new(handler),
                record: Mutex::default(),
                running: watch::Sender::new(0),
            }),
        }
    }

    /// Runs the future in a task of its own that is not awaited. The tracker drops its value. It records an
    /// error or a panic under `name` and passes it to the handler.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn spawn<T, E, F>(&self, name: impl Into<String>, future: F)
    where
        E: fmt::Display,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let task = name.into();
        // Counted before the task starts: a `drained` right after `spawn` has to wait for it. Outside of a runtime
        // `tokio::spawn` panics below; the guard is then dropped with the closure, and the count falls again.
        let running = Running::begin(Arc::clone(&self.shared));
        // The value and the error are dropped inside the poll that ends the future: they need not
        // be Send.
        let outcome = future.map(|result| result.err().map(|error| error.to_string()));
        // Caught inside of the task, since the handle, which would report the panic, is dropped. `AssertUnwindSafe`:
        // the future is dropped after its panic and not used again.
        tokio::spawn(AssertUnwindSafe(outcome).catch_unwind().map(move |outcome| {
            match cause(outcome) {
                Some(cause) => Shared::report(Failure { task, cause }, running),
                None => drop(running),
            }
        }));
    }

    /// Returns the failures so far, in the order in which they happened.
    pub fn failures(&self) -> Vec<Failure> {
        self.shared.lock().failures.clone()
    }

    /// Returns the number of tasks that have not ended yet.
    pub fn running(&self) -> usize {
        // Copied out at once: while a `borrow` lives, no task can change the count.
        *self.shared.running.borrow()
    }

    /// Waits until no task is running any more, for a shutdown that loses nothing. Returns at once
    /// when none is. By then every failure has been recorded and handled.
    ///
    /// # Cancellation
    /// Dropping the future stops the wait. The tasks run on, and the call can be repeated.
    pub async fn drained(&self) {
        // `wait_for` looks at the value before it waits, so it cannot miss a fall to 0 that came before. The sender
        // lives in `self`: the wait cannot fail.
        let _ = self.shared.running.subscribe().wait_for(|running| *running == 0).await;
    }
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker")
            .field("running", &self.running())
            .field("failures", &self.failures())
            .finish()
    }
}

/// What the clones of a tracker and its tasks share.
struct Shared {
    /// Foreign code, called without a lock.
    handler: Box<dyn Fn(&Failure) + Send + Sync>,
    /// A std lock: it is held for a push or one copy, never across an `.await`.
    record: Mutex<Record>,
    /// The count of running tasks. A `watch` channel, since a waiter wants its latest value and not each change.
    running: watch::Sender<usize>,
}

/// The data that the lock guards.
#[derive(Default)]
struct Record {
    /// In the order in which they happened.
    failures: Vec<Failure>,
    /// Failures that the handler was not called with yet, the oldest in front. With each waits the guard of its task,
    /// so that the count falls when the failure is handled: at 0, every failure is recorded and handled.
    unhandled: VecDeque<(Failure, Running)>,
    /// Whether a task calls the handler now. It takes what the others add to `unhandled` as well.
    is_handling: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Record> {
        // Pushes, pops and copies run under the lock. None leaves a list half changed if it panics.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a failure and calls the handler with it, or leaves that to the task that calls the handler already.
    fn report(failure: Failure, running: Running) {
        let shared = Arc::clone(&running.shared);
        let for_handler = failure.clone();
        let mut record = shared.lock();
        // Both lists under one lock, so that they have the same order.
        record.failures.push(failure);
        record.unhandled.push_back((for_handler, running));
        // A call beside that of another thread could come before the call of an older failure. This task does not wait
        // for its turn either, since the handler may take its time.
        if record.is_handling {
            return;
        }
        record.is_handling = true;
        // Not held while the handler runs, which may itself ask for the failures.
        drop(record);
        while let Some((failure, running)) = shared.next_unhandled() {
            // Contained: the handler runs in a failed task, and its panic would end the task as one more failure,
            // which is not recorded anywhere.
            let _ = catch_unwind(AssertUnwindSafe(|| (shared.handler)(&failure)));
            drop(running);
        }
    }

    /// Takes the oldest failure that is to be handled. Without one, the caller handles no more.
    fn next_unhandled(&self) -> Option<(Failure, Running)> {
        let mut record = self.lock();
        let next = record.unhandled.pop_front();
        // Under the lock that found none: a task that adds one later finds that no other task handles it.
        record.is_handling = next.is_some();
        next
    }
}

/// Counts a task from its start to its end, however it ends: its drop also runs when the runtime shuts down and
/// drops the task. A count that the task's code lowered itself would then stay too high, and `drained` would wait
/// without end.
struct Running {
    /// The count that the drop lowers. In an `Arc`, since the task may outlive its `Tracker`.
    shared: Arc<Shared>,
}

impl Running {
    fn begin(shared: Arc<Shared>) -> Self {
        // `send_modify` changes the value under the channel's lock, and works without receivers, where `send` fails.
        shared.running.send_modify(|running| *running += 1);
        Self { shared }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.running.send_modify(|running| *running -= 1);
    }
}

/// Returns how a task failed: the text of its error or of its panic. `None` for a success.
fn cause(outcome: Result<Option<String>, Box<dyn Any + Send>>) -> Option<Cause> {
    match outcome {
        Ok(None) => None,
        Ok(Some(error)) => Some(Cause::Error(error)),
        Err(payload) => Some(Cause::Panic(message(&*payload))),
    }
}
