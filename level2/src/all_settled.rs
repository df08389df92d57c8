//! Every section on its own: 600 ms, with every section that could be loaded.
//!
//! The counterpart of `Promise.allSettled`, with two additions: a source that never answers is cut at a
//! limit of its own, and a panic affects its own section only.
//!
//! Lesson: `level2/lessons/all_settled.md`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{FutureExt as _, join_all};
use tokio::time::{Instant, timeout};

use crate::error::SectionFailure;
use crate::model::Section;
use crate::settled::{SectionReport, Settled};
use crate::source::DashboardSource;

/// How long each source may take. A limit may be of any length: [`Duration::MAX`] cuts nothing, and zero cuts
/// every call that has to wait.
///
/// The defaults are about ten times a source's usual latency, so that they cut a call that is broken and
/// not one that is slow: sales 5000 ms, users 3000 ms, orders 3000 ms, low stock 5000 ms, reviews 3000 ms.
///
/// ```
/// use std::time::Duration;
///
/// use level2::all_settled::Timeouts;
/// use level2::model::Section;
///
/// let timeouts = Timeouts { reviews: Duration::from_millis(500), ..Timeouts::default() };
/// assert_eq!(timeouts.of(Section::Reviews), Duration::from_millis(500));
/// assert_eq!(timeouts.of(Section::Sales), Duration::from_secs(5));
/// ```
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

/// Starts all five calls at once and returns when each has an outcome: data, an error, a
/// panic, or the end of its limit. Never fails as a whole; [`Settled`] has one report for each section.
///
/// # Cancellation
///
/// Dropping the future stops every call that is still running.
pub async fn load(source: Arc<dyn DashboardSource>, timeouts: Timeouts) -> Settled {
    let started = Instant::now();
    // Each call has its limit around itself. A limit around the join would lose the sections that arrived.
    let calls =
        Section::ALL.map(|section| settle(section, Arc::clone(&source), timeouts.of(section)));
    // `join_all` and not `try_join_all`: every outcome is kept, and no failure ends the load.
    let reports = join_all(calls).await;
    Settled::new(reports, started.elapsed())
}

/// Calls the source of one section and reports its outcome, at most `limit` later.
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
    // `fetch` calls the source's method inside the future, so `catch_unwind` sees a panic of the method too.
    let call = AssertUnwindSafe(section.fetch(source)).catch_unwind();
    // The limit is outside of `catch_unwind`: at its end `timeout` drops the call, which stops it.
    let result = match timeout(limit, call).await {
        Ok(Ok(answer)) => answer.map_err(SectionFailure::from),
        Ok(Err(payload)) => Err(SectionFailure::from_panic(payload.as_ref())),
        Err(_) => Err(SectionFailure::TimedOut { limit }),
    };
    SectionReport { section, result, took: started.elapsed() }
}
