//! Chance that a seed decides.

/// Mixes a number so that its bits look random: the last step of SplitMix64.
#[must_use]
pub const fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Whether something with a chance of `percent` happens, by a mixed number.
#[must_use]
pub fn happens(mixed: u64, percent: f64) -> bool {
    // The 53 bits that a float can hold: a number from 0 to 1, without 1.
    ((mixed >> 11) as f64 / (1_u64 << 53) as f64) * 100.0 < percent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_met() {
        let count = (0..100_000).filter(|number| happens(mix(*number), 20.0)).count();
        assert!((19_000..21_000).contains(&count), "{count}");
        assert!(!(0..1000).any(|number| happens(mix(number), 0.0)));
        assert!((0..1000).all(|number| happens(mix(number), 100.0)));
    }
}
