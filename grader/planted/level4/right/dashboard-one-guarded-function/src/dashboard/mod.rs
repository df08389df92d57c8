//! A dashboard: pages are written whole.

mod load;

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::Stream;
use serde::{Deserialize, Serialize};

use crate::single_flight::SingleFlight;
use crate::state_store::Store;
use load::{Settled, load};

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Tells users apart.
    pub id: u64,
    /// For the page.
    pub name: String,
}

/// Something that the user did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity(pub String);

/// Something that the user is to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification(pub String);

/// Why a call of the service failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ApiError {
    /// The status of the answer. `None`: there was no answer.
    pub status: Option<u16>,
    /// For a log. It may name hosts and tables, and is not shown on a page.
    pub text: String,
}

/// The service that the data comes from.
pub trait DashboardApi: Send + Sync + 'static {
    /// The user who is logged in.
    fn user(&self) -> impl Future<Output = Result<User, ApiError>> + Send;

    /// What the user did last.
    fn activities(
        &self,
        user: &User,
    ) -> impl Future<Output = Result<Vec<Activity>, ApiError>> + Send;

    /// What the user is to know.
    fn notifications(
        &self,
        user: &User,
    ) -> impl Future<Output = Result<Vec<Notification>, ApiError>> + Send;
}

/// A text that a [`KeyValue`] has kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// As it was put. Another version of the program may have put it.
    pub text: String,
    /// The time since it was put, by the clock of the store. It outlives the process, so tokio's clock does not fit.
    pub age: Duration,
}

/// Why a [`KeyValue`] did not do what it was asked for: it is full, locked, or gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store has no room or cannot be read")]
pub struct KeyValueError;

/// Where copies are kept, such as a browser's local storage or a file.
pub trait KeyValue: Send + Sync + 'static {
    /// The text of a key.
    ///
    /// # Errors
    ///
    /// [`KeyValueError`] when the store cannot be read.
    fn get(&self, key: &str) -> Result<Option<Stored>, KeyValueError>;

    /// Keeps a text, in place of an older one.
    ///
    /// # Errors
    ///
    /// [`KeyValueError`] when the store has no room.
    fn put(&self, key: &str, text: String) -> Result<(), KeyValueError>;
}

/// What is being loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The user, whom everything else depends on.
    User,
    /// Activities and notifications, at the same time.
    Data,
}

/// Why there is no dashboard. Its `Display` is what a page shows: no text of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// 401.
    #[error("Your session has ended. Sign in again.")]
    SignedOut,
    /// 403.
    #[error("You may not see this dashboard.")]
    Forbidden,
    /// 404.
    #[error("There is no such user.")]
    NoUser,
    /// 500 to 599.
    #[error("The service has a problem. Try again in a moment.")]
    Service,
    /// Everything else, and no answer at all.
    #[error("The dashboard could not be loaded. Check your connection and try again.")]
    Other,
}

impl Failure {
    /// The failure that an error of the service is for a page.
    #[must_use]
    pub const fn of(error: &ApiError) -> Self {
        match error.status {
            Some(401) => Self::SignedOut,
            Some(403) => Self::Forbidden,
            Some(404) => Self::NoUser,
            Some(500..=599) => Self::Service,
            _ => Self::Other,
        }
    }
}

/// Where the dashboard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was loaded yet.
    Idle,
    /// A load is on its way.
    Loading(Step),
    /// The data is that of the last load.
    Ready,
    /// The last load failed; [`Dashboard::retry`] begins another one.
    Failed(Failure),
}

/// A part that a page can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// There are none.
    Activities,
    /// They are an old copy, or there are none.
    Notifications,
}

/// What a dashboard shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Who is logged in.
    pub user: User,
    /// What the user did last.
    pub activities: Vec<Activity>,
    /// What the user is to know.
    pub notifications: Vec<Notification>,
}

/// The whole of what a page needs, at one moment. Phase, data and missing parts change together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where the dashboard is.
    pub phase: Phase,
    /// The data of the last load that succeeded. It stays visible while another load runs or has failed.
    pub data: Option<Arc<Data>>,
    /// What is missing in `data`: activities first.
    pub degraded: Vec<Part>,
}

/// How a dashboard waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The waits between the attempts to load activities: one attempt more than waits.
    pub retry_after: Vec<Duration>,
    /// A copy of the notifications answers while its age is less than this.
    pub fresh_for: Duration,
}

impl Default for Settings {
    /// Three retries after 1, 2 and 4 s, and copies of less than 5 min.
    fn default() -> Self {
        Self { retry_after: [1, 2, 4].map(Duration::from_secs).into(), fresh_for: FIVE_MINUTES }
    }
}

const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// Loads a dashboard and says what a page shows of it.
pub struct Dashboard<A, K> {
    inner: Arc<Inner<A, K>>,
}

pub(crate) struct Inner<A, K> {
    api: A,
    copies: K,
    settings: Settings,
    store: Store<Page>,
    begun: Arc<Mutex<(u64, Phase)>>,
    loads: SingleFlight<(), (), Infallible>,
}

impl<A, K> Clone for Dashboard<A, K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<A, K> fmt::Debug for Dashboard<A, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dashboard")
    }
}

impl<A: DashboardApi, K: KeyValue> Dashboard<A, K> {
    /// A dashboard that has loaded nothing.
    #[must_use]
    pub fn new(api: A, copies: K, settings: Settings) -> Self {
        let store = Store::new(Page { phase: Phase::Idle, data: None, degraded: vec![] });
        let begun = Arc::new(Mutex::new((0, Phase::Idle)));
        let inner = Inner { api, copies, settings, store, begun, loads: SingleFlight::new() };
        Self { inner: Arc::new(inner) }
    }

    /// What a page shows now.
    #[must_use]
    pub fn page(&self) -> Page {
        self.inner.store.view().state.clone()
    }

    /// What a page shows, as a stream.
    pub fn pages(&self) -> impl Stream<Item = Page> + Send + Unpin + use<A, K> {
        self.inner.store.select(|view| view.state.clone())
    }

    /// Loads the dashboard.
    pub async fn load(&self) {
        let inner = Arc::clone(&self.inner);
        let work = move || async move {
            let mut settled = Settled::new(inner.store.clone(), Arc::clone(&inner.begun));
            let page = load(&inner, settled.before()).await;
            settled.settle(page);
            Ok(())
        };
        let joined = self.inner.loads.run((), work).await;
        debug_assert!(joined.is_ok());
    }

    /// Loads again after a failure.
    pub async fn retry(&self) {
        match self.page().phase {
            Phase::Idle | Phase::Ready => {}
            Phase::Failed(_) | Phase::Loading(_) => self.load().await,
        }
    }
}
