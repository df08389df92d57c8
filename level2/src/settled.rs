//! The outcome of every section: what a load that tolerates failures returns.

use std::time::Duration;

use crate::error::{SectionError, SectionFailure};
use crate::model::{PartialDashboard, Section, SectionData};

/// The outcome of one section.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use level2::all_settled::{self, Timeouts};
/// use level2::model::Section;
/// use level2::source::{Behaviour, SimulatedSource};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let source = SimulatedSource::default().with(Section::Users, Behaviour::Fails);
/// let settled = all_settled::load(Arc::new(source), Timeouts::default()).await;
/// let report = settled.get(Section::Users).unwrap();
/// assert_eq!((report.section, report.took), (Section::Users, Duration::from_millis(300)));
/// assert!(report.result.is_err());
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionReport {
    /// The section that the report is about.
    pub section: Section,
    /// Its data, or why there is none.
    pub result: Result<SectionData, SectionFailure>,
    /// From the start of the call to its outcome, on tokio's clock.
    pub took: Duration,
}

/// The outcome of every section.
///
/// ```
/// use std::time::Duration;
///
/// use level2::error::SourceError;
/// use level2::model::{Orders, Section, SectionData};
/// use level2::settled::{SectionReport, Settled};
///
/// let took = Duration::from_millis(400);
/// let orders = SectionReport {
///     section: Section::Orders,
///     result: Ok(SectionData::Orders(Orders::default())),
///     took,
/// };
/// let users = SectionReport {
///     section: Section::Users,
///     result: Err(SourceError::Unavailable("no connection".to_owned()).into()),
///     took,
/// };
/// let settled = Settled::new([orders, users], took);
/// assert_eq!(settled.errors()[0].section, Section::Users);
/// assert!(settled.partial().orders.is_some());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    // At most one for each section, in the order of the page: `new` sorts and removes duplicates.
    reports: Vec<SectionReport>,
    /// From the first poll of the load to its result, on tokio's clock.
    pub took: Duration,
}

impl Settled {
    /// Collects reports, in any order. They are kept in the order of the page; of two reports on the
    /// same section the later one replaces the earlier.
    #[must_use]
    pub fn new(reports: impl IntoIterator<Item = SectionReport>, took: Duration) -> Self {
        let mut kept: Vec<SectionReport> = Vec::with_capacity(Section::ALL.len());
        for report in reports {
            match kept.iter_mut().find(|known| known.section == report.section) {
                Some(known) => *known = report,
                None => kept.push(report),
            }
        }
        kept.sort_by_key(|report| report.section);
        Self { reports: kept, took }
    }

    /// The reports in the order of the page.
    #[must_use]
    pub fn reports(&self) -> &[SectionReport] {
        &self.reports
    }

    /// The report on one section, if there is one.
    #[must_use]
    pub fn get(&self, section: Section) -> Option<&SectionReport> {
        self.reports.iter().find(|report| report.section == section)
    }

    /// The data that arrived.
    #[must_use]
    pub fn partial(&self) -> PartialDashboard {
        self.reports.iter().filter_map(|report| report.result.clone().ok()).collect()
    }

    /// The failures, in the order of the page.
    #[must_use]
    pub fn errors(&self) -> Vec<SectionError> {
        self.reports
            .iter()
            .filter_map(|report| {
                let failure = report.result.as_ref().err()?.clone();
                Some(SectionError { section: report.section, failure })
            })
            .collect()
    }

    /// The reports themselves, in the order of the page.
    #[must_use]
    pub fn into_reports(self) -> Vec<SectionReport> {
        self.reports
    }
}
