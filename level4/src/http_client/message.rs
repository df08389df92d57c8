//! Requests, responses, and the transport between them.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};

/// A request.
///
/// ```
/// use http::header::{ACCEPT, HeaderValue};
/// use level4::http_client::Request;
///
/// let mut request = Request::get("http://example.com/orders");
/// request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
/// assert_eq!((request.method.as_str(), request.body.len()), ("GET", 0));
///
/// let order = Request { method: http::Method::POST, body: b"order 7".to_vec(), ..request };
/// assert_eq!(order.url, "http://example.com/orders");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` and `HEAD` have copies; every other method goes to the server.
    pub method: Method,
    /// An absolute URL, `http` or `https`. It is checked when the request is sent.
    pub url: String,
    /// The headers of the request.
    pub headers: HeaderMap,
    /// The body. Most requests have an empty one.
    pub body: Vec<u8>,
}

impl Request {
    // starter: keep
    /// Makes a `GET` of this URL, without headers.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        let (method, headers) = (Method::GET, HeaderMap::new());
        Self { method, url: url.into(), headers, body: Vec::new() }
    }
}

/// A server's answer. A clone shares its body.
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// use level4::http_client::Response;
///
/// let body: std::sync::Arc<[u8]> = b"hello".as_slice().into();
/// let response = Response { status: StatusCode::OK, headers: HeaderMap::new(), body };
/// let copy = response.clone(); // shares the body
/// assert_eq!(&copy.body[..], b"hello");
/// assert!(copy.status.is_success());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status of the answer.
    pub status: StatusCode,
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Arc<[u8]>,
}

/// Sends requests: over sockets, or from a script in a test.
///
/// A time limit for an answer belongs in the transport, which knows its connections.
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// use level4::http_client::{Request, Response, Transport, TransportError};
///
/// /// A server for a test, which knows one page.
/// struct OnePage;
///
/// impl Transport for OnePage {
///     async fn send(&self, request: Request) -> Result<Response, TransportError> {
///         let found = request.url.ends_with("/index.html");
///         let status = if found { StatusCode::OK } else { StatusCode::NOT_FOUND };
///         Ok(Response { status, headers: HeaderMap::new(), body: b"hello".as_slice().into() })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let answer = OnePage.send(Request::get("http://example.com/orders")).await.unwrap();
/// assert_eq!(answer.status, StatusCode::NOT_FOUND);
/// # }
/// ```
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

/// The reason why there is no answer.
///
/// ```
/// use level4::http_client::{Caching, HttpClient, HttpError, Settings};
/// use level4::http_client::{Request, Response, Transport, TransportError};
///
/// /// A network without a connection.
/// struct Offline;
///
/// impl Transport for Offline {
///     async fn send(&self, _: Request) -> Result<Response, TransportError> {
///         Err(TransportError::Connect("network unreachable".to_owned()))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = HttpClient::new(Offline, Settings::default())?;
/// let error = client.get("http://example.com/", Caching::Use).await.unwrap_err();
/// assert_eq!(error.to_string(), "no connection: network unreachable");
/// assert!(matches!(error, HttpError::Transport(TransportError::Connect(_))));
/// # Ok(())
/// # }
/// ```
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

/// The reason why a request has no answer that can be used.
///
/// ```
/// use level4::http_client::{Caching, HttpClient, HttpError, Request, Settings};
/// # use level4::http_client::{Response, Transport, TransportError};
/// # struct Hello;
/// # impl Transport for Hello {
/// #     async fn send(&self, request: Request) -> Result<Response, TransportError> {
/// #         let body = format!("hello from {}", request.url).into_bytes().into();
/// #         let status = match request.url.ends_with("/missing") {
/// #             true => http::StatusCode::NOT_FOUND,
/// #             false => http::StatusCode::OK,
/// #         };
/// #         Ok(Response { status, headers: http::HeaderMap::new(), body })
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // `Hello` answers with 404 below `/missing`.
/// let client = HttpClient::new(Hello, Settings::default())?;
/// let texts = ["http://example.com/missing", "ftp://example.com/"].map(async |url| {
///     match client.get(url, Caching::Use).await {
///         Ok(hit) => format!("{} bytes", hit.value.body.len()),
///         Err(HttpError::Status(response)) => format!("status {}", response.status.as_u16()),
///         Err(error) => error.to_string(),
///     }
/// });
/// let [missing, bad] = texts;
/// assert_eq!(missing.await, "status 404");
/// assert_eq!(bad.await, "`ftp://example.com/` is no absolute URL of http or https");
/// # Ok(())
/// # }
/// ```
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
