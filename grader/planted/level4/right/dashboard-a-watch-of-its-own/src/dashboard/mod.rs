//! A dashboard with a `watch` of its own.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, Shared, WeakShared};
use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::sleep;


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

/// How many loads have begun, and the phase from before those that have not ended.
struct Rest {
    begun: u64,
    phase: Phase,
}

struct Inner<A, K> {
    api: A,
    copies: K,
    settings: Settings,
    pages: watch::Sender<Page>,
    /// Changes with the phase, under the lock of the pages.
    rest: Mutex<Rest>,
    load: Mutex<Option<WeakShared<BoxFuture<'static, ()>>>>,
}

impl<A, K> Clone for Dashboard<A, K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<A, K> fmt::Debug for Dashboard<A, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dashboard").field("page", &*self.inner.pages.borrow()).finish()
    }
}

impl<A: DashboardApi, K: KeyValue> Dashboard<A, K> {
    /// A dashboard that has loaded nothing.
    #[must_use]
    pub fn new(api: A, copies: K, settings: Settings) -> Self {
        let page = Page { phase: Phase::Idle, data: None, degraded: Vec::new() };
        let rest = Mutex::new(Rest { begun: 0, phase: Phase::Idle });
        let (pages, load) = (watch::Sender::new(page), Mutex::new(None));
        Self { inner: Arc::new(Inner { api, copies, settings, pages, rest, load }) }
    }

    /// What a page shows now.
    #[must_use]
    pub fn page(&self) -> Page {
        self.inner.pages.borrow().clone()
    }

    /// What a page shows, as a stream.
    pub fn pages(&self) -> impl Stream<Item = Page> + Send + Unpin + use<A, K> {
        let mut receiver = self.inner.pages.subscribe();
        receiver.mark_changed();
        stream::unfold((receiver, None), |(mut receiver, last)| async move {
            loop {
                receiver.changed().await.ok()?;
                let page = receiver.borrow_and_update().clone();
                if last.as_ref() != Some(&page) {
                    return Some((page.clone(), (receiver, Some(page))));
                }
            }
        })
        .boxed()
    }

    /// Loads the dashboard.
    pub async fn load(&self) {
        let load = self.join();
        load.await;
    }

    /// Loads again after a failure.
    pub async fn retry(&self) {
        let phase = self.inner.pages.borrow().phase;
        if !matches!(phase, Phase::Idle | Phase::Ready) {
            self.load().await;
        }
    }

    fn join(&self) -> Shared<BoxFuture<'static, ()>> {
        let mut current = self.inner.load.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = current.as_ref().and_then(WeakShared::upgrade)
            && load.peek().is_none()
            && matches!(self.inner.pages.borrow().phase, Phase::Loading(_))
        {
            return load;
        }
        let load = run(Arc::clone(&self.inner)).boxed().shared();
        *current = load.downgrade();
        load
    }
}

/// Sets the phase when a load is dropped or fails, unless another one has begun.
struct Ends<'a> {
    pages: &'a watch::Sender<Page>,
    rest: &'a Mutex<Rest>,
    number: u64,
    failed: Option<Phase>,
    is_ready: bool,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if self.is_ready {
            return;
        }
        self.pages.send_modify(|page| {
            let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
            if rest.begun == self.number {
                page.phase = self.failed.unwrap_or(rest.phase);
            }
        });
    }
}

async fn run<A: DashboardApi, K: KeyValue>(inner: Arc<Inner<A, K>>) {
    let mut number = 0;
    inner.pages.send_modify(|page| {
        let mut rest = inner.rest.lock().unwrap_or_else(PoisonError::into_inner);
        rest.begun += 1;
        number = rest.begun;
        if !matches!(page.phase, Phase::Loading(_)) {
            rest.phase = page.phase;
        }
        page.phase = Phase::Loading(Step::User);
    });
    let (pages, rest) = (&inner.pages, &inner.rest);
    let mut ends = Ends { pages, rest, number, failed: None, is_ready: false };
    let user = match inner.api.user().await {
        Ok(user) => user,
        Err(error) => {
            ends.failed = Some(Phase::Failed(Failure::of(&error)));
            return;
        }
    };
    inner.pages.send_modify(|page| {
        page.phase = Phase::Loading(Step::Data);
        if page.data.as_ref().is_some_and(|data| data.user.id != user.id) {
            page.data = None;
            page.degraded.clear();
        }
    });
    let both = futures::join!(activities(&inner, &user), notifications(&inner, &user));
    let (activities, (notifications, fresh)) = both;
    let mut degraded = Vec::new();
    if activities.is_none() {
        degraded.push(Part::Activities);
    }
    if !fresh {
        degraded.push(Part::Notifications);
    }
    let activities = activities.unwrap_or_default();
    let data = Some(Arc::new(Data { user, activities, notifications }));
    ends.is_ready = true;
    inner.pages.send_replace(Page { phase: Phase::Ready, data, degraded });
}

async fn activities<A: DashboardApi, K: KeyValue>(
    inner: &Inner<A, K>,
    user: &User,
) -> Option<Vec<Activity>> {
    let waits = std::iter::once(Duration::ZERO).chain(inner.settings.retry_after.iter().copied());
    for wait in waits {
        if !wait.is_zero() {
            sleep(wait).await;
        }
        if let Ok(activities) = inner.api.activities(user).await {
            return Some(activities);
        }
    }
    None
}

async fn notifications<A: DashboardApi, K: KeyValue>(
    inner: &Inner<A, K>,
    user: &User,
) -> (Vec<Notification>, bool) {
    let key = format!("{}:notifications", user.id);
    let copy = match inner.copies.get(&key) {
        Ok(Some(Stored { text, age })) => {
            serde_json::from_str::<Vec<Notification>>(&text).ok().map(|list| (list, age))
        }
        Ok(None) | Err(KeyValueError) => None,
    };
    match copy {
        Some((list, age)) if age < inner.settings.fresh_for => (list, true),
        copy => match inner.api.notifications(user).await {
            Ok(list) => {
                if let Ok(text) = serde_json::to_string(&list) {
                    let _ = inner.copies.put(&key, text);
                }
                (list, true)
            }
            Err(_) => (copy.unwrap_or_default().0, false),
        },
    }
}
