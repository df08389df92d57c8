//! When a source is polled next. There is no clock here.

use std::time::Duration;

/// The interval of a source's polls: `every`, times the latency in seconds but at least 0.5, times
/// (10 - `priority`) / 10 but at least 0.5.
///
/// It is a quarter of `every` at least and ten times `every` at most: fast and important sources are polled more
/// often, slow ones more seldom.
#[must_use]
pub fn interval(every: Duration, latency: Duration, priority: u8) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    // Integers, so that no interval is a nanosecond, and with it a tick of the clock, longer than it should be.
    // Beyond 20 s the limit of ten times holds anyway; without the cut the product might overflow.
    let latency = latency.as_nanos().clamp(SECOND / 2, 20 * SECOND);
    let tenths = u128::from(10u8.saturating_sub(priority)).max(5);
    let nanos = every.as_nanos().saturating_mul(latency).saturating_mul(tenths) / (10 * SECOND);
    let longest = every.saturating_mul(10);
    let (seconds, rest) = (nanos / SECOND, nanos % SECOND);
    let adapted = match (u64::try_from(seconds), u32::try_from(rest)) {
        (Ok(seconds), Ok(rest)) => Duration::new(seconds, rest),
        _ => longest,
    };
    adapted.clamp(every / 4, longest)
}

/// The pace of one source. Its task owns it, so it needs no lock.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    every: Duration,
    priority: u8,
    /// The length of the newest poll that was answered, and before the first one the expected length. That of a failed
    /// poll does not count: one timeout would slow a source down long after it has recovered.
    latency: Duration,
    /// The failures in a row. Only they double the wait.
    failures: u32,
}

impl Pace {
    pub(super) const fn new(every: Duration, latency: Duration, priority: u8) -> Self {
        Self { every, priority, latency, failures: 0 }
    }

    /// A poll has succeeded after `took`. Returns the time from its end to the next poll.
    ///
    /// The next poll is due one interval after the beginning. Intervals that the poll itself has used up are
    /// skipped: a source that is slow must not be polled without a pause.
    pub(super) fn succeeded(&mut self, took: Duration) -> Duration {
        (self.latency, self.failures) = (took, 0);
        let interval = self.interval();
        // The part of the current interval that the poll has used. `max(1)`, because a quarter of a nanosecond is zero.
        let over = took.as_nanos() % interval.as_nanos().max(1);
        match u64::try_from(over) {
            // The poll has ended exactly when the next one is due.
            Ok(0) if !took.is_zero() => Duration::ZERO,
            Ok(over) => interval.saturating_sub(Duration::from_nanos(over)),
            // More than 500 years into one interval.
            Err(_) => interval,
        }
    }

    /// A poll has failed. Returns the time from its end to the next poll: the interval, doubled for each failure in
    /// a row, at most ten times the base.
    pub(super) fn failed(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        // The shift fails from 32 failures in a row on. The cap of ten times `every` holds long before.
        let doubled = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX).max(2);
        self.interval().saturating_mul(doubled).min(self.every.saturating_mul(10))
    }

    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    fn interval(&self) -> Duration {
        interval(self.every, self.latency, self.priority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn an_interval_adapts_within_its_bounds() {
        assert_eq!(interval(ms(1000), ms(100), 5), ms(250));
        assert_eq!(interval(ms(1000), ms(2000), 0), ms(2000));
        assert_eq!(interval(ms(1000), ms(60_000), 0), ms(10_000));
        assert_eq!(interval(ms(1000), ms(0), 255), ms(250));
        assert_eq!(interval(Duration::MAX, Duration::MAX, 0), Duration::MAX);
    }

    #[test]
    fn failures_double_the_wait_and_a_success_ends_it() {
        let mut pace = Pace::new(ms(1000), ms(100), 0);
        let waits: Vec<_> = (0..6).map(|_| pace.failed()).collect();
        assert_eq!(waits, [1000, 2000, 4000, 8000, 10_000, 10_000].map(ms));
        assert_eq!(pace.succeeded(ms(100)), ms(400));
        assert_eq!(pace.failed(), ms(1000));
        let mut pace = Pace::new(ms(1), ms(0), 9);
        assert!((0..200).all(|_| pace.failed() <= ms(10)));
    }

    #[test]
    fn used_up_intervals_are_skipped() {
        let mut pace = Pace::new(ms(100), ms(0), 9);
        assert_eq!(pace.succeeded(ms(0)), ms(25));
        // An interval of 25 ms, and 120 ms are used up.
        assert_eq!(pace.succeeded(ms(120)), ms(5));
        assert_eq!(pace.succeeded(ms(125)), ms(0));
    }
}
