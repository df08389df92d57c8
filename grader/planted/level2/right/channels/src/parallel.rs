//! All calls at once, all or nothing: 600 ms, the time of the slowest source.
//!
//! The counterpart of `Promise.all`, with one difference that matters: when one call fails, the
//! others are stopped instead of running on for nothing.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::error::SectionError;
use crate::model::{Loaded, PartialDashboard, Section, SectionData};
use crate::source::DashboardSource;

type Outcome = Result<SectionData, SectionError>;

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
        page.insert(outcome?);
    }
    let Some(dashboard) = page.complete() else { panic!("a source has panicked") };
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
            let outcome = call.await.map_err(|error| SectionError::new(section, error));
            // Nobody listens any more: then nobody wants to know.
            sender.send(outcome).ok();
        });
        task.abort_handle()
    });
    (Tasks(tasks.into()), receiver)
}
