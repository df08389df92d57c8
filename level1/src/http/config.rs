//! The configuration: where the server is, and how long and how much it may answer.

use std::time::Duration;

use reqwest::Url;

/// How to reach a server. [`HttpConfig::new`] gives the defaults.
///
/// ```
/// use std::time::Duration;
///
/// use level1::http::HttpConfig;
///
/// let config = HttpConfig {
///     timeout: Duration::from_secs(2),
///     ..HttpConfig::new("http://localhost:3000")
/// };
/// assert_eq!(config.prefix, "/api");
/// ```
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Scheme, host and port, for example `http://localhost:3000`. A path in it stays in front of
    /// the prefix.
    pub base_url: String,
    /// The path between the base URL and `/users`; may be empty. `/api` unless changed.
    pub prefix: String,
    /// The time for one request, from the connection to the last byte. 10 s unless changed.
    pub timeout: Duration,
    /// The greatest length of a body, in bytes. 1 MiB unless changed.
    pub max_body: usize,
    /// The greatest number of redirections that a request follows. 5 unless changed.
    pub max_redirects: usize,
    /// Whether requests use the proxy of the environment (`HTTP_PROXY` and the like). `true` unless
    /// changed.
    pub system_proxy: bool,
}

impl HttpConfig {
    /// Makes the configuration with all defaults for the server at this base URL.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            prefix: "/api".to_owned(),
            timeout: Duration::from_secs(10),
            max_body: 1024 * 1024,
            max_redirects: 5,
            system_proxy: true,
        }
    }

    /// The URL that all requests begin with, without a slash at its end.
    pub(super) fn root(&self) -> Result<Url, SetupError> {
        let invalid = |reason: String| SetupError::BaseUrl { url: self.base_url.clone(), reason };
        let mut url = Url::parse(&self.base_url).map_err(|error| invalid(error.to_string()))?;
        // All checks are made here, once. reqwest would accept such a URL and fail with each request, long after
        // the operator has mistyped it.
        match url.scheme() {
            "http" | "https" => {}
            other => return Err(invalid(format!("the scheme is {other}, not http or https"))),
        }
        // `set_path` would keep both, and every request would carry them.
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it has a query or a fragment".to_owned()));
        }
        // `api`, `/api` and `/api/` are the same prefix, and a base URL may end with a slash: a doubled slash is
        // another path for many servers.
        let prefix = self.prefix.trim_matches('/');
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&if prefix.is_empty() { path } else { format!("{path}/{prefix}") });
        Ok(url)
    }
}

/// Why [`HttpSource::new`](super::HttpSource::new) made no source.
///
/// ```
/// use level1::http::{HttpConfig, HttpSource, SetupError};
///
/// let refused = HttpSource::new(HttpConfig::new("ftp://localhost"));
/// assert!(matches!(refused, Err(SetupError::BaseUrl { .. })));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// No request can be sent to the base URL.
    #[error("the base URL {url:?} cannot be used: {reason}")]
    BaseUrl {
        /// The URL as given.
        url: String,
        /// Why the URL cannot be used, as a clause for the message.
        reason: String,
    },
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be set up: {reason}")]
    Client {
        /// The message of reqwest.
        reason: String,
    },
}
