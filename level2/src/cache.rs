//! The last good page as a fallback, with its age, for a limited time.
//!
//! Lesson: `level2/lessons/cache.md`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::SectionError;
use crate::model::Dashboard;
use crate::parallel;
use crate::source::DashboardSource;

/// How long a page may replace a fresh one. The numbers of a dashboard may be a minute old without leading
/// to a wrong decision.
pub const DEFAULT_TTL: Duration = Duration::from_secs(60);

/// A page, and whether it is fresh.
///
/// ```
/// # use std::sync::{Arc, Mutex};
/// # use std::time::Duration;
/// # use futures::future::{BoxFuture, FutureExt as _};
/// # use level2::model::{LowStock, Orders, Reviews, Sales, Section, Users};
/// # use level2::source::{Behaviour, DashboardSource, SimulatedSource, SourceResult};
/// # use tokio::time::sleep;
/// use level2::cache::{Answer, CachedDashboard};
///
/// # /// A source whose behaviour changes between two loads.
/// # #[derive(Default)]
/// # struct Changing(Mutex<SimulatedSource>);
/// #
/// # impl Changing {
/// #     fn now(&self) -> SimulatedSource {
/// #         self.0.lock().unwrap().clone()
/// #     }
/// #
/// #     fn fail(&self, section: Section) {
/// #         *self.0.lock().unwrap() = SimulatedSource::default().with(section, Behaviour::Fails);
/// #     }
/// # }
/// #
/// # impl DashboardSource for Changing {
/// #     fn sales(&self) -> BoxFuture<'_, SourceResult<Sales>> {
/// #         async { self.now().sales().await }.boxed()
/// #     }
/// #     fn users(&self) -> BoxFuture<'_, SourceResult<Users>> {
/// #         async { self.now().users().await }.boxed()
/// #     }
/// #     fn orders(&self) -> BoxFuture<'_, SourceResult<Orders>> {
/// #         async { self.now().orders().await }.boxed()
/// #     }
/// #     fn low_stock(&self) -> BoxFuture<'_, SourceResult<LowStock>> {
/// #         async { self.now().low_stock().await }.boxed()
/// #     }
/// #     fn reviews(&self) -> BoxFuture<'_, SourceResult<Reviews>> {
/// #         async { self.now().reviews().await }.boxed()
/// #     }
/// # }
/// #
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let source = Arc::new(Changing::default());
/// let cache = CachedDashboard::new(source.clone());
/// assert!(matches!(cache.load().await, Ok(Answer::Live(_))));
///
/// source.fail(Section::Reviews); // from now on, after 200 ms
/// sleep(Duration::from_secs(30)).await;
/// let heading = match cache.load().await.unwrap() {
///     Answer::Live(_) => "now".to_owned(),
///     Answer::Cached { age, cause, .. } => format!("{age:?} ago, without {}", cause.section),
/// };
/// assert_eq!(heading, "30.2s ago, without reviews");
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Loaded just now.
    Live(Dashboard),
    /// The last page that could be loaded, because the sources failed.
    Cached {
        /// The page that was loaded last.
        dashboard: Dashboard,
        /// How long ago it was loaded.
        age: Duration,
        /// Why there is no fresh one.
        cause: SectionError,
    },
}

/// The sources failed and there is no page to fall back on.
///
/// ```
/// use std::sync::Arc;
/// use level2::cache::{CacheError, CachedDashboard};
/// use level2::model::Section;
/// use level2::source::{Behaviour, SimulatedSource};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let broken = SimulatedSource::default().with(Section::Sales, Behaviour::Fails);
/// let cache = CachedDashboard::new(Arc::new(broken));
/// let text = match cache.load().await.unwrap_err() {
///     CacheError::Empty { cause } => format!("no page yet: {} failed", cause.section),
///     CacheError::Expired { age, .. } => format!("the last page is from {age:?} ago"),
/// };
/// assert_eq!(text, "no page yet: sales failed");
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// No page was ever loaded.
    #[error("no page to fall back on: {cause}")]
    Empty {
        /// Why there is no fresh page.
        #[source]
        cause: SectionError,
    },
    /// The last page is too old to be shown.
    #[error("the last page is {} s old: {cause}", age.as_secs())]
    Expired {
        /// How long ago the last page was loaded.
        age: Duration,
        /// Why there is no fresh page.
        #[source]
        cause: SectionError,
    },
}

/// Loads the page and remembers the last one that could be loaded.
///
/// ```
/// use std::sync::Arc;
/// use level2::cache::{Answer, CacheError, CachedDashboard};
/// use level2::model::Section;
/// use level2::source::{Behaviour, SimulatedSource};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let works = CachedDashboard::new(Arc::new(SimulatedSource::default()));
/// assert!(matches!(works.load().await, Ok(Answer::Live(_))));
///
/// let broken = SimulatedSource::default().with(Section::Sales, Behaviour::Fails);
/// let empty = CachedDashboard::new(Arc::new(broken));
/// assert!(matches!(empty.load().await, Err(CacheError::Empty { .. })));
/// # }
/// ```
#[derive(Debug)]
pub struct CachedDashboard {
    // Asked by every load: the cache replaces a failed load, it does not save one.
    source: Arc<dyn DashboardSource>,
    // How old a page may be when it replaces a failed load. It never changes, so it is outside the lock.
    ttl: Duration,
    // The last page and when it was loaded. A `std` mutex: it is held for a few lines and never across an
    // `.await`, so a load that hangs does not block the others.
    last: Mutex<Option<(Instant, Dashboard)>>,
}

impl CachedDashboard {
    /// An empty cache in front of `source` that keeps a page for [`DEFAULT_TTL`].
    #[must_use]
    pub fn new(source: Arc<dyn DashboardSource>) -> Self {
        Self::with_ttl(source, DEFAULT_TTL)
    }

    /// An empty cache in front of `source` that keeps a page for `ttl`. With zero no page is ever returned
    /// again; with [`Duration::MAX`] every page is.
    #[must_use]
    pub fn with_ttl(source: Arc<dyn DashboardSource>, ttl: Duration) -> Self {
        Self { source, ttl, last: Mutex::new(None) }
    }

    /// Loads a fresh page as [`parallel::load`] does. When that fails, falls back on the last page,
    /// provided it is younger than the time to live.
    ///
    /// The sources are asked every time: the cache bridges an outage, it does not save calls. The age
    /// of a page counts from the moment it was loaded to the moment it is returned. A page that is too
    /// old stays remembered. Loads run side by side; one that hangs does not delay the others.
    ///
    /// # Errors
    ///
    /// [`CacheError`] when there is nothing to fall back on. It carries the failure of the sources.
    ///
    /// # Panics
    ///
    /// A panic of a source passes to the caller. The remembered page stays as it is.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops the calls and leaves the remembered page as it is.
    pub async fn load(&self) -> Result<Answer, CacheError> {
        // First the load, then the lock. A page is replaced only after a successful load, so a load that is dropped
        // or panics leaves the old one.
        let outcome = parallel::load(Arc::clone(&self.source)).await;
        // After the load: the age of a page ends when it is returned, not when the failed load began.
        let now = Instant::now();
        // Under this lock only a failing allocation could panic, and the page is
        // replaced as a whole: a poisoned lock still guards a good page.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match (outcome, last.as_ref()) {
            (Ok(loaded), _) => {
                *last = Some((now, loaded.dashboard.clone()));
                Ok(Answer::Live(loaded.dashboard))
            }
            (Err(cause), None) => Err(CacheError::Empty { cause }),
            (Err(cause), Some((loaded_at, dashboard))) => {
                let age = now.duration_since(*loaded_at);
                // Compares the age, since `loaded_at + ttl` would overflow for `Duration::MAX`.
                if age < self.ttl {
                    Ok(Answer::Cached { dashboard: dashboard.clone(), age, cause })
                } else {
                    Err(CacheError::Expired { age, cause })
                }
            }
        }
    }
}
