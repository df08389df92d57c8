//! Chance that a seed repeats.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

/// Numbers that a seed determines, by SplitMix64.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl From<u64> for Dice {
    fn from(seed: u64) -> Self {
        Self(seed)
    }
}

impl Dice {
    /// Takes the seed from an environment variable, or else a new one, and prints it: with the variable, a run is
    /// repeated.
    #[must_use]
    pub fn of_variable(variable: &str) -> Self {
        let given = std::env::var(variable).ok();
        let seed = given.map_or_else(
            || RandomState::new().hash_one(0),
            |seed| seed.parse().unwrap_or_else(|why| panic!("{variable}={seed}: {why}")),
        );
        println!("{variable}={seed}");
        Self(seed)
    }

    /// Returns the next number, from 0 to `end - 1`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}
