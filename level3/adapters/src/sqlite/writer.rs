//! The thread that owns the connection, and group commit.
//!
//! An fsync takes as long for one payment as for a hundred. The thread takes all jobs that were
//! queued while it was busy, does them in one transaction, flushes once, and only then answers
//! every caller. No write waits for a group to fill: a lone write is committed at once.
//!
//! When a job of a group fails, the group is rolled back and each of its jobs is done in a
//! transaction of its own, so that the faulty one fails alone. A savepoint around each job would do
//! the same at the cost of two more statements for every job that does not fail.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::fault::Fault;
use super::file::OpenedFile;
use super::statements::{BEGIN, COMMIT, ROLLBACK};
use crate::sql::{Failures, Slot, StoreError};

/// A job: runs within a transaction, possibly more than once.
trait Work: Send {
    fn run(&mut self, db: &Connection) -> Result<(), Fault>;
    /// Answers the caller: the transaction is on disk, or failed.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Job<T, F> {
    run: F,
    slot: Slot<T>,
}

impl<T, F> Work for Job<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> Result<T, Fault> + Send,
{
    fn run(&mut self, db: &Connection) -> Result<(), Fault> {
        self.slot.fill((self.run)(db)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        self.slot.answer(outcome);
    }
}

enum Order {
    Do(Box<dyn Work>),
    Stop(oneshot::Sender<()>),
}

/// The state that the thread and its clients share.
#[derive(Debug)]
struct Shared {
    place: String,
    failures: Failures,
}

/// The handle of the thread. The thread ends when the last handle is dropped.
#[derive(Debug)]
pub(super) struct Writer {
    orders: Sender<Order>,
    shared: Arc<Shared>,
}

impl Writer {
    /// Starts the thread. The thread calls `at_the_end` before it ends.
    ///
    /// The thread is not one of tokio's pool for blocking work: a runtime that shuts down would
    /// wait for it.
    pub(super) fn start(
        db: Connection,
        file: OpenedFile,
        place: String,
        group: usize,
        at_the_end: impl FnOnce(Connection) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (orders, queue) = channel();
        let shared = Arc::new(Shared { place, failures: Failures::new() });
        let thread = Thread { db, file, queue, group, shared: Arc::clone(&shared) };
        std::thread::Builder::new().name("sqlite".to_owned()).spawn(move || {
            let (db, stopped) = thread.run();
            at_the_end(db);
            if let Some(stopped) = stopped {
                // The caller may have stopped waiting.
                let _ = stopped.send(());
            }
        })?;
        Ok(Self { orders, shared })
    }

    /// Calls `run` in a transaction and returns its result when the transaction is on disk.
    ///
    /// The job is queued when the future is first polled. Dropping the future after that does not
    /// cancel the job.
    pub(super) fn submit<T: Send + 'static>(
        self: &Arc<Self>,
        run: impl FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + 'static {
        let writer = Arc::clone(self);
        async move {
            let (reply, answer) = oneshot::channel();
            let job = Order::Do(Box::new(Job { run, slot: Slot::new(reply) }));
            let closed = || StoreError::Closed { place: writer.shared.place.clone() };
            writer.orders.send(job).map_err(|_| closed())?;
            answer.await.unwrap_or_else(|_| Err(closed()))
        }
    }

    /// Ends the thread when every job that was submitted before is done.
    pub(super) async fn stop(&self) {
        let (stopped, end) = oneshot::channel();
        if self.orders.send(Order::Stop(stopped)).is_ok() {
            // An error says that the thread had ended before.
            let _ = end.await;
        }
    }

    pub(super) fn place(&self) -> &str {
        &self.shared.place
    }

    pub(super) fn failures(&self) -> &Failures {
        &self.shared.failures
    }
}

struct Thread {
    db: Connection,
    file: OpenedFile,
    queue: Receiver<Order>,
    group: usize,
    shared: Arc<Shared>,
}

/// The point at which a group has failed.
enum Failed {
    /// The group failed before its first job: none of its jobs can be done now.
    Begin(Fault),
    /// The group failed in this job.
    Job(Fault),
    /// The group failed after its last job: nothing was written, unless the disk failed.
    Commit(Fault),
}

impl Failed {
    /// Reads the fault as that of a store that was in use before.
    fn of_a_store_in_use(self, place: &str) -> Self {
        match self {
            Self::Begin(fault) => Self::Begin(fault.of_a_store_in_use(place)),
            Self::Job(fault) => Self::Job(fault.of_a_store_in_use(place)),
            Self::Commit(fault) => Self::Commit(fault.of_a_store_in_use(place)),
        }
    }
}

impl Thread {
    fn run(mut self) -> (Connection, Option<oneshot::Sender<()>>) {
        let mut group = Vec::with_capacity(self.group);
        let mut stop = None;
        while stop.is_none() {
            let Ok(order) = self.queue.recv() else { break };
            let mut next = Some(order);
            while let Some(order) = next.take() {
                match order {
                    Order::Do(work) => group.push(work),
                    Order::Stop(stopped) => {
                        stop = Some(stopped);
                        break;
                    }
                }
                if group.len() < self.group {
                    next = self.queue.try_recv().ok();
                }
            }
            self.settle(&mut group);
        }
        (self.db, stop)
    }

    /// Does the jobs of a group and answers them.
    fn settle(&mut self, group: &mut Vec<Box<dyn Work>>) {
        if group.is_empty() {
            return;
        }
        let alone = group.len() == 1;
        match self.transact(group) {
            Err(Failed::Job(_)) if !alone => {
                for mut work in group.drain(..) {
                    let outcome = self.transact(std::slice::from_mut(&mut work));
                    work.answer(self.note(outcome));
                }
            }
            outcome => {
                let outcome = self.note(outcome);
                for work in group.drain(..) {
                    work.answer(outcome.clone());
                }
            }
        }
    }

    fn transact(&mut self, jobs: &mut [Box<dyn Work>]) -> Result<(), Failed> {
        self.shared.failures.check().map_err(|lost| Failed::Begin(lost.into()))?;
        let say = |text: &str| -> Result<(), Fault> {
            self.db.prepare_cached(text)?.execute(())?;
            Ok(())
        };
        say(BEGIN).map_err(Failed::Begin)?;
        let done = jobs
            .iter_mut()
            .try_for_each(|work| work.run(&self.db))
            .map_err(Failed::Job)
            .and_then(|()| say(COMMIT).map_err(Failed::Commit))
            .map_err(|failed| failed.of_a_store_in_use(&self.shared.place));
        // Checked after the commit: if the file is gone by then, the commit is lost with it.
        let verified = self.file.verify(&self.db, &self.shared.place);
        let done = verified.map_err(|lost| Failed::Commit(lost.into())).and(done);
        if done.is_err() && !self.db.is_autocommit() {
            // SQLite has rolled back by itself after some errors. If it cannot even do that, the
            // next BEGIN says so.
            let _ = say(ROLLBACK);
        }
        done
    }

    fn note(&self, outcome: Result<(), Failed>) -> Result<(), StoreError> {
        let outcome = outcome.map_err(|failed| match failed {
            Failed::Begin(fault) | Failed::Job(fault) | Failed::Commit(fault) => {
                fault.at(&self.shared.place)
            }
        });
        self.shared.failures.note(&outcome);
        outcome
    }
}
