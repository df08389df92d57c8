//! Figures of each minute. The time is passed in.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::channel::ChannelKind;

const MINUTE: Duration = Duration::from_secs(60);

/// How often a channel was called, and how often it has delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelFigures {
    /// Calls that have ended, each attempt of each delivery.
    pub attempts: u64,
    /// Calls that have delivered.
    pub successes: u64,
}

/// The figures of one minute. Minutes are counted from the start of the notifier.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MinuteMetrics {
    /// Calls of channels that have ended in the minute.
    pub total: u64,
    /// Calls that have delivered.
    pub successful: u64,
    /// The figures of each channel that was called.
    pub by_channel: BTreeMap<ChannelKind, ChannelFigures>,
}

impl MinuteMetrics {
    /// The share of the calls that have delivered, from 0 to 1. `None` without a call: an idle minute has not failed.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        (self.total > 0).then(|| self.successful as f64 / self.total as f64)
    }
}

/// The minute that is being counted.
#[derive(Debug)]
pub(super) struct Minutes {
    /// When it began: the start of the notifier and whole minutes, so that the minutes do not drift with late timers.
    began: Instant,
    counted: MinuteMetrics,
    /// Whether the figures that the readers see are not those of an idle minute. Then they have to be replaced after a
    /// minute without calls.
    shows: bool,
}

impl Minutes {
    pub fn new(now: Instant) -> Self {
        Self { began: now, counted: MinuteMetrics::default(), shows: false }
    }

    /// A channel was called. The minutes that were over before have been taken by [`roll`](Self::roll).
    pub fn count(&mut self, kind: ChannelKind, delivered: bool) {
        let channel = self.counted.by_channel.entry(kind).or_default();
        let success = u64::from(delivered);
        (channel.attempts, channel.successes) = (channel.attempts + 1, channel.successes + success);
        self.counted.total += 1;
        self.counted.successful += success;
    }

    /// The figures of the minute that ended last, if readers see others now.
    pub fn roll(&mut self, now: Instant) -> Option<MinuteMetrics> {
        let minutes = now.duration_since(self.began).as_secs() / MINUTE.as_secs();
        if minutes == 0 {
            return None;
        }
        self.began += MINUTE.saturating_mul(u32::try_from(minutes).unwrap_or(u32::MAX));
        let counted = std::mem::take(&mut self.counted);
        // When more than one minute has ended, the last one had no call: the counted ones belong to an earlier minute.
        let figures = if minutes == 1 { counted } else { MinuteMetrics::default() };
        // From idle to idle nothing has changed, and no reader is woken.
        let showed = std::mem::replace(&mut self.shows, figures.total > 0);
        (showed || self.shows).then_some(figures)
    }

    /// When there is something to show. `None` while nothing is counted and nothing shown: an idle notifier needs no
    /// timer.
    pub fn next(&self) -> Option<Instant> {
        (self.shows || self.counted.total > 0).then(|| self.began + MINUTE)
    }
}
