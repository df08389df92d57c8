//! SendGrid as the sender of receipts, over its v3 Web API.
//!
//! SendGrid has no idempotency keys: each request that it accepts is a mail. What keeps a receipt from
//! being sent twice is [`ClaimedReceipts`](crate::receipts::ClaimedReceipts) in front of this client,
//! with the account's activity feed if it has one ([`MailFeed`](level3_domain::provider::MailFeed)).
//!
//! All mails of a receipt have the same `Message-ID`, derived from the transaction: a mailbox that
//! compares it shows one. All carry the transaction as `custom_args`, by which the feed finds them.
//!
//! # What an answer means
//!
//! | what comes back | the gateway sees | effect |
//! |---|---|---|
//! | 202; 200 in sandbox mode | sent | |
//! | 429 | `RateLimited` with `Retry-After` or until `X-RateLimit-Reset` | none |
//! | 401, 403: the key or the sender is not accepted | `Unavailable` | none |
//! | other 4xx | `Invalid` with the fields that are wrong | none |
//! | 5xx | `Internal` | unknown |
//! | no connection | `Unavailable` | none |
//! | a connection that breaks, a redirect, another status | `ConnectionLost` | unknown |
//! | nothing in time | `TimedOut` | unknown |

mod config;
mod feed;
mod message;

use std::fmt;
use std::sync::Arc;

use futures::FutureExt as _;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

pub use config::{NotAKey, SendGridConfig, SendGridKey};

use level3_domain::provider::{CallFuture, ProviderError, Receipt, Receipts};

use super::http::{Answered, Http, SetupError, WireError};

/// A client for one account. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct SendGrid {
    shared: Arc<Shared>,
}

struct Shared {
    http: Http,
    config: SendGridConfig,
}

impl fmt::Debug for SendGrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendGrid")
            .field("sandbox", &self.shared.config.sandbox)
            .finish_non_exhaustive()
    }
}

/// Why this configuration cannot send receipts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// No connection, or no answer in time.
    #[error("SendGrid cannot be reached: {reason}")]
    Unreachable {
        /// The message of the innermost error.
        reason: String,
    },
    /// The key is not valid, or was revoked.
    #[error("SendGrid does not accept the key ({status}): check SENDGRID_API_KEY")]
    Key {
        /// 401 or 403.
        status: u16,
    },
    /// The key is valid but has no permission to send mail.
    #[error("the key of SendGrid may not send mail: give it the permission mail.send")]
    Permission,
    /// Another server answers, or SendGrid has an outage.
    #[error("not an answer of SendGrid ({status})")]
    NoAnswer {
        /// The status of the answer.
        status: u16,
    },
}

impl SendGrid {
    /// Asks SendGrid what the key may do (`/v3/scopes`). Sends nothing.
    ///
    /// # Errors
    ///
    /// [`CheckError`] names the problem.
    pub async fn check(&self) -> Result<(), CheckError> {
        #[derive(Deserialize)]
        struct Body {
            scopes: Vec<String>,
        }
        let http = &self.shared.http;
        let answered = http.send(http.request(Method::GET, &["v3", "scopes"])).await;
        let answered = answered.map_err(|error| CheckError::Unreachable {
            reason: match error {
                WireError::NotSent { reason } | WireError::Lost { reason } => reason,
                WireError::TimedOut { limit } => {
                    format!("no answer within {} ms", limit.as_millis())
                }
                WireError::TooLong { .. } => "the answer is too long".to_owned(),
            },
        })?;
        let status = answered.status.as_u16();
        match (status, serde_json::from_slice::<Body>(&answered.body)) {
            (200, Ok(body)) if body.scopes.iter().any(|scope| scope == "mail.send") => Ok(()),
            (200, Ok(_)) => Err(CheckError::Permission),
            (401 | 403, _) => Err(CheckError::Key { status }),
            _ => Err(CheckError::NoAnswer { status }),
        }
    }

    /// Makes a client. It does not connect yet.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if the base URL cannot be used, or would send the key without encryption.
    pub fn new(config: SendGridConfig) -> Result<Self, SetupError> {
        let http = Http::new(&config.base_url, config.key.expose(), config.limits)?;
        Ok(Self { shared: Arc::new(Shared { http, config }) })
    }
}

impl Receipts for SendGrid {
    /// Asks SendGrid to send the mail. A repeat sends another one.
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes the connection. A request that was sent may still lead to a mail.
    fn send(&self, receipt: Receipt) -> CallFuture<()> {
        let shared = Arc::clone(&self.shared);
        async move { shared.request(&receipt).await }.boxed()
    }
}

impl Shared {
    async fn request(&self, receipt: &Receipt) -> Result<(), ProviderError> {
        let body = message::body(&self.config, receipt).to_string();
        let request = self.http.request(Method::POST, &["v3", "mail", "send"]);
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let transaction = receipt.transaction.as_str();
        let answered = self.http.send(request).await.map_err(|error| {
            tracing::warn!(transaction, ?error, "the call to SendGrid has failed");
            broken(&error)
        })?;
        let (status, id) = (answered.status.as_u16(), answered.header("x-message-id"));
        tracing::debug!(transaction, status, id, "SendGrid");
        match status {
            202 => Ok(()),
            200 if self.config.sandbox => Ok(()),
            _ => {
                let error = refused(&answered);
                match status {
                    401 | 403 => tracing::error!(
                        status,
                        "SendGrid does not accept the key or the sender: check SENDGRID_API_KEY, \
                         and that the sender is verified"
                    ),
                    _ => tracing::warn!(transaction, status, %error, "SendGrid has refused"),
                }
                Err(error)
            }
        }
    }
}

fn broken(error: &WireError) -> ProviderError {
    match error {
        WireError::NotSent { .. } => ProviderError::Unavailable,
        WireError::Lost { .. } | WireError::TooLong { .. } => ProviderError::ConnectionLost,
        WireError::TimedOut { limit } => ProviderError::TimedOut { limit: *limit },
    }
}

fn refused(answered: &Answered) -> ProviderError {
    match answered.status.as_u16() {
        401 | 403 => ProviderError::Unavailable,
        429 => ProviderError::RateLimited {
            retry_after: answered
                .retry_after()
                .or_else(|| answered.wait_until("x-ratelimit-reset")),
        },
        status @ 400..500 => ProviderError::Invalid { message: invalid(status, &answered.body) },
        500.. => ProviderError::Internal,
        _ => ProviderError::ConnectionLost,
    }
}

/// Returns the status and the names of the wrong fields. SendGrid's messages about the fields are
/// left out, since they may repeat the address.
fn invalid(status: u16, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Body {
        errors: Vec<Error>,
    }
    #[derive(Deserialize)]
    struct Error {
        field: Option<String>,
    }
    let is_name = |field: &String| {
        (1..=100).contains(&field.len())
            && field.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let errors =
        serde_json::from_slice::<Body>(body).map_or_else(|_| Vec::new(), |body| body.errors);
    let fields: Vec<_> =
        errors.into_iter().filter_map(|error| error.field).filter(is_name).take(5).collect();
    if fields.is_empty() {
        format!("{status} from SendGrid")
    } else {
        format!("{status} from SendGrid: {}", fields.join(", "))
    }
}
