//! A store in PostgreSQL.
//!
//! [`PostgresStore::connect`] creates its tables in the schema that is first in the connection's
//! search path; any number of processes may use them. A few connections commit in groups, and one
//! more shows that this process is alive.
//!
//! Every answer comes after the server's flush: `synchronous_commit` is set to `on` for each
//! connection. `fsync` and `full_page_writes`, which a durable flush needs too, are the server's
//! configuration, and on by default.
//!
//! # What protects a connection
//!
//! `sslmode` has the meaning that `psql` and libpq give it:
//!
//! | `sslmode` | connection | the server's certificate |
//! |---|---|---|
//! | `disable` | in the clear | |
//! | `allow` | in the clear; with TLS if the server refuses that | not checked |
//! | `prefer`, the default | with TLS; in the clear if the server has none | not checked |
//! | `require` | with TLS | not checked; with `sslrootcert` as `verify-ca` |
//! | `verify-ca` | with TLS | signed by an authority of `sslrootcert` |
//! | `verify-full` | with TLS | the same, and for the host of the URL |
//!
//! Only `verify-full` protects against an attacker who can redirect the connection. `sslrootcert` names a file
//! of certificates in PEM; without it, `~/.postgresql/root.crt` is read if it exists, and otherwise
//! `verify-full` trusts the authorities of the system, as `sslrootcert=system` does. A Unix socket has
//! no TLS.
//!
//! # Failures
//!
//! The store replaces a lost connection. Writes wait for the new connection up to
//! [`PostgresOptions::patience`], and then fail. A write whose commit was under way when the
//! connection broke fails at once with [`StoreError::Lost`], since its outcome is unknown. A server that
//! takes no writes for a while, as during a fail-over, is waited for in the same way.
//!
//! Each new connection has to lead to the same store. If the tables or the database were deleted, or
//! another store or an earlier state is in their place, every operation fails with
//! [`StoreError::Gone`], and nothing more is acknowledged.

mod address;
mod audit;
mod check;
mod events;
mod fault;
mod inbox;
mod journal;
mod keeper;
mod ledger;
mod password;
mod postings;
mod queries;
mod reader;
mod refunds;
mod session;
mod statements;
mod tls;
mod verifier;
mod writer;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use level3_domain::ids::{PaymentId, TransactionId};
use level3_domain::journal::{
    Claimed, Journal, JournalError, JournalFuture, Lease, Opened, Record, SagaId, SagaLog,
    Standing, StoreId,
};
use level3_domain::nonzero;
use level3_domain::provider::{CallFuture, Ledger, NewRow, PendingReceipt, Row};
use level3_domain::refund::RefundId;
use tokio::sync::Mutex;

pub use self::address::PostgresAddress;
pub use self::password::Password;
pub use self::reader::PostgresReader;

use self::keeper::Keeper;
use self::writer::{Operation, Writer};
use super::sql::{
    Arrival, Asked, BookedRow, Change, Counts, DEFAULT_LEASE, DeadLetter, Delivery, DeliveryEnd,
    DeliveryQuery, DeliveryTurn, Dispute, DisputeRow, EventBook, EventNote, EventRow, Inbox,
    LabelQuery, Labelled, NewArrival, NewDelivery, NewRefund, ReceiptClaim, ReceiptClaims,
    RefundBegun, RefundBook, RefundClaim, RefundOutcome, RefundRow, RefundTurn, Shown, Store,
    StoreError, Watch, encode, limit, millis, number_of, saga_kind, standing_after,
};

/// The options of a store in PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresOptions {
    /// The number of connections that write. One more connection shows that this process is alive.
    pub connections: NonZeroUsize,
    /// The most writes that share one transaction. 1 turns group commit off.
    pub group: NonZeroUsize,
    /// How long a living owner of a saga may be silent before the saga can be claimed. It must be
    /// longer than any step and than the longest pause between two attempts to undo one.
    pub lease: Duration,
    /// How long the server may be unreachable or silent before a write fails.
    pub patience: Duration,
}

impl Default for PostgresOptions {
    /// Four connections, groups of 256, the default lease, and 5 s, which is about as long as a
    /// server takes to start again.
    fn default() -> Self {
        Self {
            connections: nonzero!(4),
            group: nonzero!(256),
            lease: DEFAULT_LEASE,
            patience: Duration::from_secs(5),
        }
    }
}

/// A store in PostgreSQL: a journal and a ledger. Cheap to clone; clones share one store.
#[derive(Clone)]
pub struct PostgresStore {
    writer: Arc<Writer>,
    watch: Arc<Watch>,
    receipts: Arc<Watch>,
    refunds: Arc<Watch>,
    // One refund is recorded at a time: see `refunds::Begin`.
    recording: Arc<Mutex<()>>,
    keeper: Arc<Keeper>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("place", &self.writer.place())
            .field("instance", &self.keeper.id())
            .finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects to `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=MODE` and makes or updates
    /// the tables. [`PostgresAddress::new`] says where the password comes from if the URL has none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Url`] and [`StoreError::Authorities`], and those of
    /// [`connect_to`](Self::connect_to).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes the connection. The tables may have been created.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::connect_with(url, PostgresOptions::default()).await
    }

    /// Connects with other options.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn connect_with(url: &str, options: PostgresOptions) -> Result<Self, StoreError> {
        Self::connect_to(PostgresAddress::new(url)?, options).await
    }

    /// Connects to an address.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: [`Unreachable`](StoreError::Unreachable), [`Tls`](StoreError::Tls),
    /// [`NoPassword`](StoreError::NoPassword), [`Refused`](StoreError::Refused) if user, password or
    /// database are wrong, [`ReadOnly`](StoreError::ReadOnly) if the user may not create tables,
    /// [`Standby`](StoreError::Standby), [`Foreign`](StoreError::Foreign) or
    /// [`NewerSchema`](StoreError::NewerSchema), and then the database is not changed, and
    /// [`Damaged`](StoreError::Damaged) if a table, a column or the identity is missing.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancellation
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_to(
        address: PostgresAddress,
        options: PostgresOptions,
    ) -> Result<Self, StoreError> {
        let address = address.within(options.patience);
        let keeper = Keeper::start(&address).await.map_err(|fault| address.error(fault))?;
        let (connections, group) = (options.connections.get(), options.group.get());
        let writer = Writer::start(address, keeper.known(), connections, group, options.patience);
        Ok(Self {
            writer: Arc::new(writer),
            watch: Arc::new(Watch::new(options.lease)),
            receipts: Arc::new(Watch::new(options.lease)),
            refunds: Arc::new(Watch::new(options.lease)),
            recording: Arc::default(),
            keeper: Arc::new(keeper),
        })
    }

    /// Whether the connection leaves this machine in the clear, although `sslmode` would have TLS:
    /// the server has none.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.keeper.is_exposed()
    }

    /// Finishes the operations that were begun before, and closes the connections. Later
    /// operations, through a clone, fail with [`StoreError::Closed`].
    ///
    /// Dropping the last clone does the same without waiting for it.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops the waiting; the connections are still closed.
    pub async fn close(self) {
        self.writer.stop().await;
    }

    fn begin(
        &self,
        saga: SagaId,
        first: Record,
        label: Option<String>,
    ) -> JournalFuture<'_, Opened> {
        let (owner, kind) = (self.keeper.id(), saga_kind(&first).to_owned());
        self.log(encode(&[first]).map(|body| journal::Open { saga, kind, owner, body, label }))
    }

    /// Runs an operation of the journal.
    fn log<T: Send + 'static>(
        &self,
        operation: Result<impl Operation<Output = T>, StoreError>,
    ) -> JournalFuture<'static, T> {
        match operation {
            Ok(operation) => {
                let done = self.writer.submit(operation);
                async move { Ok(done.await?) }.boxed()
            }
            Err(error) => std::future::ready(Err(error.into())).boxed(),
        }
    }

    /// Runs an operation of the ledger.
    fn book<T: Send + 'static>(&self, operation: impl Operation<Output = T>) -> CallFuture<T> {
        let done = self.writer.submit(operation);
        async move { Ok(done.await?) }.boxed()
    }
}

impl PostgresStore {
    fn add(
        &self,
        lease: &Lease,
        records: &[Record],
        note: Option<EventNote>,
    ) -> JournalFuture<'_, ()> {
        // No store returns an epoch that is too large for this.
        let epoch = number_of(lease.epoch);
        let saga = lease.saga.clone();
        let stands = standing_after(records).zip(Change::of_records(records));
        let append = |body| journal::Append { saga, epoch, body, stands, note };
        let written = self.log(encode(records).map(append));
        async move { if written.await? { Ok(()) } else { Err(JournalError::Fenced) } }.boxed()
    }
}

impl EventBook for PostgresStore {
    fn append_noted(
        &self,
        lease: &Lease,
        records: Vec<Record>,
        note: EventNote,
    ) -> JournalFuture<'_, ()> {
        self.add(lease, &records, Some(note))
    }

    fn unplanned(&self, most: usize) -> Asked<'_, Vec<EventRow>> {
        self.writer.submit(events::Unplanned(limit(most))).boxed()
    }

    fn plan(&self, event: u64, deliveries: Vec<NewDelivery>) -> Asked<'_, ()> {
        self.writer.submit(events::Plan { event: number_of(event), deliveries }).boxed()
    }

    fn claim_deliveries(&self, most: usize, time: Duration) -> Asked<'_, Vec<DeliveryTurn>> {
        self.writer.submit(events::Claim { most: limit(most), time: millis(time) }).boxed()
    }

    fn delivery_ended(&self, turn: &DeliveryTurn, end: DeliveryEnd) -> Asked<'_, bool> {
        self.writer.submit(events::End { turn: turn.clone(), end: end.into() }).boxed()
    }

    fn deliveries(&self, query: DeliveryQuery) -> Asked<'_, Vec<Delivery>> {
        self.writer.submit(events::List(query)).boxed()
    }

    fn replay(&self, number: u64, label: Option<String>) -> Asked<'_, bool> {
        self.writer.submit(events::Replay { number: number_of(number), label }).boxed()
    }
}

impl Inbox for PostgresStore {
    fn take_in(&self, arrival: NewArrival) -> Asked<'_, bool> {
        self.writer.submit(inbox::TakeIn(arrival)).boxed()
    }

    fn unhandled(&self, most: usize) -> Asked<'_, Vec<Arrival>> {
        self.writer.submit(inbox::Unhandled(limit(most))).boxed()
    }

    fn arrival_handled(&self, number: u64, outcome: String) -> Asked<'_, ()> {
        self.writer.submit(inbox::Handled { number: number_of(number), outcome }).boxed()
    }

    fn arrival_failed(&self, number: u64, cause: String) -> Asked<'_, ()> {
        self.writer.submit(inbox::Failed { number: number_of(number), cause }).boxed()
    }

    fn record_dispute(&self, dispute: Dispute, event: String) -> Asked<'_, Option<PaymentId>> {
        self.writer.submit(inbox::RecordDispute { dispute, event }).boxed()
    }

    fn disputes_of(&self, payment: PaymentId) -> Asked<'_, Vec<DisputeRow>> {
        self.writer.submit(inbox::DisputesOf(payment)).boxed()
    }

    fn dispute(&self, id: String) -> Asked<'_, Option<DisputeRow>> {
        self.writer.submit(inbox::ShowDispute(id)).boxed()
    }

    fn refund_failed_late(
        &self,
        refund: RefundId,
        cause: String,
        note: EventNote,
    ) -> Asked<'_, bool> {
        self.writer.submit(inbox::RefundFailedLate { refund, cause, note }).boxed()
    }
}

impl Journal for PostgresStore {
    fn store_id(&self) -> StoreId {
        self.keeper.identity()
    }

    fn open(&self, saga: SagaId, first: Record) -> JournalFuture<'_, Opened> {
        self.begin(saga, first, None)
    }

    fn append(&self, lease: &Lease, records: Vec<Record>) -> JournalFuture<'_, ()> {
        self.add(lease, &records, None)
    }

    fn claim(&self, saga: SagaId) -> JournalFuture<'_, Claimed> {
        let (watch, me) = (Arc::clone(&self.watch), self.keeper.id());
        self.log(Ok(journal::Claim { saga, watch, me }))
    }

    fn read(&self, saga: SagaId) -> JournalFuture<'_, Option<SagaLog>> {
        self.log(Ok(journal::Read(saga)))
    }

    fn list(&self, standing: Standing) -> JournalFuture<'_, Vec<SagaId>> {
        self.log(Ok(journal::List(standing)))
    }
}

impl Ledger for PostgresStore {
    fn save(&self, row: NewRow) -> CallFuture<Row> {
        let saved = self.writer.submit(ledger::Save(row));
        async move { saved.await? }.boxed()
    }

    fn void(&self, payment: PaymentId) -> CallFuture<()> {
        self.book(ledger::Void(payment))
    }

    fn pending_receipts(&self, most: usize) -> CallFuture<Vec<PendingReceipt>> {
        self.book(ledger::PendingReceipts(limit(most)))
    }

    fn receipt_sent(&self, transaction: TransactionId) -> CallFuture<()> {
        self.book(ledger::ReceiptSent::new(transaction))
    }
}

impl ReceiptClaims for PostgresStore {
    fn claim_receipt(&self, transaction: TransactionId) -> Asked<'_, ReceiptClaim> {
        let (watch, me) = (Arc::clone(&self.receipts), self.keeper.id());
        self.writer.submit(ledger::ClaimReceipt::new(transaction, watch, me)).boxed()
    }

    fn release_receipt(&self, transaction: TransactionId, in_doubt: bool) -> Asked<'_, ()> {
        let me = self.keeper.id();
        self.writer.submit(ledger::ReleaseReceipt::new(transaction, me, in_doubt)).boxed()
    }
}

impl RefundBook for PostgresStore {
    fn begin_refund(&self, new: NewRefund) -> Asked<'_, RefundBegun> {
        async move {
            let _alone = Arc::clone(&self.recording).lock_owned().await;
            self.writer.submit(refunds::Begin { new, me: self.keeper.id(), _alone }).await
        }
        .boxed()
    }

    fn claim_refund(&self, refund: RefundId) -> Asked<'_, RefundClaim> {
        let (watch, me) = (Arc::clone(&self.refunds), self.keeper.id());
        self.writer.submit(refunds::Claim { refund, watch, me }).boxed()
    }

    fn refund_attempted(
        &self,
        turn: &RefundTurn,
        generation: u32,
        cause: String,
        release: bool,
    ) -> Asked<'_, bool> {
        let turn = turn.clone();
        self.writer.submit(refunds::Attempted { turn, generation, cause, release }).boxed()
    }

    fn settle_refund(
        &self,
        turn: &RefundTurn,
        outcome: RefundOutcome,
        note: Option<EventNote>,
    ) -> Asked<'_, bool> {
        self.writer.submit(refunds::Settle { turn: turn.clone(), outcome, note }).boxed()
    }

    fn refund(&self, refund: RefundId) -> Asked<'_, Option<RefundRow>> {
        self.writer.submit(refunds::Show(refund)).boxed()
    }

    fn refunds_of(&self, payment: PaymentId) -> Asked<'_, Vec<RefundRow>> {
        self.writer.submit(refunds::OfPayment(payment)).boxed()
    }

    fn open_refunds(&self, most: usize) -> Asked<'_, Vec<RefundId>> {
        self.writer.submit(refunds::Open(limit(most))).boxed()
    }
}

impl Store for PostgresStore {
    fn place(&self) -> &str {
        self.writer.place()
    }

    fn show(&self, payment: PaymentId) -> Asked<'_, Option<Shown>> {
        self.writer.submit(queries::Show(payment)).boxed()
    }

    fn dead_letters(&self, most: usize) -> Asked<'_, Vec<DeadLetter>> {
        self.writer.submit(queries::DeadLetters(limit(most))).boxed()
    }

    fn counts(&self) -> Asked<'_, Counts> {
        self.writer.submit(queries::Count).boxed()
    }

    fn rows(&self, after: u64, most: usize) -> Asked<'_, Vec<BookedRow>> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.writer.submit(queries::Rows { after, most: limit(most) }).boxed()
    }

    fn receipt_failed(&self, payment: PaymentId, cause: String) -> Asked<'_, ()> {
        self.writer.submit(queries::ReceiptFailed { payment, cause }).boxed()
    }

    fn open_labelled(
        &self,
        saga: SagaId,
        first: Record,
        label: String,
    ) -> JournalFuture<'_, Opened> {
        self.begin(saga, first, Some(label))
    }

    fn labelled(&self, query: LabelQuery) -> Asked<'_, Vec<Labelled>> {
        self.writer.submit(queries::WithLabel(query)).boxed()
    }

    fn last_error(&self) -> Option<StoreError> {
        self.writer.failures().last()
    }

    fn lost(&self) -> BoxFuture<'_, StoreError> {
        self.writer.failures().lost().boxed()
    }
}
