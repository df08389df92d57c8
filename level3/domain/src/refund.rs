//! Refunds that a merchant asks for: of a part of a charge, or of all that is left of it.
//!
//! A gateway that undoes a payment refunds the whole charge
//! ([`PaymentProvider::refund`](crate::provider::PaymentProvider::refund)). A refund here is another
//! thing: the payment stays paid, and there may be several of one payment.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::{IntentId, InvalidText, PaymentId, PaymentKey};
use crate::journal::StoreId;
use crate::money::Money;
use crate::provider::CallFuture;

/// What every name of a refund begins with.
const PREFIX: &str = "re_";
/// The hexadecimal digits of a name.
const DIGITS: usize = 32;

/// The name of a refund, derived from the [identity of the store](StoreId) and the client's key, so
/// that it is the same after a restart and in no other store. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefundId(Arc<str>);

impl RefundId {
    /// Derives the name of the refund with this key: 128 bits of a SHA-256. A payment with the same
    /// key has another name.
    #[must_use]
    pub fn derive(store: &StoreId, key: &PaymentKey) -> Self {
        let mut digest = Sha256::new();
        // No identity and no key contains these bytes.
        for part in ["refund", store.as_str(), key.as_str()] {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        let mut text = PREFIX.to_owned();
        for byte in digest.finalize().iter().take(DIGITS / 2) {
            text += &format!("{byte:02x}");
        }
        Self(text.into())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RefundId {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        let digits = text.strip_prefix(PREFIX).ok_or(InvalidText::Characters)?;
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() == DIGITS && digits.bytes().all(is_digit) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidText::Characters)
        }
    }
}

impl From<RefundId> for String {
    fn from(id: RefundId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Debug for RefundId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RefundId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The idempotency key of a refund at the provider: the same for every attempt and after every
/// restart.
///
/// The generation rises when the provider has stored a 500 for the key and
/// [`refunds_of`](PartRefunds::refunds_of) has shown that the failed request had no effect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RefundKey {
    /// The refund that the key belongs to.
    pub refund: RefundId,
    /// The number of stored answers that reported no effect.
    pub generation: u32,
}

impl fmt::Display for RefundKey {
    /// Shows the value of the header `Idempotency-Key`: `re_...:0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.refund, self.generation)
    }
}

/// A request to refund a part of a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRefund {
    /// The same for every attempt. The provider keeps the refund's name as metadata, so that the
    /// refund can be found again.
    pub key: RefundKey,
    /// The payment that is refunded.
    pub payment: PaymentId,
    /// The intent that was charged.
    pub intent: IntentId,
    /// The amount to refund.
    pub amount: Money,
}

/// What has happened to a refund at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// The provider has accepted the refund. The money may take days.
    Accepted,
    /// The provider or the bank has refused it after it was made: the customer does not get the
    /// money.
    Failed,
}

/// A refund as the provider reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeRefund {
    /// The provider's own name of it.
    pub provider_id: String,
    /// The name of the refund here; `None` for one that this system did not ask for.
    pub refund: Option<RefundId>,
    /// The amount of the refund.
    pub amount: Money,
    /// Whether the provider has accepted the refund.
    pub made: Made,
}

/// A payment provider that refunds parts of a charge.
///
/// The rules of [`PaymentProvider`](crate::provider::PaymentProvider) about keys hold here too. The
/// provider refuses a refund with which more than the charge would be refunded.
pub trait PartRefunds: Send + Sync {
    /// Refunds a part of a charge.
    fn refund_part(&self, request: PartRefund) -> CallFuture<MadeRefund>;
    /// Returns the refunds of an intent. Has no effect.
    fn refunds_of(&self, payment: PaymentId, intent: IntentId) -> CallFuture<Vec<MadeRefund>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_and_of_one_store() {
        let of = |store: &str, key: &str| {
            RefundId::derive(&StoreId::new(store), &PaymentKey::new(key).unwrap())
        };
        assert_eq!(of("", "shop/1").as_str(), "re_866dafbc9163d61bdbd78cf50db16179");
        assert_ne!(of("one", "shop/1"), of("two", "shop/1"));
        assert_ne!(of("one", "shop/1"), of("one", "shop/2"));
        assert_ne!(of("a", "bshop/1"), of("ab", "shop/1"));
        let name = of("one", "shop/1");
        assert_eq!(RefundId::try_from(name.as_str().to_owned()), Ok(name.clone()));
        let key = RefundKey { refund: name.clone(), generation: 3 };
        assert_eq!(key.to_string(), format!("{name}:3"));
        for wrong in ["", "re_", "re_1", "pay_0bafe22156d2698c143b86040446d366"] {
            assert!(RefundId::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
