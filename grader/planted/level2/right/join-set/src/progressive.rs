//! Two phases: what the page cannot do without, and then the rest.
//!
//! Unlike [`race`](crate::race), which shows whatever is fastest, a progressive load knows what
//! matters: sales and orders come first and have the services to themselves (500 ms). The other three
//! sections are asked for afterwards.

use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::all_settled::{Timeouts, settle};
use crate::error::SectionError;
use crate::model::{Orders, PartialDashboard, Sales, Section};
use crate::rest::Rest;
use crate::settled::SectionReport;
use crate::source::DashboardSource;

/// The first phase, and the way to the second.
#[derive(Debug)]
pub struct FirstPhase {
    /// Today's sales.
    pub sales: Sales,
    /// Pending orders.
    pub orders: Orders,
    /// The second phase: users, low stock and reviews, each as soon as its outcome is there. Their
    /// calls start together when the stream is first polled or before. Dropping it stops them.
    pub rest: Rest<SectionReport>,
    /// Time of the first phase, on tokio's clock.
    pub took: Duration,
}

/// Loads sales and orders at once and returns when both are there. None of the other sections is
/// asked for before that. In both phases every call has the limit that `timeouts` gives its section.
///
/// # Errors
///
/// The first failure (a timeout or a panic counts) of sales or orders, at the moment it happens. The
/// other call is stopped and the second phase never begins.
///
/// # Cancellation
///
/// Dropping the future, or later [`FirstPhase::rest`], stops every call that is still running.
pub async fn load(
    source: Arc<dyn DashboardSource>,
    timeouts: Timeouts,
) -> Result<FirstPhase, SectionError> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for section in [Section::Sales, Section::Orders] {
        tasks.spawn(settle(section, Arc::clone(&source), timeouts.of(section)));
    }
    let mut page = PartialDashboard::default();
    while let Some(Ok(SectionReport { section, result, .. })) = tasks.join_next().await {
        page.insert(result.map_err(|failure| SectionError { section, failure })?);
    }
    let (Some(sales), Some(orders)) = (page.sales, page.orders) else {
        unreachable!("both critical sections have arrived")
    };
    let took = started.elapsed();
    for section in [Section::Users, Section::LowStock, Section::Reviews] {
        tasks.spawn(settle(section, Arc::clone(&source), timeouts.of(section)));
    }
    let rest =
        stream::poll_fn(move |cx| tasks.poll_join_next(cx).map(|ended| ended.and_then(Result::ok)));
    Ok(FirstPhase { sales, orders, rest: Rest::new(rest), took })
}
