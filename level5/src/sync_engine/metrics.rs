//! The figures of an engine.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::conflict::SourceId;
use crate::multi_source_cache::Failure;

/// The figures of an engine since its start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SyncMetrics {
    /// The records that are kept, deleted ones included.
    pub records: usize,
    /// How many conflicts were found.
    pub conflicts: u64,
    /// How many of them were decided: by a strategy, by a program, or by a person.
    pub resolved: u64,
    /// The conflicts that wait for a person now.
    pub parked: usize,
    /// How many records had a stamp that was held at the time of the wall clock when they arrived first.
    pub held: u64,
    /// How many deliveries were refused because the engine was full.
    pub refused: u64,
    /// How many saves have failed.
    pub failed_saves: u64,
    /// The figures of each source that is registered.
    pub sources: BTreeMap<SourceId, SourceMetrics>,
}

/// The figures of one source since it was added.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SourceMetrics {
    /// How many polls were answered.
    pub polls: u64,
    /// How many polls have failed.
    pub failed_polls: u64,
    /// How many polls have failed since the last one that was answered.
    pub failed_in_a_row: u32,
    /// The mean length of the polls that were answered. Zero before the first one.
    pub mean_poll: Duration,
    /// When a poll was answered last: what the engine knows of the source is from then.
    pub answered: Option<Instant>,
    /// Why the last poll has failed. `None` if it was answered.
    pub failure: Option<Failure>,
}

impl SourceMetrics {
    /// A poll was answered; `total` is the length of all that were.
    pub(super) fn succeeded(&mut self, total: Duration, now: Instant) {
        self.polls = self.polls.saturating_add(1);
        // From the total and in nanoseconds: `Duration / u32` would not take a count of 64 bits.
        let mean = total.as_nanos() / u128::from(self.polls);
        self.mean_poll = u64::try_from(mean).map_or(Duration::MAX, Duration::from_nanos);
        (self.failed_in_a_row, self.failure, self.answered) = (0, None, Some(now));
    }

    pub(super) fn failed(&mut self, failure: Failure, in_a_row: u32) {
        self.failed_polls = self.failed_polls.saturating_add(1);
        (self.failed_in_a_row, self.failure) = (in_a_row, Some(failure));
    }
}
