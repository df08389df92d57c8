//! Bounded concurrency: the assignment's `AsyncQueue`, first come, first served.

use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::future::poll_fn;
use tokio::sync::Semaphore;
use tower::Service as _;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{Layer as _, service_fn};

/// How many jobs run at once by default: 5, as in the assignment.
pub const DEFAULT_CONCURRENCY: NonZeroUsize = NonZeroUsize::new(5).expect("5 is not 0");

/// Runs jobs as they come, but never more than a fixed number at once. Jobs that have to wait start
/// in the order in which [`add`](Self::add) was first polled.
#[derive(Debug)]
pub struct AsyncQueue {
    limit: GlobalConcurrencyLimitLayer,
}

impl Default for AsyncQueue {
    /// A queue that runs [`DEFAULT_CONCURRENCY`] jobs at once.
    fn default() -> Self {
        Self::new(DEFAULT_CONCURRENCY)
    }
}

impl AsyncQueue {
    /// A queue that runs `concurrency` jobs at once.
    #[must_use]
    pub fn new(concurrency: NonZeroUsize) -> Self {
        let places = Arc::new(Semaphore::new(concurrency.get().min(Semaphore::MAX_PERMITS)));
        Self { limit: GlobalConcurrencyLimitLayer::with_semaphore(places) }
    }

    /// Waits for its turn, then calls `job` and runs the future it returns to its end.
    ///
    /// `job` is not called before its turn has come. The place is free again when the job has ended,
    /// whether it returned, returned an error or panicked.
    ///
    /// # Panics
    ///
    /// A panic of the job passes to the caller; the queue goes on.
    ///
    /// # Cancellation
    ///
    /// Dropping the future while it waits gives up its place in the line. Dropping it while the job
    /// runs stops the job and frees its place for the next one.
    pub async fn add<F, Fut>(&self, job: F) -> Fut::Output
    where
        F: FnOnce() -> Fut,
        Fut: Future,
    {
        let mut job = Some(job);
        // The job is called when the service is, and that is when a place is free.
        let service = service_fn(move |()| {
            let job = job.take().map(|job| job());
            async move {
                match job {
                    Some(job) => Ok::<_, std::convert::Infallible>(job.await),
                    None => unreachable!("the service is called once"),
                }
            }
        });
        let mut service = self.limit.layer(service);
        let ready: Result<(), std::convert::Infallible> =
            poll_fn(|cx| service.poll_ready(cx)).await;
        let Ok(()) = ready;
        let Ok(output) = service.call(()).await;
        output
    }
}
