//! All calls at once, all or nothing: 600 ms, the time of the slowest source.
//!
//! The counterpart of `Promise.all`, with one difference that matters: when one call fails, the
//! others are stopped instead of running on for nothing.

use std::sync::Arc;

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
    let [mut sales, mut users, mut orders, mut low_stock, mut reviews] =
        Section::ALL.map(|section| Some(section.fetch(Arc::clone(&source))));
    let mut page = PartialDashboard::default();
    let dashboard = loop {
        let (section, answer) = tokio::select! {
            answer = async { Some(sales.as_mut()?.await) }, if sales.is_some() => {
                sales = None;
                (Section::Sales, answer)
            }
            answer = async { Some(users.as_mut()?.await) }, if users.is_some() => {
                users = None;
                (Section::Users, answer)
            }
            answer = async { Some(orders.as_mut()?.await) }, if orders.is_some() => {
                orders = None;
                (Section::Orders, answer)
            }
            answer = async { Some(low_stock.as_mut()?.await) }, if low_stock.is_some() => {
                low_stock = None;
                (Section::LowStock, answer)
            }
            answer = async { Some(reviews.as_mut()?.await) }, if reviews.is_some() => {
                reviews = None;
                (Section::Reviews, answer)
            }
        };
        match answer {
            Some(Ok(data)) => page.insert(data),
            Some(Err(error)) => return Err(SectionError::new(section, error)),
            None => {}
        }
        if let Some(dashboard) = page.clone().complete() {
            break dashboard;
        }
    };
    Ok(Loaded { dashboard, took: started.elapsed() })
}
