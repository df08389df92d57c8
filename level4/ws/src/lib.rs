//! A [`Connector`] over tokio-tungstenite: level 4's socket with connections.
//!
//! ```no_run
//! use futures::StreamExt as _;
//! use level4::socket::{Config, socket};
//! use level4_ws::{Limits, WebSocket};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let rates = WebSocket::new("wss://example.com/rates", Limits::default())?;
//! let (_outbox, mut events) = socket::<_, u32>(rates, Config::default())?;
//! while let Some(event) = events.next().await {
//!     println!("{:?}", event?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What the protocol decides
//!
//! * A text that is not UTF-8 ends its connection: RFC 6455 demands it (section 8.1). For the socket this is a failure
//!   like another, and it connects again. Bytes that are not UTF-8 are no message: the socket yields
//!   [`BadFrame`](level4::socket::Event::BadFrame), and the connection stays.
//! * A message above [`Limits::message`] ends its connection when its length is known, before its bytes are kept.
//! * Every ping is answered with one pong.
//! * A server that answers the handshake with another status than 101 has refused it. Redirects are not followed.

mod connection;
mod dial;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, Uri};
use level4::socket::{Connector, WireError};
use rustls::ClientConfig;
use tokio::time::timeout;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

pub use connection::Connection;
pub use dial::{Dial, Tcp};

/// How much a server may ask of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest time from the first packet to the end of the handshake, TLS included.
    pub connect: Duration,
    /// The most bytes of a message. A message in several frames is counted as a whole.
    pub message: usize,
}

impl Default for Limits {
    /// Five seconds for a connection, and messages of 1 MiB.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), message: 1 << 20 }
    }
}

/// Why there is no such connector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The address is not `ws://HOST...` or `wss://HOST...`.
    #[error("`{url}` is no address of a web socket, such as wss://example.com/rates: {why}")]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A limit is zero. The text names it.
    #[error("the limit `{0}` is zero; no connection could keep it")]
    Zero(&'static str),
    /// TLS cannot be set up: the machine has no certificates, for instance.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// [`Limits::connect`] has passed.
    #[error("there was no connection within {0:?}")]
    Timeout(Duration),
    /// There is no server, or no TLS with it: its certificate is not trusted, for instance.
    #[error("the server cannot be reached: {0}")]
    Unreachable(#[source] io::Error),
    /// The server is there and has answered the handshake with this status.
    #[error("the server refused with {0}")]
    Refused(StatusCode),
    /// The server does not speak the protocol, or the connection broke within the handshake.
    #[error("the handshake failed: {0}")]
    Handshake(#[source] tungstenite::Error),
}

impl From<ConnectError> for WireError {
    fn from(error: ConnectError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Connects to one address.
#[derive(Debug, Clone)]
pub struct WebSocket<D = Tcp> {
    url: Uri,
    limits: Limits,
    dial: D,
}

impl WebSocket {
    /// Connects to this address: `ws` for TCP, `wss` for TLS with the certificates that the machine trusts.
    ///
    /// # Errors
    ///
    /// [`SetupError`].
    pub fn new(url: &str, limits: Limits) -> Result<Self, SetupError> {
        let uri = address(url)?;
        let dial = match uri.scheme_str() {
            Some("wss") => Tcp::with_tls(&uri, dial::trusts_what_the_machine_does()?)?,
            _ => Tcp::plain(&uri),
        };
        Self::over(url, limits, dial)
    }

    /// As [`new`](Self::new), but TLS is set up like this: for a certificate that the machine does not know. For a `ws`
    /// address there is no TLS, and `tls` is not used.
    ///
    /// # Errors
    ///
    /// [`SetupError`].
    pub fn with_tls(url: &str, limits: Limits, tls: Arc<ClientConfig>) -> Result<Self, SetupError> {
        let uri = address(url)?;
        let dial = match uri.scheme_str() {
            Some("wss") => Tcp::with_tls(&uri, tls)?,
            _ => Tcp::plain(&uri),
        };
        Self::over(url, limits, dial)
    }
}

impl<D: Dial> WebSocket<D> {
    /// Speaks the protocol over what `dial` opens, such as one side of [`tokio::io::duplex`]. The server is asked for
    /// `url`.
    ///
    /// # Errors
    ///
    /// [`SetupError`].
    pub fn over(url: &str, limits: Limits, dial: D) -> Result<Self, SetupError> {
        let url = address(url)?;
        if limits.connect.is_zero() {
            return Err(SetupError::Zero("connect"));
        }
        if limits.message == 0 {
            return Err(SetupError::Zero("message"));
        }
        Ok(Self { url, limits, dial })
    }

    /// Makes one connection: what [`Connector::connect`] does, with a typed error.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes what was opened.
    pub async fn open(&self) -> Result<Connection<D::Bytes>, ConnectError> {
        let opens = async {
            let bytes = self.dial.dial().await.map_err(ConnectError::Unreachable)?;
            let shakes = client_async_with_config(self.url.clone(), bytes, Some(self.config()));
            match shakes.await {
                Ok((frames, _)) => Ok(Connection::new(frames)),
                Err(tungstenite::Error::Http(answer)) => {
                    Err(ConnectError::Refused(answer.status()))
                }
                Err(error) => Err(ConnectError::Handshake(error)),
            }
        };
        let limit = self.limits.connect;
        timeout(limit, opens).await.unwrap_or(Err(ConnectError::Timeout(limit)))
    }

    fn config(&self) -> WebSocketConfig {
        let most = Some(self.limits.message);
        // The buffer for reading is allocated with the connection: 128 KiB by default.
        WebSocketConfig::default()
            .read_buffer_size(16 << 10)
            .max_message_size(most)
            .max_frame_size(most)
    }
}

impl<D: Dial> Connector for WebSocket<D> {
    type Connection = Connection<D::Bytes>;

    /// Dropping the future closes what was opened.
    async fn connect(&self) -> Result<Self::Connection, WireError> {
        Ok(self.open().await?)
    }
}

/// An address with a scheme of web sockets and a host.
fn address(url: &str) -> Result<Uri, SetupError> {
    let refused = |why: String| SetupError::Url { url: url.to_owned(), why };
    let uri: Uri =
        url.parse().map_err(|error: http::uri::InvalidUri| refused(error.to_string()))?;
    if !matches!(uri.scheme_str(), Some("ws" | "wss")) {
        return Err(refused("it does not begin with ws:// or wss://".to_owned()));
    }
    match uri.host() {
        None | Some("") => Err(refused("it has no host".to_owned())),
        Some(_) => Ok(uri),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        for good in ["ws://example.com", "wss://example.com:8443/rates?a=b", "ws://[::1]:80/"] {
            assert!(WebSocket::new(good, Limits::default()).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", "empty"),
            ("/rates", "begin with"),
            ("example.com", "begin with"),
            ("https://example.com/", "begin with"),
            ("ws:///rates", ""),
            ("ws://:80/", "no host"),
            ("ws://a b/", ""),
        ] {
            let error = WebSocket::new(bad, Limits::default()).expect_err(bad);
            assert!(matches!(&error, SetupError::Url { url, .. } if url == bad), "{bad}: {error}");
            assert!(error.to_string().contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn a_limit_of_zero_is_refused() {
        for (limits, name) in [
            (Limits { connect: Duration::ZERO, ..Limits::default() }, "connect"),
            (Limits { message: 0, ..Limits::default() }, "message"),
        ] {
            let error = WebSocket::new("ws://example.com", limits).expect_err(name);
            assert_eq!(error, SetupError::Zero(name));
        }
    }
}
