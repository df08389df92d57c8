//! Jitter: the only source of randomness in a retry.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of numbers that spreads retries out in time.
///
/// Callers that failed together, because a provider went down, must not retry together. Each of them
/// needs numbers of its own; the same numbers for all keep them in step.
///
/// ```
/// use std::time::Duration;
/// use level3::retry::{Backoff, Jitter};
///
/// /// For a test: every wait is three quarters of the nominal one.
/// #[derive(Debug)]
/// struct Middle;
///
/// impl Jitter for Middle {
///     fn unit(&self) -> f64 {
///         0.5
///     }
/// }
///
/// let backoff = Backoff::default();
/// assert_eq!(backoff.nominal(1), Duration::from_secs(1));
/// assert_eq!(backoff.delay(1, Middle.unit()), Duration::from_millis(750));
/// ```
pub trait Jitter: Debug + Send + Sync {
    /// Returns the next number, from 0 to 1.
    fn unit(&self) -> f64;
}

/// A source that always returns 1: every wait has its nominal length. For tests and for callers that cannot
/// collide.
///
/// ```
/// use level3::retry::{Backoff, Jitter, NoJitter};
///
/// let backoff = Backoff::default();
/// assert_eq!(backoff.delay(2, NoJitter.unit()), backoff.nominal(2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoJitter;

impl Jitter for NoJitter {
    fn unit(&self) -> f64 {
        1.0
    }
}

/// Pseudorandom numbers from a seed: the same seed produces the same waits in every run.
///
/// The generator is SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
/// 2014). It is not suitable for secrets.
///
/// ```
/// use level3::retry::{Jitter, SeededJitter};
///
/// let (one, same) = (SeededJitter::new(7), SeededJitter::new(7));
/// assert_eq!(one.unit(), same.unit());
/// assert_ne!(one.fork(1).unit(), one.fork(2).unit());
/// ```
#[derive(Debug)]
pub struct SeededJitter {
    /// What [`fork`](Self::fork) starts from. It never changes, unlike `state`.
    seed: u64,
    /// SplitMix64's state. An atomic, so that callers share the source by `&` and without a lock.
    state: AtomicU64,
}

/// SplitMix64's increment: 2^64 divided by the golden ratio, made odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl SeededJitter {
    /// Makes a source whose numbers `seed` determines.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, state: AtomicU64::new(seed) }
    }

    /// Makes an independent source for one of many callers, for instance one payment.
    ///
    /// It depends on the seed and on `stream` only, not on how many numbers were drawn before, so that a
    /// payment's waits do not depend on which payments ran beside it.
    #[must_use]
    pub fn fork(&self, stream: u64) -> Self {
        // Mixed twice, so that neighbouring streams of neighbouring seeds do not share numbers.
        Self::new(mix(mix(self.seed).wrapping_add(stream.wrapping_mul(GOLDEN)).wrapping_add(1)))
    }
}

impl Jitter for SeededJitter {
    fn unit(&self) -> f64 {
        // One step of the generator is one addition, so `fetch_add` hands each caller a state of its
        // own. `Relaxed`: no other memory is published with it, and the order of callers is free.
        let state = self.state.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        // The upper 53 bits: the precision of an f64. All 64 could round up to exactly 1.
        (mix(state) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// SplitMix64's output function. The states rise by a constant; this spreads them over all bits.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(jitter: &SeededJitter, count: usize) -> Vec<f64> {
        (0..count).map(|_| jitter.unit()).collect()
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // The first outputs for the seed 1234567, as published with the reference implementation.
        let jitter = SeededJitter::new(1_234_567);
        let expected = [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973];
        for bits in expected {
            assert_eq!(jitter.unit(), (bits >> 11) as f64 / (1_u64 << 53) as f64);
        }
    }

    #[test]
    fn a_seed_determines_the_numbers() {
        assert_eq!(draw(&SeededJitter::new(7), 20), draw(&SeededJitter::new(7), 20));
        assert_ne!(draw(&SeededJitter::new(7), 20), draw(&SeededJitter::new(8), 20));
    }

    #[test]
    fn numbers_fill_the_range_evenly() {
        let numbers = draw(&SeededJitter::new(1), 10_000);
        assert!(numbers.iter().all(|unit| (0.0..1.0).contains(unit)));
        for tenth in 0..10 {
            let low = f64::from(tenth) / 10.0;
            let count = numbers.iter().filter(|&&unit| unit >= low && unit < low + 0.1).count();
            assert!((850..1150).contains(&count), "{count} of 10000 numbers from {low} on");
        }
    }

    #[test]
    fn forks_depend_on_seed_and_stream_alone() {
        let jitter = SeededJitter::new(7);
        let before = draw(&jitter.fork(3), 5);
        draw(&jitter, 10);
        assert_eq!(draw(&jitter.fork(3), 5), before);
        assert_ne!(draw(&jitter.fork(4), 5), before);
        assert_ne!(draw(&SeededJitter::new(8).fork(3), 5), before);
    }

    #[test]
    fn no_first_numbers_of_many_forks_meet() {
        let jitter = SeededJitter::new(7);
        let mut firsts: Vec<u64> = (0..10_000).map(|n| jitter.fork(n).unit().to_bits()).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), 10_000);
    }

    #[test]
    fn no_jitter_is_the_whole() {
        assert_eq!(NoJitter.unit(), 1.0);
    }
}
