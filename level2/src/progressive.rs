//! Two phases: first the sections that the page needs, then the others.
//!
//! Unlike [the race](crate::race), which shows whatever is fastest, a progressive load knows what
//! matters: sales and orders come first and have the services to themselves (500 ms). The other three
//! sections are asked for afterwards.
//!
//! Lesson: `level2/lessons/progressive.md`.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::all_settled::{Timeouts, settle};
use crate::error::SectionError;
use crate::model::{Orders, Sales, Section, SectionData};
use crate::rest::Rest;
use crate::settled::SectionReport;
use crate::source::DashboardSource;

/// The result of the first phase, and a stream of the second.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use futures::StreamExt;
/// use level2::all_settled::Timeouts;
/// use level2::model::Section;
/// use level2::progressive;
/// use level2::source::SimulatedSource;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let source = Arc::new(SimulatedSource::default());
/// let mut first = progressive::load(source, Timeouts::default()).await.unwrap();
/// assert_eq!(first.took, Duration::from_millis(500));
/// let report = first.rest.next().await.unwrap();
/// assert_eq!(report.section, Section::Reviews);
/// # }
/// ```
#[derive(Debug)]
pub struct FirstPhase {
    /// Today's sales.
    pub sales: Sales,
    /// Pending orders.
    pub orders: Orders,
    /// The second phase: users, low stock and reviews, each as soon as its outcome is there. Their
    /// calls start together when the stream is first polled or before; the limit of a call runs from its
    /// start. Dropping the stream stops them.
    pub rest: Rest<SectionReport>,
    /// Time of the first phase, on tokio's clock.
    pub took: Duration,
}

/// Loads sales and orders at once and returns when both have arrived. The other sources are not called
/// before that. In both phases every call has the limit that `timeouts` gives its section.
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
    let call = |section| settle(section, Arc::clone(&source), timeouts.of(section));
    // `settle` returns a report and not a `Result`: `must_arrive` turns it into one, so that `try_join!` ends
    // at the first failure.
    let (sales, orders) =
        tokio::try_join!(must_arrive(call(Section::Sales)), must_arrive(call(Section::Orders)),)?;
    let took = started.elapsed();
    // Made, but not polled: the calls of the second phase begin when the caller polls `rest`.
    let second: FuturesUnordered<_> =
        [Section::Users, Section::LowStock, Section::Reviews].into_iter().map(call).collect();
    let (SectionData::Sales(sales), SectionData::Orders(orders)) = (sales, orders) else {
        unreachable!("a section's fetch returns the data of that section")
    };
    Ok(FirstPhase { sales, orders, rest: Rest::new(second), took })
}

/// Turns the report of a critical section into its data or the error that ends the load.
async fn must_arrive(
    report: impl Future<Output = SectionReport>,
) -> Result<SectionData, SectionError> {
    let SectionReport { section, result, .. } = report.await;
    result.map_err(|failure| SectionError { section, failure })
}
