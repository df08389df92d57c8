//! The first three successes: 400 ms. The other two sections follow when they are there.
//!
//! For a page that shows something early and fills in the rest. `Promise.race` alone cannot do this:
//! it settles on the first *outcome*, failures included, and keeps no hold of the others.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, stream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::error::SectionError;
use crate::model::{Section, SectionData};
use crate::rest::Rest;
use crate::source::DashboardSource;

type Outcome = std::thread::Result<Result<SectionData, SectionError>>;

/// How many sections must be there before the page is shown.
pub const WANTED: usize = 3;

/// The first [`WANTED`] sections, and the way to the others.
#[derive(Debug)]
pub struct FirstThree {
    /// The sections that arrived, in the order in which they arrived.
    pub arrived: Vec<SectionData>,
    /// The sections that failed before the third one arrived, in the order in which they failed.
    pub failed: Vec<SectionError>,
    /// The outcomes of the sections that are neither in `arrived` nor in `failed`, each as soon as it
    /// is there. Dropping the stream stops their calls.
    pub rest: Rest<Result<SectionData, SectionError>>,
    /// From the first poll of the load to its result, on tokio's clock.
    pub took: Duration,
}

/// So many sources failed that three sections cannot come together any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("only {} of {WANTED} sections can still arrive: {} failed", Section::ALL.len() - failed.len(), failed.len())]
pub struct TooFew {
    /// The sections that had arrived, in the order in which they arrived.
    pub arrived: Vec<SectionData>,
    /// The failures, in the order in which they happened.
    pub failed: Vec<SectionError>,
}

/// Starts all five calls at once and returns at the third success. A failed source is not one of the
/// three: the next success takes its place.
///
/// # Errors
///
/// [`TooFew`] as soon as the third source has failed, because only two can then succeed. The calls
/// still running are stopped.
///
/// # Cancellation
///
/// Dropping the future, or later [`FirstThree::rest`], stops every call that is still running.
pub async fn load(source: Arc<dyn DashboardSource>) -> Result<FirstThree, TooFew> {
    let started = Instant::now();
    let (tasks, mut outcomes) = start(&source);
    let (mut arrived, mut failed) = (Vec::new(), Vec::new());
    while let Some(outcome) = outcomes.recv().await {
        match outcome.unwrap_or_else(|payload| resume_unwind(payload)) {
            Ok(data) => arrived.push(data),
            Err(error) => failed.push(error),
        }
        if arrived.len() == WANTED {
            // The guard moves into the stream: who drops the rest aborts the tasks.
            let rest = stream::unfold((tasks, outcomes), |(tasks, mut outcomes)| async move {
                let outcome = outcomes.recv().await?.unwrap_or_else(|payload| resume_unwind(payload));
                Some((outcome, (tasks, outcomes)))
            });
            let took = started.elapsed();
            return Ok(FirstThree { arrived, failed, rest: Rest::new(rest), took });
        }
        if failed.len() > Section::ALL.len() - WANTED {
            break;
        }
    }
    Err(TooFew { arrived, failed })
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
