//! Names of things, each with a type of its own, checked when they are made.
//!
//! Two of them are secrets: [`Email`] and [`CardToken`]. Their `Debug` output does not show them,
//! so that no `{:?}` of a request, an error or a log record reveals them. Code that needs the text,
//! such as a client of a provider or a journal, calls `expose`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::journal::{SagaId, StoreId};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The longest key, in characters: Stripe's bound for idempotency keys
/// (<https://docs.stripe.com/api/idempotent_requests>).
pub const MAX_KEY_CHARS: usize = 255;

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// The text is too long.
    #[error("has {chars} characters, {most} at most")]
    TooLong {
        /// The number of characters in the text.
        chars: usize,
        /// The greatest number that is allowed.
        most: usize,
    },
    /// The text has control characters or, in a key, characters other than printable ASCII.
    #[error("has characters that are not allowed")]
    Characters,
    /// The text does not have the form `local@domain.tld`.
    #[error("is no e-mail address")]
    NotAnEmail,
}

fn bounded(text: &str, most: usize) -> Result<(), InvalidText> {
    // Counting characters is only needed where bytes could exceed the bound.
    let chars = if text.len() <= most { text.len() } else { text.chars().count() };
    match chars {
        0 => Err(InvalidText::Empty),
        _ if chars > most => Err(InvalidText::TooLong { chars, most }),
        _ if has_control(text) => Err(InvalidText::Characters),
        _ => Ok(()),
    }
}

fn has_control(text: &str) -> bool {
    // Most texts are ASCII, whose control characters are bytes: no need to decode characters.
    match text.is_ascii() {
        true => text.bytes().any(|byte| byte.is_ascii_control()),
        false => text.chars().any(char::is_control),
    }
}

/// Writes the text as it is. Written by hand, because serde's `into = "String"` would allocate a
/// `String` for every name in every record of a journal.
macro_rules! written_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

/// Declares a checked text: cheap to clone, and checked again when it is read from a journal.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $check:expr, $($secret:tt)?) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        written_as_text!($name);

        impl $name {
            /// Checks the text.
            ///
            /// # Errors
            ///
            /// [`InvalidText`] says what is wrong with it.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidText> {
                let text = text.as_ref();
                let check: fn(&str) -> Result<(), InvalidText> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidText;

            fn try_from(text: String) -> Result<Self, InvalidText> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0.as_ref().to_owned()
            }
        }

        text!(@show $name $($secret)?);
    };
    (@show $name:ident) => {
        impl $name {
            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
    (@show $name:ident secret) => {
        impl $name {
            /// The secret text. Not for logs.
            #[must_use]
            pub fn expose(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            /// Shows that there is a value, but not the value.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(***)"))
            }
        }
    };
}

text! {
    /// The key under which a client asks for a payment: 1 to [`MAX_KEY_CHARS`] printable ASCII
    /// characters, the same for every repeat of the same payment.
    PaymentKey,
    |text| {
        bounded(text, MAX_KEY_CHARS)?;
        if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) { Ok(()) } else { Err(InvalidText::Characters) }
    },
}
text! {
    /// The merchant's order: 1 to 100 characters.
    OrderId, |text| bounded(text, 100),
}
text! {
    /// The provider's name of a payment intent: `pi_...`.
    IntentId, |text| bounded(text, MAX_KEY_CHARS),
}
text! {
    /// The name of a row in the ledger.
    TransactionId, |text| bounded(text, MAX_KEY_CHARS),
}
text! {
    /// The customer's address. A secret: see the [module](self).
    Email, email, secret
}
text! {
    /// The provider's name of the card, `pm_...`; never the card's number. Still a secret.
    CardToken, |text| bounded(text, MAX_KEY_CHARS), secret
}

/// Refuses texts that cannot be an address. Only a mail shows whether an address exists; the full
/// grammar of RFC 5322 allows addresses that no mail server accepts.
fn email(text: &str) -> Result<(), InvalidText> {
    // RFC 5321, 4.5.3.1: 254 characters for the whole address, 64 for the local part.
    bounded(text, 254)?;
    let broken = Err(InvalidText::NotAnEmail);
    let Some((local, domain)) = text.rsplit_once('@') else { return broken };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let local_is_fine = (1..=64).contains(&local.len())
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c));
    if local_is_fine && domain.contains('.') && domain.split('.').all(label) {
        Ok(())
    } else {
        broken
    }
}

/// The gateway's name of one run of a payment: derived from the [identity of the store](StoreId),
/// the client's key and the number of the run, so that it is the same after a restart and in no
/// other store.
///
/// A key has a second run only when the first ended without a charge, with a transient failure. The
/// runs have different names, because the provider remembers its answers to the first one: that
/// intent stays cancelled.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct PaymentId(Arc<str>);

written_as_text!(PaymentId);

impl PaymentId {
    /// The `run`th run, counted from 1, of the payment with this key in this store.
    ///
    /// The name contains 128 bits of a SHA-256 of the store's identity and the key, and not the key
    /// itself: a client's key may be as long as the provider allows, and the provider's key has to
    /// hold the name of a step as well. The same key in another store is another payment.
    #[must_use]
    pub fn derive(store: &StoreId, key: &PaymentKey, run: u32) -> Self {
        let mut digest = Sha256::new();
        // Payments of a store without an identity keep the names that they had before identities
        // existed.
        if *store != StoreId::unnamed() {
            digest.update(store.as_str().as_bytes());
            // Separates the identity from the key: no key contains this byte.
            digest.update([0]);
        }
        digest.update(key.as_str().as_bytes());
        let digest = digest.finalize();
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(digest) {
            // Formatting with `{byte:02x}` takes fifty times as long.
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        let mut text = String::with_capacity(48);
        text.push_str("pay_");
        // All of them are ASCII.
        text.push_str(str::from_utf8(&digits).unwrap_or_default());
        text.push('_');
        text.push_str(&run.to_string());
        Self(text.into())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text as a shared string, without a copy.
    #[must_use]
    pub fn to_arc(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl TryFrom<String> for PaymentId {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        bounded(&text, 64)?;
        if text.starts_with("pay_") { Ok(Self(text.into())) } else { Err(InvalidText::Characters) }
    }
}

/// The saga of a payment has the payment's name.
impl From<&PaymentId> for SagaId {
    fn from(payment: &PaymentId) -> Self {
        payment.to_arc().into()
    }
}

impl From<PaymentId> for String {
    fn from(id: PaymentId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Debug for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let email = Email::new("someone@example.com").unwrap();
        let card = CardToken::new("pm_card_visa").unwrap();
        assert_eq!(format!("{email:?} {card:?}"), "Email(***) CardToken(***)");
    }

    #[test]
    fn keys_are_bounded() {
        assert_eq!(PaymentKey::new(""), Err(InvalidText::Empty));
        assert!(PaymentKey::new("k".repeat(255)).is_ok());
        assert_eq!(
            PaymentKey::new("k".repeat(256)),
            Err(InvalidText::TooLong { chars: 256, most: 255 })
        );
        assert_eq!(PaymentKey::new("a\nb"), Err(InvalidText::Characters));
        assert_eq!(PaymentKey::new("\u{e4}"), Err(InvalidText::Characters));
    }

    #[test]
    fn broken_addresses_are_refused() {
        for good in ["a@b.de", "first.last+tag@mail.example.org"] {
            assert!(Email::new(good).is_ok(), "{good}");
        }
        for broken in
            ["a", "a@b", "@b.de", "a@.de", "a@b.", "a b@c.de", "a@b..de", ".a@b.de", "a@@b.de"]
        {
            assert_eq!(Email::new(broken), Err(InvalidText::NotAnEmail), "{broken}");
        }
    }

    #[test]
    fn stores_runs_and_keys_have_names_of_their_own() {
        let unnamed = StoreId::unnamed();
        let of = |store: &StoreId, key: &str, run| {
            PaymentId::derive(store, &PaymentKey::new(key).unwrap(), run)
        };
        let id = |key: &str, run| of(&unnamed, key, run);
        assert_eq!(id("order-1", 1), id("order-1", 1));
        assert_ne!(id("order-1", 1), id("order-1", 2));
        assert_ne!(id("order-1", 1), id("order-2", 1));
        let (one, two) = (StoreId::new("one"), StoreId::new("two"));
        assert_eq!(of(&one, "order-1", 1), of(&StoreId::new("one"), "order-1", 1));
        assert_ne!(of(&one, "order-1", 1), of(&two, "order-1", 1));
        assert_ne!(of(&one, "order-1", 1), id("order-1", 1));
        assert_ne!(of(&StoreId::new("on"), "eorder-1", 1), of(&one, "order-1", 1));
        // Stable for good: a restart after an update must find the same provider keys.
        assert_eq!(id("order-1", 1).as_str(), "pay_0bafe22156d2698c143b86040446d366_1");
        let json = serde_json::to_string(&id("order-1", 1)).unwrap();
        assert_eq!(serde_json::from_str::<PaymentId>(&json).unwrap(), id("order-1", 1));
    }
}
