//! Where accepted events are kept until they have ended.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::event::{Event, EventId, Service};

/// How an event ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Its service has acknowledged it.
    Delivered,
    /// It is a dead letter.
    Dead(DeadLetter),
    /// The caller has dropped the call of `ingest` while the journal wrote.
    Withdrawn,
}

/// An event that is not sent again until it is [redriven](super::Processor::redrive).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event.
    pub event: Arc<Event>,
    /// Where it was to go.
    pub service: Service,
    /// How often it was sent.
    pub attempts: u32,
    /// What the last attempt ended with.
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

/// A journal could not read or write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal failed: {0}")]
pub struct JournalError(pub String);

/// Keeps events from the moment at which they are accepted until they have ended.
///
/// Calls come from several tasks at the same time, so that a journal can write what has come together in one go, as
/// a file journal does that calls `fsync` once for all. A call is ready when what it is about is safe, however that is
/// done. An error means that nothing of the call was kept.
///
/// A call that was begun may be dropped. Then it is unknown whether its events are kept; the processor calls
/// [`done`](Self::done) for them later.
pub trait Journal: Send + Sync + 'static {
    /// Keeps these events. An event whose id is there, also as a dead letter, takes its place at the end, once.
    fn append(
        &self,
        events: &[Arc<Event>],
    ) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Records how these events ended. Ids that are not there are passed over: the processor repeats a call that has
    /// failed.
    fn done(
        &self,
        ends: &[(EventId, End)],
    ) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// What it holds. A processor calls this once, when it starts.
    fn load(&self) -> impl Future<Output = Result<Loaded, JournalError>> + Send;
}

/// A journal in memory. It outlives the processors that use it, and not the process.
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
    // A lock of `std`: it is held for a change of the maps, never across an await.
    records: Arc<Mutex<Records>>,
}

#[derive(Debug, Default)]
struct Records {
    /// The number of the next record. Numbers rise, so that the order of a map of them is the order of time.
    next: u64,
    pending: BTreeMap<u64, Arc<Event>>,
    dead: BTreeMap<u64, DeadLetter>,
    /// The number of each event that is in one of the maps.
    numbers: HashMap<EventId, u64>,
}

impl Records {
    fn remove(&mut self, id: &EventId) -> bool {
        let Some(number) = self.numbers.remove(id) else { return false };
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
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    async fn append(&self, events: &[Arc<Event>]) -> Result<(), JournalError> {
        let mut records = self.records();
        for event in events {
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
