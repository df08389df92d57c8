//! Free choices, drawn for each run.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::RangeInclusive;

use grader_kit::Cx;

/// A stream of choices.
pub struct Draw(u64);

/// The choices of this run.
pub fn draw(_cx: &Cx) -> Draw {
    Draw(RandomState::new().hash_one(0) | 1)
}

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    pub fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    pub fn word(&mut self) -> String {
        (0..6).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }
}
