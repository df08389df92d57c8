//! Metrics of a load, and the thresholds at which to raise an alert.
//!
//! Pure functions: no clock, no input or output. The thresholds:
//!
//! | metric | warning | critical |
//! |---|---|---|
//! | load time | more than 1000 ms | more than 2000 ms |
//! | success rate | below 80 % | below 50 % |
//! | failures | 2 or more | 3 or more |
//! | timeout rate | more than 10 % | more than 25 % |
//!
//! Lesson: `level2/lessons/metrics.md`.

use std::iter::Sum;
use std::ops::Add;
use std::time::Duration;

use crate::settled::Settled;

/// The metrics of one load, or the sum of several.
///
/// ```
/// use std::time::Duration;
///
/// use level2::metrics::{LoadMetrics, Severity};
///
/// let load = LoadMetrics { load_time: Duration::from_millis(600), calls: 5, failures: 2, timeouts: 1 };
/// let alerts = load.alerts();
/// assert_eq!(alerts.load_time, Severity::Normal);
/// assert_eq!(alerts.success_rate, Severity::Warning); // 60 %
/// assert_eq!(alerts.worst(), Severity::Warning);
///
/// let sum = load + load;
/// assert_eq!((sum.calls, sum.load_time), (10, Duration::from_millis(600)));
/// ```
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
    /// Returns the metrics of one load.
    #[must_use]
    pub fn of(settled: &Settled) -> Self {
        // A closure, because the failures are counted in two ways and counting consumes an iterator.
        let failures =
            || settled.reports().iter().filter_map(|report| report.result.as_ref().err());
        Self {
            // The time of the load and not of its slowest call: the user waits for both the calls and whatever
            // the load does around them.
            load_time: settled.took,
            calls: settled.reports().len(),
            failures: failures().count(),
            timeouts: failures().filter(|failure| failure.is_timeout()).count(),
        }
    }

    /// Compares each metric with its thresholds.
    ///
    /// Rates are compared in whole calls, so that 4 of 5 is exactly 80 %. Without calls there is no
    /// rate, and no alert for one. Any number of calls is allowed.
    #[must_use]
    pub fn alerts(&self) -> Alerts {
        // Every field by name: a metric that is added later does not compile here until it has a threshold or
        // is left out on purpose.
        let Self { load_time, calls, failures, timeouts } = *self;
        // The fields are public, so a caller can state more failures than calls. Then none succeeded.
        let successes = calls.saturating_sub(failures);
        // `part / calls < percent / 100`, multiplied by both denominators. A division would round, and 79.9 %
        // could pass as 80 %. Without calls both sides are zero, so neither comparison holds and no rate alerts.
        // No product of a `usize` and 100 is too large for a `u128`.
        let percent_of_calls = |percent: u128| percent * calls as u128;
        let below = |part: usize, percent| (part as u128) * 100 < percent_of_calls(percent);
        let above = |part: usize, percent| (part as u128) * 100 > percent_of_calls(percent);
        Alerts {
            load_time: Severity::of(
                load_time > Duration::from_millis(1000),
                load_time > Duration::from_millis(2000),
            ),
            success_rate: Severity::of(below(successes, 80), below(successes, 50)),
            failures: Severity::of(failures >= 2, failures >= 3),
            timeout_rate: Severity::of(above(timeouts, 10), above(timeouts, 25)),
        }
    }
}

impl Add for LoadMetrics {
    type Output = Self;

    /// Adds up the calls, failures and timeouts, and keeps the longer load time.
    fn add(self, other: Self) -> Self {
        Self {
            // Not the sum: the loads may have run at the same time, and the threshold is about the wait for one
            // page. The worst page must raise the alert, also among many fast ones.
            load_time: self.load_time.max(other.load_time),
            calls: self.calls + other.calls,
            failures: self.failures + other.failures,
            timeouts: self.timeouts + other.timeouts,
        }
    }
}

impl Sum for LoadMetrics {
    /// Returns the sum of all loads; without loads, all counts are zero.
    fn sum<I: Iterator<Item = Self>>(loads: I) -> Self {
        // The default is all zeros, which changes neither a sum nor a maximum.
        loads.fold(Self::default(), Add::add)
    }
}

/// How serious an alert is.
///
/// ```
/// use std::time::Duration;
/// use level2::metrics::{LoadMetrics, Severity};
///
/// let metrics =
///     LoadMetrics { load_time: Duration::from_millis(2_500), calls: 5, failures: 0, timeouts: 0 };
/// let action = match metrics.alerts().worst() {
///     Severity::Normal => "none",
///     Severity::Warning => "open a ticket",
///     Severity::Critical => "call the operator",
/// };
/// assert_eq!(action, "call the operator"); // 2.5 s is more than 2 s
/// assert!(Severity::Warning < Severity::Critical);
/// ```
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
    /// Returns the severity of a metric, from whether it is beyond each of its two thresholds.
    fn of(warning: bool, critical: bool) -> Self {
        // Critical decides first: a metric beyond that threshold is beyond the other one too.
        match (warning, critical) {
            (_, true) => Self::Critical,
            (true, false) => Self::Warning,
            (false, false) => Self::Normal,
        }
    }
}

/// The severity of each metric.
///
/// ```
/// use std::time::Duration;
/// use level2::metrics::{Alerts, LoadMetrics, Severity};
///
/// let metrics =
///     LoadMetrics { load_time: Duration::from_millis(600), calls: 5, failures: 1, timeouts: 1 };
/// // 80 % of the calls succeeded, and 20 % of them were cut at their limit.
/// let expected = Alerts { timeout_rate: Severity::Warning, ..Alerts::default() };
/// assert_eq!(metrics.alerts(), expected);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Alerts {
    /// The severity of the load time.
    pub load_time: Severity,
    /// The severity of the success rate: the share of calls with data.
    pub success_rate: Severity,
    /// The severity of the number of calls without data.
    pub failures: Severity,
    /// The severity of the share of calls that were cut at their limit.
    pub timeout_rate: Severity,
}

impl Alerts {
    /// Returns the worst of the four severities.
    #[must_use]
    pub fn worst(&self) -> Severity {
        // The derived order is the order in which `Severity` declares its variants.
        self.load_time.max(self.success_rate).max(self.failures).max(self.timeout_rate)
    }
}
