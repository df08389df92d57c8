//! Where Stripe is, and with which key.

use std::fmt;
use std::sync::Arc;

use super::super::http::Limits;

/// A secret or restricted key of Stripe's test mode. `Debug` shows its kind and nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct StripeKey(Arc<str>);

/// Why a text is no key. The messages do not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A live key moves real money. This gateway is a course's, and takes none.
    #[error("a live key: use one of the test mode, which begins with sk_test_ or rk_test_")]
    Live,
    /// A publishable key cannot charge.
    #[error("a publishable key: use the secret one, which begins with sk_test_")]
    Publishable,
    /// Neither `sk_test_...` nor `rk_test_...`.
    #[error("no secret key of Stripe's: sk_test_ or rk_test_, then letters and digits")]
    NotAKey,
}

impl StripeKey {
    /// Checks the key's form. Whether Stripe knows it, [`Stripe::check`](super::Stripe::check) finds out.
    ///
    /// # Errors
    ///
    /// [`KeyError`]: live keys are refused among others.
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

/// How to reach Stripe. [`StripeConfig::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct StripeConfig {
    /// The account.
    pub key: StripeKey,
    /// `https://api.stripe.com` unless changed. The paths of the API are put behind it.
    pub base_url: String,
    /// How long and how much an answer may take.
    pub limits: Limits,
    /// How many pages of a hundred intents are looked through for one whose id is not known, the newest
    /// first. 10 unless changed.
    pub find_pages: u32,
    /// How many ids of intents are remembered. 10 000 unless changed, about 2 MB.
    pub remembered: usize,
}

impl StripeConfig {
    /// The defaults, for this account.
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
