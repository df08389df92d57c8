//! Failures of tasks that are not awaited.
//!
//! `tokio::spawn` without a use for its handle loses the error, and the panic too: the task ends
//! without a trace. Node calls this an unhandled rejection and ends the process. Here a tracker
//! spawns the tasks, records their failures, and calls a handler.
//!
//! Lesson: [`lessons/background.md`](crate::lessons::background).
//!
//! # Contract
//!
#![doc = include_str!("../contract/background.md")]

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::panics::message;

/// The failure of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The name that the task was given.
    pub task: String,
    /// The error or the panic.
    pub cause: Cause,
}

/// How a task failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It returned an error; its `Display` text.
    Error(String),
    /// It panicked; the panic's message.
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
    record: Arc<Mutex<Vec<Failure>>>,
    handler: Arc<dyn Fn(&Failure) + Send + Sync>,
    /// Held from the record to the end of the handler, so that both have the same order.
    turn: Arc<Mutex<()>>,
    count: Arc<Count>,
}

impl Tracker {
    /// Makes a tracker that calls `handler` with each failure.
    pub fn new(handler: impl Fn(&Failure) + Send + Sync + 'static) -> Self {
        Self { record: Arc::default(), handler: Arc::new(handler), turn: Arc::default(), count: Arc::default() }
    }

    /// Runs the future in a task of its own that is not awaited.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn spawn<T, E, F>(&self, name: impl Into<String>, future: F)
    where
        E: fmt::Display,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let name = name.into();
        let ticket = Ticket::new(&self.count);
        let tracker = self.clone();
        // The text is made in the task of the future, whose error need not be Send.
        let work = tokio::spawn(async move {
            match future.await {
                Ok(_) => None,
                Err(error) => Some(error.to_string()),
            }
        });
        tokio::spawn(async move {
            let cause = match work.await {
                Ok(None) => None,
                Ok(Some(text)) => Some(Cause::Error(text)),
                Err(ended) => {
                    ended.try_into_panic().ok().map(|payload| Cause::Panic(message(payload.as_ref())))
                }
            };
            if let Some(cause) = cause {
                tracker.fail(Failure { task: name, cause });
            }
            drop(ticket);
        });
    }

    fn fail(&self, failure: Failure) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.record.lock().unwrap_or_else(PoisonError::into_inner).push(failure.clone());
        let _ = catch_unwind(AssertUnwindSafe(|| (self.handler)(&failure)));
    }

    /// Returns the failures so far.
    pub fn failures(&self) -> Vec<Failure> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).to_vec()
    }

    /// Returns the number of tasks that have not ended yet.
    pub fn running(&self) -> usize {
        self.count.tasks.load(Ordering::SeqCst)
    }

    /// Waits until no task is running any more.
    pub async fn drained(&self) {
        loop {
            let rung = self.count.idle.notified();
            tokio::pin!(rung);
            // Registered before the look at the count: no ring is missed.
            rung.as_mut().enable();
            if self.running() == 0 {
                return;
            }
            rung.await;
        }
    }
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker").field("running", &self.running()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Count {
    tasks: AtomicUsize,
    idle: Notify,
}

struct Ticket(Arc<Count>);

impl Ticket {
    fn new(count: &Arc<Count>) -> Self {
        count.tasks.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.tasks.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}
