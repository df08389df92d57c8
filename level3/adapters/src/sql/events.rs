//! What merchants are notified of, and the notifications that are still to be sent.
//!
//! An event is written in the transaction that makes it true: the end of a payment's saga, the
//! outcome of a refund. So there is no payment that has ended without its event, and no event of
//! something that did not happen (the *transactional outbox*). Later a process plans it: it makes one
//! delivery for each endpoint of the merchant.
//!
//! A delivery is claimed for a time, in which no other process gets it. When a process dies, its
//! deliveries are due again after that time; so an endpoint gets each event at least once. The times
//! are those of the database's clock. If that clock jumps, deliveries are early or late, and none is
//! lost.

use std::time::Duration;

use level3_domain::journal::{JournalFuture, Lease, Record, SagaId};

use super::row::Columns;
use super::view::{UnixMillis, unsigned};
use super::{Asked, StoreError};

/// An event to be written with a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventNote {
    /// Its name, which is unique in the store. An event that was written before stays as it is.
    pub name: String,
    /// The saga whose label is the event's. Without such a label there is no event.
    pub filed_as: SagaId,
    /// The type of the event, for example `payment.paid`.
    pub kind: &'static str,
    /// The thing that it has happened to.
    pub subject: String,
}

/// An event of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// The number of the event; later events have greater ones.
    pub number: u64,
    /// The name of the event, unique in the store.
    pub name: String,
    /// The label of the saga that the event belongs to.
    pub label: String,
    /// The type of the event, for example `payment.paid`.
    pub kind: String,
    /// The thing that it has happened to.
    pub subject: String,
    /// The time of the write, by the clock of the database.
    pub at: UnixMillis,
}

/// A delivery to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// The name of the endpoint.
    pub endpoint: String,
    /// What is sent: the same bytes at every attempt.
    pub body: String,
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// The delivery is still to be made.
    Pending,
    /// The endpoint has accepted the notification.
    Delivered,
    /// The delivery is given up; an operator may replay it.
    Dead,
}

impl DeliveryState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// Returns the name, as a store writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// Returns the state with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A delivery as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The number of the delivery; later deliveries have greater ones.
    pub number: u64,
    /// The name of the event that is delivered.
    pub event: String,
    /// The label of the event that is delivered.
    pub label: String,
    /// The name of the endpoint.
    pub endpoint: String,
    /// The body of the request: the same bytes at every attempt.
    pub body: String,
    /// Whether the delivery is pending, delivered or dead.
    pub state: DeliveryState,
    /// The number of attempts that failed.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub cause: Option<String>,
    /// When the next attempt is due, if it is pending.
    pub due_at: UnixMillis,
    /// The time of the last change, by the clock of the database.
    pub changed_at: UnixMillis,
}

/// The right to make a delivery, until its time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryTurn {
    /// The delivery that is claimed.
    pub delivery: Delivery,
    /// The number of the claim.
    pub claim: u64,
}

/// The end of an attempt at a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryEnd {
    /// The endpoint has accepted the notification.
    Delivered,
    /// The attempt failed, and the next one is due after this time.
    Again {
        /// The time until the next attempt.
        after: Duration,
        /// Why the attempt failed. Without secrets.
        cause: String,
        /// Whether the endpoint was called. An attempt that a breaker refused does not count.
        counts: bool,
    },
    /// The attempt failed, and was the last one.
    Dead {
        /// Why the attempt failed. Without secrets.
        cause: String,
    },
}

/// Selects deliveries, the latest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryQuery {
    /// Only those of events with this label; `None` for all.
    pub label: Option<String>,
    /// Only those in this state; `None` for all.
    pub state: Option<DeliveryState>,
    /// Only those with a smaller number, to continue a list.
    pub before: Option<u64>,
    /// The greatest number of deliveries to return.
    pub most: usize,
}

/// The events of a store and their deliveries. Everything that is written is on disk before its future
/// is ready.
pub trait EventBook: Send + Sync {
    /// Adds records as [`Journal::append`](level3_domain::journal::Journal::append) does, and an
    /// event in the same transaction.
    fn append_noted(
        &self,
        lease: &Lease,
        records: Vec<Record>,
        note: EventNote,
    ) -> JournalFuture<'_, ()>;

    /// Returns events that are not planned yet, the oldest first, `most` at most.
    fn unplanned(&self, most: usize) -> Asked<'_, Vec<EventRow>>;

    /// Makes the deliveries of an event. Of two plans for one event the first one counts.
    fn plan(&self, event: u64, deliveries: Vec<NewDelivery>) -> Asked<'_, ()>;

    /// Claims deliveries that are due, for this time, `most` at most.
    fn claim_deliveries(&self, most: usize, time: Duration) -> Asked<'_, Vec<DeliveryTurn>>;

    /// Records the end of an attempt. Returns `false`, and writes nothing, if the delivery was claimed
    /// or replayed since.
    fn delivery_ended(&self, turn: &DeliveryTurn, end: DeliveryEnd) -> Asked<'_, bool>;

    /// Returns deliveries, the latest first.
    fn deliveries(&self, query: DeliveryQuery) -> Asked<'_, Vec<Delivery>>;

    /// Makes a delivery once more, from the first attempt on, whatever its state is. Returns `false`
    /// if there is none with this number and this label.
    fn replay(&self, number: u64, label: Option<String>) -> Asked<'_, bool>;
}

/// The end of an attempt, as both databases write it.
pub(crate) struct Ended {
    pub(crate) state: DeliveryState,
    pub(crate) cause: Option<String>,
    /// The milliseconds until the next attempt.
    pub(crate) after: i64,
    /// What is added to the number of failed attempts.
    pub(crate) failed: i64,
}

impl From<DeliveryEnd> for Ended {
    fn from(end: DeliveryEnd) -> Self {
        match end {
            DeliveryEnd::Delivered => {
                Self { state: DeliveryState::Delivered, cause: None, after: 0, failed: 0 }
            }
            DeliveryEnd::Again { after, cause, counts } => Self {
                state: DeliveryState::Pending,
                cause: Some(cause),
                after: millis(after),
                failed: counts.into(),
            },
            DeliveryEnd::Dead { cause } => {
                Self { state: DeliveryState::Dead, cause: Some(cause), after: 0, failed: 1 }
            }
        }
    }
}

/// Returns whole milliseconds, at most a year.
pub(crate) fn millis(time: Duration) -> i64 {
    let year = Duration::from_secs(365 * 24 * 3600);
    i64::try_from(time.min(year).as_millis()).unwrap_or(i64::MAX)
}

/// The subject of an entry of the audit trail about a delivery.
pub(crate) fn replayed(number: i64) -> String {
    format!("delivery {number}")
}

/// Reads an event.
pub(crate) fn event_row<R: Columns>(row: &R) -> Result<EventRow, R::Fault> {
    Ok(EventRow {
        number: unsigned(row.number(0)?),
        name: row.text(1)?,
        label: row.text(2)?,
        kind: row.text(3)?,
        subject: row.text(4)?,
        at: UnixMillis(row.number(5)?),
    })
}

/// Reads a delivery with the number of its claims.
pub(crate) fn delivery_row<R: Columns>(row: &R) -> Result<DeliveryTurn, R::Fault> {
    let state = row.text(5)?;
    let state = DeliveryState::from_name(&state)
        .ok_or_else(|| StoreError::unreadable("state of a delivery", state))?;
    let cause = row.text(7)?;
    let delivery = Delivery {
        number: unsigned(row.number(0)?),
        event: row.text(1)?,
        label: row.text(2)?,
        endpoint: row.text(3)?,
        body: row.text(4)?,
        state,
        attempts: u32::try_from(row.number(6)?).unwrap_or(u32::MAX),
        cause: (!cause.is_empty()).then_some(cause),
        due_at: UnixMillis(row.number(8)?),
        changed_at: UnixMillis(row.number(9)?),
    };
    Ok(DeliveryTurn { delivery, claim: unsigned(row.number(10)?) })
}
