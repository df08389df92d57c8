//! The schedule of waits: arithmetic without a clock and without randomness.

use std::num::NonZeroU32;
use std::time::Duration;

/// A schedule that [`Backoff::new`] refuses.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// use level3::retry::{Backoff, BackoffConfigError};
///
/// let (base, cap) = (Duration::from_secs(5), Duration::from_secs(1));
/// let refused = Backoff::new(base, 2.0, cap, NonZeroU32::MIN);
/// assert_eq!(refused, Err(BackoffConfigError::CapBelowBase { base, cap }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum BackoffConfigError {
    /// The base is below 1 ms, the resolution of tokio's timer: retries would follow each other without
    /// a pause.
    #[error("the base of a backoff must be at least 1 ms, not {base:?}")]
    BaseTooShort {
        /// The base that was asked for.
        base: Duration,
    },
    /// The factor is below 1, so that waits would shrink, or it is infinite or NaN.
    #[error("the factor of a backoff must be a finite number of at least 1, not {factor}")]
    BadFactor {
        /// The factor that was asked for.
        factor: f64,
    },
    /// The cap is below the base.
    #[error("the cap of a backoff ({cap:?}) must not be below its base ({base:?})")]
    CapBelowBase {
        /// The base that was asked for.
        base: Duration,
        /// The cap that was asked for.
        cap: Duration,
    },
}

/// Exponential backoff with equal jitter.
///
/// After the failed attempt number `n` (the first is 1) the *nominal* wait is
/// `base * factor^(n - 1)`, at most `cap`. The real wait lies between one half of that and all of it:
/// *equal jitter*. Full jitter, from zero on, spreads callers a little better, but it sometimes retries
/// at once, when a failing provider needs a pause.
///
/// Waits are whole milliseconds, the resolution of tokio's timer. Jitter only shortens a wait, so a wait
/// is never above the cap.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use level3::retry::Backoff;
///
/// let attempts = NonZeroU32::new(5).unwrap();
/// let backoff = Backoff::new(Duration::from_secs(1), 2.0, Duration::from_secs(5), attempts)?;
/// assert_eq!(backoff.nominal(1), Duration::from_secs(1));
/// assert_eq!(backoff.nominal(4), Duration::from_secs(5)); // 8 s, cut at the cap
/// assert_eq!(backoff.delay(1, 0.0), Duration::from_millis(500));
/// # Ok::<(), level3::retry::BackoffConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The nominal wait after the first failed attempt; at least 1 ms.
    base: Duration,
    /// Each nominal wait is the last one times this; finite and at least 1.
    factor: f64,
    /// The longest nominal wait; at least `base`.
    cap: Duration,
    /// The number of calls in all. Not zero, so that `retry` returns a result or an error of `op`.
    attempts: NonZeroU32,
}

impl Default for Backoff {
    /// Makes a schedule of 3 attempts, with waits that begin at 1 s, double each time and are at most 10 s.
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            factor: 2.0,
            cap: Duration::from_secs(10),
            attempts: NonZeroU32::new(3).expect("3 is not 0"),
        }
    }
}

impl Backoff {
    /// Makes a schedule of `attempts` attempts. Fractions of a millisecond in `base` and `cap` are dropped.
    ///
    /// # Errors
    ///
    /// [`BackoffConfigError`] when `base` is below 1 ms, `factor` is below 1 or not finite, or `cap` is below
    /// `base`.
    pub fn new(
        base: Duration,
        factor: f64,
        cap: Duration,
        attempts: NonZeroU32,
    ) -> Result<Self, BackoffConfigError> {
        if base < Duration::from_millis(1) {
            return Err(BackoffConfigError::BaseTooShort { base });
        }
        // Negated as a whole, so that NaN is refused as well: every comparison with it is false.
        if !(factor.is_finite() && factor >= 1.0) {
            return Err(BackoffConfigError::BadFactor { factor });
        }
        // Refused and not raised to the base: the caller has mixed the two up, and should learn it.
        if cap < base {
            return Err(BackoffConfigError::CapBelowBase { base, cap });
        }
        Ok(Self { base, factor, cap, attempts })
    }

    /// Returns the number of attempts in all, the first call included.
    #[must_use]
    pub const fn attempts(&self) -> NonZeroU32 {
        self.attempts
    }

    /// Returns the longest wait after the failed attempt number `attempt` (the first is 1; 0 counts as 1): the
    /// wait without jitter.
    #[must_use]
    pub fn nominal(&self, attempt: u32) -> Duration {
        let exponent = f64::from(attempt.saturating_sub(1));
        // In integers attempt 70 would overflow. In f64 an overflow is infinity, which the cap limits.
        let grown = whole_ms(self.base) as f64 * self.factor.powf(exponent);
        let cap = whole_ms(self.cap);
        let millis = if grown < cap as f64 { grown as u64 } else { cap };
        Duration::from_millis(millis)
    }

    /// Returns the wait after the failed attempt number `attempt`, between one half of the
    /// [nominal](Self::nominal) wait (`unit` 0) and all of it (`unit` 1). A `unit` outside of 0 to 1 counts as
    /// the nearer end, and NaN as 1.
    #[must_use]
    pub fn delay(&self, attempt: u32, unit: f64) -> Duration {
        // `clamp` keeps NaN, and the cast below would make a wait of zero of it: retries without a pause. A
        // generator with a fault must lengthen the waits and not remove them.
        let unit = if unit.is_nan() { 1.0 } else { unit.clamp(0.0, 1.0) };
        let nominal = whole_ms(self.nominal(attempt));
        // Rounded up: never below one half. `min`, since f64 cannot represent every whole number above
        // 2^53, and rounding must not lift a wait above the nominal one.
        let millis = (nominal as f64 * (0.5 + 0.5 * unit)).ceil() as u64;
        Duration::from_millis(millis.min(nominal))
    }
}

/// Returns the whole milliseconds in `time`, or as many as fit into a `u64`.
fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn backoff(base: u64, factor: f64, cap: u64) -> Backoff {
        Backoff::new(ms(base), factor, ms(cap), NonZeroU32::MIN).expect("a valid schedule")
    }

    #[test]
    fn doubles_up_to_the_cap() {
        let waits: Vec<_> = (1..=6).map(|n| backoff(1000, 2.0, 10_000).nominal(n)).collect();
        assert_eq!(waits, [1000, 2000, 4000, 8000, 10_000, 10_000].map(ms));
    }

    #[test]
    fn grows_by_other_factors() {
        let waits: Vec<_> = (1..=4).map(|n| backoff(3000, 3.0, 30_000).nominal(n)).collect();
        assert_eq!(waits, [3000, 9000, 27_000, 30_000].map(ms));
    }

    #[test]
    fn the_default_is_documented() {
        let backoff = Backoff::default();
        assert_eq!(backoff.attempts().get(), 3);
        assert_eq!([1, 2, 5].map(|n| backoff.nominal(n)), [1000, 2000, 10_000].map(ms));
    }

    #[test]
    fn refuses_what_is_no_schedule() {
        let new = |base, factor, cap| Backoff::new(base, factor, cap, NonZeroU32::MIN);
        let base = Duration::from_micros(999);
        assert_eq!(new(base, 2.0, ms(10)), Err(BackoffConfigError::BaseTooShort { base }));
        for factor in [0.0, 0.99, -1.0, f64::INFINITY] {
            assert_eq!(new(ms(1), factor, ms(10)), Err(BackoffConfigError::BadFactor { factor }));
        }
        assert!(matches!(new(ms(1), f64::NAN, ms(1)), Err(BackoffConfigError::BadFactor { .. })));
        let below = BackoffConfigError::CapBelowBase { base: ms(10), cap: ms(9) };
        assert_eq!(new(ms(10), 2.0, ms(9)), Err(below));
        assert!(new(ms(10), 1.0, ms(10)).is_ok());
    }

    #[test]
    fn jitter_halves_at_most() {
        let backoff = backoff(1000, 2.0, 10_000);
        assert_eq!(backoff.delay(1, 0.0), ms(500));
        assert_eq!(backoff.delay(2, 0.5), ms(1500));
        assert_eq!(backoff.delay(5, 1.0), ms(10_000));
        assert_eq!(backoff.delay(1, f64::NAN), ms(1000));
        assert_eq!(backoff.delay(1, -3.0), ms(500));
        assert_eq!(backoff.delay(1, f64::INFINITY), ms(1000));
    }

    proptest! {
        #[test]
        fn every_wait_is_within_its_bounds(
            base in 1_u64..100_000,
            factor in 1.0_f64..50.0,
            extra in 0_u64..10_000_000,
            attempt in prop_oneof![0_u32..20, any::<u32>()],
            unit in prop_oneof![0.0_f64..=1.0, any::<f64>()],
        ) {
            let backoff = backoff(base, factor, base + extra);
            // The model: multiply as often as it says, and stop at the cap.
            let mut nominal = base as f64;
            for _ in 1..attempt {
                if nominal >= (base + extra) as f64 {
                    break;
                }
                nominal *= factor;
                if factor == 1.0 {
                    break;
                }
            }
            let nominal = nominal.min((base + extra) as f64);
            let found = backoff.nominal(attempt);
            // Multiplying step by step and a power round apart by less than a part in 10^9.
            prop_assert!((found.as_millis() as f64 - nominal).abs() <= 1.0 + nominal * 1e-9);

            let wait = backoff.delay(attempt, unit);
            prop_assert!(wait <= found && wait * 2 >= found && wait >= ms(1));
            prop_assert!(found <= ms(base + extra));
            prop_assert_eq!(wait.subsec_nanos() % 1_000_000, 0);
        }
    }
}
