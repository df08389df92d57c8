//! Every section on its own: 600 ms, and whatever could be loaded is there.
//!
//! The counterpart of `Promise.allSettled`, made safe against what that leaves open: a source that
//! never answers is cut by a limit of its own, and a panic stays within its section.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::future::FutureExt as _;
use tokio::time::{Instant, sleep};

use crate::error::SectionFailure;
use crate::model::Section;
use crate::settled::{SectionReport, Settled};
use crate::source::DashboardSource;

/// How long each source is given.
///
/// The default is the assignment's recommendation for production: sales 5000 ms, users 3000 ms, orders
/// 3000 ms, low stock 5000 ms, reviews 3000 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// The limit for [`Section::Sales`].
    pub sales: Duration,
    /// The limit for [`Section::Users`].
    pub users: Duration,
    /// The limit for [`Section::Orders`].
    pub orders: Duration,
    /// The limit for [`Section::LowStock`].
    pub low_stock: Duration,
    /// The limit for [`Section::Reviews`].
    pub reviews: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            sales: Duration::from_millis(5000),
            users: Duration::from_millis(3000),
            orders: Duration::from_millis(3000),
            low_stock: Duration::from_millis(5000),
            reviews: Duration::from_millis(3000),
        }
    }
}

impl Timeouts {
    /// The limit for `section`.
    #[must_use]
    pub fn of(&self, section: Section) -> Duration {
        match section {
            Section::Sales => self.sales,
            Section::Users => self.users,
            Section::Orders => self.orders,
            Section::LowStock => self.low_stock,
            Section::Reviews => self.reviews,
        }
    }
}

/// Starts all five calls at once and returns when each has come to an outcome: data, an error, a
/// panic, or the end of its time. Never fails as a whole; [`Settled`] has one report for each section.
///
/// # Cancellation
///
/// Dropping the future stops every call that is still running.
pub async fn load(source: Arc<dyn DashboardSource>, timeouts: Timeouts) -> Settled {
    let started = Instant::now();
    let call = |section| settle(section, Arc::clone(&source), timeouts.of(section));
    let (sales, users, orders, low_stock, reviews) = tokio::join!(
        call(Section::Sales),
        call(Section::Users),
        call(Section::Orders),
        call(Section::LowStock),
        call(Section::Reviews),
    );
    Settled::new([reviews, low_stock, orders, users, sales], started.elapsed())
}

/// Calls the source of one section and reports the outcome, at most `limit` later.
///
/// An error, an error before the first wait, a panic in the source's method or in its future, and the
/// end of `limit` all become the report's [`SectionFailure`]; nothing escapes. A call that is cut at
/// its limit is dropped, so it does not run on.
///
/// # Cancellation
///
/// Dropping the future stops the call.
pub async fn settle(
    section: Section,
    source: Arc<dyn DashboardSource>,
    limit: Duration,
) -> SectionReport {
    let started = Instant::now();
    // Unwind safety: after a panic the future is only dropped, and the source is the caller's, who
    // sees the panic in the report.
    let call = AssertUnwindSafe(section.fetch(source)).catch_unwind();
    let result = tokio::select! {
        answer = call => match answer {
            Ok(answer) => answer.map_err(SectionFailure::from),
            Err(payload) => Err(SectionFailure::from_panic(payload.as_ref())),
        },
        () = sleep(limit) => Err(SectionFailure::TimedOut { limit }),
    };
    SectionReport { section, result, took: started.elapsed() }
}
