//! All calls at once, all or nothing: 600 ms, the time of the slowest source.
//!
//! The counterpart of `Promise.all`, with one difference that matters: when one call fails, the
//! others are stopped instead of running on for nothing.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::error::SectionError;
use crate::model::{Loaded, PartialDashboard, Section, SectionData};
use crate::source::{DashboardSource, SourceResult};

/// Starts all five calls at once and returns when all have answered.
///
/// # Errors
///
/// The failure that happens first *in time*, at the moment it happens. The other calls are dropped.
///
/// # Cancellation
///
/// Dropping the future stops all five calls.
pub async fn load(source: Arc<dyn DashboardSource>) -> Result<Loaded, SectionError> {
    let started = Instant::now();
    let mut running = start(&source);
    let mut page = PartialDashboard::default();
    while let Some((section, answer)) = poll_fn(|cx| poll_any(&mut running, cx)).await {
        page.insert(answer.map_err(|error| SectionError::new(section, error))?);
    }
    let Some(dashboard) = page.complete() else { unreachable!("five answers make a page") };
    Ok(Loaded { dashboard, took: started.elapsed() })
}

/// Calls that are still running, each with its section.
type Running = Vec<(Section, BoxFuture<'static, SourceResult<SectionData>>)>;

fn start(source: &Arc<dyn DashboardSource>) -> Running {
    Section::ALL.map(|section| (section, section.fetch(Arc::clone(source)))).into()
}

/// The outcome of the next call that ends, which is taken off the list; `None` when there is none.
fn poll_any(
    running: &mut Running,
    cx: &mut Context<'_>,
) -> Poll<Option<(Section, SourceResult<SectionData>)>> {
    if running.is_empty() {
        return Poll::Ready(None);
    }
    for index in 0..running.len() {
        if let Poll::Ready(answer) = running[index].1.as_mut().poll(cx) {
            let (section, _) = running.remove(index);
            return Poll::Ready(Some((section, answer)));
        }
    }
    Poll::Pending
}
