//! An API key: `pgk_ID_SECRET`.
//!
//! The secret has 256 random bits. A fast hash is right for it: no attacker can try 2^256 secrets, so a
//! slow hash, which protects passwords that people choose, would only cost time in each request.
//! Hashes are compared in constant time, so that the time of an answer says nothing about a hash.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What every key begins with, so that tools that search for leaked secrets find it.
const PREFIX: &str = "pgk_";
/// The bytes of the random parts.
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;

/// The name of a merchant: 1 to 40 small letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct MerchantId(String);

/// The text is not the name of a merchant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a merchant's name has 1 to {} small letters, digits and hyphens", MerchantId::LONGEST)]
pub struct InvalidMerchant;

impl MerchantId {
    /// The longest name, in characters.
    pub const LONGEST: usize = 40;

    /// Returns the merchant that a service has at its first start: `demo`.
    #[must_use]
    pub fn first() -> Self {
        Self("demo".to_owned())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MerchantId {
    type Err = InvalidMerchant;

    fn from_str(text: &str) -> Result<Self, InvalidMerchant> {
        let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let is_fine = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(plain);
        if is_fine { Ok(Self(text.to_owned())) } else { Err(InvalidMerchant) }
    }
}

impl TryFrom<String> for MerchantId {
    type Error = InvalidMerchant;

    fn try_from(text: String) -> Result<Self, InvalidMerchant> {
        text.parse()
    }
}

impl fmt::Display for MerchantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Declares the scopes with their names.
macro_rules! scopes {
    ($($(#[$doc:meta])* $scope:ident = $name:literal;)*) => {
        /// What a key may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        pub enum Scope {
            $($(#[$doc])* #[serde(rename = $name)] $scope,)*
        }

        impl Scope {
            /// All scopes.
            pub const ALL: &'static [Self] = &[$(Self::$scope),*];

            /// Returns the name, such as `payments:write`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$scope => $name,)* }
            }
        }
    };
}

scopes! {
    /// Reads the merchant's payments.
    PaymentsRead = "payments:read";
    /// Makes payments.
    PaymentsWrite = "payments:write";
    /// Refunds payments.
    RefundsWrite = "refunds:write";
    /// Reads the metrics of the whole service.
    MetricsRead = "metrics:read";
    /// Reads and redrives the dead letters of all merchants.
    Operator = "operator";
}

/// The text is not the name of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a scope: write payments:read, payments:write, refunds:write, metrics:read or operator"
)]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.iter().copied().find(|scope| scope.name() == text).ok_or(UnknownScope)
    }
}

/// The public name of a key, by which the service finds its hash and an operator revokes it: 1 to 40
/// letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyId(String);

/// The text is not the name of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a key has 1 to 40 letters, digits and hyphens")]
pub struct InvalidKeyId;

impl KeyId {
    /// Makes a name of 48 random bits.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; ID_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(hex(&bytes)))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyId {
    type Error = InvalidKeyId;

    fn try_from(text: String) -> Result<Self, InvalidKeyId> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_fine = (1..=40).contains(&text.len()) && text.bytes().all(plain);
        if is_fine { Ok(Self(text)) } else { Err(InvalidKeyId) }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The SHA-256 of a key, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Whether the other hash is the same, in a time that does not depend on where they differ.
    pub(super) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl From<KeyHash> for String {
    fn from(hash: KeyHash) -> Self {
        hex(&hash.0)
    }
}

impl TryFrom<String> for KeyHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let wrong = "not 64 hexadecimal digits";
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong);
        }
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong)?;
        }
        Ok(Self(bytes))
    }
}

/// A key with its secret. Only its owner has it; `Debug` shows the public part.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    id: KeyId,
    text: String,
}

impl ApiKey {
    /// Makes a key.
    ///
    /// # Errors
    ///
    /// If the operating system has no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut secret)?;
        let id = hex(&id);
        Ok(Self { text: format!("{PREFIX}{id}_{}", hex(&secret)), id: KeyId(id) })
    }

    /// Reads a key from a request. `None` if it does not have the form of a key.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_hex = |part: &str, bytes: usize| {
            part.len() == 2 * bytes && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let is_fine = is_hex(id, ID_BYTES) && is_hex(secret, SECRET_BYTES);
        is_fine.then(|| Self { id: KeyId(id.to_owned()), text: text.to_owned() })
    }

    /// The public name.
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// Returns what is kept of the key.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(self.text.as_bytes()).into())
    }

    /// The secret text. Not for logs.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}, ***)", self.id)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_made() {
        let key = ApiKey::random().unwrap();
        assert_eq!(ApiKey::read(key.expose()), Some(key.clone()));
        assert!(key.hash().matches(&ApiKey::read(key.expose()).unwrap().hash()));
        let other = ApiKey::random().unwrap();
        assert!(!key.hash().matches(&other.hash()));
        assert_ne!(key.id(), other.id());
        let kept: KeyHash = String::from(key.hash()).try_into().unwrap();
        assert!(kept.matches(&key.hash()));
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = ApiKey::random().unwrap();
        let secret = key.expose().rsplit('_').next().unwrap().to_owned();
        assert!(!format!("{key:?}").contains(&secret));
        assert!(!String::from(key.hash()).contains(&secret));
    }

    #[test]
    fn other_texts_are_no_keys() {
        let key = ApiKey::random().unwrap();
        let text = key.expose();
        for bad in ["", "pgk_", "pgk_a_b", "sk_live_x", &text[1..], &text[..text.len() - 1]] {
            assert_eq!(ApiKey::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_of_merchants_are_plain() {
        for good in ["a", "shop-1", &"m".repeat(MerchantId::LONGEST)] {
            assert!(good.parse::<MerchantId>().is_ok(), "{good}");
        }
        for bad in ["", "a/b", "A", "a b", "\u{e4}", &"m".repeat(MerchantId::LONGEST + 1)] {
            assert_eq!(bad.parse::<MerchantId>(), Err(InvalidMerchant), "{bad}");
        }
    }
}
