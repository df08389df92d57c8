//! Signatures after Standard Webhooks.
//!
//! The signature is an HMAC with SHA-256 over `ID.TIMESTAMP.BODY`, with the bytes whose base64 follows
//! `whsec_` in the secret. The header has one signature for each secret of the endpoint, so that a
//! merchant can change its secret without losing a notification.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use ring::hmac;

const PREFIX: &str = "whsec_";
/// The bytes of a secret that is made here.
const BYTES: usize = 32;
/// The sizes that Standard Webhooks allows.
const SIZES: std::ops::RangeInclusive<usize> = 24..=64;

/// The secret of an endpoint. Its `Debug` output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// The text is not a secret. The message does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is whsec_ and the base64 of {} to {} bytes", SIZES.start(), SIZES.end())]
pub struct InvalidSecret;

impl Secret {
    /// Makes a secret of 256 random bits.
    ///
    /// # Errors
    ///
    /// If the operating system has no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = vec![0; BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The text. Not for logs.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", BASE64.encode(&self.0))
    }

    fn sign(&self, signed: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        format!("v1,{}", BASE64.encode(hmac::sign(&key, signed).as_ref()))
    }
}

impl FromStr for Secret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| InvalidSecret)?;
        if SIZES.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(InvalidSecret) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Returns the headers of a notification. `at` is the time of this attempt, in seconds since 1970: a
/// receiver refuses old ones, so that no third party can repeat one later.
pub(super) fn headers(
    secrets: &[Secret],
    id: &str,
    at: i64,
    body: &str,
) -> Vec<(&'static str, String)> {
    let signed = format!("{id}.{at}.{body}");
    let signatures: Vec<_> = secrets.iter().map(|secret| secret.sign(signed.as_bytes())).collect();
    vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let (id, at) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330);
        let headers = headers(std::slice::from_ref(&secret), id, at, r#"{"test": 2432232314}"#);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(headers[2], ("webhook-signature", expected.to_owned()));
        assert_eq!(headers[0].1, id);
        assert_eq!(headers[1].1, at.to_string());
        assert!(!format!("{secret:?}").contains("MfKQ"));
    }

    #[test]
    fn a_rotation_has_two_signatures() {
        let secrets = [Secret::random().unwrap(), Secret::random().unwrap()];
        let both = headers(&secrets, "id", 1, "{}").remove(2).1;
        let one = headers(&secrets[1..], "id", 1, "{}").remove(2).1;
        assert!(both.ends_with(&format!(" {one}")), "{both}");
        assert_eq!(secrets[0].expose().parse(), Ok(secrets[0].clone()));
    }

    #[test]
    fn other_texts_are_no_secrets() {
        let short = format!("whsec_{}", BASE64.encode(&[1; 23]));
        let long = format!("whsec_{}", BASE64.encode(&[1; 65]));
        for wrong in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%", &short, &long] {
            assert_eq!(wrong.parse::<Secret>(), Err(InvalidSecret), "{wrong}");
        }
    }
}
