//! The measurements of requests, and the limits that follow from them. There is no clock: durations are passed in.

use std::collections::VecDeque;
use std::time::Duration;

/// The most latencies that are kept of a request: the newest ones. They follow a server that becomes slow, and bound
/// the memory of a request that is sent a million times.
const REMEMBERED: usize = 100;

/// The most time of an attempt, also of a request whose timeout is an hour: an attempt holds a slot that others wait
/// for.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(30);

/// The figures of the attempts of one request.
///
/// `mean` and `p95` are those of the newest 100 successful attempts, and zero before the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestMetrics {
    /// The attempts that have ended.
    pub attempts: u64,
    /// The attempts whose answer has a status from 200 to 299.
    pub ok: u64,
    /// The mean latency.
    pub mean: Duration,
    /// The latency that 95 of 100 attempts do not exceed (nearest rank).
    pub p95: Duration,
}

impl RequestMetrics {
    /// The share of successful attempts, from 0 to 1; `None` before the first attempt has ended.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    pub fn success_rate(&self) -> Option<f64> {
        (self.attempts > 0).then(|| self.ok as f64 / self.attempts as f64)
    }
}

/// The attempts of one request, under a lock of their own in its entry.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    attempts: u64,
    ok: u64,
    /// Of successful attempts only, the oldest first.
    latencies: VecDeque<Duration>,
}

impl Attempts {
    pub(super) fn record(&mut self, ok: bool, latency: Duration) {
        self.attempts += 1;
        // The latency of a failure does not say how long an answer takes. A server that refuses connections within
        // a millisecond would shorten the time of the next attempt, which then fails for want of time.
        if ok {
            self.ok += 1;
            if self.latencies.len() == REMEMBERED {
                self.latencies.pop_front();
            }
            self.latencies.push_back(latency);
        }
    }

    pub(super) fn metrics(&self) -> RequestMetrics {
        let mut sorted: Vec<_> = self.latencies.iter().copied().collect();
        sorted.sort_unstable();
        // Nearest rank, in integers: the rank counts from 1 and the index from 0. Without a latency the rank is 0 and
        // there is no index.
        let rank = (sorted.len() * 95).div_ceil(100);
        let p95 = rank.checked_sub(1).map_or(Duration::ZERO, |index| sorted[index]);
        let mean = mean(sorted.iter().sum(), sorted.len());
        RequestMetrics { attempts: self.attempts, ok: self.ok, mean, p95 }
    }

    /// The time limit of the next attempt of a request that may take `timeout` as a whole.
    pub(super) fn limit(&self, timeout: Duration) -> Duration {
        let metrics = self.metrics();
        let limit = match metrics.success_rate() {
            Some(rate) if metrics.ok > 0 => {
                // No attempt took more than about `LONGEST_ATTEMPT`, so the product does not overflow. Many failures
                // may be answers that were cut off, hence the longer limit. It is at least the half of `timeout`: the
                // mean of fast answers must not cut off a slow one while the caller still has time.
                let spare = if rate < 0.9 { 2.5 * 1.5 } else { 2.5 };
                metrics.mean.mul_f64(spare).clamp(timeout / 2, timeout)
            }
            // Without an answer there is no mean, and a guess could make every first attempt fail.
            _ => timeout,
        };
        limit.min(LONGEST_ATTEMPT)
    }
}

/// The attempts of all requests in one minute. The limit is shared by all, so it follows all of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Minute {
    results: usize,
    ok: usize,
    /// The latencies of all results, failures included.
    sum: Duration,
}

impl Minute {
    /// With fewer results the limit stays: one failure out of five would be a failure rate of 20 %.
    const FEWEST: usize = 20;
    /// A mean above this lowers the limit.
    const SLOW: Duration = Duration::from_secs(5);
    /// A mean below this may raise it. The gap to `SLOW` keeps the limit from changing each minute.
    const FAST: Duration = Duration::from_secs(2);

    /// Returns whether this is the first result of the minute.
    pub(super) fn record(&mut self, ok: bool, latency: Duration) -> bool {
        self.results += 1;
        self.ok += usize::from(ok);
        self.sum += latency;
        self.results == 1
    }

    /// The limit of the next minute. Failures count, also in the mean: a service that runs into its time limits is a
    /// slow one.
    pub(super) fn tuned(&self, limit: usize, lowest: usize, highest: usize) -> usize {
        if self.results < Self::FEWEST {
            return limit;
        }
        let mean = mean(self.sum, self.results);
        // Products instead of quotients: a share of exactly 80 % or 95 % is exact in integers and may not be in
        // floating point. One step a minute in either direction, so that the next minute measures what the step has
        // changed.
        if self.ok * 100 < self.results * 80 || mean > Self::SLOW {
            limit.saturating_sub(1).max(lowest)
        } else if self.ok * 100 > self.results * 95 && mean < Self::FAST {
            (limit + 1).min(highest)
        } else {
            limit
        }
    }
}

/// Zero if there is nothing to divide by.
fn mean(sum: Duration, count: usize) -> Duration {
    u32::try_from(count).ok().and_then(|count| sum.checked_div(count)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn failures_do_not_shorten_the_limit() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.limit(secs(10)), secs(10));
        attempts.record(true, secs(3));
        assert_eq!(attempts.limit(secs(10)), Duration::from_millis(7500));
        attempts.record(false, Duration::from_millis(1));
        assert_eq!(attempts.limit(secs(20)), Duration::from_millis(11_250));
        assert_eq!(attempts.limit(secs(100)), secs(30));
    }

    #[test]
    fn the_limit_follows_the_minute() {
        let minute = |results, ok, latency| Minute { results, ok, sum: latency * 20 };
        assert_eq!(minute(19, 19, secs(0)).tuned(6, 2, 10), 6);
        assert_eq!(minute(20, 20, secs(1)).tuned(6, 2, 10), 7);
        assert_eq!(minute(20, 20, secs(1)).tuned(10, 2, 10), 10);
        assert_eq!(minute(20, 19, secs(1)).tuned(6, 2, 10), 6);
        assert_eq!(minute(20, 20, secs(2)).tuned(6, 2, 10), 6);
        assert_eq!(minute(20, 15, secs(1)).tuned(6, 2, 10), 5);
        assert_eq!(minute(20, 20, secs(6)).tuned(2, 2, 10), 2);
    }
}
