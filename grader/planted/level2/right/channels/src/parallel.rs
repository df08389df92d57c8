//! All calls at once, all or nothing: 600 ms, the time of the slowest source.
//!
//! The counterpart of `Promise.all`, with one difference that matters: when one call fails, the
//! others are stopped instead of running on for nothing.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use futures::FutureExt as _;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::error::SectionError;
use crate::model::{Loaded, PartialDashboard, Section, SectionData};
use crate::source::DashboardSource;

type Outcome = std::thread::Result<Result<SectionData, SectionError>>;

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
    let (_tasks, mut outcomes) = start(&source);
    let mut page = PartialDashboard::default();
    while let Some(outcome) = outcomes.recv().await {
        page.insert(outcome.unwrap_or_else(|payload| resume_unwind(payload))?);
    }
    let Some(dashboard) = page.complete() else { unreachable!("five answers make a page") };
    Ok(Loaded { dashboard, took: started.elapsed() })
}

/// Aborts its tasks when it is dropped.
struct Tasks(Vec<AbortHandle>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// Starts a call for each section; the outcomes come through the channel as they happen.
fn start(source: &Arc<dyn DashboardSource>) -> (Tasks, mpsc::UnboundedReceiver<Outcome>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let tasks = Section::ALL.map(|section| {
        let (sender, call) = (sender.clone(), section.fetch(Arc::clone(source)));
        let task = tokio::spawn(async move {
            // A panic goes through the channel as well: otherwise the load would not notice it.
            let outcome = AssertUnwindSafe(call).catch_unwind().await;
            let outcome =
                outcome.map(|answer| answer.map_err(|error| SectionError::new(section, error)));
            // The receiver may be gone: then the outcome is of no use.
            sender.send(outcome).ok();
        });
        task.abort_handle()
    });
    (Tasks(tasks.into()), receiver)
}
