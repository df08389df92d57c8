//! The shop's services as level 4's modules ask for them: over reqwest, with typed errors.
//!
//! | trait of level 4 | implemented by | requests go |
//! |---|---|---|
//! | `DashboardApi`, `SnapshotApi` | [`Services`] | straight to the transport: the dashboard keeps its own copies, and a snapshot must be new |
//! | `Pages` | [`Catalogue`] | through `HttpClient`: pages and searches have copies, and callers share requests |

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::time::Duration;

use level4::dashboard::{Activity, ApiError, DashboardApi, Notification, User};
use level4::http_client::{
    Caching, ConfigError, HttpClient, HttpError, Request, Settings, Transport as _, TransportError,
};
use level4::paging::{Dir, Page, Pages};
use level4::realtime::{Snapshot, SnapshotApi, SnapshotError};
use level4_http::Reqwest;
use reqwest::Url;
use serde::de::DeserializeOwned;

use crate::shop::{Account, Found, Order, Sale, SalesPage};

/// The services without copies.
#[derive(Debug, Clone)]
pub struct Services {
    transport: Reqwest,
    base: Url,
}

impl Services {
    /// The services at `base`.
    #[must_use]
    pub const fn new(transport: Reqwest, base: Url) -> Self {
        Self { transport, base }
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        let request = Request::get(address(&self.base, path, &[]));
        let answer = self.transport.send(request).await;
        let answer = answer.map_err(|why| ApiError { status: None, text: why.to_string() })?;
        let status = Some(answer.status.as_u16());
        if !answer.status.is_success() {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(ApiError { status, text });
        }
        let read = serde_json::from_slice(&answer.body);
        read.map_err(|why| ApiError { status, text: format!("{path}: {why}") })
    }
}

impl DashboardApi for Services {
    async fn user(&self) -> Result<User, ApiError> {
        let Account { id, name } = self.ask("/user").await?;
        Ok(User { id, name })
    }

    async fn activities(&self, _: &User) -> Result<Vec<Activity>, ApiError> {
        let texts: Vec<String> = self.ask("/activities").await?;
        Ok(texts.into_iter().map(Activity).collect())
    }

    async fn notifications(&self, _: &User) -> Result<Vec<Notification>, ApiError> {
        let texts: Vec<String> = self.ask("/notifications").await?;
        Ok(texts.into_iter().map(Notification).collect())
    }
}

impl SnapshotApi for Services {
    type Item = Order;

    async fn snapshot(&self) -> Result<Snapshot<Order>, SnapshotError> {
        self.ask("/orders").await.map_err(|why| SnapshotError(why.to_string()))
    }
}

/// Why a search or a page has no result. Its text is for the page: no text of a service is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShopError {
    /// There was no answer in time.
    #[error("The shop does not answer. Try again in a moment.")]
    Silent,
    /// There was no connection, or it broke.
    #[error("The shop cannot be reached. Try again in a moment.")]
    Unreachable,
    /// An answer with an error, or one that cannot be read.
    #[error("The shop has a problem. Try again in a moment.")]
    Service,
}

impl From<&HttpError> for ShopError {
    fn from(error: &HttpError) -> Self {
        match error {
            HttpError::Transport(TransportError::Timeout) => Self::Silent,
            HttpError::Transport(_) => Self::Unreachable,
            HttpError::BadUrl(_) | HttpError::Status(_) => Self::Service,
        }
    }
}

/// A value, and how old it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aged<T> {
    /// The value.
    pub value: T,
    /// The time since the shop has answered.
    pub age: Duration,
}

/// The services with copies: the search and the sales. A clone shares the copies.
#[derive(Debug, Clone)]
pub struct Catalogue {
    client: HttpClient<Reqwest>,
    base: Url,
}

impl Catalogue {
    /// The services at `base`. A copy answers for five minutes.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] of the client's settings.
    pub fn new(transport: Reqwest, base: Url) -> Result<Self, ConfigError> {
        let capacity = NonZeroUsize::MIN.saturating_add(199);
        let settings = Settings { capacity, ..Settings::default() };
        Ok(Self { client: HttpClient::new(transport, settings)?, base })
    }

    /// The products that match a text.
    ///
    /// # Errors
    ///
    /// [`ShopError`].
    ///
    /// # Cancellation
    ///
    /// Dropping the future drops the request, unless another caller waits for the same one: the shop sees its
    /// connection close.
    pub async fn search(&self, text: &str) -> Result<Aged<Found>, ShopError> {
        self.ask(&address(&self.base, "/search", &[("text", text)])).await
    }

    async fn ask<T: DeserializeOwned>(&self, url: &str) -> Result<Aged<T>, ShopError> {
        let hit = self.client.get(url, Caching::Use).await.map_err(|why| ShopError::from(&why))?;
        let value = serde_json::from_slice(&hit.value.body).map_err(|_| ShopError::Service)?;
        Ok(Aged { value, age: hit.age })
    }
}

/// The services with copies, for all pages.
#[derive(Debug)]
pub struct Shelf {
    services: Services,
    /// Made by the first panel that needs it: on a blank this is where the panic is, and there only the panels that
    /// need copies stop.
    catalogue: OnceLock<Catalogue>,
}

impl Shelf {
    /// A shelf without copies.
    #[must_use]
    pub const fn new(services: Services) -> Self {
        Self { services, catalogue: OnceLock::new() }
    }

    /// The services with copies: the same ones for every caller.
    #[must_use]
    pub fn catalogue(&self) -> Catalogue {
        let catalogue = self.catalogue.get_or_init(|| {
            let Services { transport, base } = self.services.clone();
            Catalogue::new(transport, base).expect("a time of copies that is not zero")
        });
        catalogue.clone()
    }
}

impl Pages for Catalogue {
    type Item = Sale;
    type Cursor = u32;
    type Error = ShopError;

    async fn load(&self, at: Option<u32>, _: Dir) -> Result<Page<Sale, u32>, ShopError> {
        let page = at.unwrap_or(0).to_string();
        let page: Aged<SalesPage> =
            self.ask(&address(&self.base, "/sales", &[("page", &page)])).await?;
        let SalesPage { sales, previous, next } = page.value;
        Ok(Page { items: sales, previous, next })
    }
}

/// The URL of a service, with its parameters escaped.
fn address(base: &Url, path: &str, parameters: &[(&str, &str)]) -> String {
    let mut url = base.clone();
    url.set_path(path);
    if !parameters.is_empty() {
        url.query_pairs_mut().extend_pairs(parameters);
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_escaped() {
        let base = Url::parse("http://127.0.0.1:80/").expect("a URL");
        assert_eq!(address(&base, "/user", &[]), "http://127.0.0.1/user");
        let url = address(&base, "/search", &[("text", "a&b=c d#é")]);
        assert_eq!(url, "http://127.0.0.1/search?text=a%26b%3Dc+d%23%C3%A9");
    }
}
