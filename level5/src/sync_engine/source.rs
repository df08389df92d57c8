//! What a source is, and how it is asked.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::timeout;

use crate::conflict::SourceId;
use crate::multi_source_cache::{Failure, SourceError};

use super::record::{Incoming, RecordId};

/// A system that the engine reads records from.
pub trait Source: Send + Sync + 'static {
    /// The name of the source. It does not change.
    fn id(&self) -> SourceId;

    /// Reads all records of the source, deleted ones included while it knows of them. For the engine, a record that is
    /// left out has not changed.
    ///
    /// # Cancellation
    ///
    /// The engine drops the future at its `fetch_timeout`, when the source is removed, and when the engine is
    /// dropped.
    fn fetch_all(&self) -> impl Future<Output = Result<Vec<Incoming>, SourceError>> + Send;

    /// Reads the records with these ids, as far as the source has them.
    ///
    /// # Cancellation
    ///
    /// The engine drops the future at its `fetch_timeout`, at its shutdown, and with the last reader that waits for it.
    fn fetch(
        &self,
        ids: &[RecordId],
    ) -> impl Future<Output = Result<Vec<Incoming>, SourceError>> + Send;
}

type Answer = Result<Vec<Incoming>, SourceError>;

/// A [`Source`] of any type. The futures of the trait differ from type to type, so a `dyn Source` is impossible; here
/// they are boxed. An `Arc<Self>` makes them `'static`, so that a fetch can outlive the registration of its source.
pub(super) trait AnySource: Send + Sync {
    fn fetch_all(self: Arc<Self>) -> BoxFuture<'static, Answer>;
    fn fetch(self: Arc<Self>, ids: Vec<RecordId>) -> BoxFuture<'static, Answer>;
}

impl<S: Source> AnySource for S {
    // The source is asked within the future and not before it: a panic of either is caught by the same guard.
    fn fetch_all(self: Arc<Self>) -> BoxFuture<'static, Answer> {
        async move { Source::fetch_all(&*self).await }.boxed()
    }

    fn fetch(self: Arc<Self>, ids: Vec<RecordId>) -> BoxFuture<'static, Answer> {
        async move { Source::fetch(&*self, &ids).await }.boxed()
    }
}

/// A registered source, to be asked without the lock.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) id: SourceId,
    /// The number of its registration. An answer counts while the source is registered under this number.
    pub(super) number: u64,
    pub(super) source: Arc<dyn AnySource>,
}

impl Asked {
    pub(super) async fn fetch_all(&self, limit: Duration) -> Result<Vec<Incoming>, Failure> {
        within(limit, Arc::clone(&self.source).fetch_all()).await
    }

    pub(super) async fn fetch(
        &self,
        ids: Vec<RecordId>,
        limit: Duration,
    ) -> Result<Vec<Incoming>, Failure> {
        within(limit, Arc::clone(&self.source).fetch(ids)).await
    }
}

/// The answer within the limit. A panic is a failure of this source, and of no reader and no other source.
async fn within(
    limit: Duration,
    answer: BoxFuture<'static, Answer>,
) -> Result<Vec<Incoming>, Failure> {
    // `AssertUnwindSafe`: a future that has panicked is dropped here, and the source is responsible for its own state.
    match timeout(limit, AssertUnwindSafe(answer).catch_unwind()).await {
        Err(_) => Err(Failure::TimedOut(limit)),
        Ok(Err(_)) => Err(Failure::Panicked),
        Ok(Ok(answer)) => Ok(answer?),
    }
}
