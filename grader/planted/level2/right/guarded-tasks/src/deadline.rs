//! One limit for the whole load.
//!
//! A page that is not there after a second is of no use, however many sources are still at work.
//!
//! Lesson: `level2/lessons/deadline.md`.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep_until};

use crate::error::{SectionError, SectionFailure};
use crate::model::{Loaded, Section};
use crate::parallel;
use crate::settled::{SectionReport, Settled};
use crate::source::DashboardSource;
use crate::sequential::Owned;

/// Why [`load`] returned no page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeadlineError {
    /// The limit passed first.
    #[error("the dashboard was not there after {} ms", limit.as_millis())]
    Elapsed {
        /// The limit.
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
    let end = Instant::now().checked_add(limit);
    let mut page = Owned::start(parallel::load(source));
    tokio::select! {
        biased;
        outcome = &mut page => Ok(outcome?),
        () = reached(end) => Err(DeadlineError::Elapsed { limit }),
    }
}

/// Never, if there is no such moment.
async fn reached(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// Loads all sections at once and returns what is there after `limit`, or earlier when all sections
/// have come to an outcome.
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
    let end = started.checked_add(limit);
    let calls = Section::ALL.map(|section| {
        let call = Owned::start(section.fetch(Arc::clone(&source)));
        async move {
            let result = tokio::select! {
                biased;
                answer = call => answer.map_err(SectionFailure::from),
                () = reached(end) => Err(SectionFailure::TimedOut { limit }),
            };
            SectionReport { section, result, took: started.elapsed() }
        }
    });
    let reports = join_all(calls).await;
    Settled::new(reports, started.elapsed())
}
