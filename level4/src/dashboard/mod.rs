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
///
/// ```
/// # use level4::dashboard::{Activity, ApiError, DashboardApi, Notification, User};
/// # use level4::dashboard::{KeyValue, KeyValueError, Stored};
/// # struct Api;
/// # impl DashboardApi for Api {
/// #     async fn user(&self) -> Result<User, ApiError> {
/// #         tokio::time::sleep(std::time::Duration::from_millis(100)).await;
/// #         Ok(User { id: 7, name: "Ann".to_owned() })
/// #     }
/// #     async fn activities(&self, _: &User) -> Result<Vec<Activity>, ApiError> {
/// #         Ok(vec![Activity("signed in".to_owned())])
/// #     }
/// #     async fn notifications(&self, _: &User) -> Result<Vec<Notification>, ApiError> {
/// #         Ok(vec![Notification("order 7 is sent".to_owned())])
/// #     }
/// # }
/// # struct NoCopies;
/// # impl KeyValue for NoCopies {
/// #     fn get(&self, _: &str) -> Result<Option<Stored>, KeyValueError> {
/// #         Ok(None)
/// #     }
/// #     fn put(&self, _: &str, _: String) -> Result<(), KeyValueError> {
/// #         Ok(())
/// #     }
/// # }
/// use level4::dashboard::{Dashboard, Settings};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let dashboard = Dashboard::new(Api, NoCopies, Settings::default());
/// dashboard.load().await;
/// let data = dashboard.page().data.unwrap();
/// assert_eq!((data.user.id, data.user.name.as_str()), (7, "Ann"));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The id, which tells users apart.
    pub id: u64,
    /// The name that a page shows.
    pub name: String,
}

/// Something that the user did.
///
/// ```
/// use level4::dashboard::Activity;
///
/// let activities = [Activity("signed in".to_owned()), Activity("paid order 7".to_owned())];
/// let lines: Vec<_> = activities.iter().map(|Activity(text)| format!("You {text}")).collect();
/// assert_eq!(lines, ["You signed in", "You paid order 7"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity(pub String);

/// A message for the user.
///
/// ```
/// use level4::dashboard::Notification;
///
/// // The copies in a key-value store are JSON.
/// let notifications = vec![Notification("order 7 is sent".to_owned())];
/// let text = serde_json::to_string(&notifications)?;
/// assert_eq!(text, r#"["order 7 is sent"]"#);
/// assert_eq!(serde_json::from_str::<Vec<Notification>>(&text)?, notifications);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification(pub String);

/// The reason why a call of the service failed.
///
/// ```
/// use level4::dashboard::{ApiError, Failure};
///
/// let error = ApiError { status: Some(503), text: "db-3: too many connections".to_owned() };
/// let for_the_log = error.to_string();
/// assert_eq!(for_the_log, "db-3: too many connections");
/// let for_the_page = Failure::of(&error).to_string();
/// assert_eq!(for_the_page, "The service has a problem. Try again in a moment.");
/// ```
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
///
/// ```
/// # use level4::dashboard::{KeyValue, KeyValueError, Stored};
/// use level4::dashboard::{Activity, ApiError, Dashboard, DashboardApi, Notification};
/// use level4::dashboard::{Phase, Settings, User};
///
/// /// A service for a test: the user has done nothing yet.
/// struct Empty;
///
/// impl DashboardApi for Empty {
///     async fn user(&self) -> Result<User, ApiError> {
///         Ok(User { id: 7, name: "Ann".to_owned() })
///     }
///
///     async fn activities(&self, _: &User) -> Result<Vec<Activity>, ApiError> {
///         Ok(Vec::new())
///     }
///
///     async fn notifications(&self, _: &User) -> Result<Vec<Notification>, ApiError> {
///         Ok(Vec::new())
///     }
/// }
/// # struct NoCopies;
/// # impl KeyValue for NoCopies {
/// #     fn get(&self, _: &str) -> Result<Option<Stored>, KeyValueError> {
/// #         Ok(None)
/// #     }
/// #     fn put(&self, _: &str, _: String) -> Result<(), KeyValueError> {
/// #         Ok(())
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let dashboard = Dashboard::new(Empty, NoCopies, Settings::default());
/// dashboard.load().await;
/// assert_eq!(dashboard.page().phase, Phase::Ready);
/// # }
/// ```
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
///
/// ```
/// use std::time::Duration;
/// use level4::dashboard::{Settings, Stored};
///
/// let copy = Stored { text: r#"["order 7 is sent"]"#.to_owned(), age: Duration::from_secs(400) };
/// // Older than the 5 minutes for which a copy answers without a call.
/// assert!(copy.age >= Settings::default().fresh_for);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The text, as it was put. Another version of the program may have put it.
    pub text: String,
    /// The time since the text was put, by the clock of the store. A copy outlives the process, and tokio's clock does
    /// not.
    pub age: Duration,
}

/// The error of a [`KeyValue`]: it is full, locked, or gone.
///
/// ```
/// use level4::dashboard::{KeyValue, KeyValueError, Stored};
///
/// /// A store whose disk is full.
/// struct Full;
///
/// impl KeyValue for Full {
///     fn get(&self, _: &str) -> Result<Option<Stored>, KeyValueError> {
///         Ok(None)
///     }
///
///     fn put(&self, _: &str, _: String) -> Result<(), KeyValueError> {
///         Err(KeyValueError)
///     }
/// }
///
/// let error = Full.put("notifications", "[]".to_owned()).unwrap_err();
/// assert_eq!(error.to_string(), "the store has no room or cannot be read");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store has no room or cannot be read")]
pub struct KeyValueError;

/// A store for copies, such as a browser's local storage or a file.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
/// use level4::dashboard::{KeyValue, KeyValueError, Stored};
/// use tokio::time::Instant;
///
/// /// Copies in memory, which are gone with the process.
/// #[derive(Default)]
/// struct Memory(Mutex<HashMap<String, (String, Instant)>>);
///
/// impl KeyValue for Memory {
///     fn get(&self, key: &str) -> Result<Option<Stored>, KeyValueError> {
///         let map = self.0.lock().map_err(|_| KeyValueError)?;
///         Ok(map.get(key).map(|(text, at)| Stored { text: text.clone(), age: at.elapsed() }))
///     }
///
///     fn put(&self, key: &str, text: String) -> Result<(), KeyValueError> {
///         let mut map = self.0.lock().map_err(|_| KeyValueError)?;
///         map.insert(key.to_owned(), (text, Instant::now()));
///         Ok(())
///     }
/// }
///
/// let memory = Memory::default();
/// memory.put("notifications", "[]".to_owned())?;
/// assert_eq!(memory.get("notifications")?.map(|stored| stored.text), Some("[]".to_owned()));
/// # Ok::<(), KeyValueError>(())
/// ```
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
///
/// ```
/// # use level4::dashboard::{Activity, ApiError, DashboardApi, Notification, User};
/// # use level4::dashboard::{KeyValue, KeyValueError, Stored};
/// # struct Api;
/// # impl DashboardApi for Api {
/// #     async fn user(&self) -> Result<User, ApiError> {
/// #         tokio::time::sleep(std::time::Duration::from_millis(100)).await;
/// #         Ok(User { id: 7, name: "Ann".to_owned() })
/// #     }
/// #     async fn activities(&self, _: &User) -> Result<Vec<Activity>, ApiError> {
/// #         Ok(vec![Activity("signed in".to_owned())])
/// #     }
/// #     async fn notifications(&self, _: &User) -> Result<Vec<Notification>, ApiError> {
/// #         Ok(vec![Notification("order 7 is sent".to_owned())])
/// #     }
/// # }
/// # struct NoCopies;
/// # impl KeyValue for NoCopies {
/// #     fn get(&self, _: &str) -> Result<Option<Stored>, KeyValueError> {
/// #         Ok(None)
/// #     }
/// #     fn put(&self, _: &str, _: String) -> Result<(), KeyValueError> {
/// #         Ok(())
/// #     }
/// # }
/// # use std::time::Duration;
/// # use tokio::time::sleep;
/// use level4::dashboard::{Dashboard, Phase, Settings, Step};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let dashboard = Dashboard::new(Api, NoCopies, Settings::default());
/// let spinner = async {
///     sleep(Duration::from_millis(50)).await; // the call for the user takes 100 ms
///     match dashboard.page().phase {
///         Phase::Loading(Step::User) => "signing in",
///         Phase::Loading(Step::Data) => "loading your data",
///         _ => "",
///     }
/// };
/// let ((), spinner) = tokio::join!(dashboard.load(), spinner);
/// assert_eq!(spinner, "signing in");
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The user is loaded. Everything else depends on it.
    User,
    /// Activities and notifications are loaded, at the same time.
    Data,
}

/// The reason why a load failed. Its `Display` is what a page shows; it has no text of the service.
///
/// ```
/// use level4::dashboard::{ApiError, Failure};
///
/// let error = ApiError { status: Some(401), text: "token expired".to_owned() };
/// let failure = Failure::of(&error);
/// assert_eq!(failure, Failure::SignedOut);
/// assert_eq!(failure.to_string(), "Your session has ended. Sign in again.");
/// ```
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
///
/// ```
/// # use level4::dashboard::{Activity, ApiError, DashboardApi, Notification, User};
/// # use level4::dashboard::{KeyValue, KeyValueError, Stored};
/// # struct Api;
/// # impl DashboardApi for Api {
/// #     async fn user(&self) -> Result<User, ApiError> {
/// #         tokio::time::sleep(std::time::Duration::from_millis(100)).await;
/// #         Ok(User { id: 7, name: "Ann".to_owned() })
/// #     }
/// #     async fn activities(&self, _: &User) -> Result<Vec<Activity>, ApiError> {
/// #         Ok(vec![Activity("signed in".to_owned())])
/// #     }
/// #     async fn notifications(&self, _: &User) -> Result<Vec<Notification>, ApiError> {
/// #         Ok(vec![Notification("order 7 is sent".to_owned())])
/// #     }
/// # }
/// # struct NoCopies;
/// # impl KeyValue for NoCopies {
/// #     fn get(&self, _: &str) -> Result<Option<Stored>, KeyValueError> {
/// #         Ok(None)
/// #     }
/// #     fn put(&self, _: &str, _: String) -> Result<(), KeyValueError> {
/// #         Ok(())
/// #     }
/// # }
/// use level4::dashboard::{Dashboard, Phase, Settings};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let dashboard = Dashboard::new(Api, NoCopies, Settings::default());
/// assert_eq!(dashboard.page().phase, Phase::Idle);
/// dashboard.load().await;
/// let banner = match dashboard.page().phase {
///     Phase::Idle | Phase::Loading(_) => "one moment".to_owned(),
///     Phase::Ready => String::new(),
///     Phase::Failed(failure) => failure.to_string(),
/// };
/// assert_eq!(banner, "");
/// # }
/// ```
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
///
/// ```
/// use level4::dashboard::{Page, Part, Phase};
///
/// let page = Page { phase: Phase::Ready, data: None, degraded: vec![Part::Activities] };
/// let notes = page.degraded.iter().map(|part| match part {
///     Part::Activities => "Your activities could not be loaded.",
///     Part::Notifications => "Your notifications may be out of date.",
/// });
/// assert_eq!(notes.collect::<Vec<_>>(), ["Your activities could not be loaded."]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The activities. They are missing.
    Activities,
    /// The notifications. They are an old copy, or are missing.
    Notifications,
}

/// The data of a dashboard.
///
/// ```
/// # use level4::dashboard::{Activity, ApiError, DashboardApi, Notification, User};
/// # use level4::dashboard::{KeyValue, KeyValueError, Stored};
/// # struct Api;
/// # impl DashboardApi for Api {
/// #     async fn user(&self) -> Result<User, ApiError> {
/// #         tokio::time::sleep(std::time::Duration::from_millis(100)).await;
/// #         Ok(User { id: 7, name: "Ann".to_owned() })
/// #     }
/// #     async fn activities(&self, _: &User) -> Result<Vec<Activity>, ApiError> {
/// #         Ok(vec![Activity("signed in".to_owned())])
/// #     }
/// #     async fn notifications(&self, _: &User) -> Result<Vec<Notification>, ApiError> {
/// #         Ok(vec![Notification("order 7 is sent".to_owned())])
/// #     }
/// # }
/// # struct NoCopies;
/// # impl KeyValue for NoCopies {
/// #     fn get(&self, _: &str) -> Result<Option<Stored>, KeyValueError> {
/// #         Ok(None)
/// #     }
/// #     fn put(&self, _: &str, _: String) -> Result<(), KeyValueError> {
/// #         Ok(())
/// #     }
/// # }
/// use level4::dashboard::{Dashboard, Settings};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let dashboard = Dashboard::new(Api, NoCopies, Settings::default());
/// dashboard.load().await;
/// let data = dashboard.page().data.unwrap();
/// assert_eq!(data.activities, [Activity("signed in".to_owned())]);
/// assert_eq!(data.notifications, [Notification("order 7 is sent".to_owned())]);
/// # }
/// ```
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
///
/// ```
/// # use level4::dashboard::{Activity, ApiError, DashboardApi, Notification, User};
/// # use level4::dashboard::{KeyValue, KeyValueError, Stored};
/// # struct Api;
/// # impl DashboardApi for Api {
/// #     async fn user(&self) -> Result<User, ApiError> {
/// #         tokio::time::sleep(std::time::Duration::from_millis(100)).await;
/// #         Ok(User { id: 7, name: "Ann".to_owned() })
/// #     }
/// #     async fn activities(&self, _: &User) -> Result<Vec<Activity>, ApiError> {
/// #         Ok(vec![Activity("signed in".to_owned())])
/// #     }
/// #     async fn notifications(&self, _: &User) -> Result<Vec<Notification>, ApiError> {
/// #         Ok(vec![Notification("order 7 is sent".to_owned())])
/// #     }
/// # }
/// # struct NoCopies;
/// # impl KeyValue for NoCopies {
/// #     fn get(&self, _: &str) -> Result<Option<Stored>, KeyValueError> {
/// #         Ok(None)
/// #     }
/// #     fn put(&self, _: &str, _: String) -> Result<(), KeyValueError> {
/// #         Ok(())
/// #     }
/// # }
/// use futures::StreamExt as _;
/// use level4::dashboard::{Dashboard, Phase, Settings};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let dashboard = Dashboard::new(Api, NoCopies, Settings::default());
/// let mut pages = dashboard.pages();
/// assert_eq!(pages.next().await.unwrap().phase, Phase::Idle);
/// dashboard.load().await;
/// let page = pages.next().await.unwrap(); // the newest one
/// assert_eq!((page.phase, page.data.is_some()), (Phase::Ready, true));
/// assert!(page.degraded.is_empty());
/// # }
/// ```
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
///
/// ```
/// use std::time::Duration;
/// use level4::dashboard::Settings;
///
/// // One attempt to load the activities, and no copies that answer.
/// let settings = Settings { retry_after: Vec::new(), fresh_for: Duration::ZERO };
/// assert_ne!(settings, Settings::default());
/// assert_eq!(Settings::default().retry_after.len(), 3);
/// ```
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
/// ```
/// # use level4::dashboard::{Activity, ApiError, DashboardApi, Notification, User};
/// # use level4::dashboard::{KeyValue, KeyValueError, Stored};
/// # struct Api;
/// # impl DashboardApi for Api {
/// #     async fn user(&self) -> Result<User, ApiError> {
/// #         tokio::time::sleep(std::time::Duration::from_millis(100)).await;
/// #         Ok(User { id: 7, name: "Ann".to_owned() })
/// #     }
/// #     async fn activities(&self, _: &User) -> Result<Vec<Activity>, ApiError> {
/// #         Ok(vec![Activity("signed in".to_owned())])
/// #     }
/// #     async fn notifications(&self, _: &User) -> Result<Vec<Notification>, ApiError> {
/// #         Ok(vec![Notification("order 7 is sent".to_owned())])
/// #     }
/// # }
/// # struct NoCopies;
/// # impl KeyValue for NoCopies {
/// #     fn get(&self, _: &str) -> Result<Option<Stored>, KeyValueError> {
/// #         Ok(None)
/// #     }
/// #     fn put(&self, _: &str, _: String) -> Result<(), KeyValueError> {
/// #         Ok(())
/// #     }
/// # }
/// use level4::dashboard::{Dashboard, Phase, Settings};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let dashboard = Dashboard::new(Api, NoCopies, Settings::default());
/// dashboard.load().await;
/// let page = dashboard.page();
/// let text = match (page.phase, page.data) {
///     (Phase::Failed(failure), _) => failure.to_string(),
///     (_, Some(data)) => format!("Hello, {}", data.user.name),
///     (_, None) => "one moment".to_owned(),
/// };
/// assert_eq!(text, "Hello, Ann");
/// # }
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
