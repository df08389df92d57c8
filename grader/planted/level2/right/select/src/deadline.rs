//! One limit for the whole load.
//!
//! A page that is not there after a second is of no use, however many sources are still at work.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep};

use crate::error::{SectionError, SectionFailure};
use crate::model::{Loaded, Section};
use crate::parallel;
use crate::settled::{SectionReport, Settled};
use crate::source::DashboardSource;

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
/// # Errors
///
/// [`DeadlineError::Elapsed`] at `limit`; every call is then stopped. [`DeadlineError::Failed`] when
/// a source fails before.
///
/// # Cancellation
///
/// Dropping the future stops every call.
pub async fn load(
    source: Arc<dyn DashboardSource>,
    limit: Duration,
) -> Result<Loaded, DeadlineError> {
    tokio::select! {
        biased;
        page = parallel::load(source) => page.map_err(DeadlineError::Failed),
        () = sleep(limit) => Err(DeadlineError::Elapsed { limit }),
    }
}

/// Loads all sections at once and returns what is there after `limit`, or earlier when all sections
/// have come to an outcome.
///
/// A section without an outcome is reported as [`SectionFailure::TimedOut`] with the limit of the
/// whole load, and its call is stopped.
///
/// # Cancellation
///
/// Dropping the future stops every call.
pub async fn load_partial(source: Arc<dyn DashboardSource>, limit: Duration) -> Settled {
    let started = Instant::now();
    let mut calls: FuturesUnordered<_> = Section::ALL
        .into_iter()
        .map(|section| {
            let call = section.fetch(Arc::clone(&source));
            async move {
                let result = call.await.map_err(SectionFailure::from);
                SectionReport { section, result, took: started.elapsed() }
            }
        })
        .collect();
    let mut reports: Vec<SectionReport> = Vec::new();
    let mut end = std::pin::pin!(sleep(limit));
    loop {
        tokio::select! {
            biased;
            report = calls.next() => match report {
                Some(report) => reports.push(report),
                None => break,
            },
            () = &mut end => break,
        }
    }
    drop(calls);
    for section in Section::ALL {
        if !reports.iter().any(|report| report.section == section) {
            let result = Err(SectionFailure::TimedOut { limit });
            reports.push(SectionReport { section, result, took: limit });
        }
    }
    Settled::new(reports, started.elapsed())
}
