//! Requests whose values are drawn from the run's seed, with the boundaries of each kind of value.

use grader_kit::Draw;
use level3::request::PaymentRequest;

/// The largest amount of one payment, in minor units: what `level3::money::MAX_MINOR` says.
const MOST: i64 = 99_999_999;

/// A request that is right in every field, with drawn secrets.
pub fn drawn(draw: &mut Draw, key: &str) -> PaymentRequest {
    PaymentRequest {
        key: key.to_owned(),
        order: format!("{} {} №{}", draw.word(), draw.word(), draw.below(1_000_000)),
        amount: i64::try_from(draw.between(2..=9_999_999)).unwrap_or(1999),
        currency: (*draw.pick(&["USD", "EUR"])).to_owned(),
        email: format!("{}.secret@mail.example.com", draw.word()),
        card: format!("pm_card_{}_secret", draw.word()),
    }
}

/// Amounts at which a number of another width, a float or a conversion of units goes wrong.
pub fn amounts(draw: &mut Draw) -> Vec<(i64, &'static str)> {
    let some = i64::try_from(draw.between(2..=9_999)).unwrap_or(1999);
    vec![
        (1, "USD"),
        (99, "EUR"),
        (1999, "JPY"),
        (1999, "KWD"),
        (some, "JPY"),
        (some, "KWD"),
        (some, "USD"),
        (65_536, "USD"),
        ((1 << 24) + 1, "EUR"),
        (MOST - 1, "JPY"),
        (MOST, "USD"),
        (MOST, "KWD"),
    ]
}

/// Keys that are all different and alike in every other way: prefixes and suffixes that they share, a
/// space or a capital letter that makes the difference, the shortest and the longest.
pub fn keys(draw: &mut Draw) -> Vec<String> {
    let word = draw.word();
    let base = format!("{word}-0123456789abcdef");
    let long =
        |last: char| format!("{}{last}", base.repeat(20).chars().take(254).collect::<String>());
    let first = |count: usize| base.chars().take(count).collect::<String>();
    vec![
        first(1),
        first(15),
        first(16),
        format!("{}x", first(16)),
        format!("{}y", first(16)),
        format!(" {base}"),
        format!("{base} "),
        base.to_uppercase(),
        base.clone(),
        long('0'),
        long('1'),
        format!("0{}", &long('0')[1..]),
    ]
}
