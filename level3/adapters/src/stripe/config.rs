//! The address of Stripe, and the key.

use std::fmt;
use std::sync::Arc;

use super::super::http::Limits;

/// A secret or restricted key of Stripe's test mode. `Debug` shows only the kind of the key.
#[derive(Clone, PartialEq, Eq)]
pub struct StripeKey(Arc<str>);

/// Why a text is not a key. The messages do not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key is a live one, which moves real money. This gateway is part of a course and refuses
    /// it.
    #[error("a live key: use one of the test mode, which begins with sk_test_ or rk_test_")]
    Live,
    /// The key is a publishable one, which cannot charge.
    #[error("a publishable key: use the secret one, which begins with sk_test_")]
    Publishable,
    /// The text is neither `sk_test_...` nor `rk_test_...`.
    #[error("no secret key of Stripe: sk_test_ or rk_test_, then letters and digits")]
    NotAKey,
}

impl StripeKey {
    /// Checks the form of the key. [`Stripe::check`](super::Stripe::check) finds out whether Stripe
    /// accepts it.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the text is not a key of the test mode.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if ["sk_live_", "rk_live_"].iter().any(|live| text.starts_with(live)) {
            return Err(KeyError::Live);
        }
        if text.starts_with("pk_") {
            return Err(KeyError::Publishable);
        }
        let rest = ["sk_test_", "rk_test_"].iter().find_map(|kind| text.strip_prefix(kind));
        match rest {
            Some(rest)
                if (1..=247).contains(&rest.len())
                    && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') =>
            {
                Ok(Self(text.into()))
            }
            _ => Err(KeyError::NotAKey),
        }
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StripeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StripeKey(***)")
    }
}

/// The configuration of the client. [`StripeConfig::new`] sets the defaults.
#[derive(Debug, Clone)]
pub struct StripeConfig {
    /// The secret key of the account.
    pub key: StripeKey,
    /// The URL to which the paths of the API are appended. The default is `https://api.stripe.com`.
    pub base_url: String,
    /// The limits of an answer.
    pub limits: Limits,
    /// The number of pages of a hundred intents, the newest first, in which the client looks for an
    /// intent whose id it does not know. The default is 10.
    pub find_pages: u32,
    /// The number of intent ids that the client remembers. The default is 10 000, about 2 MB.
    pub remembered: usize,
}

impl StripeConfig {
    /// Makes the default configuration for this account.
    #[must_use]
    pub fn new(key: StripeKey) -> Self {
        Self {
            key,
            base_url: "https://api.stripe.com".to_owned(),
            limits: Limits::default(),
            find_pages: 10,
            remembered: 10_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_keys_are_refused() {
        assert_eq!(StripeKey::new("sk_live_51Abc"), Err(KeyError::Live));
        assert_eq!(StripeKey::new(" rk_live_51Abc\n"), Err(KeyError::Live));
    }

    #[test]
    fn only_secret_keys_are_keys() {
        assert!(StripeKey::new("sk_test_51Abc\n").is_ok() && StripeKey::new("rk_test_a").is_ok());
        assert_eq!(StripeKey::new("pk_test_51Abc"), Err(KeyError::Publishable));
        for text in ["", "sk_test_", "sk_test_a b", "sk_test_\u{e4}", "whsec_abc", "SK_TEST_abc"] {
            assert_eq!(StripeKey::new(text), Err(KeyError::NotAKey), "{text}");
        }
    }

    #[test]
    fn a_configuration_shows_no_key() {
        let config = StripeConfig::new(StripeKey::new("sk_test_hidden").unwrap());
        assert!(!format!("{config:?}").contains("hidden"));
    }
}
