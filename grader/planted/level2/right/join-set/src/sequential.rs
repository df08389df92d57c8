//! One call after another: 500 + 300 + 400 + 600 + 200 = 2000 ms.
//!
//! The slowest way, and the right one when a call needs the answer of the one before, when a service
//! must not see two calls at once, or when a failure must keep the later calls from happening.

use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::SectionError;
use crate::model::{Loaded, PartialDashboard, Section};
use crate::source::DashboardSource;

/// Loads the sections one by one in the order of the page: sales, users, orders, low stock, reviews.
/// A call starts when the answer to the one before it is there.
///
/// # Errors
///
/// The first failure ends the load at once. Sections after it are never asked for.
///
/// # Cancellation
///
/// Dropping the future stops the call that is running; no other follows.
pub async fn load(source: Arc<dyn DashboardSource>) -> Result<Loaded, SectionError> {
    let started = Instant::now();
    let mut page = PartialDashboard::default();
    let mut task = JoinSet::new();
    for section in Section::ALL {
        task.spawn(section.fetch(Arc::clone(&source)));
        match task.join_next().await {
            Some(Ok(Ok(data))) => page.insert(data),
            Some(Ok(Err(error))) => return Err(SectionError::new(section, error)),
            Some(Err(error)) => resume_unwind(error.into_panic()),
            None => unreachable!("one task was spawned"),
        }
    }
    let Some(dashboard) = page.complete() else { unreachable!("five answers make a page") };
    Ok(Loaded { dashboard, took: started.elapsed() })
}
