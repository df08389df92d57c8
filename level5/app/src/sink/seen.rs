//! Which ids were there before, among the last two million.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hasher};

/// The ids of so many events are remembered: a repeat of an older one is not noticed.
const REMEMBERED: usize = 1 << 21;

/// A set of the last ids. It keeps a hash of 64 bits of each: of a million ids, two have the same one with a chance of 1
/// in 37 million.
#[derive(Debug, Default)]
pub struct Seen {
    hashes: HashSet<u64, BuildHasherDefault<Identity>>,
    order: VecDeque<u64>,
    by: BuildHasherDefault<DefaultHasher>,
}

/// Leaves a number that is a hash already as it is.
#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only numbers are hashed with it.
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

impl Seen {
    /// Adds an id. Returns whether it was not there.
    pub fn insert(&mut self, id: &str) -> bool {
        let hash = self.by.hash_one(id);
        let is_new = self.hashes.insert(hash);
        if is_new {
            self.order.push_back(hash);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.hashes.remove(&oldest);
            }
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_noticed_and_the_memory_is_bounded() {
        let mut seen = Seen::default();
        assert!(seen.insert("a") && !seen.insert("a") && seen.insert("b"));
        for number in 0..REMEMBERED {
            seen.insert(&number.to_string());
        }
        assert_eq!(seen.hashes.len(), REMEMBERED);
        assert!(seen.insert("a"), "an old id is forgotten");
    }
}
