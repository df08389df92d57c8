//! Sends notifications to the servers of merchants.
//!
//! The client follows no redirect and reads no body of an answer: the status says everything. A URL
//! has to be `https`, unless it names this machine.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use crate::http::{Answered, SetupError, cause, checked};

/// The address of a merchant's server.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HookUrl(Url);

impl HookUrl {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for HookUrl {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Self, SetupError> {
        checked(text).map(Self)
    }
}

impl fmt::Debug for HookUrl {
    /// Without path and query, which may hold a secret of the merchant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookUrl({})", self.0.host_str().unwrap_or_default())
    }
}

/// A notification to a merchant's endpoint, as an HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRequest {
    /// The endpoint that gets the notification.
    pub url: HookUrl,
    /// The headers beside those of HTTP. The body is JSON.
    pub headers: Vec<(&'static str, String)>,
    /// The body, as it was signed.
    pub body: String,
}

/// The answer to a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookAnswer {
    /// The status code.
    pub status: u16,
    /// The wait that the server has asked for, at most a minute.
    pub retry_after: Option<Duration>,
}

/// Why a notification has no answer. The server may have got it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// There was no connection.
    #[error("cannot be reached: {0}")]
    NotSent(String),
    /// The connection broke before the answer.
    #[error("the connection broke: {0}")]
    Lost(String),
    /// No answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

/// Sends notifications.
pub trait HookPost: Send + Sync {
    /// Sends one and waits for the answer.
    fn post(&self, request: HookRequest) -> BoxFuture<'static, Result<HookAnswer, HookError>>;
}

/// The client over HTTP. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct HookClient {
    remote: Client,
    /// A server on this machine needs neither a proxy nor a certificate.
    local: Client,
    limit: Duration,
}

impl HookClient {
    /// Makes a client that waits so long for an answer. It does not connect yet.
    ///
    /// # Errors
    ///
    /// [`SetupError::Client`] if the machine has no certificates, for instance.
    pub fn new(limit: Duration) -> Result<Self, SetupError> {
        // As in the other clients: a provider that is installed already stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            Client::builder()
                .user_agent("payment-gateway")
                .redirect(Policy::none())
                .connect_timeout(limit)
                .timeout(limit)
        };
        let failed = |error| SetupError::Client { reason: cause(&error) };
        let remote = builder().https_only(true).build().map_err(failed)?;
        let local = builder().no_proxy().tls_certs_only([]).build().map_err(failed)?;
        Ok(Self { remote, local, limit })
    }
}

impl HookPost for HookClient {
    /// # Cancellation
    ///
    /// Dropping the future closes the connection. The server may have got the notification.
    fn post(&self, request: HookRequest) -> BoxFuture<'static, Result<HookAnswer, HookError>> {
        let HookRequest { url: HookUrl(url), headers, body } = request;
        let client = if url.scheme() == "https" { &self.remote } else { &self.local };
        let mut request = client.post(url).header("content-type", "application/json").body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let limit = self.limit;
        async move {
            let mut response = request.send().await.map_err(|error| {
                if error.is_timeout() {
                    HookError::TimedOut(limit)
                } else if error.is_connect() || error.is_builder() {
                    HookError::NotSent(cause(&error))
                } else {
                    HookError::Lost(cause(&error))
                }
            })?;
            let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
            let retry_after = Answered { status, headers, body: Vec::new() }.retry_after();
            Ok(HookAnswer { status: status.as_u16(), retry_after })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_goes_over_tls_or_stays_on_the_machine() {
        for fine in ["https://shop.example/hook?a=b", "http://127.0.0.1:8/x", "http://localhost/"] {
            assert!(fine.parse::<HookUrl>().is_ok(), "{fine}");
        }
        for bad in ["http://shop.example/", "ftp://shop.example", "", "https://a:b@shop.example/"] {
            assert!(bad.parse::<HookUrl>().is_err(), "{bad}");
        }
        let url: HookUrl = "https://shop.example/token-canary?x".parse().unwrap();
        assert!(!format!("{url:?}").contains("canary"));
    }
}
