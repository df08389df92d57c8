//! Numbers that look random and that a seed decides.

use std::ops::Range;
use std::time::Duration;

/// A generator: SplitMix64. The same seed draws the same numbers.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// A generator for one `purpose`, so that draws for one service do not shift those for another.
    #[must_use]
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut mixed = Self(seed ^ purpose.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        mixed.draw();
        mixed
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; zero for a bound of zero.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64; // a length of memory fits
        let drawn = self.draw().checked_rem(bound).unwrap_or(0);
        usize::try_from(drawn).unwrap_or(0)
    }

    /// A time of this range, in whole milliseconds; its start if the range is empty.
    pub fn time(&mut self, range: &Range<Duration>) -> Duration {
        let width = range.end.saturating_sub(range.start).as_millis();
        let width = usize::try_from(width).unwrap_or(usize::MAX);
        range.start + Duration::from_millis(self.below(width) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_and_a_purpose_stands_alone() {
        let numbers = |seed, purpose| {
            let mut chance = Chance::new(seed, purpose);
            [chance.draw(), chance.draw(), chance.draw()]
        };
        assert_eq!(numbers(7, 1), numbers(7, 1));
        assert_ne!(numbers(7, 1), numbers(7, 2));
        assert_ne!(numbers(7, 1), numbers(8, 1));
    }

    #[test]
    fn draws_keep_their_bounds() {
        let mut chance = Chance::new(7, 0);
        let range = Duration::from_millis(5)..Duration::from_millis(8);
        assert!((0..1000).all(|_| range.contains(&chance.time(&range))));
        assert!((0..1000).all(|_| chance.below(3) < 3));
        assert_eq!(chance.below(0), 0);
        assert_eq!(chance.time(&(range.end..range.start)), range.end);
    }
}
