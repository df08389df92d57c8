//! Changes of a file that reach an engine before its next poll.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use level5::sync_engine::{Engine, RecordId};
use tokio::sync::watch;
use tokio::time::sleep;

use super::Inner;

/// The changes of a file: [`FileSource::changes`](super::FileSource::changes) makes it.
///
/// It keeps the file watched after the source is dropped.
pub struct Changes {
    inner: Arc<Inner>,
    notices: watch::Receiver<u64>,
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Changes {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        let notices = inner.signals.subscribe();
        Self { inner, notices }
    }

    /// Waits until records of the file have changed, and returns their ids. What a poll has found first is not among
    /// them. A file that cannot be read is no change; the polls report it. `None`: the system ends the watch.
    ///
    /// # Cancellation
    ///
    /// What was found by a future that is dropped is delivered with the next poll.
    pub async fn next(&mut self) -> Option<Vec<RecordId>> {
        loop {
            self.notices.changed().await.ok()?;
            // Several notices of one write are one change.
            sleep(self.inner.config.settle).await;
            self.notices.mark_unchanged();
            match self.inner.refresh().await {
                Ok(changed) if !changed.is_empty() => return Some(changed),
                _ => {}
            }
        }
    }
}

/// Has the engine fetch each record of the file when it changes, without waiting for the next poll. The engine asks its
/// other sources for the record too.
///
/// It returns when the watch ends, which it does with the system's error only.
///
/// # Cancellation
///
/// Dropping the future ends it. The polls go on.
pub async fn follow(engine: &Engine, mut changes: Changes) {
    while let Some(ids) = changes.next().await {
        // A limit of zero: what was known of them is outdated, however young it is.
        engine.get_many(&ids, Some(Duration::ZERO)).await;
    }
}
