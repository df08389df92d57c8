//! A [`Transport`] over reqwest: level 4's HTTP client with sockets.
//!
//! ```no_run
//! use level4::http_client::{Caching, HttpClient, Settings};
//! use level4_http::{Limits, Reqwest};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = HttpClient::new(Reqwest::new(Limits::default())?, Settings::default())?;
//! let rates = client.get("https://example.com/rates", Caching::Use).await?;
//! println!("{} bytes, {:?} old", rates.value.body.len(), rates.age);
//! # Ok(())
//! # }
//! ```

use std::error::Error;
use std::time::Duration;

use level4::http_client::{Request, Response, Transport, TransportError};
use reqwest::Client;

/// How much a server may ask of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest time for a connection.
    pub connect: Duration,
    /// The longest time from the request to the last byte of its answer. A server that sends a byte now and then does
    /// not extend it.
    pub total: Duration,
    /// The most bytes of a body.
    pub body: usize,
}

impl Default for Limits {
    /// Five seconds for a connection, thirty in all, and bodies of 4 MiB.
    fn default() -> Self {
        let (connect, total) = (Duration::from_secs(5), Duration::from_secs(30));
        Self { connect, total, body: 4 << 20 }
    }
}

/// The error of making a transport: the machine has no certificates, for instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct SetupError(String);

/// Sends requests with reqwest. Up to ten redirects are followed.
///
/// A clone shares the connections.
#[derive(Debug, Clone)]
pub struct Reqwest {
    client: Client,
    body: usize,
}

impl Reqwest {
    /// A transport with these limits.
    ///
    /// # Errors
    ///
    /// [`SetupError`].
    pub fn new(limits: Limits) -> Result<Self, SetupError> {
        // reqwest brings no cryptography of its own. The first one in a process stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().connect_timeout(limits.connect).timeout(limits.total);
        let client = client.build().map_err(|error| SetupError(chain(&error)))?;
        Ok(Self { client, body: limits.body })
    }
}

impl Transport for Reqwest {
    /// Dropping the future closes the connection, unless the answer is complete.
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let Request { method, url, headers, body } = request;
        let sent = self.client.request(method, &url).headers(headers).body(body).send();
        let mut answer = sent.await.map_err(|error| why(&error))?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| why(&error))? {
            // Before it is kept: a server that sends without end gets no more memory than this.
            if chunk.len() > self.body - body.len() {
                return Err(TransportError::TooLarge(self.body));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, headers, body: body.into() })
    }
}

fn why(error: &reqwest::Error) -> TransportError {
    if error.is_timeout() {
        TransportError::Timeout
    } else if error.is_connect() || error.is_builder() || error.is_redirect() {
        TransportError::Connect(chain(error))
    } else {
        // The connection was there, and broke before or within the answer.
        TransportError::Incomplete
    }
}

/// The texts of an error and of its causes, the outermost first.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
