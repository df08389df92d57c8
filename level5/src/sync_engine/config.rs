//! The configuration of an engine, and of its sources and records.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::conflict::{Fields, Record, SourceId, Standing, Strategy};

use super::record::RecordId;
use super::store::StoreError;

/// The most [`buffered`](Config::buffered) changes.
pub const MOST_BUFFERED: usize = 1 << 20;

/// How an engine polls, reads and keeps.
#[derive(Debug, Clone)]
pub struct Config {
    /// A record is fresh while less than this has passed since it was confirmed. A reader may set another limit.
    pub ttl: Duration,
    /// How long a source may take for an answer before it counts as failed.
    pub fetch_timeout: Duration,
    /// A stamp that is further ahead of the wall clock than this is held at the time of the wall clock.
    pub max_skew: Duration,
    /// The most records that are kept, deleted ones included. A record beyond that is refused and counted.
    pub capacity: NonZeroUsize,
    /// The most versions that are kept of each record, the current one included.
    pub versions: NonZeroUsize,
    /// How many changes, and how many conflicts, wait for a receiver before the oldest is lost to it. At most
    /// [`MOST_BUFFERED`]: the places are reserved at the start.
    pub buffered: NonZeroUsize,
    /// The rule of every record that has none of its own.
    pub rule: Rule,
}

impl Default for Config {
    // starter: keep
    fn default() -> Self {
        let count = |count| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
        Self {
            ttl: Duration::from_secs(60),
            fetch_timeout: Duration::from_secs(10),
            max_skew: Duration::from_secs(300),
            capacity: count(100_000),
            versions: count(10),
            buffered: count(256),
            rule: Rule::By(Strategy::Newest),
        }
    }
}

impl Config {
    pub(super) const fn check(&self) -> Result<(), ConfigError> {
        if self.ttl.is_zero() {
            return Err(ConfigError::ZeroTtl);
        }
        if self.fetch_timeout.is_zero() {
            return Err(ConfigError::ZeroFetchTimeout);
        }
        if self.buffered.get() > MOST_BUFFERED {
            return Err(ConfigError::TooManyBuffered(self.buffered.get()));
        }
        Ok(())
    }
}

/// The settings of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceMeta {
    /// Its rank among the sources.
    pub standing: Standing,
    /// How long a poll is expected to take. It counts until a poll has succeeded; then the length of that one counts.
    pub latency: Duration,
    /// The interval of its polls, before it is [adapted](super::interval).
    pub every: Duration,
}

/// How one content is chosen when the records of several sources differ.
#[derive(Clone)]
pub enum Rule {
    /// A strategy. With [`Strategy::Manual`] a conflict is parked until [`decide`](super::Engine::decide).
    By(Strategy),
    /// A program. A conflict that it leaves open is parked.
    Ask(Arc<dyn Resolve>),
}

// starter: keep
impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::By(strategy) => f.debug_tuple("By").field(strategy).finish(),
            Self::Ask(_) => f.write_str("Ask"),
        }
    }
}

/// A program that decides conflicts.
pub trait Resolve: Send + Sync + 'static {
    /// Picks what counts of the differing records, which come with the oldest stamp first. `None` leaves the
    /// conflict to a person.
    ///
    /// The engine asks once for a record at a time. Records that arrive before the answer lead to another question. A
    /// panic counts as `None`. The engine drops the future when it is dropped itself, or at the deadline of its
    /// shutdown.
    fn resolve(&self, id: RecordId, records: Vec<Record>) -> BoxFuture<'static, Option<Pick>>;
}

/// The decision of a conflict.
#[derive(Debug, Clone, PartialEq)]
pub enum Pick {
    /// The record of this source, as a whole.
    Record(SourceId),
    /// Another content, or `None`: the record is deleted. Its stamp is that of the newest record of the conflict, and
    /// its fields have no origins.
    Content(Option<Fields>),
}

/// Differing records of one id.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// The id of the records.
    pub id: RecordId,
    /// The number of the conflict. Another change of the records is another conflict, with a higher number.
    pub number: u64,
    /// The newest record of each source, the oldest first.
    pub records: Vec<Record>,
}

/// Why an engine was not started, a source not added, or a rule not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The `ttl` is zero: no record would ever be fresh.
    #[error("ttl is zero; a record must be fresh for a nanosecond at least")]
    ZeroTtl,
    /// The `fetch_timeout` is zero: no source could answer in time.
    #[error("fetch_timeout is zero; a source needs time to answer")]
    ZeroFetchTimeout,
    /// More `buffered` than [`MOST_BUFFERED`].
    #[error("buffered is {0}; it must be {MOST_BUFFERED} at most")]
    TooManyBuffered(usize),
    /// The interval of a source is zero: its polls would never pause.
    #[error("the interval of the source `{0}` is zero; it must be a nanosecond at least")]
    ZeroInterval(SourceId),
    /// There is a source with this id already.
    #[error("the engine has a source `{0}` already; remove it first, or use another id")]
    DuplicateSource(SourceId),
    /// As many records have rules of their own as the capacity allows. The number is the capacity.
    #[error("{0} records have rules of their own; more would exceed the capacity")]
    TooManyRules(usize),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine is shut down.
    #[error("the engine is shut down; start another one")]
    Closed,
}

/// Why a decision was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDecided {
    /// The records have changed since, or the conflict was decided. [`parked`](super::Engine::parked) has what is
    /// open now.
    #[error(
        "conflict {number} of the record `{id}` is not open any more; decide about the parked ones"
    )]
    Outdated {
        /// The record.
        id: RecordId,
        /// The number of the conflict.
        number: u64,
    },
    /// The conflict has no record of this source.
    #[error("the conflict has no record of the source `{0}`; pick a source of the conflict")]
    NoSuchSource(SourceId),
}
