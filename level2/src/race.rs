//! The first three successes: 400 ms. The other two sections follow when they arrive.
//!
//! For a page that shows something early and fills in the rest. `Promise.race` alone cannot do this:
//! it settles on the first *outcome*, failures included, and does not return the others.
//!
//! Lesson: `level2/lessons/race.md`.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::Instant;

use crate::error::SectionError;
use crate::model::{Section, SectionData};
use crate::rest::Rest;
use crate::source::DashboardSource;

/// How many sections must have arrived before the page is shown.
pub const WANTED: usize = 3;

/// The first [`WANTED`] sections, and a stream of the others.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use futures::StreamExt;
/// use level2::model::Section;
/// use level2::race;
/// use level2::source::SimulatedSource;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let mut first = race::load(Arc::new(SimulatedSource::default())).await.unwrap();
/// assert_eq!(first.took, Duration::from_millis(400));
/// let arrived: Vec<_> = first.arrived.iter().map(|data| data.section()).collect();
/// assert_eq!(arrived, [Section::Reviews, Section::Users, Section::Orders]);
///
/// let sales = first.rest.next().await.unwrap();
/// assert_eq!(sales.unwrap().section(), Section::Sales);
/// # }
/// ```
#[derive(Debug)]
pub struct FirstThree {
    /// The sections that arrived, in the order in which they arrived.
    pub arrived: Vec<SectionData>,
    /// The sections that failed before the third one arrived, in the order in which they failed.
    pub failed: Vec<SectionError>,
    /// The outcomes of the sections that are neither in `arrived` nor in `failed`, each as soon as it
    /// is there. Dropping the stream stops their calls.
    pub rest: Rest<Result<SectionData, SectionError>>,
    /// From the first poll of the load to its result, on tokio's clock.
    pub took: Duration,
}

/// Three sections cannot arrive any more, because too many sources failed.
///
/// ```
/// use std::sync::Arc;
/// use level2::model::Section;
/// use level2::race;
/// use level2::source::{Behaviour, SimulatedSource};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let source = [Section::Reviews, Section::Users, Section::Orders]
///     .into_iter()
///     .fold(SimulatedSource::default(), |source, section| source.with(section, Behaviour::Fails));
/// let error = race::load(Arc::new(source)).await.unwrap_err();
/// assert_eq!(error.failed.len(), 3);
/// assert_eq!(error.to_string(), "only 2 of 3 sections can still arrive: 3 failed");
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("only {} of {WANTED} sections can still arrive: {} failed", Section::ALL.len() - failed.len(), failed.len())]
pub struct TooFew {
    /// The sections that had arrived, in the order in which they arrived.
    pub arrived: Vec<SectionData>,
    /// The failures, in the order in which they happened.
    pub failed: Vec<SectionError>,
}

/// Starts all five calls at once and returns at the third success. A failed source is not one of the
/// three: the next success takes its place.
///
/// # Errors
///
/// [`TooFew`] as soon as the third source has failed, because only two can then succeed. The calls
/// still running are stopped.
///
/// # Panics
///
/// Passes on a panic of a source, when it happens. A panic after the return reaches the caller that polls
/// [`FirstThree::rest`].
///
/// # Cancellation
///
/// Dropping the future, or later [`FirstThree::rest`], stops every call that is still running.
pub async fn load(source: Arc<dyn DashboardSource>) -> Result<FirstThree, TooFew> {
    let started = Instant::now();
    // Owned futures, each with its share of the source: the ones that lose move into `rest`, which outlives
    // this function.
    let mut calls: FuturesUnordered<_> = Section::ALL
        .into_iter()
        .map(|section| {
            let call = section.fetch(Arc::clone(&source));
            async move { call.await.map_err(|error| SectionError::new(section, error)) }
        })
        .collect();
    let mut arrived = Vec::with_capacity(WANTED);
    let mut failed = Vec::new();
    // Arrived, failed and running calls always add up to five, so one of the two limits is reached
    // before `next` runs dry.
    // `next` yields outcomes in the order of time. `select!` would need a branch for each call, and could not
    // return the calls that are left.
    while let Some(outcome) = calls.next().await {
        match outcome {
            Ok(data) => arrived.push(data),
            Err(error) => failed.push(error),
        }
        if arrived.len() == WANTED {
            let took = started.elapsed();
            // The caller polls the calls from now on: the set *is* the stream of the missing outcomes.
            return Ok(FirstThree { arrived, failed, rest: Rest::new(calls), took });
        }
        // Checked after each outcome: with three failures no wait can help, so the load fails now and not when the
        // last call has ended. The return drops `calls`, and with it the calls that run.
        if arrived.len() + calls.len() < WANTED {
            break;
        }
    }
    Err(TooFew { arrived, failed })
}
