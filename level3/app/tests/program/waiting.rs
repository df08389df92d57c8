//! Waiting for what a program does.

use process_kit::eventually;

use crate::oracles::open_sagas;
use crate::process::Place;

/// Waits until a payment of the store is open.
pub fn under_way(place: &Place) {
    eventually("a payment under way", || !open_sagas(place).is_empty());
}
