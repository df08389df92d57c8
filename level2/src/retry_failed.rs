//! A second try for the sections that failed, and only for those.
//!
//! Lesson: `level2/lessons/retry_failed.md`.

use std::sync::Arc;

use futures::future::join_all;
use tokio::time::Instant;

use crate::all_settled::{Timeouts, settle};
use crate::settled::Settled;
use crate::source::DashboardSource;

/// Asks again, all at once, for the sections of `settled` that failed and may succeed on another try
/// (see [`SectionFailure::is_transient`](crate::error::SectionFailure::is_transient)). Each call has
/// the limit that `timeouts` gives its section.
///
/// The new report replaces the failed one, whether it is data or a newer failure. Sections with
/// data, refusals and panics stay as they are and are not asked for again. [`Settled::took`] becomes
/// the time of both loads together.
///
/// # Cancellation
///
/// Dropping the future stops the calls of the second try.
pub async fn retry(
    source: Arc<dyn DashboardSource>,
    settled: Settled,
    timeouts: Timeouts,
) -> Settled {
    let started = Instant::now();
    // Lazy: no call begins before the join polls it.
    let again = settled
        .reports()
        .iter()
        .filter(|report| report.result.as_ref().is_err_and(|failure| failure.is_transient()))
        .map(|report| settle(report.section, Arc::clone(&source), timeouts.of(report.section)));
    let second = join_all(again).await;
    // `saturating_add`: the caller made `settled`, and may have put any duration into it.
    let took = settled.took.saturating_add(started.elapsed());
    // The new reports come last, and the later report on a section replaces the earlier one.
    Settled::new(settled.into_reports().into_iter().chain(second), took)
}
