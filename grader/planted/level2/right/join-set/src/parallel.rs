//! All calls at once, all or nothing: 600 ms, the time of the slowest source.
//!
//! The counterpart of `Promise.all`, with one difference that matters: when one call fails, the
//! others are stopped instead of running on for nothing.

use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::SectionError;
use crate::model::{Loaded, PartialDashboard, Section};
use crate::source::DashboardSource;

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
    let mut tasks = JoinSet::new();
    for section in Section::ALL {
        let call = section.fetch(Arc::clone(&source));
        tasks.spawn(async move { (section, call.await) });
    }
    let mut page = PartialDashboard::default();
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok((_, Ok(data))) => page.insert(data),
            Ok((section, Err(error))) => {
                tasks.shutdown().await;
                return Err(SectionError::new(section, error));
            }
            Err(error) => resume_unwind(error.into_panic()),
        }
    }
    let Some(dashboard) = page.complete() else { unreachable!("five answers make a page") };
    Ok(Loaded { dashboard, took: started.elapsed() })
}
