//! Checks the body of a request for a refund. As for a payment, a message repeats no value.

use level3_domain::money::MAX_MINOR;
use serde_json::Value;

use crate::payment::body::object;
use crate::problem::Problem;

/// Reads the amount in minor units; `None` for all that is left of the charge.
///
/// # Errors
///
/// [`ProblemKind::InvalidRequest`](crate::ProblemKind::InvalidRequest) for a body that is not an
/// object with at most an amount.
pub(crate) fn read(body: &[u8]) -> Result<Option<i64>, Problem> {
    let fields = object(body, &["amount"])?;
    let refused = |why: &str| Err(Problem::field("/amount", why));
    match fields.get("amount") {
        None => Ok(None),
        Some(Value::Number(number)) => match number.as_i64() {
            Some(minor) if (1..=MAX_MINOR).contains(&minor) => Ok(Some(minor)),
            Some(minor) if minor < 1 => refused("is not positive"),
            Some(_) => refused("is more than one payment may have"),
            None => refused("is not a whole number of minor units"),
        },
        Some(_) => refused("is not a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_positive_whole_number() {
        assert_eq!(read(b"{}").unwrap(), None);
        assert_eq!(read(br#"{"amount": 500}"#).unwrap(), Some(500));
        for wrong in [
            "",
            "[]",
            "{",
            "null",
            "{\"amount\": 0}",
            "{\"amount\": -1}",
            "{\"amount\": 1.5}",
            "{\"amount\": null}",
            "{\"amount\": \"1\"}",
            "{\"amount\": 100000000}",
            "{\"amount\": 18446744073709551615}",
            "{\"currency\": \"USD\"}",
        ] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
