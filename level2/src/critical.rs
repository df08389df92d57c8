//! Critical sections, which the page needs, and optional ones, which it can do without.
//!
//! Lesson: `level2/lessons/critical.md`.

use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt as _};
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
    let mut calls: FuturesUnordered<_> = Section::ALL
        .into_iter()
        .map(|section| settle(section, Arc::clone(&source), timeouts.of(section)))
        .collect();
    let mut reports = Vec::with_capacity(Section::ALL.len());
    // In the order of time, not of the page: a critical failure must not wait for a slower section.
    while let Some(report) = calls.next().await {
        match report.result {
            Err(failure) if critical.contains(&report.section) => {
                // The return drops `calls`, which stops the calls that still run.
                return Err(SectionError { section: report.section, failure });
            }
            // Data, or the failure of an optional section: both are an outcome of that section alone.
            _ => reports.push(report),
        }
    }
    Ok(Settled::new(reports, started.elapsed()))
}
