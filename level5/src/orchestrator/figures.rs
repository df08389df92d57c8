//! What is measured of requests, and what is concluded from it. No clock: durations are passed in.

use std::collections::VecDeque;
use std::time::Duration;

/// So many latencies are remembered for each request: the newest.
const REMEMBERED: usize = 100;

/// No attempt takes longer.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(30);

/// What is known of the attempts of one request.
///
/// `mean` and `p95` are those of the newest 100 successful attempts, and zero before the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestMetrics {
    /// The attempts that have ended.
    pub attempts: u64,
    /// Those with an answer from 200 to 299.
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

/// The attempts of one request.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    attempts: u64,
    ok: u64,
    latencies: VecDeque<Duration>,
}

impl Attempts {
    pub(super) fn record(&mut self, ok: bool, latency: Duration) {
        self.attempts += 1;
        // The latency of a failure says nothing of how long an answer takes.
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
        let rank = (sorted.len() * 95).div_ceil(100);
        let p95 = rank.checked_sub(1).map_or(Duration::ZERO, |index| sorted[index]);
        let mean = mean(sorted.iter().sum(), sorted.len());
        RequestMetrics { attempts: self.attempts, ok: self.ok, mean, p95 }
    }

    /// How long the next attempt may take, if the whole request may take `timeout`.
    pub(super) fn limit(&self, timeout: Duration) -> Duration {
        let metrics = self.metrics();
        let limit = match metrics.success_rate() {
            Some(rate) if metrics.ok > 0 => {
                // Latencies lie below `LONGEST_ATTEMPT`, so that nothing overflows.
                let spare = if rate < 0.9 { 2.5 * 1.5 } else { 2.5 };
                metrics.mean.mul_f64(spare).clamp(timeout / 2, timeout)
            }
            _ => timeout,
        };
        limit.min(LONGEST_ATTEMPT)
    }
}

/// The attempts of one minute, of all requests.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Minute {
    results: usize,
    ok: usize,
    sum: Duration,
}

impl Minute {
    /// With fewer results nothing is concluded.
    const FEWEST: usize = 20;
    const SLOW: Duration = Duration::from_secs(5);
    const FAST: Duration = Duration::from_secs(2);

    pub(super) fn record(&mut self, ok: bool, latency: Duration) {
        self.results += 1;
        self.ok += usize::from(ok);
        self.sum += latency;
    }

    /// The limit of the next minute. Failures count, also in the mean: a service that runs into its time
    /// limits is a slow one.
    pub(super) fn tuned(&self, limit: usize, lowest: usize, highest: usize) -> usize {
        if self.results < Self::FEWEST {
            return limit;
        }
        let mean = mean(self.sum, self.results);
        if self.ok * 100 < self.results * 80 || mean > Self::SLOW {
            limit.saturating_sub(1).max(lowest)
        } else if self.ok * 100 > self.results * 95 && mean < Self::FAST {
            (limit + 1).min(highest)
        } else {
            limit
        }
    }
}

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
