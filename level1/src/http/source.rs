//! The requests themselves.

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
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    root: Url,
    config: HttpConfig,
}

impl HttpSource {
    /// A source for the server of `config`. No connection is made yet.
    ///
    /// # Errors
    /// [`SetupError`] when the base URL cannot be used or the client cannot be set up.
    pub fn new(config: HttpConfig) -> Result<Self, SetupError> {
        let root = config.root()?;
        let mut builder = Client::builder().redirect(Policy::limited(config.max_redirects));
        if !config.system_proxy {
            builder = builder.no_proxy();
        }
        if root.scheme() == "http" {
            // The machine's certificates are read for https only: there may be none.
            builder = builder.tls_certs_only([]);
        }
        // reqwest brings no cryptography of its own. The first one in a process stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client =
            builder.build().map_err(|error| SetupError::Client { reason: chain(&error) })?;
        Ok(Self { shared: Arc::new(Shared { client, root, config }) })
    }

    fn get<T>(&self, path: String) -> BoxFuture<'static, Result<T, SourceError>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        async move { within(shared.config.timeout, shared.get(&path)).await }.boxed()
    }
}

impl Shared {
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, SourceError> {
        let mut url = self.root.clone();
        url.set_path(&format!("{}{path}", self.root.path().trim_end_matches('/')));
        let response =
            self.client.get(url).send().await.map_err(|error| self.source_error(&error))?;
        check_status(response.status().as_u16())?;
        let chunks = stream::try_unfold(response, async |mut response: Response| {
            Ok(response.chunk().await?.map(|chunk| (chunk.to_vec(), response)))
        });
        let chunks = chunks.map_err(|error: reqwest::Error| self.source_error(&error));
        let text = read_text(chunks, self.config.max_body).await?;
        serde_json::from_str(&text)
            .map_err(|error| SourceError::Malformed { reason: error.to_string() })
    }

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

/// The innermost error of a chain says what happened ("connection refused"), the outermost what was
/// being done. The layers between repeat them.
fn chain(error: &reqwest::Error) -> String {
    // The URL is left out: the code that reports the error names the request.
    let mut text = if error.is_connect() {
        "cannot connect".to_owned()
    } else if error.is_body() || error.is_decode() {
        "the answer broke off".to_owned()
    } else {
        "the request broke off".to_owned()
    };
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.source().is_none() {
            text = format!("{text}: {inner}");
        }
        cause = inner.source();
    }
    text
}
