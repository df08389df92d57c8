//! What the page shows at one moment.

use level5::event_processor::{DeadLetter, Metrics, Service};
use level5::priority_queue::Priority;
use serde::Serialize;

use crate::figures::Percentiles;
use crate::run::TRIP;

/// Dead letters that the page lists. The count has all of them.
pub const LISTED: usize = 100;

/// The figures of a run at one moment, as the page gets them. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Snapshot {
    /// What the run does now.
    pub phase: Phase,
    /// Seconds since the run began.
    pub seconds: f64,
    /// Events that the journal has accepted in this run.
    pub accepted: u64,
    /// Events that their services have acknowledged.
    pub delivered: u64,
    /// Dead letters.
    pub dead: u64,
    /// Events accepted per second, since the snapshot before.
    pub accepted_per_second: f64,
    /// Events delivered per second, since the snapshot before.
    pub delivered_per_second: f64,
    /// Events that have not ended, by priority, the most important first.
    pub backlog: Vec<Waiting>,
    /// How long a call took until the journal had its event.
    pub accepted_after_ms: Percentiles,
    /// From the acceptance of an event to its acknowledgement: the mean.
    pub delivered_after_mean_ms: f64,
    /// The same: 99 of 100 events took at most this time.
    pub delivered_after_p99_ms: f64,
    /// The services whose last batch has failed.
    pub failing: Vec<Failing>,
    /// The oldest dead letters.
    pub letters: Vec<Letter>,
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It takes events from the source.
    #[default]
    Running,
    /// It takes no more events, and delivers those that are pending.
    Draining,
}

/// The events of a priority that have not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The priority: critical, high, medium or low.
    pub priority: String,
    /// How many.
    pub events: u64,
}

/// A service whose last batch has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failing {
    /// The service.
    pub service: String,
    /// Batches that have failed in a row.
    pub failures: u32,
    /// Whether the failures have opened its breaker. It stays open until a batch succeeds.
    pub breaker_open: bool,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// The id of the event.
    pub id: String,
    /// The service that did not take it.
    pub service: String,
    /// How often it was sent.
    pub attempts: u32,
    /// Why it was given up.
    pub reason: String,
}

impl From<&DeadLetter> for Letter {
    fn from(letter: &DeadLetter) -> Self {
        Self {
            id: letter.event.id.as_str().to_owned(),
            service: letter.service.as_str().to_owned(),
            attempts: letter.attempts,
            reason: letter.reason.clone(),
        }
    }
}

impl From<&(Service, u32)> for Failing {
    fn from((service, failures): &(Service, u32)) -> Self {
        let breaker_open = *failures >= TRIP.get();
        Self { service: service.as_str().to_owned(), failures: *failures, breaker_open }
    }
}

/// Returns the events that have not ended, the most important first.
#[must_use]
pub fn backlog(metrics: &Metrics) -> Vec<Waiting> {
    let counts = Priority::ALL.iter().zip(metrics.backlog).rev();
    let waiting = |(priority, events): (&Priority, u64)| Waiting {
        priority: format!("{priority:?}").to_lowercase(),
        events,
    };
    counts.map(waiting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_important_events_come_first() {
        let metrics = Metrics { backlog: [1, 2, 3, 4], ..Metrics::default() };
        let found: Vec<_> =
            backlog(&metrics).into_iter().map(|it| (it.priority, it.events)).collect();
        let expected = [("critical", 4), ("high", 3), ("medium", 2), ("low", 1)];
        assert_eq!(found, expected.map(|(name, count)| (name.to_owned(), count)));
    }

    #[test]
    fn a_breaker_opens_at_the_limit() {
        let failing = |failures| Failing::from(&(Service::new("mail"), failures)).breaker_open;
        assert_eq!([failing(TRIP.get() - 1), failing(TRIP.get())], [false, true]);
    }
}
