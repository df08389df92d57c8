//! Failures of tasks that are not awaited.
//!
//! `tokio::spawn` without a use for its handle loses the error, and the panic too: the task ends
//! without a trace. Node calls this an unhandled rejection and ends the process. Here a tracker
//! spawns the tasks, keeps what failed, and tells a handler.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::panics::message;

/// What went wrong in which task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The name that the task was given.
    pub task: String,
    /// How it ended.
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
/// Dropping the tracker does not stop its tasks, and they still reach the handler.
#[derive(Clone)]
pub struct Tracker {
    shared: Arc<Shared>,
}

impl Tracker {
    /// A tracker that tells `handler` of each failure, in the failed task, after the failure has been
    /// recorded. A panic in the handler is contained; it costs neither the record nor other tasks.
    pub fn new(handler: impl Fn(&Failure) + Send + Sync + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                handler: Box::new(handler),
                turn: Mutex::default(),
                failures: Mutex::default(),
                running: watch::Sender::new(0),
            }),
        }
    }

    /// Runs the future in a task of its own that is not awaited. Its value is dropped; its error or
    /// panic is recorded under `name` and handed to the handler.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn spawn<T, E, F>(&self, name: impl Into<String>, future: F)
    where
        E: fmt::Display,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let task = name.into();
        let running = Running::begin(Arc::clone(&self.shared));
        let work = tokio::spawn(async move { future.await.err().map(|error| error.to_string()) });
        tokio::spawn(async move {
            let cause = match work.await {
                Ok(error) => error.map(Cause::Error),
                Err(failure) if failure.is_panic() => {
                    Some(Cause::Panic(message(&*failure.into_panic())))
                }
                Err(_) => None,
            };
            if let Some(cause) = cause {
                running.shared.report(Failure { task, cause });
            }
        });
    }

    /// The failures so far, in the order in which they happened.
    pub fn failures(&self) -> Vec<Failure> {
        self.shared.lock().clone()
    }

    /// How many tasks have not ended yet.
    pub fn running(&self) -> usize {
        *self.shared.running.borrow()
    }

    /// Waits until no task is running any more, for a shutdown that loses nothing. Returns at once
    /// when none is. By then every failure has been recorded and handled.
    pub async fn drained(&self) {
        // The sender lives in `self`: the wait cannot fail.
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

struct Shared {
    handler: Box<dyn Fn(&Failure) + Send + Sync>,
    turn: Mutex<()>,
    failures: Mutex<Vec<Failure>>,
    running: watch::Sender<usize>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Failure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, failure: Failure) {
        // Held until the handler has returned: record and handler have one order.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Not held while the handler runs, which may itself ask for the failures.
        self.lock().push(failure.clone());
        let _ = catch_unwind(AssertUnwindSafe(|| (self.handler)(&failure)));
    }
}

/// Counts a task in, and out again when it ends in whichever way.
struct Running {
    shared: Arc<Shared>,
}

impl Running {
    fn begin(shared: Arc<Shared>) -> Self {
        shared.running.send_modify(|running| *running += 1);
        Self { shared }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.running.send_modify(|running| *running -= 1);
    }
}
