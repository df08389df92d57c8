//! All calls at once, all or nothing: 600 ms, the time of the slowest source.
//!
//! The counterpart of `Promise.all`, with one difference that matters: when one call fails, the
//! others are stopped instead of running on for nothing.
//!
//! Lesson: `level2/lessons/parallel.md`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::error::SectionError;
use crate::model::{Loaded, PartialDashboard, Section, SectionData};
use crate::source::{DashboardSource, SourceResult};

/// Starts all five calls at once and returns when all have answered.
///
/// # Errors
///
/// The failure that happens first *in time*, at the moment it happens. The other calls are dropped.
///
/// # Panics
///
/// Passes on a panic of a source, when it happens.
///
/// # Cancellation
///
/// Dropping the future stops all five calls.
pub fn load(
    source: Arc<dyn DashboardSource>,
) -> impl Future<Output = Result<Loaded, SectionError>> + Send {
    Load { source, started: None, calls: Vec::new(), page: PartialDashboard::default() }
}

struct Load {
    source: Arc<dyn DashboardSource>,
    started: Option<Instant>,
    calls: Vec<(Section, BoxFuture<'static, SourceResult<SectionData>>)>,
    page: PartialDashboard,
}

impl Future for Load {
    type Output = Result<Loaded, SectionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let started = *this.started.get_or_insert_with(|| {
            this.calls = Section::ALL.map(|s| (s, s.fetch(Arc::clone(&this.source)))).into();
            Instant::now()
        });
        let mut failure = None;
        let page = &mut this.page;
        this.calls.retain_mut(|(section, call)| match call.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(Ok(data)) => {
                page.insert(data);
                false
            }
            Poll::Ready(Err(error)) => {
                failure.get_or_insert(SectionError::new(*section, error));
                false
            }
        });
        if let Some(error) = failure {
            return Poll::Ready(Err(error));
        }
        if !this.calls.is_empty() {
            return Poll::Pending;
        }
        let dashboard = std::mem::take(&mut this.page).complete().expect("all have answered");
        Poll::Ready(Ok(Loaded { dashboard, took: started.elapsed() }))
    }
}
