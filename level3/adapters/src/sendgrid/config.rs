//! The address of SendGrid, the key, and the sender.

use std::fmt;
use std::sync::Arc;

use level3_domain::ids::Email;

use crate::http::Limits;

/// A key of SendGrid's API. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SendGridKey(Arc<str>);

/// The text is not a key. The message does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no API key of SendGrid: it begins with \"SG.\" and has no blanks")]
pub struct NotAKey;

impl SendGridKey {
    /// Checks the key's form.
    ///
    /// # Errors
    ///
    /// [`NotAKey`] unless the text has the form of a key.
    pub fn new(text: &str) -> Result<Self, NotAKey> {
        let text = text.trim();
        let is_key = (4..=255).contains(&text.len())
            && text.starts_with("SG.")
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_key { Ok(Self(text.into())) } else { Err(NotAKey) }
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SendGridKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendGridKey(***)")
    }
}

/// The configuration of the client. [`SendGridConfig::new`] sets the defaults.
#[derive(Debug, Clone)]
pub struct SendGridConfig {
    /// The API key of the account.
    pub key: SendGridKey,
    /// The sender of the receipts: an address that SendGrid has verified.
    pub from: Email,
    /// The name of the sender. The default is `None`.
    pub from_name: Option<String>,
    /// Whether SendGrid only checks the request and sends nothing (its sandbox mode). The default
    /// is `false`.
    pub sandbox: bool,
    /// The URL to which `/v3/mail/send` is appended. The default is `https://api.sendgrid.com`.
    pub base_url: String,
    /// The limits of an answer.
    pub limits: Limits,
}

impl SendGridConfig {
    /// Makes the default configuration for this account and sender.
    #[must_use]
    pub fn new(key: SendGridKey, from: Email) -> Self {
        Self {
            key,
            from,
            from_name: None,
            sandbox: false,
            base_url: "https://api.sendgrid.com".to_owned(),
            limits: Limits::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked_and_hidden() {
        for text in ["", "SG.", "sk_test_1", "SG.a b", "SG.\u{e4}\u{e4}"] {
            assert_eq!(SendGridKey::new(text), Err(NotAKey), "{text}");
        }
        let key = SendGridKey::new(" SG.hidden.hidden\n").unwrap();
        let config = SendGridConfig::new(key, Email::new("shop@example.com").unwrap());
        let shown = format!("{config:?}");
        assert!(!shown.contains("hidden") && !shown.contains("shop@"), "{shown}");
    }
}
