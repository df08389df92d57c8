//! A dashboard as a view model: what a page shows while it loads, when parts are missing, and when the load failed.
//!
//! ```text
//!            load                  user is there                   both are there
//!   Idle ──────────▶ Loading(User) ──────────────▶ Loading(Data) ────────────────▶ Ready, perhaps degraded
//!                     │    ▲   ▲                     │                               │
//!      no user: Failed┘    │   └───────── load ──────┼───────────────────────────────┘ the data stays visible
//!                │         │                         │
//!                └─ retry ─┘                         └─ all callers are dropped: the phase from before the load
//!
//!   Loading(Data):  activities     a failure is retried after 1, 2 and 4 s, then they are missing: degraded
//!                   notifications  a copy younger than 5 min answers; else a call; if it fails: the copy, degraded
//! ```
//!
//! Lesson: `level4/lessons/dashboard.md`.

mod load;

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::Stream;
use serde::{Deserialize, Serialize};

use crate::single_flight::SingleFlight;
use crate::state_store::Store;
use load::{Loading, Loads, Parts};

/// The user who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The id, which tells users apart.
    pub id: u64,
    /// The name that a page shows.
    pub name: String,
}

/// Something that the user did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity(pub String);

/// A message for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification(pub String);

/// The reason why a call of the service failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ApiError {
    /// The HTTP status of the answer. `None`: there was no answer.
    pub status: Option<u16>,
    /// A text for a log. It may name hosts and tables, and is not shown on a page.
    pub text: String,
}

/// The service that the data comes from.
///
/// Dropping the future of a call gives the call up.
pub trait DashboardApi: Send + Sync + 'static {
    /// Returns the user who is logged in.
    fn user(&self) -> impl Future<Output = Result<User, ApiError>> + Send;

    /// Returns the user's last activities.
    fn activities(
        &self,
        user: &User,
    ) -> impl Future<Output = Result<Vec<Activity>, ApiError>> + Send;

    /// Returns the notifications for the user.
    fn notifications(
        &self,
        user: &User,
    ) -> impl Future<Output = Result<Vec<Notification>, ApiError>> + Send;
}

/// A text that a [`KeyValue`] has kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The text, as it was put. Another version of the program may have put it.
    pub text: String,
    /// The time since the text was put, by the clock of the store. A copy outlives the process, and tokio's clock does
    /// not.
    pub age: Duration,
}

/// The error of a [`KeyValue`]: it is full, locked, or gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store has no room or cannot be read")]
pub struct KeyValueError;

/// A store for copies, such as a browser's local storage or a file.
pub trait KeyValue: Send + Sync + 'static {
    /// Returns the text of a key, if there is one.
    ///
    /// # Errors
    ///
    /// [`KeyValueError`] when the store cannot be read.
    fn get(&self, key: &str) -> Result<Option<Stored>, KeyValueError>;

    /// Keeps a text under a key. It replaces an older one.
    ///
    /// # Errors
    ///
    /// [`KeyValueError`] when the store has no room.
    fn put(&self, key: &str, text: String) -> Result<(), KeyValueError>;
}

/// The step of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The user is loaded. Everything else depends on it.
    User,
    /// Activities and notifications are loaded, at the same time.
    Data,
}

/// The reason why a load failed. Its `Display` is what a page shows; it has no text of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The service answered with the status 401.
    #[error("Your session has ended. Sign in again.")]
    SignedOut,
    /// The service answered with the status 403.
    #[error("You may not see this dashboard.")]
    Forbidden,
    /// The service answered with the status 404.
    #[error("There is no such user.")]
    NoUser,
    /// The service answered with a status from 500 to 599.
    #[error("The service has a problem. Try again in a moment.")]
    Service,
    /// The service answered with another status, or did not answer.
    #[error("The dashboard could not be loaded. Check your connection and try again.")]
    Other,
}

impl Failure {
    /// Returns the failure that a page shows for an error of the service.
    #[must_use]
    pub const fn of(error: &ApiError) -> Self {
        // The text of the error is left out on purpose: it may name hosts and tables.
        match error.status {
            Some(401) => Self::SignedOut,
            Some(403) => Self::Forbidden,
            Some(404) => Self::NoUser,
            Some(500..=599) => Self::Service,
            _ => Self::Other,
        }
    }
}

/// The phase of a dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No load has ended yet, and none runs.
    Idle,
    /// A load is under way.
    Loading(Step),
    /// The data is that of the last load.
    Ready,
    /// The last load failed; [`Dashboard::retry`] begins another one.
    Failed(Failure),
}

/// A part that a page can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The activities. They are missing.
    Activities,
    /// The notifications. They are an old copy, or are missing.
    Notifications,
}

/// The data of a dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// The user who is logged in.
    pub user: User,
    /// The user's last activities.
    pub activities: Vec<Activity>,
    /// The notifications for the user.
    pub notifications: Vec<Notification>,
}

/// Everything that a page needs, at one moment. Phase, data and missing parts change together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The phase of the dashboard.
    pub phase: Phase,
    /// The data of the last load that succeeded. It stays visible while another load runs or has failed. Data of
    /// another user goes as soon as a load knows the user.
    pub data: Option<Arc<Data>>,
    /// The parts that are missing or old in `data`: activities before notifications.
    pub degraded: Vec<Part>,
}

/// The waits of a dashboard, and the age of its copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The waits between the attempts to load activities. There is one attempt more than there are waits.
    pub retry_after: Vec<Duration>,
    /// A copy of the notifications answers while its age is less than this.
    pub fresh_for: Duration,
}

impl Default for Settings {
    /// Three retries after 1, 2 and 4 s; copies younger than 5 min answer.
    fn default() -> Self {
        Self { retry_after: [1, 2, 4].map(Duration::from_secs).into(), fresh_for: FIVE_MINUTES }
    }
}

const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// Loads a dashboard and holds what a page shows of it.
///
/// A clone is a handle to the same dashboard. There is no background task: a load runs inside the futures of the
/// callers that wait for it.
///
/// ```no_run
/// use level4::dashboard::{Dashboard, DashboardApi, KeyValue, Phase, Settings};
///
/// async fn shows(api: impl DashboardApi, copies: impl KeyValue) {
///     let dashboard = Dashboard::new(api, copies, Settings::default());
///     dashboard.load().await;
///     match dashboard.page().phase {
///         Phase::Failed(failure) => println!("{failure}"),
///         phase => println!("{phase:?}"),
///     }
/// }
/// ```
pub struct Dashboard<A, K> {
    /// Shared with the load that runs, which owns what it needs.
    parts: Arc<Parts<A, K>>,
    /// One load for all callers, which lives as long as one of them. There is one thing to load, so the key is `()`.
    /// The outcome is on the page, so the value is `()` too.
    loads: SingleFlight<(), (), Infallible>,
}

impl<A, K> Clone for Dashboard<A, K> {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts), loads: self.loads.clone() }
    }
}

impl<A, K> fmt::Debug for Dashboard<A, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dashboard").finish_non_exhaustive()
    }
}

impl<A: DashboardApi, K: KeyValue> Dashboard<A, K> {
    /// Makes a dashboard that has loaded nothing.
    #[must_use]
    pub fn new(api: A, copies: K, settings: Settings) -> Self {
        let page = Page { phase: Phase::Idle, data: None, degraded: Vec::new() };
        let loads = Mutex::new(Loads::new());
        let parts = Parts { api, copies, settings, store: Store::new(page), loads };
        Self { parts: Arc::new(parts), loads: SingleFlight::new() }
    }

    /// Returns what a page shows now.
    #[must_use]
    pub fn page(&self) -> Page {
        self.parts.store.view().state.clone()
    }

    /// Follows what a page shows: yields the state at the first poll, then each state that differs from the one before.
    /// A slow reader misses states in between, never the newest. The stream ends when the last handle of the dashboard
    /// is dropped.
    ///
    /// # Cancellation
    ///
    /// Dropping the stream leaves nothing behind and stops no load.
    pub fn pages(&self) -> impl Stream<Item = Page> + Send + Unpin + use<A, K> {
        self.parts.store.select(|view| view.state.clone())
    }

    /// Loads the dashboard, or joins the load that is under way.
    ///
    /// The outcome is on the [`page`](Self::page): [`Phase::Ready`] or [`Phase::Failed`].
    ///
    /// # Panics
    ///
    /// A panic of the service's code passes to every caller that waits for the load. The phase is then the one from
    /// before the load.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. A load goes on while at least one caller waits for it.
    /// Dropping the last one drops its calls, and the phase is then the one from before the load.
    pub async fn load(&self) {
        // The work owns its parts: it may outlive this caller, if another one waits for it.
        let parts = Arc::clone(&self.parts);
        // The guard begins inside the work, not here: only the caller that begins a load may change the phase. It is
        // dropped with the work.
        let work = move || async move {
            Loading::begin(parts).run().await;
            Ok(())
        };
        // The error is `Infallible`: there is nothing to handle.
        let _ = self.loads.run((), work).await;
    }

    /// Loads again after a failure, or joins the load that is under way. In every other phase it does nothing.
    ///
    /// # Cancellation
    ///
    /// As for [`load`](Self::load).
    pub async fn retry(&self) {
        // In `Loading` too: a second click on "retry" waits for the load that the first has begun.
        if matches!(self.page().phase, Phase::Failed(_) | Phase::Loading(_)) {
            self.load().await;
        }
    }
}
