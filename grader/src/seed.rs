//! The seed of a run: from it the checks draw the values that they use.
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The number that decides which values a run uses. Criteria that are judged with the same seed use the
/// same values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(u64);

/// The environment variable that gives the seed, for `cargo test -p grader` as well.
pub const VARIABLE: &str = "GRADER_SEED";

/// Seeds that are drawn have at most 15 digits: short enough to type, and exact in every JSON parser.
const DRAWN_BELOW: u64 = 1_000_000_000_000_000;

/// There is no seed.
#[derive(Debug, Error)]
pub enum SeedError {
    /// The variable holds something else.
    #[error("{VARIABLE} is `{text}`, which is no seed: set it to a whole number, or unset it")]
    NotANumber {
        /// The text of the variable.
        text: String,
        /// Why that is no number.
        source: ParseIntError,
    },
    /// The system has no random numbers.
    #[error("cannot draw a seed: {0}; give one with --seed N")]
    NoRandomness(#[from] getrandom::Error),
}

impl Seed {
    /// The seed of every scene: the pictures of two runs show the same values.
    #[must_use]
    pub fn of_scenes() -> Seed {
        Seed(1)
    }

    /// A new seed from the system's random source: code that was written before the run cannot know it.
    ///
    /// # Errors
    ///
    /// [`SeedError::NoRandomness`].
    pub fn draw() -> Result<Seed, SeedError> {
        Ok(Seed(getrandom::u64()? % DRAWN_BELOW))
    }

    /// The seed of [`VARIABLE`], or a new one where it is not set.
    ///
    /// # Errors
    ///
    /// [`SeedError`].
    pub fn of_this_run() -> Result<Seed, SeedError> {
        match std::env::var_os(VARIABLE) {
            Some(text) => Seed::read(&text.to_string_lossy()),
            None => Seed::draw(),
        }
    }

    fn read(text: &str) -> Result<Seed, SeedError> {
        text.trim()
            .parse()
            .map_err(|source| SeedError::NotANumber { text: text.to_owned(), source })
    }

    /// As a number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

impl FromStr for Seed {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Seed)
    }
}

/// The number alone.
impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_read_as_it_is_printed() {
        let seed = Seed::draw().expect("random numbers");
        assert_eq!(Seed::read(&format!(" {seed}\n")).expect("a number"), seed);
        assert!(seed.number() < DRAWN_BELOW);
        let error = Seed::read("twelve").expect_err("no number").to_string();
        assert!(error.contains("GRADER_SEED is `twelve`"), "{error}");
    }
}
