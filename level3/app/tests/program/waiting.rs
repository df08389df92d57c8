//! Waiting for what a program does, with more patience than any machine needs.

use std::thread;
use std::time::{Duration, Instant};

use crate::oracles::open_sagas;
use crate::process::{PATIENCE, Place};

/// Waits until something is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a payment of the store is open.
pub fn under_way(place: &Place) {
    eventually("a payment under way", || !open_sagas(place).is_empty());
}
