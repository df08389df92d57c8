//! The four strategies under one roof, for the demo and the report.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::Instant;

use crate::all_settled::Timeouts;
use crate::model::Section;
use crate::source::DashboardSource;
use crate::{all_settled, parallel, race, sequential};

/// One of the four strategies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// [`sequential::load`].
    Sequential,
    /// [`parallel::load`].
    Parallel,
    /// [`race::load`].
    Race,
    /// [`all_settled::load`].
    AllSettled,
}

/// What a load came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// When the load returned: with an error, the whole page or the first sections of it.
    pub returned: Duration,
    /// How many sections had data at that moment.
    pub sections: usize,
    /// The sections that arrived after the return, and when.
    pub followed: Vec<(Section, Duration)>,
    /// The failures, each on a line of its own.
    pub failures: Vec<String>,
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
                        failures: first.failed.iter().map(ToString::to_string).collect(),
                    };
                    let mut rest = first.rest;
                    while let Some(outcome) = rest.next().await {
                        match outcome {
                            Ok(data) => summary.followed.push((data.section(), started.elapsed())),
                            Err(error) => summary.failures.push(error.to_string()),
                        }
                    }
                    summary
                }
                Err(error) => Summary {
                    sections: error.arrived.len(),
                    ..Summary::failed(started.elapsed(), &error)
                },
            },
            Self::AllSettled => {
                let settled = all_settled::load(source, timeouts).await;
                let errors = settled.errors();
                Summary {
                    returned: started.elapsed(),
                    sections: settled.reports().len() - errors.len(),
                    followed: Vec::new(),
                    failures: errors.iter().map(ToString::to_string).collect(),
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

impl Summary {
    fn failed(returned: Duration, error: &impl fmt::Display) -> Self {
        Self { returned, sections: 0, followed: Vec::new(), failures: vec![error.to_string()] }
    }
}

/// The summary of a strategy that returns the whole page or nothing.
fn whole<T, E: fmt::Display>(started: Instant, outcome: Result<T, E>) -> Summary {
    let returned = started.elapsed();
    match outcome {
        Ok(_) => Summary {
            returned,
            sections: Section::ALL.len(),
            followed: Vec::new(),
            failures: Vec::new(),
        },
        Err(error) => Summary::failed(returned, &error),
    }
}
