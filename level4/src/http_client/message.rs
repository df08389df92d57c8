//! Requests, responses, and the transport between them.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` and `HEAD` have copies; every other method goes to the server.
    pub method: Method,
    /// An absolute URL, `http` or `https`. It is checked when the request is sent.
    pub url: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Empty for most.
    pub body: Vec<u8>,
}

impl Request {
    // starter: keep
    /// A `GET` of this URL, without headers.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        let (method, headers) = (Method::GET, HeaderMap::new());
        Self { method, url: url.into(), headers, body: Vec::new() }
    }
}

/// A server's answer. A clone shares its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Arc<[u8]>,
}

/// Sends requests: over sockets, or from a script in a test.
///
/// A time limit for an answer belongs in the transport, which knows its connections.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request and returns the server's answer with any status.
    ///
    /// Dropping the future gives the request up.
    ///
    /// # Errors
    ///
    /// [`TransportError`] when there is no complete answer.
    fn send(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Response, TransportError>> + Send;
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// There was no connection. The text is for a log.
    #[error("no connection: {0}")]
    Connect(String),
    /// The answer took too long.
    #[error("no answer in time")]
    Timeout,
    /// The connection ended before the answer was complete, or there was none at all.
    #[error("the connection ended before the answer was complete")]
    Incomplete,
    /// The body has more bytes than the transport takes. The number is the limit.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

/// Why a request has no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The URL is not absolute, not `http` or `https`, has no host, or is no URL. Nothing was sent.
    #[error("`{0}` is no absolute URL of http or https")]
    BadUrl(String),
    /// There is no answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The answer's status is not one from 200 to 299.
    #[error("the server answered with {}", .0.status)]
    Status(Response),
}
