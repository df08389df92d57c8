//! Values that differ from run to run, and repeat for the same seed.
use std::ops::RangeInclusive;

/// Letters of several scripts, of one to four bytes each in UTF-8. No spaces, no control characters, and
/// no character that combines with the one before it.
const LETTERS: &[char] = &[
    'a', 'k', 'z', 'B', 'Q', '7', '-', '_', 'é', 'ß', 'ñ', 'ø', 'Ж', 'я', 'ω', 'Δ', 'ש', 'م', 'ह',
    '漢', '字', 'か', '한', '글', '€', '“', '𝔸', '🦀', '🎈', '𐍈',
];

/// Values drawn from the seed of the run: which names, amounts, orders and instants a criterion uses.
///
/// A hard-coded answer fits the values of one run only. The same seed draws the same values on every
/// platform: `cargo grade --seed N` repeats a run. Boundaries do not belong here: a check names them,
/// and draws only what it may choose freely.
///
/// [`Cx::draw`](crate::Cx::draw) makes one. It is plain data: it can be cloned (the clone draws the same
/// values from there on), moved into a fake and sent to another thread.
#[derive(Debug, Clone)]
pub struct Draw {
    seed: u64,
    state: u64,
}

impl Draw {
    /// The stream with this number of the criterion `id`, in the run with this seed.
    pub(crate) fn new(seed: u64, id: &str, stream: u64) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(seed: u64) -> Draw {
        Draw::new(seed, "level2/race/returns-at-the-third", 0)
    }

    /// The values are part of what a seed means: a change of them makes printed seeds worthless.
    #[test]
    fn a_seed_draws_the_same_values_everywhere() {
        let mut drawn = draw(1234);
        assert_eq!(drawn.seed(), 1234);
        let values = [drawn.below(1000), drawn.below(1000), drawn.between(5..=7)];
        let words = [drawn.word(), drawn.text(3..=3)];
        assert_eq!(format!("{values:?} {words:?}"), r#"[97, 614, 5] ["rvclnsaor", "مø𝔸"]"#);
    }

    #[test]
    fn seeds_criteria_and_streams_differ() {
        let first = |mut draw: Draw| draw.between(0..=u64::MAX);
        let same = first(draw(1));
        assert_eq!(first(draw(1)), same);
        assert_ne!(first(draw(2)), same);
        assert_ne!(first(Draw::new(1, "level2/race/lists-early-failures", 0)), same);
        assert_ne!(first(Draw::new(1, "level2/race/returns-at-the-third", 1)), same);
    }

    #[test]
    fn every_value_stays_in_its_range_and_all_are_reached() {
        let mut drawn = draw(7);
        let mut seen = [0_u32; 6];
        for _ in 0..6000 {
            seen[drawn.index(6)] += 1;
            assert!((3..=4).contains(&drawn.between(3..=4)));
            assert!(!drawn.chance(0) && drawn.chance(100));
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
        assert_eq!(drawn.between(9..=9), 9);
        assert_eq!(drawn.text(0..=0), "");
    }

    #[test]
    fn texts_have_their_length_and_a_character_of_several_bytes() {
        let mut drawn = draw(7);
        for _ in 0..500 {
            let word = drawn.word();
            assert!((4..=9).contains(&word.len()), "{word}");
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase()), "{word}");
            let text = drawn.text(1..=12);
            assert!((1..=12).contains(&text.chars().count()), "{text}");
            assert!(!text.is_ascii() && !text.contains(char::is_whitespace), "{text}");
        }
    }

    #[test]
    fn a_shuffle_keeps_the_items() {
        let mut drawn = draw(3);
        let mut firsts = [0_u32; 4];
        for _ in 0..4000 {
            let mut items = [0, 1, 2, 3];
            drawn.shuffle(&mut items);
            firsts[items[0]] += 1;
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2, 3]);
        }
        assert!(firsts.iter().all(|count| (800..1200).contains(count)), "{firsts:?}");
    }
}
