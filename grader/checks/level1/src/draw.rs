//! Values that differ from run to run.
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::RangeInclusive;

/// Letters of several scripts, of one to four bytes each in UTF-8.
const LETTERS: &[char] =
    &['a', 'k', 'z', 'B', 'Q', '7', '-', 'é', 'ß', 'Ж', 'ω', 'ש', 'ह', '漢', 'か', '한', '€', '🦀'];

/// A stream of drawn values.
#[derive(Debug, Clone)]
pub struct Draw {
    state: u64,
}

impl Draw {
    pub fn new() -> Self {
        Self { state: RandomState::new().build_hasher().finish() }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end - 1`.
    pub fn below(&mut self, end: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(end);
        u64::try_from(product >> 64).unwrap_or_default()
    }

    /// A number of the range, both ends included.
    pub fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (start, end) = range.into_inner();
        start + self.below(end - start + 1)
    }

    /// An index into something of `len` items.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).unwrap_or(u64::MAX))).unwrap_or_default()
    }

    /// One of the items.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// Puts the items into a drawn order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }

    /// A name: 4 to 9 lower-case ASCII letters.
    pub fn word(&mut self) -> String {
        let letters = self.between(4..=9);
        (0..letters).map(|_| char::from(*self.pick(b"abcdefghijklmnopqrstuvwxyz"))).collect()
    }

    /// A text of so many characters, of several scripts.
    pub fn text(&mut self, characters: RangeInclusive<usize>) -> String {
        let (start, end) = characters.into_inner();
        let count = start + self.index(end - start + 1);
        (0..count).map(|_| *self.pick(LETTERS)).collect()
    }
}
