//! Signatures of webhooks, by the scheme of [Standard Webhooks](https://www.standardwebhooks.com/).
//!
//! ```text
//!  webhook-id: 7c…             the same for every attempt: the receiver drops a repeat
//!  webhook-timestamp: 1770…    the attempt, in seconds since 1970: the receiver refuses an old one
//!  webhook-signature: v1,…     HMAC-SHA256 of "id.timestamp.body", in base64
//! ```

use data_encoding::BASE64;
use ring::hmac;

/// A prefix that tells secrets from other texts, so that a scanner finds one that was published.
const PREFIX: &str = "whsec_";
/// The bytes of a secret.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A text that is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is `whsec_` and base64 of 24 to 64 bytes")]
pub struct SecretError;

/// What signs the webhooks of an endpoint. Its `Debug` does not show it.
#[derive(Debug, Clone)]
pub struct Secret(hmac::Key);

impl Secret {
    /// Reads a secret such as `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`.
    ///
    /// # Errors
    ///
    /// [`SecretError`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let base64 = text.strip_prefix(PREFIX).ok_or(SecretError)?;
        let bytes = BASE64.decode(base64.as_bytes()).map_err(|_| SecretError)?;
        if !BYTES.contains(&bytes.len()) {
            return Err(SecretError);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The value of `webhook-signature` for an attempt at `timestamp`, in seconds since 1970.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let tag = hmac::sign(&self.0, &message(id, timestamp, body));
        format!("v1,{}", BASE64.encode(tag.as_ref()))
    }

    /// Whether one of the signatures, which are separated by spaces, is right. Takes the same time for every wrong one.
    #[must_use]
    pub fn verify(&self, signatures: &str, id: &str, timestamp: i64, body: &[u8]) -> bool {
        let message = message(id, timestamp, body);
        let tags = signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
        tags.filter_map(|tag| BASE64.decode(tag.as_bytes()).ok())
            .any(|tag| hmac::verify(&self.0, &message, &tag).is_ok())
    }
}

fn message(id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the scheme's own documentation and libraries.
    #[test]
    fn signs_as_other_libraries_do() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, at, body) =
            ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        let signature = secret.sign(id, at, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(secret.verify(&format!("v1,AAAA v2,x {signature}"), id, at, body));
        assert!(!secret.verify(&signature, id, at + 1, body));
        assert!(!secret.verify(&signature, "msg_other", at, body));
        assert!(!secret.verify(&signature, id, at, b"{}"));
        assert!(!secret.verify("", id, at, body));
    }

    #[test]
    fn a_secret_is_long_and_is_not_shown() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert!(!format!("{:?}", Secret::parse(secret)).contains("MfKQ"));
        for wrong in ["", "whsec_", "whsec_AAAA", &secret[6..], "whsec_!!!!"] {
            assert_eq!(Secret::parse(wrong).err(), Some(SecretError), "{wrong}");
        }
    }
}
