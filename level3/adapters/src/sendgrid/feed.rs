//! The account's activity feed.

use futures::FutureExt as _;
use level3_domain::ids::TransactionId;
use level3_domain::provider::{CallFuture, MailFeed, MailTrace, ProviderError};
use serde::Deserialize;

use super::{SendGrid, Shared, broken, refused};

impl MailFeed for SendGrid {
    /// Looks for a mail with this transaction among its `custom_args`
    /// (<https://www.twilio.com/docs/sendgrid/api-reference/email-activity/filter-all-messages>). The
    /// feed is an option of an account and takes six requests in a minute.
    ///
    /// # Errors
    ///
    /// Those of the [module](super). A key or an account without a feed is no error, but
    /// [`MailTrace::NoFeed`].
    fn look(&self, transaction: TransactionId) -> CallFuture<MailTrace> {
        let shared = std::sync::Arc::clone(&self.shared);
        async move { shared.look(&transaction).await }.boxed()
    }
}

impl Shared {
    async fn look(&self, transaction: &TransactionId) -> Result<MailTrace, ProviderError> {
        let Some(query) = query(transaction) else { return Ok(MailTrace::NoFeed) };
        let request = self.http.get(&["v3", "messages"], &[("limit", "1"), ("query", &query)]);
        let transaction = transaction.as_str();
        let answered = self.http.send(request).await.map_err(|error| {
            tracing::warn!(transaction, ?error, "SendGrid's activity feed does not answer");
            broken(&error)
        })?;
        let status = answered.status.as_u16();
        match status {
            200 => trace(&answered.body).ok_or(ProviderError::ConnectionLost),
            // The feed is no part of the account, or the key may not read it.
            401 | 403 | 404 => {
                tracing::warn!(transaction, status, "SendGrid shows this key no activity feed");
                Ok(MailTrace::NoFeed)
            }
            _ => Err(refused(&answered)),
        }
    }
}

/// Returns the query; `None` for a name that would need escapes, for which the feed documents none.
fn query(transaction: &TransactionId) -> Option<String> {
    let name = transaction.as_str();
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    is_plain.then(|| format!("(unique_args['transaction']=\"{name}\")"))
}

fn trace(body: &[u8]) -> Option<MailTrace> {
    #[derive(Deserialize)]
    struct Body {
        messages: Vec<serde::de::IgnoredAny>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    Some(if body.messages.is_empty() { MailTrace::NotShown } else { MailTrace::Accepted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_holds_nothing_but_the_name() {
        let query = |name: &str| query(&TransactionId::new(name).unwrap());
        assert_eq!(query("txn_0af-1.2").unwrap(), "(unique_args['transaction']=\"txn_0af-1.2\")");
        for odd in ["txn\"", "txn'", "txn 1", "txn_\u{e4}", "txn\\"] {
            assert_eq!(query(odd), None, "{odd}");
        }
    }

    #[test]
    fn any_mail_is_the_mail() {
        assert_eq!(trace(br#"{"messages":[]}"#), Some(MailTrace::NotShown));
        let shown = br#"{"messages":[{"msg_id":"a","status":"processed"}]}"#;
        assert_eq!(trace(shown), Some(MailTrace::Accepted));
        for odd in [&b"[]"[..], b"", b"{}", b"<html>"] {
            assert_eq!(trace(odd), None);
        }
    }
}
