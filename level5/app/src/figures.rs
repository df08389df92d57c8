//! The counts of a run, taken while it goes on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::source::BadLine;

/// The skipped lines that the summary names.
const NAMED: usize = 10;

/// How the events of the source were answered, and how long that took.
#[derive(Debug, Default)]
pub struct Figures {
    /// Events that the journal has.
    pub accepted: AtomicU64,
    /// Events with an id that was accepted before.
    pub duplicates: AtomicU64,
    /// Events that were taken from the source and not accepted, because the run ended or the journal failed.
    pub not_accepted: AtomicU64,
    /// How often a call had to wait, because as many events were pending as may be or the journal was full.
    pub waits: AtomicU64,
    /// Lines that are no events.
    pub skipped: AtomicU64,
    bad_lines: Mutex<Vec<String>>,
    times: Times,
}

/// How long calls took until the journal had their events, in microseconds.
#[derive(Debug)]
struct Times(Mutex<Histogram<u64>>);

impl Default for Times {
    fn default() -> Self {
        // Two digits: each value is off by 1 % at most. It grows to the largest value by itself.
        Self(Mutex::new(Histogram::new(2).expect("two digits are valid")))
    }
}

/// Percentiles of a time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Percentiles {
    /// Half of the calls took at most this time.
    pub p50: f64,
    /// 95 of 100.
    pub p95: f64,
    /// 99 of 100.
    pub p99: f64,
    /// The longest.
    pub longest: f64,
}

impl Figures {
    /// Notes how long calls took.
    pub fn took(&self, times: &[Duration]) {
        let mut histogram = self.times.0.lock().unwrap_or_else(PoisonError::into_inner);
        for time in times {
            // It resizes itself, so that every time fits.
            let _ = histogram.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// How long calls took until the journal had their events.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let histogram = self.times.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Percentiles { p50: at(0.5), p95: at(0.95), p99: at(0.99), longest: at(1.0) }
    }

    /// Notes a line that is no event. Returns whether it is one of the first, which are shown.
    pub fn skip(&self, line: &BadLine) -> bool {
        self.skipped.fetch_add(1, Ordering::Relaxed);
        let mut lines = self.bad_lines.lock().unwrap_or_else(PoisonError::into_inner);
        let is_shown = lines.len() < NAMED;
        if is_shown {
            lines.push(line.to_string());
        }
        is_shown
    }

    /// The first lines that are no events.
    #[must_use]
    pub fn bad_lines(&self) -> Vec<String> {
        self.bad_lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_milliseconds() {
        let figures = Figures::default();
        assert_eq!(figures.percentiles(), Percentiles::default());
        let times: Vec<_> = (1..=100).map(|ms| Duration::from_millis(ms * 10)).collect();
        figures.took(&times);
        let Percentiles { p50, p95, p99, longest } = figures.percentiles();
        for (found, expected) in [(p50, 500.0), (p95, 950.0), (p99, 990.0), (longest, 1000.0)] {
            assert!((found - expected).abs() <= expected / 50.0, "{found}, not {expected}");
        }
    }

    #[test]
    fn the_first_bad_lines_are_named() {
        let figures = Figures::default();
        let line = |line| BadLine { line, what: "no".to_owned(), help: "write" };
        let shown = (1..=100).filter(|number| figures.skip(&line(*number))).count();
        assert_eq!((shown, figures.bad_lines().len()), (10, 10));
        assert_eq!(figures.skipped.load(Ordering::Relaxed), 100);
    }
}
