//! How many requests a merchant may send.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use serde::Deserialize;
use tokio::time::Instant;

/// The requests that one merchant may send, all of its keys together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per second, in the long run.
    pub per_second: NonZeroU32,
    /// The most requests at one instant, after a pause that is long enough.
    pub burst: NonZeroU32,
}

impl Default for RateLimit {
    /// 1000 requests per second, and 2000 at one instant. That is far above what the provider's
    /// account allows all merchants together, so it refuses no merchant whose clients wait for their
    /// answers; it stops a client that repeats in a loop.
    fn default() -> Self {
        const PER_SECOND: NonZeroU32 = NonZeroU32::new(1000).expect("not zero");
        const BURST: NonZeroU32 = NonZeroU32::new(2000).expect("not zero");
        Self { per_second: PER_SECOND, burst: BURST }
    }
}

/// The limit of a merchant, as the file of the keys has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitEntry {
    /// The merchant that the limit is for.
    pub merchant: super::MerchantId,
    /// Requests per second, in the long run.
    pub per_second: NonZeroU32,
    /// The most requests at one instant. Without it: twice the requests of a second.
    pub burst: Option<NonZeroU32>,
}

impl LimitEntry {
    /// Returns the limit.
    #[must_use]
    pub fn limit(&self) -> RateLimit {
        let twice = || self.per_second.saturating_add(self.per_second.get());
        RateLimit { per_second: self.per_second, burst: self.burst.unwrap_or_else(twice) }
    }
}

/// Counts the requests of one merchant.
#[derive(Debug)]
pub(super) struct Rate {
    limit: RateLimit,
    // It takes no lock: the state is one atomic number, the time at which the bucket is full again.
    requests: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>,
    clock: TokioClock,
}

impl Rate {
    pub(super) fn new(limit: RateLimit) -> Self {
        let clock = TokioClock { begin: Instant::now() };
        let quota = Quota::per_second(limit.per_second).allow_burst(limit.burst);
        Self { limit, requests: RateLimiter::direct_with_clock(quota, clock), clock }
    }

    pub(super) const fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Counts a request, or returns the time after which one is admitted. A request that is refused
    /// does not count: a client that repeats too early delays nothing but itself.
    pub(super) fn admit(&self) -> Result<(), Duration> {
        self.requests.check().map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

/// Tokio's clock, so that a test can pause it.
#[derive(Debug, Clone, Copy)]
struct TokioClock {
    begin: Instant,
}

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.begin.elapsed().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        let number = |count| NonZeroU32::new(count).unwrap();
        Rate::new(RateLimit { per_second: number(per_second), burst: number(burst) })
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_admitted_and_then_the_rate() {
        let rate = rate(10, 3);
        assert_eq!([0; 3].map(|_| rate.admit()), [Ok(()); 3]);
        let wait = rate.admit().unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        // A refusal does not push the next admission back.
        assert_eq!(rate.admit(), Err(wait));
        tokio::time::sleep(wait).await;
        assert_eq!(rate.admit(), Ok(()));
        assert_eq!(rate.admit(), Err(wait));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let admitted = (0..100).filter(|_| rate.admit().is_ok()).count();
        assert_eq!(admitted, 3, "a long pause allows one burst and no more");
    }

    #[test]
    fn a_limit_without_a_burst_has_that_of_two_seconds() {
        let merchant: super::super::MerchantId = "shop".parse().unwrap();
        for (per_second, expected) in [(10, 20), (u32::MAX, u32::MAX)] {
            let per_second = NonZeroU32::new(per_second).unwrap();
            let entry = LimitEntry { merchant: merchant.clone(), per_second, burst: None };
            assert_eq!(entry.limit().burst.get(), expected);
        }
    }
}
