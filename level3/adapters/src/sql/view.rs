//! The contents of a store, for display.

use std::time::Duration;

use level3_domain::ids::{IntentId, OrderId, PaymentId, TransactionId};
use level3_domain::journal::Stuck;
use level3_domain::journal::{Record, SagaId, Standing};
use level3_domain::money::{Currency, Money};
use level3_domain::provider::Row;
use serde::{Deserialize, Serialize};

use super::StoreError;

/// The time of a wall clock, in milliseconds since the beginning of 1970. It is for display only:
/// no decision depends on it, since wall clocks can go backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// Returns the time since `earlier`; zero if the clock went backwards.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A payment with all its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The payment that is shown.
    pub payment: PaymentId,
    /// The status of its saga; `None` if the store has no saga of it.
    pub standing: Option<Standing>,
    /// The number of owners that its saga had.
    pub epoch: u64,
    /// Its entries in the journal, in order.
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
    /// The time of the write, by the clock of the database.
    pub at: UnixMillis,
    /// The content of the row.
    pub written: Written,
}

/// The content of one row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// The saga wrote the row, as one batch.
    Saga(Vec<Record>),
    /// The ledger wrote the row, in the transaction that changed its own row.
    Ledger(LedgerNote),
}

/// A note of the ledger in a saga's journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum LedgerNote {
    /// The row and its entry in the outbox were written.
    RowSaved {
        /// The row's name.
        transaction: TransactionId,
    },
    /// The row was voided, or can never be written.
    RowVoided,
}

/// A row of the ledger, with the intent that was charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookedRow {
    /// Its number in the ledger, for [`Store::rows`](super::Store::rows).
    pub number: u64,
    /// The row, as the ledger stores it.
    pub row: Row,
    /// The merchant's order.
    pub order: OrderId,
    /// The intent that was charged.
    pub intent: IntentId,
    /// When it was written, by the clock of the database.
    pub saved_at: UnixMillis,
}

/// An undo or a receipt that failed.
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
        /// The payment whose receipt it is.
        payment: PaymentId,
        /// Why the last attempt failed.
        cause: String,
        /// The number of times that sending it was given up.
        failures: u32,
    },
}

/// Returns the steps that these records leave parked.
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

/// Selects sagas by their label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelQuery {
    /// The label, compared exactly.
    pub label: String,
    /// Only sagas that were begun before this one, to continue a list. If it has another label, or
    /// does not exist, the list is empty.
    pub before: Option<SagaId>,
    /// Only sagas that were begun at this time or later.
    pub from: Option<UnixMillis>,
    /// Only sagas that were begun before this time.
    pub to: Option<UnixMillis>,
    /// The greatest number of sagas to return.
    pub most: usize,
}

/// A saga with a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// The saga that is listed.
    pub saga: SagaId,
    /// When it was begun, by the clock of the database.
    pub begun_at: UnixMillis,
}

/// The counts of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Sagas that are under way, or that a dead process left behind.
    pub open: u64,
    /// Sagas with a parked undo, which an operator has to look at.
    pub parked: u64,
    /// Sagas that have ended.
    pub ended: u64,
    /// Rows of completed payments.
    pub completed: u64,
    /// Rows that were voided, and payments that can never have a row.
    pub voided: u64,
    /// Receipts that are still to be sent.
    pub receipts: u64,
    /// Receipts of these that are being sent, or that an earlier attempt may have sent.
    pub receipts_in_doubt: u64,
}

impl Counts {
    /// Adds a count that a database has under the name of a status.
    pub(crate) fn add(&mut self, name: &str, count: u64) {
        match name {
            "open" => self.open = count,
            "parked" => self.parked = count,
            "ended" => self.ended = count,
            "completed" => self.completed = count,
            "voided" => self.voided = count,
            "receipts" => self.receipts = count,
            "receipts in doubt" => self.receipts_in_doubt = count,
            _ => {}
        }
    }
}

/// Reads an amount from its columns.
pub(crate) fn money(minor: i64, currency: String) -> Result<Money, StoreError> {
    let currency =
        Currency::try_from(currency).map_err(|why| StoreError::unreadable("currency", why))?;
    Money::new(minor, currency).map_err(|why| StoreError::unreadable("amount", why))
}

/// Reads the status of a saga from its name.
pub(crate) fn standing(name: &str) -> Result<Standing, StoreError> {
    Standing::from_name(name).ok_or_else(|| StoreError::unreadable("standing", name))
}

/// Converts a number of a store, which is never negative.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
