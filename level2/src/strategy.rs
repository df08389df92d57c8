//! The four strategies as one enum, for the demo and the report.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::Instant;

use crate::all_settled::Timeouts;
use crate::error::SectionError;
use crate::model::{Loaded, Section};
use crate::source::DashboardSource;
use crate::{all_settled, parallel, race, sequential};

/// One of the four strategies.
///
/// ```
/// use std::sync::Arc;
/// use level2::all_settled::Timeouts;
/// use level2::source::SimulatedSource;
/// use level2::strategy::Strategy;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let mut lines = Vec::new();
/// for strategy in Strategy::ALL {
///     let source = Arc::new(SimulatedSource::default());
///     let summary = strategy.run(source, Timeouts::default()).await;
///     lines.push(format!("{strategy} {} ms", summary.returned.as_millis()));
/// }
/// assert_eq!(lines, ["sequential 2000 ms", "parallel 600 ms", "race 400 ms", "all-settled 600 ms"]);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// One source after the other: [`sequential::load`].
    Sequential,
    /// All sources at once: [`parallel::load`].
    Parallel,
    /// The first three answers: [`race::load`].
    Race,
    /// Every outcome, within a time limit for each source: [`all_settled::load`].
    AllSettled,
}

/// The outcome of a load.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use level2::all_settled::Timeouts;
/// use level2::model::Section;
/// use level2::source::SimulatedSource;
/// use level2::strategy::Strategy;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let source = Arc::new(SimulatedSource::default());
/// let summary = Strategy::Race.run(source, Timeouts::default()).await;
/// let ms = Duration::from_millis;
/// assert_eq!((summary.returned, summary.sections), (ms(400), 3));
/// assert_eq!(summary.followed, [(Section::Sales, ms(500)), (Section::LowStock, ms(600))]);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// When the load returned: with an error, the whole page or the first sections of it.
    pub returned: Duration,
    /// How many sections had data at that moment.
    pub sections: usize,
    /// The sections that arrived after the return, and when.
    pub followed: Vec<(Section, Duration)>,
    /// The sections that failed, as far as the load tells.
    pub failures: Vec<SectionError>,
}

impl Strategy {
    /// All four, in the order of the assignment.
    pub const ALL: [Self; 4] = [Self::Sequential, Self::Parallel, Self::Race, Self::AllSettled];

    /// The name used in messages and on the command line: `all-settled`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Parallel => "parallel",
            Self::Race => "race",
            Self::AllSettled => "all-settled",
        }
    }

    /// Loads the dashboard and, for a race, the rest after its return.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops the load.
    pub async fn run(self, source: Arc<dyn DashboardSource>, timeouts: Timeouts) -> Summary {
        let started = Instant::now();
        match self {
            Self::Sequential => whole(started, sequential::load(source).await),
            Self::Parallel => whole(started, parallel::load(source).await),
            Self::Race => match race::load(source).await {
                Ok(first) => {
                    let mut summary = Summary {
                        returned: started.elapsed(),
                        sections: first.arrived.len(),
                        followed: Vec::new(),
                        failures: first.failed,
                    };
                    let mut rest = first.rest;
                    while let Some(outcome) = rest.next().await {
                        match outcome {
                            Ok(data) => summary.followed.push((data.section(), started.elapsed())),
                            Err(error) => summary.failures.push(error),
                        }
                    }
                    summary
                }
                Err(error) => Summary {
                    returned: started.elapsed(),
                    sections: error.arrived.len(),
                    followed: Vec::new(),
                    failures: error.failed,
                },
            },
            Self::AllSettled => {
                let settled = all_settled::load(source, timeouts).await;
                let errors = settled.errors();
                Summary {
                    returned: started.elapsed(),
                    sections: settled.reports().len() - errors.len(),
                    followed: Vec::new(),
                    failures: errors,
                }
            }
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The summary of a strategy that returns the whole page or nothing.
fn whole(started: Instant, outcome: Result<Loaded, SectionError>) -> Summary {
    let returned = started.elapsed();
    let (sections, failures) = match outcome {
        Ok(_) => (Section::ALL.len(), Vec::new()),
        Err(error) => (0, vec![error]),
    };
    Summary { returned, sections, followed: Vec::new(), failures }
}
