//! The source: sends the requests and reads their answers.

use std::error::Error;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use futures::{TryStreamExt, stream};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use serde::de::DeserializeOwned;

use super::{HttpConfig, SetupError};
use crate::model::{Post, User, UserId};
use crate::source::{ProfileSource, SourceError};
use crate::transport::{check_status, read_text, within};

/// A [`ProfileSource`] over HTTP. Clones share one pool of connections.
///
/// ```
/// use level1::http::{HttpConfig, HttpSource};
/// use level1::source::ProfileSource;
///
/// # fn main() -> Result<(), level1::http::SetupError> {
/// let source = HttpSource::new(HttpConfig::new("http://localhost:3000"))?;
/// let request = source.user(1); // a future: nothing is sent before it is polled
/// drop(request);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct HttpSource {
    /// In an `Arc`, since the future of a request is `'static`: it may outlive the source and owns what it needs.
    shared: Arc<Shared>,
}

/// What all requests of a source share.
#[derive(Debug)]
struct Shared {
    /// One client for all requests: it has the pool of connections. A client for each request would connect, and
    /// for https shake hands, each time.
    client: Client,
    /// Checked when the source is made, so a request has no error of its URL.
    root: Url,
    /// The limits of each request: its time, the length of its body and the number of redirections.
    config: HttpConfig,
}

impl HttpSource {
    /// Makes a source for the server of `config`. It connects with the first request. For https, also after a
    /// redirection, it trusts the certificates of the machine.
    ///
    /// # Errors
    /// [`SetupError`] when the base URL cannot be used or the client cannot be set up.
    pub fn new(config: HttpConfig) -> Result<Self, SetupError> {
        let root = config.root()?;
        // No timeout of reqwest's: `within` bounds the whole request, its body included, and its error says how
        // long the limit was.
        let builder = || {
            let builder = Client::builder().redirect(Policy::limited(config.max_redirects));
            if config.system_proxy { builder } else { builder.no_proxy() }
        };
        // reqwest brings no cryptography of its own. The first one in a process stays: the error says that there
        // is one already, and any does.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = match builder().build() {
            // The machine's certificates are read for http too, since its server may redirect to https. A machine may
            // have none: then such a redirection fails, and plain http works.
            Err(_) if root.scheme() == "http" => builder().tls_certs_only([]).build(),
            built => built,
        };
        let client = client.map_err(|error| SetupError::Client { reason: chain(&error) })?;
        Ok(Self { shared: Arc::new(Shared { client, root, config }) })
    }

    /// Makes the future of a request, which is sent at its first poll.
    fn get<T>(&self, path: String) -> BoxFuture<'static, Result<T, SourceError>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        // Cloned before the block, so that the future owns it and does not borrow `self`.
        let shared = Arc::clone(&self.shared);
        // Boxed, because `ProfileSource` is used as `dyn`: the caller of a method does not know the size of the
        // future that an implementation makes.
        async move { within(shared.config.timeout, shared.get(&path)).await }.boxed()
    }
}

impl Shared {
    /// Sends one request and reads its answer, without a limit of time.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, SourceError> {
        let mut url = self.root.clone();
        // Trimmed again: the path of a URL is never empty, so a root without a prefix has the path `/`.
        url.set_path(&format!("{}{path}", self.root.path().trim_end_matches('/')));
        let response =
            self.client.get(url).send().await.map_err(|error| self.source_error(&error))?;
        // Before the body: a page that explains a 404 need not be read, and is no JSON.
        check_status(response.status().as_u16())?;
        // Chunk by chunk and not `response.text()`, which reads a body of any length before its length can be
        // compared with the limit. At the limit `read_text` drops this stream and the response in it, which closes
        // the connection. A stream of vectors keeps reqwest's types out of `transport`.
        let chunks = stream::try_unfold(response, async |mut response: Response| {
            Ok(response.chunk().await?.map(|chunk| (chunk.to_vec(), response)))
        });
        let chunks = chunks.map_err(|error: reqwest::Error| self.source_error(&error));
        let text = read_text(chunks, self.config.max_body).await?;
        // The whole text: what follows the JSON value is an error too.
        serde_json::from_str(&text)
            .map_err(|error| SourceError::Malformed { reason: error.to_string() })
    }

    /// Converts an error of reqwest's. A redirection too many is the only one that has a variant of its own: the
    /// connection worked, and another try would end in the same way.
    fn source_error(&self, error: &reqwest::Error) -> SourceError {
        if error.is_redirect() {
            SourceError::Redirects { limit: self.config.max_redirects }
        } else {
            SourceError::Connection { reason: chain(error) }
        }
    }
}

impl ProfileSource for HttpSource {
    fn user(&self, id: UserId) -> BoxFuture<'static, Result<User, SourceError>> {
        self.get(format!("/users/{id}"))
    }

    fn posts(&self, id: UserId) -> BoxFuture<'static, Result<Vec<Post>, SourceError>> {
        self.get(format!("/users/{id}/posts"))
    }
}

/// Returns the message of an error: what was being done, and the innermost error of its chain, which says what
/// happened ("connection refused"). The layers between repeat the two.
fn chain(error: &reqwest::Error) -> String {
    // The URL is left out: the code that reports the error names the request.
    let mut text = if error.is_connect() {
        "cannot connect".to_owned()
    } else if error.is_body() || error.is_decode() {
        "the answer broke off".to_owned()
    } else {
        "the request broke off".to_owned()
    };
    // reqwest's own text names the layer ("error sending request") and not the cause, so it is not used.
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.source().is_none() {
            text = format!("{text}: {inner}");
        }
        cause = inner.source();
    }
    text
}
