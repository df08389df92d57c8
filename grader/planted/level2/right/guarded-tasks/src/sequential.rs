//! One call after another: 500 + 300 + 400 + 600 + 200 = 2000 ms.
//!
//! The slowest way, and the right one when a call needs the answer of the one before, when a service
//! must not see two calls at once, or when a failure must keep the later calls from happening.
//!
//! Lesson: `level2/lessons/sequential.md`.

use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::error::SectionError;
use crate::model::{Loaded, PartialDashboard, Section};
use crate::source::DashboardSource;

/// Loads the sections one by one in the order of the page: sales, users, orders, low stock, reviews.
/// A call starts when the answer to the one before it is there.
///
/// # Errors
///
/// The first failure ends the load at once. Sections after it are never asked for.
///
/// # Panics
///
/// Passes on a panic of a source, when it happens.
///
/// # Cancellation
///
/// Dropping the future stops the call that is running; no other follows.
pub async fn load(source: Arc<dyn DashboardSource>) -> Result<Loaded, SectionError> {
    let started = Instant::now();
    let page = Owned::start(async move {
        let mut page = PartialDashboard::default();
        for section in Section::ALL {
            let answer = Owned::start(section.fetch(Arc::clone(&source))).await;
            page.insert(answer.map_err(|error| SectionError::new(section, error))?);
        }
        Ok(page)
    })
    .await?;
    let Some(dashboard) = page.complete() else { unreachable!("five answers make a page") };
    Ok(Loaded { dashboard, took: started.elapsed() })
}

/// A task that ends with its owner.
pub(crate) struct Owned<T>(JoinHandle<T>);

impl<T: Send + 'static> Owned<T> {
    pub(crate) fn start(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl<T> Future for Owned<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.0).poll(cx)) {
            Ok(value) => Poll::Ready(value),
            Err(error) => resume_unwind(error.into_panic()),
        }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
