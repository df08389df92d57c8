//! Finds numbers of cards, which must never enter.

/// The fewest and the most digits of a number.
const LENGTHS: std::ops::RangeInclusive<usize> = 13..=19;

/// Whether the text contains what looks like the number of a card: a run of 13 to 19 digits, with
/// single blanks or hyphens between them or none, with the first digits of a card network and the
/// right check digit.
#[must_use]
pub fn is_in(text: &str) -> bool {
    let mut digits: Vec<u8> = Vec::new();
    let mut separated = false;
    for byte in text.bytes().chain(std::iter::once(b'.')) {
        match byte {
            b'0'..=b'9' => {
                digits.push(byte - b'0');
                separated = false;
            }
            b' ' | b'-' if !digits.is_empty() && !separated => separated = true,
            _ => {
                if is_number(&digits) {
                    return true;
                }
                digits.clear();
                separated = false;
            }
        }
    }
    false
}

fn is_number(digits: &[u8]) -> bool {
    LENGTHS.contains(&digits.len()) && is_of_a_network(digits) && luhn(digits)
}

/// Visa, Mastercard, American Express, Diners Club, Discover, UnionPay, JCB, Maestro. The times of
/// a clock in milliseconds begin with other digits.
fn is_of_a_network(digits: &[u8]) -> bool {
    matches!(digits, [4..=6, ..] | [2, 2..=7, ..] | [3, 0 | 4..=8, ..])
}

/// ISO/IEC 7812-1: every second digit from the right is doubled, and the sum of all digits is a
/// multiple of ten.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| match (place % 2, u32::from(digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_cards_are_found() {
        for number in [
            "4242424242424242",
            "4242 4242 4242 4242",
            "card=5555-5555-5555-4444;",
            "378282246310005",
            "6011111111111117",
        ] {
            assert!(is_in(number), "{number}");
        }
    }

    #[test]
    fn other_numbers_are_left_alone() {
        for text in [
            "",
            "order-1",
            "1796000000000",
            "4242424242424241",
            "42424242",
            "pm_card_visa",
            "pay_0bafe22156d2698c143b86040446d366",
            "4242--4242--4242--4242",
        ] {
            assert!(!is_in(text), "{text}");
        }
    }
}
