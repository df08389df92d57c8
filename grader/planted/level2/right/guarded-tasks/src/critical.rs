//! Critical and optional sections: some the page cannot do without, the others it can.
//!
//! Lesson: `level2/lessons/critical.md`.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::all_settled::{Timeouts, settle};
use crate::error::SectionError;
use crate::model::Section;
use crate::settled::Settled;
use crate::source::DashboardSource;

/// The sections without which the shop's page is of no use.
pub const CRITICAL: [Section; 2] = [Section::Sales, Section::Orders];

/// Loads all sections at once, each with its limit in `timeouts`. A section in `critical` must arrive; any
/// other may fail. Each source is asked once.
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
    let mut calls = JoinSet::new();
    for section in Section::ALL {
        calls.spawn(settle(section, Arc::clone(&source), timeouts.of(section)));
    }
    let mut reports = Vec::new();
    while let Some(ended) = calls.join_next().await {
        let report = ended.expect("settle contains panics");
        let is_critical = critical.iter().any(|&one| one == report.section);
        match report.result.as_ref().err().filter(|_| is_critical) {
            Some(failure) => {
                let failure = failure.clone();
                return Err(SectionError { section: report.section, failure });
            }
            None => reports.push(report),
        }
    }
    Ok(Settled::new(reports, started.elapsed()))
}
