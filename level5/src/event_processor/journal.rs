//! Where accepted events are kept until they have ended.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::event::{Event, EventId, Service};
use super::journal_error::JournalError;

/// How an event ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Its service has acknowledged it.
    Delivered,
    /// It is a dead letter, or is one again because a [`redrive`](super::Processor::redrive) was dropped.
    Dead(DeadLetter),
    /// The caller has dropped the call of `ingest` while the journal wrote.
    Withdrawn,
}

/// An event that is not sent again until it is [redriven](super::Processor::redrive).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event.
    pub event: Arc<Event>,
    /// The service to which it was sent.
    pub service: Service,
    /// How often it was sent.
    pub attempts: u32,
    /// Why the last attempt failed, in the words of the service or of the send's error.
    pub reason: String,
}

/// What a journal holds when a processor starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// The events that have not ended, in the order in which they were appended.
    pub pending: Vec<Arc<Event>>,
    /// The dead letters, in the order in which they died.
    pub dead: Vec<DeadLetter>,
}

/// Keeps events from the moment at which they are accepted until they have ended.
///
/// Several tasks call it at the same time. A journal may write the events of several calls together, as a file journal
/// does that calls `fsync` once for all of them. A call returns when its events are safe. An error means that nothing
/// of the call was kept.
///
/// A call that was begun may be dropped. Then it is unknown whether its events are kept; the processor calls
/// [`done`](Self::done) for them later.
pub trait Journal: Send + Sync + 'static {
    /// Keeps these events, in this order and behind all others. An event replaces the record with its id, also that of
    /// a dead letter.
    fn append(
        &self,
        events: &[Arc<Event>],
    ) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Records how these events ended. Ids without a record are passed over: the processor repeats a call that has
    /// failed. [`End::Dead`] may come a second time for a dead letter, and replaces its record.
    fn done(
        &self,
        ends: &[(EventId, End)],
    ) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Reads everything that the journal holds. A processor calls this once, when it starts.
    fn load(&self) -> impl Future<Output = Result<Loaded, JournalError>> + Send;
}

/// A journal in memory. It outlives the processors that use it, but not the process.
///
/// A clone is a handle to the same journal.
///
/// ```
/// use std::sync::Arc;
/// use level5::event_processor::{End, Event, EventId, Journal, MemoryJournal};
/// use level5::priority_queue::Priority;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let event = |id: &str| {
///     Arc::new(Event {
///         id: EventId::new(id),
///         kind: "user_action".to_owned(),
///         key: None,
///         priority: Priority::Low,
///         at: jiff::Timestamp::UNIX_EPOCH,
///         data: bytes::Bytes::new(),
///     })
/// };
/// let journal = MemoryJournal::default();
/// journal.append(&[event("a"), event("b")]).await?;
/// journal.done(&[(EventId::new("a"), End::Delivered)]).await?;
/// assert_eq!(journal.load().await?.pending, [event("b")]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal {
    // Behind an `Arc`, so that a test can start another processor on the journal of one that was dropped. A lock of
    // `std`: it is held for a change of the maps, never across an await.
    records: Arc<Mutex<Records>>,
}

#[derive(Debug, Default)]
struct Records {
    /// The number of the last record. Numbers rise, so the order of a map of them is the order in time.
    next: u64,
    /// By number: `load` returns them in the order of the appends.
    pending: BTreeMap<u64, Arc<Event>>,
    /// By number: `load` returns them in the order in which they died.
    dead: BTreeMap<u64, DeadLetter>,
    /// The number of each event that is in one of the maps. Without it each end would search them.
    numbers: HashMap<EventId, u64>,
}

impl Records {
    fn remove(&mut self, id: &EventId) -> bool {
        let Some(number) = self.numbers.remove(id) else { return false };
        // One of the two has it. Numbers are never used twice, so the other remove finds nothing.
        self.pending.remove(&number);
        self.dead.remove(&number);
        true
    }

    fn number(&mut self, id: &EventId) -> u64 {
        self.next += 1;
        self.numbers.insert(id.clone(), self.next);
        self.next
    }
}

impl MemoryJournal {
    fn records(&self) -> MutexGuard<'_, Records> {
        // No foreign code runs under the lock, so a panic elsewhere cannot leave the maps half changed.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    async fn append(&self, events: &[Arc<Event>]) -> Result<(), JournalError> {
        let mut records = self.records();
        for event in events {
            // A redriven event is here as a dead letter. Left there, it would be loaded twice.
            records.remove(&event.id);
            let number = records.number(&event.id);
            records.pending.insert(number, Arc::clone(event));
        }
        Ok(())
    }

    async fn done(&self, ends: &[(EventId, End)]) -> Result<(), JournalError> {
        let mut records = self.records();
        for (id, end) in ends {
            let known = records.remove(id);
            // Only if it was known: a letter without a record would be of an event that no caller has handed in.
            if let End::Dead(letter) = end
                && known
            {
                let number = records.number(id);
                records.dead.insert(number, letter.clone());
            }
        }
        Ok(())
    }

    async fn load(&self) -> Result<Loaded, JournalError> {
        let records = self.records();
        let pending = records.pending.values().cloned().collect();
        Ok(Loaded { pending, dead: records.dead.values().cloned().collect() })
    }
}
