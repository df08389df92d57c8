//! Where the data comes from: the trait that strategies load from, and a simulation of it.

use std::fmt;
use std::future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};

use crate::error::SourceError;
use crate::model::{
    Cents, LowStock, Orders, Rating, Reviews, Sales, Section, SectionData, StockItem, Users,
};

/// The result of one call to a source.
///
/// ```
/// use level2::model::{Reviews, Section};
/// use level2::source::{Behaviour, DashboardSource, SimulatedSource, SourceResult};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let source = SimulatedSource::default().with(Section::Reviews, Behaviour::Fails);
/// let reviews: SourceResult<Reviews> = source.reviews().await;
/// assert!(reviews.unwrap_err().is_transient());
/// # }
/// ```
pub type SourceResult<T> = Result<T, SourceError>;

/// The five services behind the dashboard.
///
/// A method returns at once; the work happens when the future it returned is polled. Dropping that
/// future stops the call.
///
/// Nothing in the signatures keeps a source from panicking, neither in the method itself nor in its
/// future.
///
/// ```
/// use std::sync::Arc;
/// use level2::source::{DashboardSource, SimulatedSource};
/// use tokio::time::Instant;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let source: Arc<dyn DashboardSource> = Arc::new(SimulatedSource::default());
/// let start = Instant::now();
/// let call = source.reviews(); // does nothing yet
/// let reviews = call.await.unwrap();
/// assert_eq!(reviews.total, 156);
/// assert_eq!(start.elapsed().as_millis(), 200);
/// # }
/// ```
pub trait DashboardSource: Send + Sync {
    /// Today's sales (about 500 ms).
    fn sales(&self) -> BoxFuture<'_, SourceResult<Sales>>;
    /// Active users (about 300 ms).
    fn users(&self) -> BoxFuture<'_, SourceResult<Users>>;
    /// Pending orders (about 400 ms).
    fn orders(&self) -> BoxFuture<'_, SourceResult<Orders>>;
    /// Articles that are running out (about 600 ms).
    fn low_stock(&self) -> BoxFuture<'_, SourceResult<LowStock>>;
    /// Recent reviews (about 200 ms).
    fn reviews(&self) -> BoxFuture<'_, SourceResult<Reviews>>;
}

impl fmt::Debug for dyn DashboardSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DashboardSource")
    }
}

impl Section {
    /// Calls the source of this section. The future owns its share of `source`, so it can be spawned.
    ///
    /// The source is called at the first poll, not before: a panic in the source's method is a panic
    /// of this future.
    #[must_use]
    pub fn fetch(
        self,
        source: Arc<dyn DashboardSource>,
    ) -> BoxFuture<'static, SourceResult<SectionData>> {
        async move {
            match self {
                Self::Sales => source.sales().await.map(SectionData::Sales),
                Self::Users => source.users().await.map(SectionData::Users),
                Self::Orders => source.orders().await.map(SectionData::Orders),
                Self::LowStock => source.low_stock().await.map(SectionData::LowStock),
                Self::Reviews => source.reviews().await.map(SectionData::Reviews),
            }
        }
        .boxed()
    }

    /// How long this section's source takes to answer, as the assignment states it.
    #[must_use]
    pub const fn latency(self) -> Duration {
        Duration::from_millis(match self {
            Self::Sales => 500,
            Self::Users => 300,
            Self::Orders => 400,
            Self::LowStock => 600,
            Self::Reviews => 200,
        })
    }
}

/// What a simulated source does after its latency.
///
/// ```
/// use std::time::Duration;
/// use level2::model::Section;
/// use level2::source::{Behaviour, DashboardSource, SimulatedSource};
/// use tokio::time::timeout;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let source = SimulatedSource::default()
///     .with(Section::Users, Behaviour::Fails)
///     .with(Section::Orders, Behaviour::Hangs);
/// assert!(source.users().await.is_err());
/// assert!(timeout(Duration::from_secs(60), source.orders()).await.is_err());
/// assert!(source.sales().await.is_ok());
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// The source answers with its data, after its latency.
    #[default]
    Answers,
    /// The source fails with [`SourceError::Unavailable`], after its latency.
    Fails,
    /// The source never answers.
    Hangs,
    /// The source panics, after its latency.
    Panics,
}

/// The five services as a simulation: the latencies and the data of the assignment, with failures on
/// request.
///
/// ```
/// use std::time::Duration;
/// use level2::model::Section;
/// use level2::source::{Behaviour, DashboardSource, SimulatedSource};
/// use tokio::time::Instant;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let source = SimulatedSource::default().with(Section::Users, Behaviour::Fails);
/// let start = Instant::now();
/// assert!(source.sales().await.is_ok());
/// assert_eq!(start.elapsed(), Duration::from_millis(500));
/// assert!(source.users().await.is_err());
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SimulatedSource {
    // Both indexed by the section's place in `Section::ALL`: an array cannot lack a section, as a map could.
    behaviours: [Behaviour; Section::ALL.len()],
    latencies: [Duration; Section::ALL.len()],
    // Divides each latency when a call begins, so that the latencies stay those of the assignment.
    speed: f64,
}

impl Default for SimulatedSource {
    fn default() -> Self {
        Self {
            behaviours: [Behaviour::Answers; Section::ALL.len()],
            latencies: Section::ALL.map(Section::latency),
            speed: 1.0,
        }
    }
}

impl SimulatedSource {
    /// Sets what `section` does after its latency.
    #[must_use]
    pub fn with(mut self, section: Section, behaviour: Behaviour) -> Self {
        self.behaviours[section as usize] = behaviour;
        self
    }

    /// Sets how long `section` takes.
    #[must_use]
    pub fn with_latency(mut self, section: Section, latency: Duration) -> Self {
        self.latencies[section as usize] = latency;
        self
    }

    /// Divides every latency by `speed`: 2.0 is twice as fast, 0.5 half as fast. A value that is not
    /// a positive finite number leaves the speed as it is.
    #[must_use]
    pub fn at_speed(mut self, speed: f64) -> Self {
        if speed.is_finite() && speed > 0.0 {
            self.speed = speed;
        }
        self
    }

    fn answer<T: Send + 'static>(
        &self,
        section: Section,
        data: T,
    ) -> BoxFuture<'_, SourceResult<T>> {
        let latency = self.latencies[section as usize].div_f64(self.speed);
        let behaviour = self.behaviours[section as usize];
        async move {
            tokio::time::sleep(latency).await;
            match behaviour {
                Behaviour::Answers => Ok(data),
                Behaviour::Fails => {
                    Err(SourceError::Unavailable(format!("the {section} service is down")))
                }
                Behaviour::Hangs => future::pending().await,
                Behaviour::Panics => panic!("a bug in the client of the {section} service"),
            }
        }
        .boxed()
    }
}

impl DashboardSource for SimulatedSource {
    fn sales(&self) -> BoxFuture<'_, SourceResult<Sales>> {
        let data = Sales { total: Cents(12_500_000), orders: 342, average_order: Cents(36_550) };
        self.answer(Section::Sales, data)
    }

    fn users(&self) -> BoxFuture<'_, SourceResult<Users>> {
        self.answer(Section::Users, Users { total: 1523, online: 487, new_today: 23 })
    }

    fn orders(&self) -> BoxFuture<'_, SourceResult<Orders>> {
        self.answer(Section::Orders, Orders { total: 45, urgent: 12, processing: 33 })
    }

    fn low_stock(&self) -> BoxFuture<'_, SourceResult<LowStock>> {
        let item = |id, name: &str, stock| StockItem { id, name: name.to_owned(), stock };
        let items =
            vec![item(101, "Product A", 2), item(205, "Product B", 1), item(308, "Product C", 3)];
        self.answer(Section::LowStock, LowStock { total: 23, critical: 5, items })
    }

    fn reviews(&self) -> BoxFuture<'_, SourceResult<Reviews>> {
        let data = Reviews { total: 156, average: Rating { tenths: 43 }, pending: 8 };
        self.answer(Section::Reviews, data)
    }
}
