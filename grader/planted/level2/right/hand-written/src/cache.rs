//! The last good page as a fallback, with its age, for a limited time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::RwLock;
use tokio::time::Instant;

use crate::error::SectionError;
use crate::model::Dashboard;
use crate::parallel;
use crate::source::DashboardSource;

/// How long a page may stand in for a fresh one: the assignment's 60 s.
pub const DEFAULT_TTL: Duration = Duration::from_secs(60);

/// A page, and whether it is fresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Loaded just now.
    Live(Dashboard),
    /// The last page that could be loaded, because the sources failed.
    Cached {
        /// The page.
        dashboard: Dashboard,
        /// How long ago it was loaded.
        age: Duration,
        /// Why there is no fresh one.
        cause: SectionError,
    },
}

/// The sources failed and there is no page to fall back on.
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
#[derive(Debug)]
pub struct CachedDashboard {
    source: Arc<dyn DashboardSource>,
    ttl: Duration,
    last: RwLock<Option<(Instant, Dashboard)>>,
}

impl CachedDashboard {
    /// An empty cache in front of `source` that keeps a page for [`DEFAULT_TTL`].
    #[must_use]
    pub fn new(source: Arc<dyn DashboardSource>) -> Self {
        Self::with_ttl(source, DEFAULT_TTL)
    }

    /// An empty cache in front of `source` that keeps a page for `ttl`.
    #[must_use]
    pub fn with_ttl(source: Arc<dyn DashboardSource>, ttl: Duration) -> Self {
        Self { source, ttl, last: RwLock::new(None) }
    }

    /// Loads a fresh page as [`parallel::load`] does. When that fails, falls back on the last page,
    /// provided it is younger than the time to live.
    ///
    /// The sources are asked every time: the cache bridges an outage, it does not save calls. The age
    /// of a page counts from the moment it was loaded to the moment it is handed out.
    ///
    /// # Errors
    ///
    /// [`CacheError`] when there is nothing to fall back on. It carries the failure of the sources.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops the calls and leaves the remembered page as it is.
    pub async fn load(&self) -> Result<Answer, CacheError> {
        let cause = match parallel::load(Arc::clone(&self.source)).await {
            Ok(loaded) => {
                *self.last.write().await = Some((Instant::now(), loaded.dashboard.clone()));
                return Ok(Answer::Live(loaded.dashboard));
            }
            Err(cause) => cause,
        };
        let Some((loaded_at, dashboard)) = self.last.read().await.clone() else {
            return Err(CacheError::Empty { cause });
        };
        let age = loaded_at.elapsed();
        if age >= self.ttl {
            return Err(CacheError::Expired { age, cause });
        }
        Ok(Answer::Cached { dashboard, age, cause })
    }
}
