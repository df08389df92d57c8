//! The full check of a store: every record and every row is read, and compared with the others.

use level3_domain::ids::{Email, PaymentId, PaymentKey};
use level3_domain::journal::{Payload, Record, Standing, StoreId};
use level3_domain::provider::RowStatus;
use serde::{Deserialize, Serialize};

use super::log::entry;
use super::row::{Columns, booked_row};
use super::view::{LedgerNote, Written};
use super::{standing, standing_after, transaction_of};

/// Faults that are kept one by one; more of them are counted.
const KEPT: usize = 1000;

/// The result of a full check.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Checked {
    /// Sagas that were read.
    pub sagas: u64,
    /// Entries of the journal that were read.
    pub entries: u64,
    /// Rows of the ledger that were read, tombstones included.
    pub rows: u64,
    /// The number of faults.
    pub found: u64,
    /// The first thousand faults.
    pub faults: Vec<StoreFault>,
    /// What could not be checked, and why.
    pub unchecked: Vec<String>,
}

/// A fault of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreFault {
    /// The payment, the table or the index.
    pub at: String,
    /// What is wrong, without secrets.
    pub what: String,
}

/// Collects what a check finds.
///
/// [`entry`](Self::entry) gets each entry of the journal in order, with the columns name, epoch and
/// standing of its saga, whether the ledger has a row of that name, and its own seq, epoch, source
/// and body; a saga without entries has one with seq 0. [`row`](Self::row) gets the columns of a row
/// of the ledger, and then whether there is a saga of its name, whether its receipt is pending, and
/// its address.
#[derive(Debug)]
pub(crate) struct Checker {
    store: StoreId,
    checked: Checked,
    saga: Option<Saga>,
}

/// What is known of a saga from its entries so far.
#[derive(Debug)]
struct Saga {
    name: String,
    epoch: i64,
    standing: String,
    has_row: bool,
    seq: i64,
    last_epoch: i64,
    /// The state that follows from the records.
    stands: Standing,
    is_unreadable: bool,
    row_was_saved: bool,
}

/// The part of a payment's first record from which its name is derived.
#[derive(Deserialize)]
struct Begun {
    payment: Key,
}

#[derive(Deserialize)]
struct Key {
    key: PaymentKey,
}

impl Checker {
    pub(crate) fn new(store: StoreId) -> Self {
        Self { store, checked: Checked::default(), saga: None }
    }

    pub(crate) fn fault(&mut self, at: impl Into<String>, what: impl Into<String>) {
        self.checked.found += 1;
        if self.checked.faults.len() < KEPT {
            self.checked.faults.push(StoreFault { at: at.into(), what: what.into() });
        }
    }

    pub(crate) fn unchecked(&mut self, what: impl Into<String>) {
        self.checked.unchecked.push(what.into());
    }

    pub(crate) fn end(mut self) -> Checked {
        self.end_saga();
        self.checked
    }

    pub(crate) fn entry<R: Columns>(&mut self, row: &R) -> Result<(), R::Fault> {
        let name = row.text(0)?;
        if self.saga.as_ref().is_none_or(|saga| saga.name != name) {
            self.end_saga();
            self.checked.sagas += 1;
            self.saga = Some(Saga {
                name: name.clone(),
                epoch: row.number(1)?,
                standing: row.text(2)?,
                has_row: row.number(3)? > 0,
                seq: 0,
                last_epoch: 1,
                stands: Standing::Open,
                is_unreadable: false,
                row_was_saved: false,
            });
        }
        let (seq, epoch) = (row.number(4)?, row.number(5)?);
        if seq == 0 {
            return Ok(());
        }
        self.checked.entries += 1;
        let (source, body) = (row.text(6)?, row.text(7)?);
        let Some(mut saga) = self.saga.take() else { return Ok(()) };
        if seq != saga.seq + 1 {
            self.fault(&name, format!("entry {} is missing", saga.seq + 1));
        }
        if epoch < saga.last_epoch || epoch > saga.epoch {
            self.fault(&name, format!("entry {seq} has epoch {epoch}, which is out of order"));
        }
        (saga.seq, saga.last_epoch) = (seq, epoch);
        match entry(&source, &body) {
            Ok(Written::Saga(records)) => self.records(&mut saga, seq, &records),
            Ok(Written::Ledger(LedgerNote::RowSaved { .. })) => saga.row_was_saved = true,
            Ok(Written::Ledger(LedgerNote::RowVoided)) => {}
            Err(error) => {
                saga.is_unreadable = true;
                self.fault(&name, format!("entry {seq}: {error}"));
            }
        }
        self.saga = Some(saga);
        Ok(())
    }

    fn records(&mut self, saga: &mut Saga, seq: i64, records: &[Record]) {
        saga.stands = standing_after(records).unwrap_or(saga.stands);
        let begins = records.iter().filter(|record| matches!(record, Record::Begun { .. }));
        let is_begun = matches!(records.first(), Some(Record::Begun { .. }));
        if begins.count() != usize::from(seq == 1) || is_begun != (seq == 1) {
            self.fault(
                &saga.name,
                format!("entry {seq}: a saga begins once, with its first entry"),
            );
        }
        if let Some(Record::Begun { state, .. }) = records.first()
            && let Some(own) = own_name(&self.store, &saga.name, state)
            && own != saga.name
        {
            self.fault(&saga.name, "it is a payment of another store");
        }
    }

    /// Compares a saga with its records, when all of them are read.
    fn end_saga(&mut self) {
        let Some(saga) = self.saga.take() else { return };
        if saga.seq == 0 {
            self.fault(&saga.name, "it has no entries");
        }
        match standing(&saga.standing) {
            Err(error) => self.fault(&saga.name, error.to_string()),
            // A claim of a parked saga opens it again, before its first record.
            Ok(stands) if saga.is_unreadable || stands == saga.stands => {}
            Ok(Standing::Open) if saga.stands == Standing::Parked => {}
            Ok(stands) => self.fault(
                &saga.name,
                format!("it is {}, and its entries say {}", stands.name(), saga.stands.name()),
            ),
        }
        if saga.row_was_saved && !saga.has_row {
            self.fault(&saga.name, "its row was written, and the ledger does not have it");
        }
    }

    pub(crate) fn row<R: Columns>(&mut self, row: &R) -> Result<(), R::Fault>
    where
        R::Fault: std::fmt::Display,
    {
        self.checked.rows += 1;
        let (name, transaction) = (row.text(1)?, row.text(2)?);
        let (is_known, is_pending) = (row.number(9)? > 0, row.number(10)? > 0);
        let own = PaymentId::try_from(name.clone()).ok().and_then(|it| transaction_of(&it).ok());
        if own.is_none_or(|own| own.as_str() != transaction) {
            self.fault(&name, "its row has the name of another one");
        }
        if !is_known {
            let what = "its row has no saga: it belongs to another store, or its journal is lost";
            self.fault(&name, what);
        }
        // A tombstone of a payment that never had a row.
        let was_saved = row.number(8)? >= 0;
        let status = match was_saved {
            true => match booked_row(row) {
                Ok(booked) => Some(booked.row.status),
                Err(error) => {
                    self.fault(&name, error.to_string());
                    None
                }
            },
            false => Some(RowStatus::Voided),
        };
        if was_saved && let Err(why) = Email::new(row.text(11)?) {
            self.fault(&name, format!("the address of its row {why}"));
        }
        if is_pending && status == Some(RowStatus::Voided) {
            self.fault(&name, "its receipt is to be sent, and its row was voided");
        }
        Ok(())
    }
}

impl Checker {
    /// Checks the refunds of one payment: its name, its amount, its status, and the sum of its refunds
    /// that have not failed.
    pub(crate) fn refunds<R: Columns>(&mut self, row: &R) -> Result<(), R::Fault> {
        let (name, charged, given) = (row.text(0)?, row.number(1)?, row.number(3)?);
        if row.text(2)? != "completed" {
            self.fault(&name, "it has refunds, and its row was voided");
        } else if given > charged {
            self.fault(&name, format!("its refunds of {given} exceed its charge of {charged}"));
        }
        Ok(())
    }
}

/// Derives the name that a payment has in this store. `None` for a saga of another kind.
fn own_name(store: &StoreId, name: &str, state: &Payload) -> Option<String> {
    let run = name.strip_prefix("pay_")?.rsplit_once('_')?.1.parse().ok()?;
    let key = state.read::<Begun>().ok()?.payment.key;
    Some(PaymentId::derive(store, &key, run).as_str().to_owned())
}

impl Checked {
    /// Whether no fault was found.
    #[must_use]
    pub const fn is_fine(&self) -> bool {
        self.found == 0
    }
}

#[cfg(test)]
mod tests;
