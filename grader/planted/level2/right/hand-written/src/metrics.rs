//! What a load says about the health of the sources, and when to raise an alert.
//!
//! Pure functions: no clock, no input or output. The thresholds are the assignment's.
//!
//! | metric | warning | critical |
//! |---|---|---|
//! | load time | more than 1000 ms | more than 2000 ms |
//! | success rate | below 80 % | below 50 % |
//! | failures | 2 or more | 3 or more |
//! | timeout rate | more than 10 % | more than 25 % |

use std::iter::Sum;
use std::ops::Add;
use std::time::Duration;

use crate::settled::Settled;

/// The figures of one load, or of several added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadMetrics {
    /// How long the load took; of several loads, the longest.
    pub load_time: Duration,
    /// Calls made: one for each section.
    pub calls: usize,
    /// Calls without data. A timeout is a failure too.
    pub failures: usize,
    /// Calls that were cut at their limit.
    pub timeouts: usize,
}

impl LoadMetrics {
    /// The figures of one load.
    #[must_use]
    pub fn of(settled: &Settled) -> Self {
        let failures =
            || settled.reports().iter().filter_map(|report| report.result.as_ref().err());
        Self {
            load_time: settled.took,
            calls: settled.reports().len(),
            failures: failures().count(),
            timeouts: failures().filter(|failure| failure.is_timeout()).count(),
        }
    }

    /// Compares each figure with its thresholds.
    ///
    /// Rates are compared in whole calls, so that 4 of 5 is exactly 80 %. Without calls there is no
    /// rate, and no alert for one.
    #[must_use]
    pub fn alerts(&self) -> Alerts {
        let Self { load_time, calls, failures, timeouts } = *self;
        let rate = |part: usize| (calls > 0).then(|| part as f64 / calls as f64);
        let success = rate(calls.saturating_sub(failures));
        let timeout = rate(timeouts);
        let below = |limit: f64| success.is_some_and(|rate| rate < limit);
        let above = |limit: f64| timeout.is_some_and(|rate| rate > limit);
        Alerts {
            load_time: Severity::of(
                load_time > Duration::from_millis(1000),
                load_time > Duration::from_millis(2000),
            ),
            success_rate: Severity::of(below(0.8), below(0.5)),
            failures: Severity::of(failures >= 2, failures >= 3),
            timeout_rate: Severity::of(above(0.1), above(0.25)),
        }
    }
}

impl Add for LoadMetrics {
    type Output = Self;

    /// Adds up the calls, failures and timeouts, and keeps the longer load time.
    fn add(self, other: Self) -> Self {
        Self {
            load_time: self.load_time.max(other.load_time),
            calls: self.calls + other.calls,
            failures: self.failures + other.failures,
            timeouts: self.timeouts + other.timeouts,
        }
    }
}

impl Sum for LoadMetrics {
    /// The figures of all loads; of none, all are zero.
    fn sum<I: Iterator<Item = Self>>(loads: I) -> Self {
        loads.fold(Self::default(), Add::add)
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Severity {
    /// Nothing to report.
    #[default]
    Normal,
    /// An operator should look at it today.
    Warning,
    /// An operator should look at it now.
    Critical,
}

impl Severity {
    fn of(warning: bool, critical: bool) -> Self {
        match (warning, critical) {
            (_, true) => Self::Critical,
            (true, false) => Self::Warning,
            (false, false) => Self::Normal,
        }
    }
}

/// The severity of each figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Alerts {
    /// Of the load time.
    pub load_time: Severity,
    /// Of the share of calls with data.
    pub success_rate: Severity,
    /// Of the number of calls without data.
    pub failures: Severity,
    /// Of the share of calls that were cut at their limit.
    pub timeout_rate: Severity,
}

impl Alerts {
    /// The worst of the four.
    #[must_use]
    pub fn worst(&self) -> Severity {
        self.load_time.max(self.success_rate).max(self.failures).max(self.timeout_rate)
    }
}
