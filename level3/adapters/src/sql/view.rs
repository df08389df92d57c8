//! What a store tells people.

use std::time::Duration;

use level3_domain::ids::{IntentId, OrderId, PaymentId, TransactionId};
use level3_domain::journal::Stuck;
use level3_domain::journal::{Record, SagaId, Standing};
use level3_domain::money::{Currency, Money};
use level3_domain::provider::Row;
use serde::{Deserialize, Serialize};

use super::StoreError;

/// A wall clock's time, in milliseconds since the beginning of 1970. For people: nothing is decided by
/// it, since wall clocks go backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// What has passed since `earlier`, or nothing if the clock went backwards.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A payment with everything that was written about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The payment.
    pub payment: PaymentId,
    /// Where its saga stands; none if the store has none.
    pub standing: Option<Standing>,
    /// How many owners its saga had.
    pub epoch: u64,
    /// What was written, in order.
    pub entries: Vec<Entry>,
    /// Its row, if there is one.
    pub row: Option<BookedRow>,
    /// Whether its receipt is still to be sent.
    pub receipt_pending: bool,
}

/// One row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number within the saga; the first is 1.
    pub seq: u64,
    /// The epoch of the owner that wrote it.
    pub epoch: u64,
    /// When, by the clock of the database.
    pub at: UnixMillis,
    /// The record.
    pub written: Written,
}

/// What one row of the journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// The saga wrote it.
    Saga(Vec<Record>),
    /// The ledger wrote it, in the transaction that changed the row.
    Ledger(LedgerNote),
}

/// What the ledger writes into a saga's journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum LedgerNote {
    /// The row and its entry in the outbox are there.
    RowSaved {
        /// The row's name.
        transaction: TransactionId,
    },
    /// The row is taken back, or can never be written any more.
    RowVoided,
}

/// A row of the ledger, with what the provider knows it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookedRow {
    /// Its number in the ledger, for [`Store::rows`](super::Store::rows).
    pub number: u64,
    /// The row.
    pub row: Row,
    /// The merchant's order.
    pub order: OrderId,
    /// The intent that was charged.
    pub intent: IntentId,
    /// When it was written, by the clock of the database.
    pub saved_at: UnixMillis,
}

/// Something that could not be brought to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetter {
    /// A saga with steps that could not be undone.
    Undo {
        /// The name of the saga.
        saga: SagaId,
        /// The steps that are stuck, each with its cause.
        stuck: Vec<Stuck>,
    },
    /// A receipt that could not be sent.
    Receipt {
        /// The payment.
        payment: PaymentId,
        /// Why the last attempt failed.
        cause: String,
        /// How often it was given up.
        failures: u32,
    },
}

/// The steps that these records leave parked.
pub(crate) fn stuck_in(records: &[Record]) -> Vec<Stuck> {
    let mut stuck: Vec<Stuck> = Vec::new();
    for record in records {
        match record {
            Record::UndoParked { step, cause, attempts } => {
                stuck.retain(|known| known.step != *step);
                stuck.push(Stuck {
                    step: step.to_string(),
                    cause: cause.clone(),
                    attempts: *attempts,
                });
            }
            Record::UndoDone { step, .. } => stuck.retain(|known| known.step != *step),
            _ => {}
        }
    }
    stuck
}

/// How much there is of everything in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Sagas under way, or left behind.
    pub open: u64,
    /// Sagas that an operator has to look at.
    pub parked: u64,
    /// Sagas that are over.
    pub ended: u64,
    /// Rows that stand.
    pub completed: u64,
    /// Rows that were taken back, and payments that can have none.
    pub voided: u64,
    /// Receipts that are still to be sent.
    pub receipts: u64,
}

impl Counts {
    /// Adds what a database counted under the name of a standing or a status.
    pub(crate) fn add(&mut self, name: &str, count: u64) {
        match name {
            "open" => self.open = count,
            "parked" => self.parked = count,
            "ended" => self.ended = count,
            "completed" => self.completed = count,
            "voided" => self.voided = count,
            "receipts" => self.receipts = count,
            _ => {}
        }
    }
}

/// An amount as it was written.
pub(crate) fn money(minor: i64, currency: String) -> Result<Money, StoreError> {
    let currency =
        Currency::try_from(currency).map_err(|why| StoreError::unreadable("currency", why))?;
    Money::new(minor, currency).map_err(|why| StoreError::unreadable("amount", why))
}

/// A standing as it was written.
pub(crate) fn standing(name: &str) -> Result<Standing, StoreError> {
    Standing::from_name(name).ok_or_else(|| StoreError::unreadable("standing", name))
}

/// Numbers and counts of a store are never negative.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
