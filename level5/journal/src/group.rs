//! The calls that are written together, and how they learn the outcome.

use std::pin::pin;
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::error::WriteError;
use crate::record::Record;

/// The outcome of a group. Each call of the group has a handle to it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    // Set once, before the notice. One allocation for all calls of a group; a channel for each call would be one for each.
    result: OnceLock<Result<(), WriteError>>,
    notify: Notify,
}

impl Outcome {
    /// Waits until the group is on the disk, or has failed.
    pub(crate) async fn wait(&self) -> Result<(), WriteError> {
        let mut notified = pin!(self.notify.notified());
        // Registered before the result is read: a notice between the two is not missed.
        notified.as_mut().enable();
        if self.result.get().is_none() {
            notified.await;
        }
        self.result.get().cloned().unwrap_or(Ok(()))
    }
}

/// The calls that have come since the last group was taken.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) bytes: Vec<u8>,
    /// The records in `bytes`, with their lengths.
    pub(crate) records: Vec<(Record, u32)>,
    outcome: Arc<Outcome>,
}

impl Group {
    /// A group that uses the memory of an earlier one.
    pub(crate) fn reusing(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        let mut group = Self::default();
        group.bytes = bytes;
        group
    }

    /// Takes out the records at these positions, which rise, and encodes the others again.
    pub(crate) fn without(&mut self, positions: &[usize]) {
        if positions.is_empty() {
            return;
        }
        let mut position = 0;
        self.records.retain(|_| {
            position += 1;
            positions.binary_search(&(position - 1)).is_err()
        });
        self.bytes.clear();
        for (record, _) in &self.records {
            // It fitted before.
            let _ = record.write(&mut self.bytes);
        }
    }

    pub(crate) fn outcome(&self) -> Arc<Outcome> {
        Arc::clone(&self.outcome)
    }

    /// Tells the calls of the group how it ended. Returns its memory.
    pub(crate) fn end(mut self, result: Result<(), WriteError>) -> Vec<u8> {
        let _ = self.outcome.result.set(result);
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Group {
    /// Wakes the calls. A group that was not ended, because the writer has panicked, has failed.
    fn drop(&mut self) {
        let folder = std::path::PathBuf::new();
        let stopped = || WriteError::Broken { folder, why: "the writer has stopped".to_owned() };
        let _ = self.outcome.result.get_or_init(|| Err(stopped()));
        self.outcome.notify.notify_waiters();
    }
}
