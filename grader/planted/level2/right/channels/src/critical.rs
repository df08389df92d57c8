//! Critical and optional sections: some the page cannot do without, the others it can.

use std::sync::Arc;

use futures::channel::mpsc;
use futures::future::{Either, join_all, select};
use futures::stream::StreamExt as _;
use tokio::time::Instant;

use crate::all_settled::{Timeouts, settle};
use crate::error::SectionError;
use crate::model::Section;
use crate::settled::Settled;
use crate::source::DashboardSource;

/// The sections the lesson calls critical for the shop's page.
pub const CRITICAL: [Section; 2] = [Section::Sales, Section::Orders];

/// Loads all sections at once. A section in `critical` must arrive; any other may fail.
///
/// # Errors
///
/// The first failure (a timeout or a panic counts) of a critical section, at the moment it happens.
/// The calls still running are stopped.
///
/// # Cancellation
///
/// Dropping the future stops every call.
pub async fn load(
    source: Arc<dyn DashboardSource>,
    critical: &[Section],
    timeouts: Timeouts,
) -> Result<Settled, SectionError> {
    let started = Instant::now();
    // No task: the calls are joined beside a receiver that hears of critical failures.
    let (sender, mut failures) = mpsc::unbounded();
    let calls = Section::ALL.map(|section| {
        let call = settle(section, Arc::clone(&source), timeouts.of(section));
        let sender = sender.clone();
        async move {
            let report = call.await;
            if let (Err(failure), true) = (&report.result, critical.contains(&section)) {
                sender.unbounded_send(SectionError { section, failure: failure.clone() }).ok();
            }
            report
        }
    });
    let all = join_all(calls);
    let first_failure = failures.next();
    // `select` polls its first future first: a failure in the very last report is heard of as well.
    let reports = match select(Box::pin(all), first_failure).await {
        Either::Right((Some(error), _)) => return Err(error),
        Either::Right((None, all)) => all.await,
        Either::Left((reports, _)) => match failures.try_recv() {
            Ok(error) => return Err(error),
            Err(_) => reports,
        },
    };
    Ok(Settled::new(reports, started.elapsed()))
}
