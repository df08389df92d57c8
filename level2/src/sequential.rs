//! One call after another: 500 + 300 + 400 + 600 + 200 = 2000 ms.
//!
//! The slowest way, and the right one when a call needs the answer of the one before, when a service
//! must not see two calls at once, or when a failure must keep the later calls from happening.
//!
//! Lesson: `level2/lessons/sequential.md`.

use std::sync::Arc;

use tokio::time::Instant;

use crate::error::SectionError;
use crate::model::{Dashboard, Loaded, Section};
use crate::source::DashboardSource;

/// Loads the sections one by one in the order of the page: sales, users, orders, low stock, reviews.
/// A call starts when the answer to the one before it has arrived.
///
/// # Errors
///
/// The first failure ends the load at once. Later sources are not called.
///
/// # Panics
///
/// Passes on a panic of a source, when it happens.
///
/// # Cancellation
///
/// Dropping the future stops the call that is running; no other follows.
pub async fn load(source: Arc<dyn DashboardSource>) -> Result<Loaded, SectionError> {
    let started = Instant::now();
    let failed = |section| move |error| SectionError::new(section, error);
    // A struct literal evaluates its fields in the order in which they are written, and `?` leaves it
    // at the first failure.
    let dashboard = Dashboard {
        sales: source.sales().await.map_err(failed(Section::Sales))?,
        users: source.users().await.map_err(failed(Section::Users))?,
        orders: source.orders().await.map_err(failed(Section::Orders))?,
        low_stock: source.low_stock().await.map_err(failed(Section::LowStock))?,
        reviews: source.reviews().await.map_err(failed(Section::Reviews))?,
    };
    Ok(Loaded { dashboard, took: started.elapsed() })
}
