//! One call after another: 500 + 300 + 400 + 600 + 200 = 2000 ms.
//!
//! The slowest way, and the right one when a call needs the answer of the one before, when a service
//! must not see two calls at once, or when a failure must keep the later calls from happening.

use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;

use crate::error::SectionError;
use crate::model::{Loaded, PartialDashboard, Section, SectionData};
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
    let answers: Vec<SectionData> = stream::iter(Section::ALL)
        .then(|section| {
            let call = section.fetch(Arc::clone(&source));
            async move { call.await.map_err(|error| SectionError::new(section, error)) }
        })
        .try_collect()
        .await?;
    let page: PartialDashboard = answers.into_iter().collect();
    let Some(dashboard) = page.complete() else { unreachable!("five answers make a page") };
    Ok(Loaded { dashboard, took: started.elapsed() })
}
