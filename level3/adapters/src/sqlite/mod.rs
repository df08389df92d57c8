//! A store in one file.
//!
//! [`SqliteStore::open`] creates or opens the file. One thread owns the connection and commits in
//! groups; any number of processes may have the file open. Beside `FILE` lie SQLite's `FILE-wal`
//! and `FILE-shm`, and a `FILE-owner-ID` for each process that has it open. Do not put the file on
//! a network file system that has no locks.
//!
//! When the file is deleted, replaced or damaged while it is open, the store fails every operation
//! from then on ([`StoreError::Gone`], [`StoreError::Damaged`]). Nothing that was written after that
//! is acknowledged.
//!
//! Every answer comes after an fsync (write-ahead log, `synchronous = FULL`).

mod audit;
mod backup;
mod check;
mod events;
mod fault;
mod file;
mod inbox;
mod journal;
mod ledger;
mod postings;
mod presence;
mod queries;
mod raw;
mod reader;
mod refunds;
mod setup;
mod statements;
mod writer;

use std::num::NonZeroUsize;
use std::path::Path;
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
use level3_domain::provider::{CallFuture, Ledger, NewRow, PendingReceipt, ProviderError, Row};
use level3_domain::refund::RefundId;

pub use self::backup::BackupError;
pub use self::reader::SqliteReader;

use self::fault::Fault;
use self::presence::Presence;
use self::writer::Writer;
use super::sql::{
    Arrival, Asked, BookedRow, Change, Counts, DEFAULT_LEASE, DeadLetter, Delivery, DeliveryEnd,
    DeliveryQuery, DeliveryTurn, Dispute, DisputeRow, EventBook, EventNote, EventRow, Inbox,
    LabelQuery, Labelled, NewArrival, NewDelivery, NewRefund, ReceiptClaim, ReceiptClaims,
    RefundBegun, RefundBook, RefundClaim, RefundOutcome, RefundRow, RefundTurn, Shown, Store,
    StoreError, Watch, encode, limit, millis, number_of, saga_kind, standing_after,
};

/// The options of a store in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteOptions {
    /// The most writes that share one transaction and one flush. 1 turns group commit off.
    pub group: NonZeroUsize,
    /// How long a living owner of a saga may be silent before the saga can be claimed. It must be
    /// longer than any step and than the longest pause between two attempts to undo one.
    pub lease: Duration,
    /// The most pages of 4096 bytes that the file may have; `None` for SQLite's own limit.
    pub max_pages: Option<u32>,
}

impl Default for SqliteOptions {
    /// Groups of 256 writes, the default lease, and no limit of the file.
    fn default() -> Self {
        Self { group: nonzero!(256), lease: DEFAULT_LEASE, max_pages: None }
    }
}

/// A store in a file: a journal and a ledger. Cheap to clone; clones share one store.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: Arc<Writer>,
    watch: Arc<Watch>,
    receipts: Arc<Watch>,
    refunds: Arc<Watch>,
    presence: Arc<Presence>,
    identity: StoreId,
}

impl SqliteStore {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: [`Folder`](StoreError::Folder) if the file cannot be created,
    /// [`Open`](StoreError::Open) or [`ReadOnly`](StoreError::ReadOnly) if it may not be used,
    /// [`NotADatabase`](StoreError::NotADatabase), [`Foreign`](StoreError::Foreign) or
    /// [`NewerSchema`](StoreError::NewerSchema) if it is something else, and then the file is not
    /// changed, [`Full`](StoreError::Full), [`Locked`](StoreError::Locked), and
    /// [`Damaged`](StoreError::Damaged) if SQLite's quick check of every page finds a fault.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the file may have been created; it is not left locked.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path, SqliteOptions::default()).await
    }

    /// Opens the file with other options.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn open_with(
        path: impl AsRef<Path>,
        options: SqliteOptions,
    ) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let place = path.display().to_string();
        let opened = tokio::task::spawn_blocking(move || Self::open_now(&path, options)).await;
        opened.unwrap_or(Err(StoreError::Closed { place }))
    }

    fn open_now(path: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        let setup::Opened { db, file, presence, identity, place } = setup::open(path)?;
        if let Some(pages) = options.max_pages {
            db.pragma_update(None, "max_page_count", pages)
                .map_err(|error| Fault::from(error).at(&place))?;
        }
        let presence = Arc::new(presence);
        let mine = Arc::clone(&presence);
        let failed = StoreError::Closed { place: place.clone() };
        let writer = Writer::start(db, file, place, options.group.get(), move |db| mine.leave(&db))
            .map_err(|_| failed)?;
        let watch = || Arc::new(Watch::new(options.lease));
        let (watch, receipts, refunds) = (watch(), watch(), watch());
        Ok(Self { writer: Arc::new(writer), watch, receipts, refunds, presence, identity })
    }

    /// Finishes the operations that were begun before, and closes the file. Later operations,
    /// through a clone, fail with [`StoreError::Closed`].
    ///
    /// Dropping the last clone does the same without waiting for it.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops the waiting; the file is still closed.
    pub async fn close(self) {
        self.writer.stop().await;
    }

    fn begin(
        &self,
        saga: SagaId,
        first: Record,
        label: Option<String>,
    ) -> JournalFuture<'_, Opened> {
        let owner = self.presence.id();
        let kind = saga_kind(&first).to_owned();
        let body = match encode(&[first]) {
            Ok(body) => body,
            Err(error) => return std::future::ready(Err(error.into())).boxed(),
        };
        let opened = self
            .writer
            .submit(move |db| journal::open(db, owner, &saga, &kind, &body, label.as_deref()));
        async move { Ok(opened.await?) }.boxed()
    }
}

impl SqliteStore {
    fn add(
        &self,
        lease: &Lease,
        records: &[Record],
        note: Option<EventNote>,
    ) -> JournalFuture<'_, ()> {
        // No store returns an epoch that is too large for this.
        let epoch = number_of(lease.epoch);
        let saga = lease.saga.clone();
        let me = self.presence.id();
        let stands = standing_after(records).zip(Change::of_records(records));
        let body = match encode(records) {
            Ok(body) => body,
            Err(error) => return std::future::ready(Err(error.into())).boxed(),
        };
        let written = self.writer.submit(move |db| {
            let is_written = journal::append(db, saga.as_str(), epoch, &body, stands.as_ref(), me)?;
            if let (true, Some(note)) = (is_written, &note) {
                events::note(db, note)?;
            }
            Ok(is_written)
        });
        async move { if written.await? { Ok(()) } else { Err(JournalError::Fenced) } }.boxed()
    }
}

impl EventBook for SqliteStore {
    fn append_noted(
        &self,
        lease: &Lease,
        records: Vec<Record>,
        note: EventNote,
    ) -> JournalFuture<'_, ()> {
        self.add(lease, &records, Some(note))
    }

    fn unplanned(&self, most: usize) -> Asked<'_, Vec<EventRow>> {
        let most = limit(most);
        self.writer.submit(move |db| events::unplanned(db, most)).boxed()
    }

    fn plan(&self, event: u64, deliveries: Vec<NewDelivery>) -> Asked<'_, ()> {
        let event = number_of(event);
        self.writer.submit(move |db| events::plan(db, event, &deliveries)).boxed()
    }

    fn claim_deliveries(&self, most: usize, time: Duration) -> Asked<'_, Vec<DeliveryTurn>> {
        let (most, time) = (limit(most), millis(time));
        self.writer.submit(move |db| events::claim(db, most, time)).boxed()
    }

    fn delivery_ended(&self, turn: &DeliveryTurn, end: DeliveryEnd) -> Asked<'_, bool> {
        let (turn, end) = (turn.clone(), end.into());
        self.writer.submit(move |db| events::ended(db, &turn, &end)).boxed()
    }

    fn deliveries(&self, query: DeliveryQuery) -> Asked<'_, Vec<Delivery>> {
        self.writer.submit(move |db| events::list(db, &query)).boxed()
    }

    fn replay(&self, number: u64, label: Option<String>) -> Asked<'_, bool> {
        let (number, me) = (number_of(number), self.presence.id());
        self.writer.submit(move |db| events::replay(db, me, number, label.as_deref())).boxed()
    }
}

impl Inbox for SqliteStore {
    fn take_in(&self, arrival: NewArrival) -> Asked<'_, bool> {
        let me = self.presence.id();
        self.writer.submit(move |db| inbox::take_in(db, me, &arrival)).boxed()
    }

    fn unhandled(&self, most: usize) -> Asked<'_, Vec<Arrival>> {
        let most = limit(most);
        self.writer.submit(move |db| inbox::unhandled(db, most)).boxed()
    }

    fn arrival_handled(&self, number: u64, outcome: String) -> Asked<'_, ()> {
        let number = number_of(number);
        self.writer.submit(move |db| inbox::handled(db, number, &outcome)).boxed()
    }

    fn arrival_failed(&self, number: u64, cause: String) -> Asked<'_, ()> {
        let number = number_of(number);
        self.writer.submit(move |db| inbox::failed(db, number, &cause)).boxed()
    }

    fn record_dispute(&self, dispute: Dispute, event: String) -> Asked<'_, Option<PaymentId>> {
        let me = self.presence.id();
        self.writer.submit(move |db| inbox::record_dispute(db, me, &dispute, &event)).boxed()
    }

    fn disputes_of(&self, payment: PaymentId) -> Asked<'_, Vec<DisputeRow>> {
        self.writer.submit(move |db| inbox::disputes_of(db, &payment)).boxed()
    }

    fn dispute(&self, id: String) -> Asked<'_, Option<DisputeRow>> {
        self.writer.submit(move |db| inbox::dispute(db, &id)).boxed()
    }

    fn refund_failed_late(
        &self,
        refund: RefundId,
        cause: String,
        note: EventNote,
    ) -> Asked<'_, bool> {
        let me = self.presence.id();
        self.writer
            .submit(move |db| inbox::refund_failed_late(db, me, refund.as_str(), &cause, &note))
            .boxed()
    }
}

impl Journal for SqliteStore {
    fn store_id(&self) -> StoreId {
        self.identity.clone()
    }

    fn open(&self, saga: SagaId, first: Record) -> JournalFuture<'_, Opened> {
        self.begin(saga, first, None)
    }

    fn append(&self, lease: &Lease, records: Vec<Record>) -> JournalFuture<'_, ()> {
        self.add(lease, &records, None)
    }

    fn claim(&self, saga: SagaId) -> JournalFuture<'_, Claimed> {
        let (watch, me) = (Arc::clone(&self.watch), Arc::clone(&self.presence));
        let claimed = self.writer.submit(move |db| journal::claim(db, &watch, &me, &saga));
        async move { Ok(claimed.await?) }.boxed()
    }

    fn read(&self, saga: SagaId) -> JournalFuture<'_, Option<SagaLog>> {
        let saga_log = self.writer.submit(move |db| journal::read(db, &saga));
        async move { Ok(saga_log.await?) }.boxed()
    }

    fn list(&self, standing: Standing) -> JournalFuture<'_, Vec<SagaId>> {
        let sagas = self.writer.submit(move |db| journal::list(db, standing, i64::MAX));
        async move { Ok(sagas.await?) }.boxed()
    }
}

impl Ledger for SqliteStore {
    fn save(&self, row: NewRow) -> CallFuture<Row> {
        let me = self.presence.id();
        let saved = self.writer.submit(move |db| ledger::save(db, me, &row));
        async move { saved.await? }.boxed()
    }

    fn void(&self, payment: PaymentId) -> CallFuture<()> {
        let me = self.presence.id();
        let voided = self.writer.submit(move |db| ledger::void(db, me, &payment));
        async move { Ok(voided.await?) }.boxed()
    }

    fn pending_receipts(&self, most: usize) -> CallFuture<Vec<PendingReceipt>> {
        let most = limit(most);
        let pending = self.writer.submit(move |db| ledger::pending_receipts(db, most));
        async move { Ok(pending.await?) }.boxed()
    }

    fn receipt_sent(&self, transaction: TransactionId) -> CallFuture<()> {
        let sent = self.writer.submit(move |db| ledger::receipt_sent(db, transaction.as_str()));
        async move { Ok::<_, ProviderError>(sent.await?) }.boxed()
    }
}

impl ReceiptClaims for SqliteStore {
    fn claim_receipt(&self, transaction: TransactionId) -> Asked<'_, ReceiptClaim> {
        let (watch, me) = (Arc::clone(&self.receipts), Arc::clone(&self.presence));
        self.writer.submit(move |db| ledger::claim_receipt(db, &watch, &me, &transaction)).boxed()
    }

    fn release_receipt(&self, transaction: TransactionId, in_doubt: bool) -> Asked<'_, ()> {
        let me = self.presence.id();
        self.writer
            .submit(move |db| ledger::release_receipt(db, me, transaction.as_str(), in_doubt))
            .boxed()
    }
}

impl RefundBook for SqliteStore {
    fn begin_refund(&self, new: NewRefund) -> Asked<'_, RefundBegun> {
        let me = self.presence.id();
        self.writer.submit(move |db| refunds::begin(db, me, &new)).boxed()
    }

    fn claim_refund(&self, refund: RefundId) -> Asked<'_, RefundClaim> {
        let (watch, me) = (Arc::clone(&self.refunds), Arc::clone(&self.presence));
        self.writer.submit(move |db| refunds::claim(db, &watch, &me, &refund)).boxed()
    }

    fn refund_attempted(
        &self,
        turn: &RefundTurn,
        generation: u32,
        cause: String,
        release: bool,
    ) -> Asked<'_, bool> {
        let turn = turn.clone();
        self.writer
            .submit(move |db| refunds::attempted(db, &turn, generation, &cause, release))
            .boxed()
    }

    fn settle_refund(
        &self,
        turn: &RefundTurn,
        outcome: RefundOutcome,
        note: Option<EventNote>,
    ) -> Asked<'_, bool> {
        let (turn, me) = (turn.clone(), self.presence.id());
        self.writer
            .submit(move |db| {
                let is_written = refunds::settle(db, me, &turn, &outcome)?;
                if let (true, Some(note)) = (is_written, &note) {
                    events::note(db, note)?;
                }
                Ok(is_written)
            })
            .boxed()
    }

    fn refund(&self, refund: RefundId) -> Asked<'_, Option<RefundRow>> {
        self.writer.submit(move |db| refunds::show(db, &refund)).boxed()
    }

    fn refunds_of(&self, payment: PaymentId) -> Asked<'_, Vec<RefundRow>> {
        self.writer.submit(move |db| refunds::of(db, &payment)).boxed()
    }

    fn open_refunds(&self, most: usize) -> Asked<'_, Vec<RefundId>> {
        let most = limit(most);
        self.writer.submit(move |db| refunds::open(db, most)).boxed()
    }
}

impl Store for SqliteStore {
    fn place(&self) -> &str {
        self.writer.place()
    }

    fn show(&self, payment: PaymentId) -> Asked<'_, Option<Shown>> {
        self.writer.submit(move |db| queries::show(db, &payment)).boxed()
    }

    fn dead_letters(&self, most: usize) -> Asked<'_, Vec<DeadLetter>> {
        let most = limit(most);
        self.writer.submit(move |db| queries::dead_letters(db, most)).boxed()
    }

    fn counts(&self) -> Asked<'_, Counts> {
        self.writer.submit(queries::counts).boxed()
    }

    fn rows(&self, after: u64, most: usize) -> Asked<'_, Vec<BookedRow>> {
        let (after, most) = (i64::try_from(after).unwrap_or(i64::MAX), limit(most));
        self.writer.submit(move |db| queries::rows(db, after, most)).boxed()
    }

    fn receipt_failed(&self, payment: PaymentId, cause: String) -> Asked<'_, ()> {
        self.writer.submit(move |db| queries::receipt_failed(db, payment.as_str(), &cause)).boxed()
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
        self.writer.submit(move |db| queries::labelled(db, &query)).boxed()
    }

    fn last_error(&self) -> Option<StoreError> {
        self.writer.failures().last()
    }

    fn lost(&self) -> BoxFuture<'_, StoreError> {
        self.writer.failures().lost().boxed()
    }
}
