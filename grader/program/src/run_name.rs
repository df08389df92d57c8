//! The name of a run, which begins the names of what it makes.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

/// Letters and digits that cannot be confused with each other.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 40 bits.
const LENGTH: u32 = 8;

/// Returns a random name, such as `run-8k2m4q0x`, that is unlike that of any other run, with this or
/// another store.
///
/// A number that counts the runs of a store would begin again with each new store, and two
/// processes that start together would get the same one: their payments would have the same keys, and
/// their events would be repeats to the services.
#[must_use]
pub fn new_run() -> String {
    let chance = random();
    let letters = (0..LENGTH).map(|at| char::from(LETTERS[(chance >> (5 * at)) as usize % 32]));
    std::iter::once("run-".to_owned()).chain(letters.map(String::from)).collect()
}

/// Returns 64 random bits, from the random keys of the standard library's hash maps.
#[must_use]
pub fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn runs_have_names_of_their_own() {
        let names: HashSet<_> = (0..1000).map(|_| new_run()).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|name| name.len() == 12 && name.starts_with("run-")));
    }
}
