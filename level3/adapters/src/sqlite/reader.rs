//! Reads a file without writing to it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use level3_domain::ids::PaymentId;
use level3_domain::journal::StoreId;
use rusqlite::Connection;

use super::fault::Fault;
use super::{audit, check, postings, queries, setup};
use crate::sql::{
    Anchor, Asked, Audited, Checked, DeadLetter, Records, Shown, StoreError, TrialBalance, limit,
};

/// A file that is only read: its user or its disk may not allow writes.
#[derive(Debug)]
pub struct SqliteReader {
    // A standard mutex: it is held on the threads for blocking work, and never across an await.
    pub(super) db: Arc<Mutex<Connection>>,
    identity: StoreId,
    pub(super) place: String,
}

impl SqliteReader {
    /// Opens a store's file to read it. Creates and changes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as for [`SqliteStore::open`](super::SqliteStore::open).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let place = path.display().to_string();
        let opened = tokio::task::spawn_blocking(move || {
            let (db, identity, place) = setup::open_to_read(&path)?;
            Ok(Self { db: Arc::new(Mutex::new(db)), identity, place })
        });
        opened.await.unwrap_or(Err(StoreError::Closed { place }))
    }

    /// Checks the whole file: its pages, its indexes, each record and each row. Takes time in
    /// proportion to the size of the file; other processes go on writing meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if the file cannot be read at all. What is wrong with its contents is part of
    /// the result.
    pub async fn check(&self) -> Result<Checked, StoreError> {
        let identity = self.identity.clone();
        self.ask(move |db| check::check(db, identity)).await
    }

    /// Verifies the audit trail from its beginning, compares it with these anchors, and compares the
    /// rows and refunds with it. Takes time in proportion to the trail; other processes go on writing
    /// meanwhile. Returns `None` for a file of a version that had no trail.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if a part of the file cannot be read.
    pub async fn audit(&self, anchors: Vec<Anchor>) -> Result<Option<Audited>, StoreError> {
        let identity = self.identity.clone();
        self.ask(move |db| audit::verify(db, &identity, anchors)).await
    }

    /// Adds up all postings, and compares those of each payment with its row and its refunds. Takes time
    /// in proportion to the file; other processes go on writing meanwhile. Returns `None` for a file of a
    /// version that had no postings.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if a part of the file cannot be read.
    pub async fn trial_balance(&self) -> Result<Option<TrialBalance>, StoreError> {
        self.ask(postings::balance).await
    }

    /// Runs queries within one transaction, so that they all see the same state of the store.
    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Asked<'static, T> {
        let (db, place) = (Arc::clone(&self.db), self.place.clone());
        async move {
            let closed = StoreError::Closed { place: place.clone() };
            let answer = tokio::task::spawn_blocking(move || {
                let db = db.lock().unwrap_or_else(PoisonError::into_inner);
                let moment = db.unchecked_transaction().map_err(Fault::from);
                moment.and_then(|moment| question(&moment)).map_err(|fault| fault.at(&place))
            });
            answer.await.unwrap_or(Err(closed))
        }
        .boxed()
    }
}

impl Records for SqliteReader {
    fn place(&self) -> &str {
        &self.place
    }

    fn store_id(&self) -> StoreId {
        self.identity.clone()
    }

    fn show(&self, payment: PaymentId) -> Asked<'_, Option<Shown>> {
        self.ask(move |db| queries::show(db, &payment))
    }

    fn dead_letters(&self, most: usize) -> Asked<'_, Vec<DeadLetter>> {
        self.ask(move |db| queries::dead_letters(db, limit(most)))
    }
}
