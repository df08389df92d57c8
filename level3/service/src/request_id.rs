//! The name of a request, in logs and in its answer.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::card_number;

/// The header with the name of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest name that is accepted.
const LONGEST: usize = 64;

/// The name of a request: that of the client, if it can stand in a log, or else a random one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// Accepts the client's name, or makes one.
    ///
    /// A name has 1 to 64 letters, digits, `-`, `_` and `.`, and does not look like the number of a
    /// card: it stands in every log line of the request.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        match given {
            Some(given) if is_fine(given) => Self(given.to_owned()),
            _ => Self(random()),
        }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn header(&self) -> HeaderValue {
        // Letters, digits and three signs, so this is always a header.
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("unknown"))
    }
}

fn is_fine(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(plain) && !card_number::is_in(text)
}

/// Returns 96 random bits. A system without randomness gives the same name to every request, which
/// harms no payment.
fn random() -> String {
    let mut bytes = [0; 12];
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> RequestId {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_str(value).unwrap());
        RequestId::of(&headers)
    }

    #[test]
    fn a_plain_name_is_kept() {
        assert_eq!(of("checkout-7.retry_2").as_str(), "checkout-7.retry_2");
    }

    #[test]
    fn what_must_not_be_logged_is_replaced() {
        let long = "a".repeat(65);
        for bad in ["", "a b", "ann@example.com", "4242424242424242", long.as_str()] {
            let made = of(bad);
            assert_ne!(made.as_str(), bad);
            assert_eq!(made.as_str().len(), 24);
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
