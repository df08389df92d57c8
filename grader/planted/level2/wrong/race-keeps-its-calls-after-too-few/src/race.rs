//! The first three successes: 400 ms. The other two sections follow when they arrive.
//!
//! For a page that shows something early and fills in the rest. `Promise.race` alone cannot do this:
//! it settles on the first *outcome*, failures included, and does not return the others.
//!
//! Lesson: `level2/lessons/race.md`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
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
pub fn load(
    source: Arc<dyn DashboardSource>,
) -> impl Future<Output = Result<FirstThree, TooFew>> + Send {
    Race { source: Some(source), started: None, calls: FuturesUnordered::new(), arrived: Vec::new(), failed: Vec::new() }
}

struct Race {
    source: Option<Arc<dyn DashboardSource>>,
    started: Option<Instant>,
    calls: FuturesUnordered<BoxFuture<'static, Result<SectionData, SectionError>>>,
    arrived: Vec<SectionData>,
    failed: Vec<SectionError>,
}

impl Future for Race {
    type Output = Result<FirstThree, TooFew>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let started = *this.started.get_or_insert_with(Instant::now);
        if let Some(source) = this.source.take() {
            this.calls.extend(Section::ALL.map(|section| {
                let call = section.fetch(Arc::clone(&source));
                async move { call.await.map_err(|error| SectionError::new(section, error)) }.boxed()
            }));
        }
        while this.arrived.len() + this.calls.len() >= WANTED {
            match ready!(this.calls.poll_next_unpin(cx)) {
                Some(Ok(data)) => this.arrived.push(data),
                Some(Err(error)) => this.failed.push(error),
                None => break,
            }
            if this.arrived.len() == WANTED {
                let calls = std::mem::take(&mut this.calls);
                return Poll::Ready(Ok(FirstThree {
                    arrived: std::mem::take(&mut this.arrived),
                    failed: std::mem::take(&mut this.failed),
                    rest: Rest::new(calls),
                    took: started.elapsed(),
                }));
            }
        }
        Poll::Ready(Err(TooFew {
            arrived: std::mem::take(&mut this.arrived),
            failed: std::mem::take(&mut this.failed),
        }))
    }
}
