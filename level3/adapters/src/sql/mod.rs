//! The common part of the stores in SQL.
//!
//! A store is the gateway's [`Journal`] and its [`Ledger`] in one database, and answers further
//! questions about payments ([`Store`]). There are two: [`SqliteStore`] and [`PostgresStore`].
//!
//! # Tables
//!
//! | table | holds | duplicates are prevented by |
//! |---|---|---|
//! | `sagas` | each saga: its owner, its epoch, its status, its label if it has one | unique name |
//! | `journal` | the records of a saga, one row for each batch | key (saga, seq) |
//! | `payments` | the ledger's rows, and a tombstone for each payment that was voided before it had one | unique payment, transaction, intent |
//! | `refunds` | the refunds that merchants ask for, each with the instance that has claimed it | unique name |
//! | `events`, `deliveries` | what merchants are notified of, and each notification | unique name; unique event and endpoint |
//! | `inbox`, `disputes` | what the provider reports by itself, and the disputes among it | unique name |
//! | `audit`, `audit_head` | the audit trail, and its last entry | key seq; one row |
//! | `postings` | double-entry postings of payments and refunds | key (payment, refund, reason, account) |
//! | `outbox` | receipts that are still to be sent, each with the instance that has claimed it | key payment |
//! | `instances` | a number for each process that has the store open | key id; in PostgreSQL a sequence |
//! | `store` | the store's identity | one row |
//! | `level3_migrations` | the version of the schema | key version |
//!
//! The name of a payment's saga is a hash of the store's identity and the client's key, so that
//! `sagas.name` is also the durable idempotency key: the second process that is asked for the same
//! payment finds the first one's saga.
//!
//! # One transaction
//!
//! [`Ledger::save`] writes the row, its entry in the outbox and an entry of its own in the saga's
//! journal in one transaction, or nothing. The record that the step is done follows with the saga's
//! next batch. A process that dies in between leaves a row, and a journal in which the step has
//! begun and not ended. The recovery then saves again and gets the existing row, since the payment
//! is its key. So no sequence of crashes makes a second row or a second receipt.
//!
//! # Who owns a saga
//!
//! The epoch decides, not the time: every write names the epoch of its lease, and a claim reads and
//! raises the epoch in one transaction. A saga can be claimed at once when the instance that owned
//! it is gone, which the operating system knows (a locked file, a session's advisory lock) and a
//! killed process cannot fake. Otherwise it can be claimed when nothing was written about it for
//! the length of a lease. The claimer measures that with its own monotonic clock, from the moment
//! it first read the saga. Wall clocks are recorded for people and decide nothing: they may go
//! backwards.
//!
//! # The libraries
//!
//! The stores use rusqlite, on a thread of its own, and tokio-postgres. Measured beside sqlx with
//! an fsync for each answer and 64 payments in flight, rusqlite with group commit made some 30
//! times as many payments and tokio-postgres twice as many, for 27 CPU seconds of building
//! instead of 70. What sqlx would check at compile time, the contract suite in `tests/store` checks
//! on both databases. `throughput-report.md` has the throughput of the stores here.
//!
//! [`SqliteStore`]: super::sqlite::SqliteStore
//! [`PostgresStore`]: super::postgres::PostgresStore

mod audit;
mod check;
mod claim;
mod error;
mod events;
mod failures;
mod inbox;
mod lease;
mod log;
pub(crate) mod postings;
mod refunds;
mod row;
mod slot;
mod view;

use futures::future::BoxFuture;

pub use audit::{Anchor, Audited, BrokenLink, Change, Hash, NotAnAnchor};
pub use check::{Checked, StoreFault};
pub use claim::{ReceiptClaim, ReceiptClaims};
pub use error::StoreError;
pub use events::{
    Delivery, DeliveryEnd, DeliveryQuery, DeliveryState, DeliveryTurn, EventBook, EventNote,
    EventRow, NewDelivery,
};
pub use inbox::{Arrival, DISPUTE_EVENT, Dispute, DisputeRow, Inbox, NewArrival};
pub use lease::DEFAULT_LEASE;
pub use postings::{AccountBalance, TrialBalance};
pub use refunds::{
    NewRefund, RefundBegun, RefundBook, RefundClaim, RefundOutcome, RefundRefusal, RefundRow,
    RefundState, RefundTurn,
};
pub use view::{
    BookedRow, Counts, DeadLetter, Entry, LabelQuery, Labelled, LedgerNote, Shown, UnixMillis,
    Written,
};

pub(crate) use audit::{Auditor, Head, Link, audit_head};
pub(crate) use check::Checker;
pub(crate) use claim::{OutboxEntry, decide};
pub(crate) use events::{Ended, delivery_row, event_row, millis, replayed};
pub(crate) use failures::Failures;
pub(crate) use inbox::{arrival_row, dispute_event, dispute_row};
pub(crate) use lease::{Mark, Turn, Watch};
pub(crate) use log::{decode, encode, note, saga_kind, standing_after};
pub(crate) use postings::{Balancer, Posting};
pub(crate) use refunds::{Charged, Claimable, amount as refund_amount, claim_number, refund_row};
pub(crate) use row::{
    Columns, add_count, booked_row, failed_receipt, journal_entry, labelled, shown,
};
pub(crate) use slot::Slot;
pub(crate) use view::{money, standing, stuck_in};

use level3_domain::ids::{PaymentId, TransactionId};
use level3_domain::journal::{Journal, JournalFuture, Opened, Record, SagaId, StoreId};
use level3_domain::provider::Ledger;

/// The future of a query to a store.
pub type Asked<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A database with the journal and the ledger, and the queries of a program about them.
///
/// Everything that is written is on disk before its future is ready. Dropping the future of a write
/// leaves the write under way: its outcome is unknown, as with any other lost answer.
pub trait Store: Journal + Ledger + ReceiptClaims + RefundBook + EventBook + Inbox {
    /// Returns the place of the store, for messages: a path, or a server and a database, without a
    /// password.
    fn place(&self) -> &str;

    /// Returns one payment with all its records; `None` if there is neither saga nor row.
    fn show(&self, payment: PaymentId) -> Asked<'_, Option<Shown>>;

    /// Returns the undos that are parked and the receipts that could not be sent, the oldest first,
    /// at most `most` of each.
    fn dead_letters(&self, most: usize) -> Asked<'_, Vec<DeadLetter>>;

    /// Returns the counts of sagas, rows and receipts.
    fn counts(&self) -> Asked<'_, Counts>;

    /// Returns the ledger's rows in the order in which they were written, from the one after
    /// `after` (0 for the first), `most` at most. Tombstones without a row are left out.
    fn rows(&self, after: u64, most: usize) -> Asked<'_, Vec<BookedRow>>;

    /// Notes that a receipt could not be sent, so that it is among the [dead
    /// letters](Self::dead_letters) for every process. It stays in the outbox. Changes nothing if
    /// the receipt has been sent.
    fn receipt_failed(&self, payment: PaymentId, cause: String) -> Asked<'_, ()>;

    /// Begins a saga as [`Journal::open`] does, and files it under a label in the same transaction:
    /// there is no moment in which the saga exists and its label does not. The label of a saga that
    /// was begun before does not change.
    fn open_labelled(
        &self,
        saga: SagaId,
        first: Record,
        label: String,
    ) -> JournalFuture<'_, Opened>;

    /// Returns the sagas with a label, the newest first.
    fn labelled(&self, query: LabelQuery) -> Asked<'_, Vec<Labelled>>;

    /// Returns why the last operation failed, if it did. The traits [`Journal`] and [`Ledger`] only
    /// say that something is unavailable; this says what, where, and what to do.
    fn last_error(&self) -> Option<StoreError>;

    /// Waits until the store is lost: it was deleted, replaced or damaged. From then on every
    /// operation fails, and nothing more is acknowledged.
    fn lost(&self) -> BoxFuture<'_, StoreError>;
}

/// The part of a store that a user without write permission can read. Every [`Store`] has it too.
pub trait Records: Send + Sync {
    /// Returns the place of the store, for messages.
    fn place(&self) -> &str;

    /// Returns the identity from which the names of its payments are derived.
    fn store_id(&self) -> StoreId;

    /// Returns one payment with all its records, as [`Store::show`] does.
    fn show(&self, payment: PaymentId) -> Asked<'_, Option<Shown>>;

    /// Returns the failed undos and receipts, as [`Store::dead_letters`] does.
    fn dead_letters(&self, most: usize) -> Asked<'_, Vec<DeadLetter>>;
}

impl<S: Store + ?Sized> Records for S {
    fn place(&self) -> &str {
        Store::place(self)
    }

    fn store_id(&self) -> StoreId {
        Journal::store_id(self)
    }

    fn show(&self, payment: PaymentId) -> Asked<'_, Option<Shown>> {
        Store::show(self, payment)
    }

    fn dead_letters(&self, most: usize) -> Asked<'_, Vec<DeadLetter>> {
        Store::dead_letters(self, most)
    }
}

/// Derives the name of a row from that of its payment, so that a payment can never have two rows.
pub(crate) fn transaction_of(payment: &PaymentId) -> Result<TransactionId, StoreError> {
    let name = payment.as_str();
    let name = format!("txn_{}", name.strip_prefix("pay_").unwrap_or(name));
    TransactionId::new(name).map_err(|why| StoreError::unreadable("transaction", why))
}

/// Converts a number of the store to the integer type of both databases.
pub(crate) fn number_of(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Converts a number of rows to the integer type of both databases.
pub(crate) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}
