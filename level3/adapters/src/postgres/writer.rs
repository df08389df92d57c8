//! Several connections, each of which commits in groups.
//!
//! A connection takes all operations that are queued, sends them without waiting for the answers in
//! between (*pipelining*), and commits once. The server flushes, and lets the commits of several
//! connections share a flush. In addition a group saves a round trip and a transaction for each
//! write.
//!
//! A group that fails is rolled back, and then each of its operations is done alone, as in
//! [`sqlite`](crate::sqlite).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all, join3};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

use super::address::PostgresAddress;
use super::audit;
use super::fault::Fault;
use super::session::{Known, Session};
use super::statements::{BEGIN, COMMIT, ROLLBACK};
use crate::sql::{Failures, Slot, StoreError};

/// The pause before the next attempt to connect.
const PAUSE: Duration = Duration::from_millis(50);
/// How often an operation that collided with another process is done again.
const COLLISIONS: u32 = 5;

/// An operation: runs within a transaction, possibly more than once.
pub(super) trait Operation: Send + Sync + 'static {
    /// The result of the operation.
    type Output: Send + 'static;

    /// The key of the rows that it writes. Operations of a group are sent in the order of their
    /// keys, so that two groups that lock the same rows lock them in the same order.
    fn key(&self) -> &str {
        ""
    }

    /// Runs the operation.
    fn run(&self, session: &Session) -> impl Future<Output = Result<Self::Output, Fault>> + Send;
}

trait Work: Send {
    fn key(&self) -> &str;
    fn since(&self) -> Instant;
    fn run<'a>(&'a mut self, session: &'a Session) -> BoxFuture<'a, Result<(), Fault>>;
    /// Answers the caller: the transaction is on disk, or failed.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Job<O: Operation> {
    operation: O,
    since: Instant,
    slot: Slot<O::Output>,
}

impl<O: Operation> Work for Job<O> {
    fn key(&self) -> &str {
        self.operation.key()
    }

    fn since(&self) -> Instant {
        self.since
    }

    fn run<'a>(&'a mut self, session: &'a Session) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            self.slot.fill(self.operation.run(session).await?);
            Ok(())
        }
        .boxed()
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        self.slot.answer(outcome);
    }
}

type Group = Vec<Box<dyn Work>>;

/// The handle of the connections. They end when the last handle is dropped.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<UnboundedSender<Box<dyn Work>>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: PostgresAddress,
    known: Known,
    group: usize,
    patience: Duration,
    failures: Failures,
}

impl std::fmt::Debug for dyn Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

impl Writer {
    pub(super) fn start(
        address: PostgresAddress,
        known: Known,
        connections: usize,
        group: usize,
        patience: Duration,
    ) -> Self {
        let (queue, work) = unbounded_channel();
        let work = Arc::new(AsyncMutex::new(work));
        let shared =
            Arc::new(Shared { address, known, group, patience, failures: Failures::new() });
        let tasks = (0..connections).map(|_| {
            let connection =
                Connection { work: Arc::clone(&work), shared: Arc::clone(&shared), session: None };
            tokio::spawn(connection.serve())
        });
        let tasks = Mutex::new(tasks.collect());
        Self { queue: Mutex::new(Some(queue)), tasks, shared }
    }

    /// Runs the operation in a transaction and returns its result when the transaction is on disk.
    ///
    /// The operation is queued when the future is first polled. Dropping the future after that does
    /// not cancel it.
    pub(super) fn submit<O: Operation>(
        self: &Arc<Self>,
        operation: O,
    ) -> impl Future<Output = Result<O::Output, StoreError>> + Send + 'static {
        let writer = Arc::clone(self);
        async move {
            let (reply, answer) = oneshot::channel();
            let closed = || StoreError::Closed { place: writer.place().to_owned() };
            let job = Box::new(Job { operation, since: Instant::now(), slot: Slot::new(reply) });
            let queue = writer.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
            queue.ok_or_else(closed)?.send(job).map_err(|_| closed())?;
            answer.await.unwrap_or_else(|_| Err(closed()))
        }
    }

    /// Ends the connections when every operation that was submitted before is done.
    pub(super) async fn stop(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        join_all(tasks).await;
    }

    pub(super) fn place(&self) -> &str {
        &self.shared.address.place
    }

    pub(super) fn failures(&self) -> &Failures {
        &self.shared.failures
    }
}

/// The point at which a group has failed.
enum Failed {
    /// The connection broke before the commit was sent: nothing was written.
    Lost(Fault),
    /// The connection broke after that: the outcome is unknown.
    InDoubt(Fault),
    /// The server refused a statement.
    Refused(Fault),
}

/// One connection and its turn at the queue.
struct Connection {
    work: Arc<AsyncMutex<UnboundedReceiver<Box<dyn Work>>>>,
    shared: Arc<Shared>,
    session: Option<Session>,
}

impl Connection {
    async fn serve(mut self) {
        while let Some(mut group) = self.next().await {
            group.sort_by(|a, b| a.key().cmp(b.key()));
            if let Some(group) = self.settle(group).await {
                for work in group {
                    // A group of one operation is always answered, so none is left.
                    let _ = self.settle(vec![work]).await;
                }
            }
        }
    }

    /// Returns the queued operations, or waits for the next one. `None` when the queue is closed.
    async fn next(&self) -> Option<Group> {
        let mut work = self.work.lock().await;
        let mut group = vec![work.recv().await?];
        while group.len() < self.shared.group {
            match work.try_recv() {
                Ok(next) => group.push(next),
                Err(_) => break,
            }
        }
        Some(group)
    }

    /// Runs a group and answers its callers. Returns the group if its operations have to be done
    /// one by one.
    ///
    /// While the server is unreachable, the group is tried again until a caller has waited for the
    /// store's patience.
    async fn settle(&mut self, mut group: Group) -> Option<Group> {
        let mut collisions = 0;
        loop {
            match self.transact(&mut group).await {
                Ok(()) => {
                    self.answer(group, Ok(()));
                    return None;
                }
                Err(Failed::InDoubt(fault)) => {
                    self.session = None;
                    let place = self.shared.address.place.clone();
                    let why = fault.at(&place).to_string();
                    self.answer(group, Err(StoreError::Lost { place, why }));
                    return None;
                }
                Err(Failed::Lost(fault)) => {
                    self.session = None;
                    let error = fault.at(&self.shared.address.place);
                    if self.is_out_of_patience(&group) {
                        self.answer(group, Err(error));
                        return None;
                    }
                    sleep(PAUSE).await;
                }
                Err(Failed::Refused(_)) if group.len() > 1 => return Some(group),
                Err(Failed::Refused(fault))
                    if fault.is_a_collision()
                        && collisions < COLLISIONS
                        && !self.is_out_of_patience(&group) =>
                {
                    collisions += 1;
                }
                Err(Failed::Refused(fault)) => {
                    let error = fault.at(&self.shared.address.place);
                    self.answer(group, Err(error));
                    return None;
                }
            }
        }
    }

    /// Whether a caller has waited for the store's patience.
    fn is_out_of_patience(&self, group: &Group) -> bool {
        let oldest = group.iter().map(|work| work.since()).min();
        oldest.is_none_or(|since| since.elapsed() >= self.shared.patience)
    }

    async fn transact(&mut self, group: &mut [Box<dyn Work>]) -> Result<(), Failed> {
        let patience = self.shared.patience;
        self.shared.failures.check().map_err(|lost| Failed::Refused(lost.into()))?;
        let session = match self.session.take() {
            Some(session) if !session.client.is_closed() => session,
            _ => Session::connect(&self.shared.address, &self.shared.known)
                .await
                .map_err(Failed::Lost)?,
        };
        let session = &*self.session.insert(session);
        let client = &session.client;
        // What a group that failed has left.
        drop(session.trail.take());
        let operations = join_all(group.iter_mut().map(|work| work.run(session)));
        // The futures are polled in this order, and their statements are sent in it.
        let (begun, known) = (client.batch_execute(BEGIN), &self.shared.known);
        let sent = timeout(patience, join3(begun, known.still_there(session), operations)).await;
        let Ok((begun, ours, done)) = sent else { return Err(Failed::Lost(hangs(patience))) };
        let outcomes = [begun.map_err(Fault::from), ours].into_iter().chain(done);
        let failures = outcomes.filter_map(Result::err).map(Fault::of_a_store_in_use);
        if let Some(fault) = failures.min_by_key(severity) {
            return Err(undo(client, fault, patience).await);
        }
        // After all operations: see `audit`.
        let entries = audit::write(session, known.instance, session.trail.take());
        match timeout(patience, entries).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => {
                return Err(undo(client, fault.of_a_store_in_use(), patience).await);
            }
            Err(_) => return Err(Failed::Lost(hangs(patience))),
        }
        match timeout(patience, client.batch_execute(COMMIT)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                let fault = Fault::from(error);
                Err(if fault.is_lost() { Failed::InDoubt(fault) } else { Failed::Refused(fault) })
            }
            Err(_) => Err(Failed::InDoubt(hangs(patience))),
        }
    }

    fn answer(&self, group: Group, outcome: Result<(), StoreError>) {
        self.shared.failures.note(&outcome);
        for work in group {
            work.answer(outcome.clone());
        }
    }
}

/// Rolls a group back that has failed before its commit.
async fn undo(client: &Client, fault: Fault, patience: Duration) -> Failed {
    if fault.is_lost() {
        return Failed::Lost(fault);
    }
    match timeout(patience, client.batch_execute(ROLLBACK)).await {
        Ok(Ok(())) => Failed::Refused(fault),
        _ => Failed::Lost(fault),
    }
}

/// Orders the faults of a group by what they say about the cause: a lost connection, then another
/// store, then a refusal, then the errors that follow from it.
fn severity(fault: &Fault) -> u8 {
    match fault {
        fault if fault.is_lost() => 0,
        Fault::Gone => 1,
        fault if !fault.is_an_echo() => 2,
        _ => 3,
    }
}

fn hangs(patience: Duration) -> Fault {
    let why = format!("no answer within {} ms", patience.as_millis());
    Fault::Store(StoreError::Unreachable { place: "the server".to_owned(), why })
}
