//! All calls at once, all or nothing: 600 ms, the time of the slowest source.
//!
//! The counterpart of `Promise.all`, with one difference that matters: when one call fails, the
//! others are stopped instead of running on for nothing.
//!
//! Lesson: `level2/lessons/parallel.md`.

use std::sync::Arc;

use futures::future::{BoxFuture, TryFutureExt as _};
use tokio::time::Instant;

use crate::error::SectionError;
use crate::model::{Dashboard, Loaded, Section};
use crate::source::{DashboardSource, SourceResult};

/// Starts all five calls at once and returns when all have answered.
///
/// # Errors
///
/// The failure that happens first *in time*, at the moment it happens. The other calls are dropped.
///
/// # Panics
///
/// Passes on a panic of a source, when it happens.
///
/// # Cancellation
///
/// Dropping the future stops all five calls.
pub async fn load(source: Arc<dyn DashboardSource>) -> Result<Loaded, SectionError> {
    // At the first poll, not at the call of `load`: the body of an `async fn` runs when it is polled.
    let started = Instant::now();
    // `try_join!` keeps the futures in this very future: returning early drops the unfinished ones,
    // and so does dropping the load.
    // All five are polled by this one task, in turn. They need no `spawn`, so they may borrow, and the first
    // error ends the macro at once.
    let (sales, users, orders, low_stock, reviews) = tokio::try_join!(
        named(Section::Sales, source.sales()),
        named(Section::Users, source.users()),
        named(Section::Orders, source.orders()),
        named(Section::LowStock, source.low_stock()),
        named(Section::Reviews, source.reviews()),
    )?;
    let dashboard = Dashboard { sales, users, orders, low_stock, reviews };
    Ok(Loaded { dashboard, took: started.elapsed() })
}

/// A failure of `call` carries the name of its section.
async fn named<T>(
    section: Section,
    call: BoxFuture<'_, SourceResult<T>>,
) -> Result<T, SectionError> {
    // Named before the join: behind it the five errors would have one type and no section.
    call.map_err(|error| SectionError::new(section, error)).await
}
