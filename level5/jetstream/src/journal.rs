//! The handle of a journal.

use std::collections::HashSet;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use level5::event_processor::{DeadLetter, End, Event, EventId, Journal, JournalError, Loaded};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::config::{JetStreamConfig, Unreadable};
use crate::error::{BadRecord, OpenError, WriteError};
use crate::keeper::{Keeper, Owned, release};
use crate::ledger::Ledger;
use crate::opening::{Claimed, claim};
use crate::record::Content;
use crate::server::Server;
use crate::shared::{Figures, Shared, State};
use crate::watch::Watch;
use crate::writer::{Call, Write};
use crate::{remover, writer};

/// A journal in a stream of NATS JetStream. A clone is a handle to the same journal.
///
/// A call is ready when the server has acknowledged its records. Several processes use one stream, each with a lane of its
/// own; when one dies, another one takes its events over: [`taken_over`](Self::taken_over).
///
/// ```no_run
/// use level5::event_processor::{Event, Journal};
/// use level5_jetstream::{JetStreamConfig, JetStreamJournal};
///
/// # async fn keep(event: std::sync::Arc<Event>) -> Result<(), Box<dyn std::error::Error>> {
/// let address = "nats://127.0.0.1:4222/orders".parse()?;
/// let journal = JetStreamJournal::open(&address, JetStreamConfig::default()).await?;
/// journal.append(&[event]).await?;
/// journal.close().await;
/// # Ok(())
/// # }
/// ```
///
/// # Cancellation
///
/// A call of the trait whose future was polled once goes on, also if the future is dropped: `append` may keep its events,
/// and `done` its ends.
///
/// Dropping the last handle lets the journal finish in the background what was begun, and then releases its lanes. If the
/// runtime ends before, the lanes are free when the lease is over. [`close`](Self::close) waits for it.
#[derive(Clone)]
pub struct JetStreamJournal(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    recovered: Recovered,
    /// Dropped with the last handle, which ends the tasks.
    calls: mpsc::UnboundedSender<Call>,
    taken: Mutex<mpsc::UnboundedReceiver<Vec<Arc<Event>>>>,
    unsettled: watch::Receiver<Option<usize>>,
    /// Becomes true when the lanes are released.
    closed: watch::Receiver<bool>,
}

/// What a lane had when it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Events that had not ended.
    pub pending: u64,
    /// Dead letters.
    pub dead: u64,
    /// Records that cannot be read, with [`Unreadable::Accept`].
    pub unreadable: Vec<BadRecord>,
}

impl fmt::Debug for JetStreamJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Handle { shared, recovered, .. } = &*self.0;
        f.debug_struct("JetStreamJournal")
            .field("lane", &shared.lane)
            .field("recovered", recovered)
            .finish_non_exhaustive()
    }
}

impl JetStreamJournal {
    /// Connects, makes the stream if it is not there, becomes the owner of a lane, and reads its records.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancellation
    ///
    /// Dropping the future may leave the lane owned until the lease is over.
    pub async fn open(address: &Address, config: JetStreamConfig) -> Result<Self, OpenError> {
        config.check()?;
        let server = Server::connect(address, &config).await?;
        let session = server.session();
        let shown = address.to_string();
        let claimed = claim(&server, &session, &config).await;
        let claimed = claimed.map_err(|why| why.into_error(&shown))?;
        let lane = claimed.lane;
        let opened = server.open_lane(lane, claimed.generation, config.max_records).await;
        let opened = opened.map_err(|why| OpenError::Server { address: shown, why })?;
        let Claimed { generation, ended, .. } = claimed;
        let consumer = opened.consumer.clone();
        let mut ledger = Ledger::new(lane, generation, config.max_records);
        let (over, stored): (Vec<_>, Vec<_>) =
            opened.stored.into_iter().partition(|it| ended.has_ended(it.order));
        over.into_iter().for_each(|stored| ledger.has_ended(stored));
        ledger.restore(stored);
        let owned = Owned { lane, revision: generation, consumer: consumer.clone(), ended };
        let loaded = ledger.loaded();
        let recovered = Recovered {
            pending: loaded.pending.len() as u64,
            dead: loaded.dead.len() as u64,
            unreadable: opened.bad,
        };
        let shared = Shared::new(server, config, (lane, session), consumer, ledger);
        if !recovered.unreadable.is_empty() && config.unreadable == Unreadable::Refuse {
            release(&shared, &owned).await;
            return Err(OpenError::Unreadable { records: recovered.unreadable });
        }
        Ok(Self(Arc::new(start(Arc::new(shared), owned, recovered))))
    }

    /// Reads the dead letters of all lanes, and names the letters that cannot be read. It owns no lane, and disturbs no
    /// owner.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn dead_letters(
        address: &Address,
        config: JetStreamConfig,
    ) -> Result<(Vec<DeadLetter>, Vec<BadRecord>), OpenError> {
        config.check()?;
        let server = Server::connect(address, &config).await?;
        let refused = |why| OpenError::Server { address: address.to_string(), why };
        let (contents, bad) = server.peek("dead").await.map_err(refused)?;
        let letter = |content| match content {
            Content::Dead(letter) => Some(letter),
            Content::Pending(_) => None,
        };
        Ok((contents.into_iter().filter_map(letter).collect(), bad))
    }

    /// What was found when the journal was opened.
    #[must_use]
    pub fn recovered(&self) -> &Recovered {
        &self.0.recovered
    }

    /// What the journal has done since it was opened, and what it holds.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let state = self.0.shared.state();
        Figures { live_records: state.ledger.kept() as u64, ..state.figures.clone() }
    }

    /// Waits for events of a process that has died or has left them, and returns them in their order. The caller hands
    /// each to [`Processor::ingest`](level5::event_processor::Processor::ingest); the journal has it already, so that
    /// [`append`](Journal::append) writes nothing. If the processor refuses it as a duplicate, the caller
    /// [declines](Self::decline) it.
    ///
    /// `None`: the journal has lost its lane.
    ///
    /// An event that is neither accepted nor declined stays in the stream, and the next process gets it when this one
    /// has ended. So does one whose call of `ingest` is dropped.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses nothing.
    pub async fn taken_over(&self) -> Option<Vec<Arc<Event>>> {
        self.0.taken.lock().await.recv().await
    }

    /// Lets the stream forget an event that was [taken over](Self::taken_over), since the processor has accepted it before
    /// from another source. The event is removed in the background.
    pub fn decline(&self, id: &EventId) {
        self.0.shared.state().ledger.decline(id);
        self.0.shared.leaving.notify_one();
    }

    /// Waits until every lane with pending events belongs to a process that is known to be alive, or was taken over by this
    /// one. A process that ends before that may leave the events of a dead one without an owner.
    ///
    /// It takes the time of the lease at most, unless processes die meanwhile or the server does not answer.
    pub async fn settled(&self) {
        let mut unsettled = self.0.unsettled.clone();
        // An error: the journal has lost its lane, and nothing is settled any more.
        let _ = unsettled.wait_for(|unsettled| *unsettled == Some(0)).await;
    }

    /// Drops this handle, and waits until all handles are dropped, what was begun is written, and the lanes are free.
    pub async fn close(self) {
        let mut closed = self.0.closed.clone();
        drop(self);
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// Waits until something is so, with the state at that time.
    async fn when<T>(
        &self,
        what: &str,
        mut decide: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, WriteError> {
        let shared = &self.0.shared;
        let begun = Instant::now();
        let end = begun + shared.config.patience;
        loop {
            let mut changed = pin!(shared.changed.notified());
            // Registered before the look: a change between the two is not missed.
            changed.as_mut().enable();
            {
                let mut state = shared.state();
                state.check()?;
                if let Some(result) = decide(&mut state) {
                    return Ok(result);
                }
            }
            if timeout_at(end, changed).await.is_err() {
                let (waited, why) = (begun.elapsed(), what.to_owned());
                return Err(WriteError::NoAnswer { waited, why });
            }
        }
    }

    /// Hands records to the task that publishes them, in the order of their numbers. `None`: nothing has to be written.
    fn write(&self, state: &mut State, encoded: Vec<Encoded>) -> Result<Outcome, WriteError> {
        let contents = encoded.iter().map(|(content, _)| content.clone()).collect();
        let orders = state.ledger.begin(contents)?;
        if orders.is_empty() {
            return Ok(None);
        }
        let (stream, lane) = (self.0.shared.server.stream_name(), self.0.shared.lane);
        let mut encoded = encoded.into_iter();
        let mut writes = Vec::with_capacity(orders.len());
        for order in orders {
            // Those that were in the stream already have no number, and are passed over.
            let is_next = |it: &Encoded| state.ledger.content(order) == Some(&it.0);
            if let Some((content, payload)) = encoded.find(is_next) {
                writes.push(Write { order, subject: content.subject(stream, lane), payload });
            }
        }
        let (reply, outcome) = oneshot::channel();
        // Under the lock, so that records are sent in the order of their numbers.
        match self.0.calls.send(Call { writes, reply }) {
            Ok(()) => Ok(Some(outcome)),
            Err(_) => Err(WriteError::Closed),
        }
    }

    async fn keep(&self, events: &[Arc<Event>]) -> Result<(), WriteError> {
        // Before the lock: this is most of the work.
        let contents = events.iter().map(|event| Content::Pending(Arc::clone(event)));
        let encoded = contents.map(encoded).collect();
        let outcome = {
            let mut state = self.0.shared.state();
            state.check()?;
            self.write(&mut state, encoded)?
        };
        written(outcome).await
    }

    async fn end(&self, ends: &[(EventId, End)]) -> Result<(), WriteError> {
        let Last { letters, ended, withdrawn } = last(ends);
        // An end about a record that is being written would not find it.
        let decide = |state: &mut State| {
            if ends.iter().any(|(id, _)| state.ledger.is_writing(id)) {
                return None;
            }
            ended.iter().for_each(|id| state.ledger.end(id));
            withdrawn.iter().for_each(|id| state.ledger.withdraw(id));
            // A letter without a record would be of an event that no caller has handed in.
            let known = letters.iter().filter(|letter| state.ledger.is_kept(&letter.event.id));
            let letters = known.map(|letter| encoded(Content::Dead((*letter).clone())));
            let letters = letters.collect();
            Some(self.write(state, letters))
        };
        let outcome = self.when("the events are still being written", decide).await??;
        self.0.shared.leaving.notify_one();
        written(outcome).await?;
        let are_gone = |state: &mut State| {
            let is_left = ends.iter().any(|(id, _)| state.ledger.is_leaving(id));
            (!is_left).then_some(())
        };
        self.when("acknowledgements are not confirmed", are_gone).await
    }
}

/// A record and its bytes.
type Encoded = (Content, Bytes);

fn encoded(content: Content) -> Encoded {
    let bytes = content.write();
    (content, bytes)
}

type Outcome = Option<oneshot::Receiver<Result<(), WriteError>>>;

async fn written(outcome: Outcome) -> Result<(), WriteError> {
    match outcome {
        None => Ok(()),
        Some(outcome) => outcome.await.unwrap_or(Err(WriteError::Closed)),
    }
}

/// What a call about ends says of each event. One that has ended is no letter, also if the call says that it died.
#[derive(Default)]
struct Last<'a> {
    letters: Vec<&'a DeadLetter>,
    ended: HashSet<&'a EventId>,
    withdrawn: HashSet<&'a EventId>,
}

fn last(ends: &[(EventId, End)]) -> Last<'_> {
    let mut last = Last::default();
    for (id, end) in ends {
        match end {
            End::Delivered => drop(last.ended.insert(id)),
            End::Withdrawn => drop(last.withdrawn.insert(id)),
            End::Dead(letter) => last.letters.push(letter),
        }
    }
    let Last { letters, ended, withdrawn } = &mut last;
    letters.retain(|it| !ended.contains(&it.event.id) && !withdrawn.contains(&it.event.id));
    last
}

/// Starts the tasks of a journal.
fn start(shared: Arc<Shared>, owned: Owned, recovered: Recovered) -> Handle {
    let (calls, receive_calls) = mpsc::unbounded_channel();
    let (send_taken, taken) = mpsc::unbounded_channel();
    let (send_strays, strays) = mpsc::unbounded_channel();
    let (send_unsettled, unsettled) = watch::channel(None);
    let (send_closed, closed) = watch::channel(false);
    let keeper = Keeper {
        shared: Arc::clone(&shared),
        owned: vec![owned],
        watch: Watch::default(),
        left: std::collections::HashMap::new(),
        taken: send_taken,
        strays,
        unsettled: send_unsettled,
    };
    let (stop_removing, stop_keeping) = (CancellationToken::new(), CancellationToken::new());
    let writer = tokio::spawn(writer::run(Arc::clone(&shared), receive_calls));
    let keeper = tokio::spawn(keeper.run(stop_keeping.clone()));
    let remover =
        tokio::spawn(remover::run(Arc::clone(&shared), stop_removing.clone(), send_strays));
    let ending = Arc::clone(&shared);
    tokio::spawn(async move {
        // The last handle is dropped, and every call has its answer.
        let _ = writer.await;
        // What is to be removed is removed under the ownership, so in this order.
        stop_removing.cancel();
        let _ = remover.await;
        stop_keeping.cancel();
        let mut releases = JoinSet::new();
        for owned in keeper.await.unwrap_or_default() {
            let shared = Arc::clone(&ending);
            releases.spawn(async move { release(&shared, &owned).await });
        }
        while releases.join_next().await.is_some() {}
        send_closed.send_replace(true);
    });
    let taken = Mutex::new(taken);
    Handle { shared, recovered, calls, taken, unsettled, closed }
}

impl Journal for JetStreamJournal {
    async fn append(&self, events: &[Arc<Event>]) -> Result<(), JournalError> {
        if events.is_empty() {
            return Ok(());
        }
        Ok(self.keep(events).await?)
    }

    async fn done(&self, ends: &[(EventId, End)]) -> Result<(), JournalError> {
        if ends.is_empty() {
            return Ok(());
        }
        Ok(self.end(ends).await?)
    }

    async fn load(&self) -> Result<Loaded, JournalError> {
        Ok(self.0.shared.state().ledger.loaded())
    }
}
