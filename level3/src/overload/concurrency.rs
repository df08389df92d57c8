//! A limit for the payments under way, learnt from how long their calls take.

use tokio::time::Instant;

/// The least limit, so that there are always payments to learn from.
const LEAST: f64 = 4.0;
/// How many of the latest samples of a source a decision uses and needs.
const ROUND: usize = 16;
/// The share of its time limit from which on a call shows that its service is overloaded. One half
/// leaves the other half for the calls that are under way when the limit is lowered.
const STRAINED: f64 = 0.5;
/// The share below which all calls stay while their services have little load.
const RELAXED: f64 = 0.2;
/// The bounds of one step down.
const STEP_DOWN: std::ops::RangeInclusive<f64> = 0.5..=0.9;

/// The source of a sample.
///
/// ```
/// use std::time::Duration;
/// use level3::overload::{ConcurrencyLimit, Source};
/// use tokio::time::Instant;
///
/// let begun = Instant::now();
/// let now = begun + Duration::from_secs(1);
/// let mut limit = ConcurrencyLimit::new(100, 1_000, begun);
/// for _ in 0..100 {
///     limit.sample(Source::Payments, 0.1, 100, begun, now);
///     limit.sample(Source::Ledger, 0.9, 100, begun, now);
/// }
/// assert!(limit.limit() < 100); // one slow service is enough
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Calls of the payment provider.
    Payments,
    /// Calls of the fraud check.
    Fraud,
    /// Calls of the ledger.
    Ledger,
    /// Whole payments: they include everything that has no time limit of its own, such as the
    /// journal and the processor.
    Whole,
}

const SOURCES: usize = 4;

/// A limit for the payments under way, between `LEAST` and a given maximum.
///
/// A sample is the share of its time limit that a call took. When half of the latest calls of *one*
/// service are strained, the limit falls below the number of payments under way; the longer the
/// calls took, the further it falls. When no service is strained and the limit has refused a
/// payment, it rises: until it has been lowered once, it doubles while the calls are fast and
/// otherwise rises by a quarter; after that it rises by its square root. Each change waits for
/// samples of payments that began after the last change, since earlier ones say nothing about it.
///
/// ```
/// use std::time::Duration;
/// use level3::overload::{ConcurrencyLimit, Source};
/// use tokio::time::Instant;
///
/// let begun = Instant::now();
/// let mut limit = ConcurrencyLimit::new(100, 1_000, begun);
/// assert!(limit.admits(99));
/// assert!(!limit.admits(100));
///
/// // Each call of the fraud check takes its whole time limit.
/// let now = begun + Duration::from_secs(1);
/// for _ in 0..100 {
///     limit.sample(Source::Fraud, 1.0, 100, begun, now);
/// }
/// assert!(!limit.admits(99));
/// ```
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit {
    // A fraction, so that small steps up add up.
    limit: f64,
    // The operator's bound: the limit never exceeds it, however fast the services are.
    max: f64,
    /// Whether the limit was lowered once, so that its size is about right.
    is_tuned: bool,
    /// Whether a payment was refused since the last change.
    has_refused: bool,
    // A sample that began before this instant belongs to the old limit and is ignored.
    changed_at: Instant,
    // Apart for each service: a mean over all of them would hide the one that is overloaded.
    samples: [Samples; SOURCES],
}

#[derive(Debug, Clone, Copy, Default)]
struct Samples {
    // A ring of fixed size: a sample is recorded for every call, so it must not allocate.
    shares: [f64; ROUND],
    // The number of samples so far, and with it the next place in the ring.
    count: usize,
}

impl ConcurrencyLimit {
    /// Makes a limit that begins at `first` and never exceeds `max`.
    #[must_use]
    pub fn new(first: u32, max: u32, now: Instant) -> Self {
        let max = f64::from(max);
        Self {
            limit: f64::from(first).max(LEAST).min(max),
            max,
            is_tuned: false,
            has_refused: false,
            changed_at: now,
            samples: Default::default(),
        }
    }

    /// Returns whether one more payment may begin while `in_flight` are under way.
    pub fn admits(&mut self, in_flight: u32) -> bool {
        let admits = f64::from(in_flight) + 1.0 <= self.limit;
        // Without a refusal the limit was no obstacle, and samples under a limit that does not bind
        // say nothing about a higher one.
        self.has_refused |= !admits;
        admits
    }

    /// Records that a call or payment that began at `begun` took this `share` of its time limit,
    /// while `in_flight` payments are under way.
    pub fn sample(
        &mut self,
        source: Source,
        share: f64,
        in_flight: u32,
        begun: Instant,
        now: Instant,
    ) {
        // Calls that began under the old limit are slow for a reason that is already dealt with. If
        // they counted, one overload would lower the limit many times.
        if begun < self.changed_at {
            return;
        }
        let samples = &mut self.samples[source as usize];
        samples.add(share);
        // One strained service is enough to lower the limit, but it rises only when every service
        // has enough samples and none is strained.
        if samples.are_strained() {
            let step = (STRAINED / samples.mean()).clamp(*STEP_DOWN.start(), *STEP_DOWN.end());
            self.is_tuned = true;
            // A limit above the payments under way limits nothing.
            self.change_to(self.limit.min(f64::from(in_flight)) * step, now);
        } else if self.has_refused && self.samples.iter().all(Samples::are_enough) {
            let slowest = self.samples.iter().map(Samples::mean).fold(0.0, f64::max);
            let step = match self.is_tuned {
                true => self.limit.sqrt(),
                false if slowest < RELAXED => self.limit,
                false => self.limit / 4.0,
            };
            self.change_to(self.limit + step, now);
        }
    }

    fn change_to(&mut self, limit: f64, now: Instant) {
        // The new limit starts with no samples, so each change is judged by payments that began
        // under it.
        self.limit = limit.max(LEAST).min(self.max);
        self.changed_at = now;
        self.has_refused = false;
        self.samples = Default::default();
    }

    /// Returns how many payments may be under way now.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit as u32
    }
}

impl Samples {
    /// Keeps the latest [`ROUND`] samples.
    fn add(&mut self, share: f64) {
        self.shares[self.count % ROUND] = share;
        self.count += 1;
    }

    fn are_enough(&self) -> bool {
        self.count >= ROUND
    }

    /// Whether more than half of the samples are strained: a few calls that hang do not decide.
    fn are_strained(&self) -> bool {
        let strained = self.shares.iter().filter(|share| **share > STRAINED).count();
        self.are_enough() && strained > ROUND / 2
    }

    fn mean(&self) -> f64 {
        self.shares.iter().sum::<f64>() / ROUND as f64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ALL: [Source; SOURCES] = [Source::Payments, Source::Fraud, Source::Ledger, Source::Whole];

    /// A round of samples of each source; returns the time after it.
    fn round(limit: &mut ConcurrencyLimit, shares: [f64; SOURCES], begun: Instant) -> Instant {
        let now = begun + Duration::from_secs(1);
        for _ in 0..ROUND {
            for (source, share) in ALL.into_iter().zip(shares) {
                limit.sample(source, share, 100, begun, now);
            }
        }
        now
    }

    #[test]
    fn grows_while_it_is_the_only_obstacle() {
        let now = Instant::now();
        let mut limit = ConcurrencyLimit::new(100, 1000, now);
        assert!(limit.admits(99));
        let now = round(&mut limit, [0.1; SOURCES], now);
        assert_eq!(limit.limit(), 100, "nothing was refused: more would bring nothing");
        assert!(!limit.admits(100));
        let now = round(&mut limit, [0.1; SOURCES], now);
        assert_eq!(limit.limit(), 200, "all calls are fast");
        limit.admits(200);
        let now = round(&mut limit, [0.1, 0.3, 0.1, 0.1], now);
        assert_eq!(limit.limit(), 250, "the fraud check is busy");
        for _ in 0..9 {
            limit.admits(1_000_000);
            round(&mut limit, [0.1; SOURCES], now + Duration::from_secs(1));
        }
        assert!(limit.limit() <= 1000);
    }

    #[test]
    fn follows_the_slowest_service() {
        let now = Instant::now();
        let mut limit = ConcurrencyLimit::new(100, 1000, now);
        let now = round(&mut limit, [0.1, 1.0, 0.1, 0.3], now);
        assert_eq!(limit.limit(), 50, "only the fraud check is slow");
        let now = round(&mut limit, [0.1, 0.1, 0.55, 0.3], now);
        assert_eq!(limit.limit(), 45, "only the ledger, and only a little");
        limit.admits(45);
        round(&mut limit, [0.1; SOURCES], now);
        assert_eq!(limit.limit(), 51, "by its square root, once it was lowered");
    }

    #[test]
    fn what_began_before_a_change_says_nothing_about_it() {
        let begin = Instant::now();
        let mut limit = ConcurrencyLimit::new(100, 1000, begin);
        for _ in 0..10 {
            round(&mut limit, [0.1, 1.0, 0.1, 0.1], begin);
        }
        assert_eq!(limit.limit(), 50);
    }

    #[test]
    fn a_few_calls_that_hang_are_no_overload() {
        let mut now = Instant::now();
        let mut limit = ConcurrencyLimit::new(100, 1000, now);
        for number in 0..1000 {
            now += Duration::from_millis(1);
            let share = if number % 3 == 0 { 1.0 } else { 0.1 };
            limit.sample(Source::Fraud, share, 100, now, now);
        }
        assert_eq!(limit.limit(), 100);
    }

    #[test]
    fn some_payments_are_always_admitted() {
        let mut now = Instant::now();
        let mut limit = ConcurrencyLimit::new(100, 1000, now);
        for _ in 0..50 {
            now = round(&mut limit, [1.0; SOURCES], now);
        }
        assert_eq!(limit.limit(), 4);
        assert_eq!(ConcurrencyLimit::new(100, 3, now).limit(), 3, "unless fewer are allowed");
    }
}
