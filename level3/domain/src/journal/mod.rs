//! The records of sagas, kept where they survive a crash.
//!
//! Every effect is announced before it is tried (*write-ahead*): after any crash a reader of the
//! journal knows what may have been done and how to undo it. Records are added one batch at a time,
//! and the journal has all of a batch or nothing of it.
//!
//! # Who may write
//!
//! A saga has one owner at a time. Ownership is a *lease*: it ends by itself when its owner has
//! written nothing for a while, so another process can claim a saga whose process died. Each claim
//! has a higher *epoch*, and a write with an old epoch is refused ([`JournalError::Fenced`]). An
//! owner that was only slow therefore finds out at its next write, which comes before its next
//! effect.

mod memory;
mod record;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub use memory::{LEASE, MemoryJournal};
pub use record::{Effect, FailureKind, Payload, Record, SagaFailure, StepName, Stuck};

/// The future of a journal's operation.
pub type JournalFuture<'a, T> = BoxFuture<'a, Result<T, JournalError>>;

/// Names a saga: unique among all sagas in a journal. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct SagaId(Arc<str>);

impl SagaId {
    /// Makes the id of the saga with this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for SagaId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<SagaId> for String {
    fn from(id: SagaId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl From<Arc<str>> for SagaId {
    fn from(name: Arc<str>) -> Self {
        Self(name)
    }
}

impl fmt::Debug for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Identifies a store of records among all others: the same for as long as the store is kept,
/// another one for every other store. Cheap to clone.
///
/// A name that is derived from a value that is unique in one store only, such as a client's key,
/// has to be derived from the store's identity as well. Two stores, or a store that was deleted and
/// created again, would otherwise use the same name at the payment provider, and each would get the
/// other's charges.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(Arc<str>);

impl StoreId {
    /// The store with this identity: 128 random bits, for a store that outlives its process.
    #[must_use]
    pub fn new(identity: &str) -> Self {
        Self(identity.into())
    }

    /// A store without an identity, which shares its names with every other store that has none:
    /// one in the memory of a test, and one that was made before stores had identities.
    #[must_use]
    pub fn unnamed() -> Self {
        Self::new("")
    }

    /// The text; empty for a store without an identity.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The right to write the records of a saga, until another owner claims it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The name of the saga.
    pub saga: SagaId,
    /// The number of the claim; the first is 1.
    pub epoch: u64,
}

/// The status of a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Under way, or left behind by a process that died.
    Open,
    /// Something could not be undone, and an operator has to look at it.
    Parked,
    /// Ended: nothing more happens.
    Ended,
}

impl Standing {
    /// The name, as a store writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Parked => "parked",
            Self::Ended => "ended",
        }
    }

    /// Returns the status with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Open, Self::Parked, Self::Ended].into_iter().find(|known| known.name() == name)
    }
}

/// A saga as the journal holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaLog {
    /// The status of the saga.
    pub standing: Standing,
    /// All records, in order. Shared, since most readers only read them.
    pub records: Arc<[Record]>,
}

/// The outcome of an attempt to begin a saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The saga is new, and the caller owns it.
    New(Lease),
    /// The saga was begun before. Nothing was written.
    Known(SagaLog),
}

/// The outcome of an attempt to take a saga over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The caller owns the saga now.
    Acquired(Lease, SagaLog),
    /// The saga's owner still holds its lease.
    Busy {
        /// When the lease ends, unless the owner writes again before that.
        remaining: Duration,
    },
    /// The saga has ended.
    Ended(SagaLog),
    /// There is no such saga.
    Unknown,
}

/// The error of a journal's operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Another owner has claimed the saga: stop, and do nothing more for it.
    #[error("another owner has taken the saga over")]
    Fenced,
    /// The journal cannot be reached. Whether the batch was written is unknown.
    #[error("the journal cannot be reached")]
    Unavailable,
}

/// Keeps the records of sagas.
pub trait Journal: Send + Sync {
    /// The identity of the store behind this journal: the same for every process that uses the
    /// store, and after every restart.
    fn store_id(&self) -> StoreId;

    /// Begins a saga with its first record, unless the journal has a saga of this name.
    fn open(&self, saga: SagaId, first: Record) -> JournalFuture<'_, Opened>;

    /// Adds records and renews the lease.
    ///
    /// # Errors
    ///
    /// [`JournalError::Fenced`] when the lease is not the latest one; nothing was written then.
    fn append(&self, lease: &Lease, records: Vec<Record>) -> JournalFuture<'_, ()>;

    /// Takes over a saga whose lease has ended.
    fn claim(&self, saga: SagaId) -> JournalFuture<'_, Claimed>;

    /// Returns the records of a saga.
    fn read(&self, saga: SagaId) -> JournalFuture<'_, Option<SagaLog>>;

    /// The sagas with this standing, the oldest first.
    fn list(&self, standing: Standing) -> JournalFuture<'_, Vec<SagaId>>;
}
