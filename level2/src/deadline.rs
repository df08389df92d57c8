//! One limit for the whole load.
//!
//! A page that arrives after a second is of no use, even if most sources have answered by then.
//!
//! Lesson: `level2/lessons/deadline.md`.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, timeout};

use crate::error::{SectionError, SectionFailure};
use crate::model::{Loaded, Section};
use crate::parallel;
use crate::settled::{SectionReport, Settled};
use crate::source::DashboardSource;

/// Why [`load`] returned no page.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use level2::deadline::{self, DeadlineError};
/// use level2::source::SimulatedSource;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let limit = Duration::from_millis(450);
/// let page = deadline::load(Arc::new(SimulatedSource::default()), limit).await;
/// assert_eq!(page, Err(DeadlineError::Elapsed { limit }));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeadlineError {
    /// The limit passed first.
    #[error("the dashboard was not there after {} ms", limit.as_millis())]
    Elapsed {
        /// The limit of the load.
        limit: Duration,
    },
    /// A source failed within the limit.
    #[error(transparent)]
    Failed(#[from] SectionError),
}

/// Loads the whole page as [`parallel::load`] does, in at most `limit`.
///
/// The limit runs from the first poll. Zero leaves no time; [`Duration::MAX`] never ends.
///
/// # Errors
///
/// [`DeadlineError::Elapsed`] at `limit`; every call is then stopped. [`DeadlineError::Failed`] when
/// a source fails before.
///
/// # Panics
///
/// Passes on a panic of a source, when it happens.
///
/// # Cancellation
///
/// Dropping the future stops every call.
pub async fn load(
    source: Arc<dyn DashboardSource>,
    limit: Duration,
) -> Result<Loaded, DeadlineError> {
    // The load itself and not a task that runs it: when the limit ends, `timeout` drops the load, and the load
    // drops its five calls. The first `?` is the limit, the second the failure of a section.
    let page = timeout(limit, parallel::load(source))
        .await
        .map_err(|_| DeadlineError::Elapsed { limit })??;
    Ok(page)
}

/// Loads all sections at once and returns the ones that have arrived after `limit`, or earlier when all
/// sections have an outcome.
///
/// A section without an outcome is reported as [`SectionFailure::TimedOut`] with the limit of the
/// whole load, and its call is stopped.
///
/// The limit runs from the first poll. Zero leaves no time; [`Duration::MAX`] never ends.
///
/// # Panics
///
/// Passes on a panic of a source, when it happens.
///
/// # Cancellation
///
/// Dropping the future stops every call.
pub async fn load_partial(source: Arc<dyn DashboardSource>, limit: Duration) -> Settled {
    let started = Instant::now();
    // A limit for each call instead of one around the join, which would drop the sections that have arrived.
    let calls = Section::ALL.map(|section| {
        let call = section.fetch(Arc::clone(&source));
        async move {
            // All five calls start at this instant, so the limit of each is the limit of the load.
            let result = match timeout(limit, call).await {
                Ok(answer) => answer.map_err(SectionFailure::from),
                Err(_) => Err(SectionFailure::TimedOut { limit }),
            };
            SectionReport { section, result, took: started.elapsed() }
        }
    });
    let reports = join_all(calls).await;
    Settled::new(reports, started.elapsed())
}
