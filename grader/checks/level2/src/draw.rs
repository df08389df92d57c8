//! Values that differ from run to run: what the kit's `Draw` will be, with one seed.
#![allow(dead_code)]
use std::ops::RangeInclusive;

/// Letters of several scripts, of one to four bytes each in UTF-8. No spaces, no control characters, and
/// no character that combines with the one before it.
const LETTERS: &[char] = &[
    'a', 'k', 'z', 'B', 'Q', '7', '-', '_', 'é', 'ß', 'ñ', 'ø', 'Ж', 'я', 'ω', 'Δ', 'ש', 'م', 'ह', '漢', '字',
    'か', '한', '글', '€', '“', '𝔸', '🦀', '🎈', '𐍈',
];

/// Values drawn from the seed of the run: which names, amounts, orders and instants a criterion uses.
///
/// A hard-coded answer fits the values of one run only. The same seed draws the same values on every
/// platform: `cargo grade --seed N` repeats a run. Boundaries do not belong here: a check names them,
/// and draws only what it may choose freely.
///
/// [`Draws::draw`] makes one. It is plain data: it can be cloned (the clone draws the same
/// values from there on), moved into a fake and sent to another thread.
#[derive(Debug, Clone)]
pub struct Draw {
    seed: u64,
    state: u64,
}

impl Draw {
    /// The stream with this number of the criterion `id`, in the run with this seed.
    pub fn new(seed: u64, id: &str, stream: u64) -> Self {
        // FNV-1a: the id decides, whatever its length.
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let id = id.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
        let mut draw = Draw { seed, state: seed ^ id };
        draw.state = draw.next() ^ stream.wrapping_mul(0xd605_1af4_7f7c_4f1b);
        draw
    }

    /// The seed of the run, as `cargo grade --seed N` takes it.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014): one addition and a mixing function for each value.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end - 1`.
    ///
    /// # Panics
    ///
    /// When `end` is 0: there is no such number.
    pub fn below(&mut self, end: u64) -> u64 {
        assert!(end > 0, "there is no number below 0 to draw");
        // The upper half of the product: below `end`, and even enough for tests.
        let product = u128::from(self.next()) * u128::from(end);
        u64::try_from(product >> 64).unwrap_or_default()
    }

    /// A number of the range, both ends included.
    ///
    /// # Panics
    ///
    /// When the range is empty.
    pub fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (start, end) = range.into_inner();
        assert!(start <= end, "no number to draw from {start}..={end}");
        match (end - start).checked_add(1) {
            Some(width) => start + self.below(width),
            None => self.next(), // every number there is
        }
    }

    /// An index into something of `len` items.
    ///
    /// # Panics
    ///
    /// When `len` is 0.
    pub fn index(&mut self, len: usize) -> usize {
        let drawn = self.below(u64::try_from(len).unwrap_or(u64::MAX));
        usize::try_from(drawn).unwrap_or_default()
    }

    /// One of the items.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// Puts the items into a drawn order; each order is as likely as any other.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }

    /// True in about `percent` of 100 cases: never for 0, always for 100 or more.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A name: 4 to 9 lower-case ASCII letters.
    pub fn word(&mut self) -> String {
        let letters = self.between(4..=9);
        let letter = |draw: &mut Self| char::from(*draw.pick(b"abcdefghijklmnopqrstuvwxyz"));
        (0..letters).map(|_| letter(self)).collect()
    }

    /// A text of so many characters, of several scripts. Unless it is empty, one of them at least takes
    /// more than one byte. It holds no white space.
    ///
    /// # Panics
    ///
    /// When the range is empty.
    pub fn text(&mut self, characters: RangeInclusive<usize>) -> String {
        let (start, end) = characters.into_inner();
        assert!(start <= end, "no length to draw from {start}..={end}");
        let count = start + self.index(end - start + 1);
        let mut text: Vec<char> = (0..count).map(|_| *self.pick(LETTERS)).collect();
        if text.iter().all(char::is_ascii) && !text.is_empty() {
            let at = self.index(text.len());
            text[at] = '漢';
        }
        text.into_iter().collect()
    }
}


/// Makes a [`Draw`].
pub trait Draws {
    /// Values drawn from the seed of the run.
    fn draw(&self) -> Draw;
}

impl Draws for grader_kit::Cx {
    fn draw(&self) -> Draw {
        use std::sync::atomic::{AtomicU64, Ordering};
        static STREAM: AtomicU64 = AtomicU64::new(0);
        let seed = std::env::var("DRAW_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
        Draw::new(seed, "level2", STREAM.fetch_add(1, Ordering::Relaxed))
    }
}
