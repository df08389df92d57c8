//! The ids of records, what sources deliver, and what readers get.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::conflict::{Fields, Record, Resolved, SourceId, Stamp};
use crate::multi_source_cache::Failure;

/// The name of a record, the same one in all sources. Names are ordered by their text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
// starter: keep
pub struct RecordId(Arc<str>);

impl RecordId {
    /// The name with this text. Every text is a name, the empty one too.
    // starter: keep
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text of the name.
    // starter: keep
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// starter: keep
impl From<&str> for RecordId {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

// starter: keep
impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A record as a source delivers it.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// The record.
    pub id: RecordId,
    /// When the source wrote it, by the source's own clock.
    pub at: Timestamp,
    /// The number of the source's write of the record. It orders writes of the same time.
    pub version: u64,
    /// The fields, or `None`: the source has deleted the record.
    pub content: Option<Fields>,
}

impl Incoming {
    /// The record with its whole stamp.
    // starter: keep
    #[must_use]
    pub fn from(self, source: SourceId) -> Record {
        let stamp = Stamp { at: self.at, version: self.version, source };
        Record { stamp, content: self.content }
    }
}

/// A change of what counts of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The record.
    pub id: RecordId,
    /// What counts now.
    pub record: Resolved,
}

/// The answer to a reader.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    /// What counts, confirmed within the reader's limit.
    Fresh(Resolved),
    /// What counted when it was confirmed last. It is older than the reader's limit. Its content is `None` if it was
    /// deleted then.
    Stale {
        /// What counted.
        record: Resolved,
        /// Why it was not confirmed.
        why: Arc<NotFetched>,
    },
    /// No source has the record, or it is deleted.
    Missing,
    /// Nothing is known of the record, and a source that may have it was not read.
    Unknown(Arc<NotFetched>),
}

/// Why a record was not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFetched {
    /// These sources have failed, in the order of their ids.
    #[error("{} sources have failed", .0.len())]
    Failed(Vec<(SourceId, Failure)>),
    /// There is no source.
    #[error("the engine has no source; add one first")]
    NoSource,
    /// A source has delivered the record, and the engine is full.
    #[error("the engine keeps as many records as its capacity allows")]
    Full,
    /// The engine is shut down.
    #[error("the engine is shut down")]
    Closed,
}
