//! Bounded concurrency: at most a fixed number of jobs at once, first come, first served.
//!
//! Lesson: `level2/lessons/queue.md`.

use std::num::NonZeroUsize;

use tokio::sync::Semaphore;

/// How many jobs a default queue runs at once: as many as a page has sections.
pub const DEFAULT_CONCURRENCY: NonZeroUsize = NonZeroUsize::new(5).expect("5 is not 0");

/// Runs jobs as they arrive, but never more than a fixed number at once. Jobs that have to wait start
/// in the order in which [`add`](Self::add) was first polled.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use futures::future::join_all;
/// use level2::queue::AsyncQueue;
/// use tokio::time::{Instant, sleep};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let queue = AsyncQueue::new(NonZeroUsize::new(2).unwrap());
/// let start = Instant::now();
/// let jobs = (0..4).map(|_| queue.add(|| sleep(Duration::from_millis(100))));
/// join_all(jobs).await;
/// assert_eq!(start.elapsed(), Duration::from_millis(200));
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncQueue {
    // A semaphore hands a released permit directly to the first waiter. A counter that waiters check
    // again after they were woken would let a newcomer take the place in between.
    permits: Semaphore,
}

impl Default for AsyncQueue {
    /// A queue that runs [`DEFAULT_CONCURRENCY`] jobs at once.
    fn default() -> Self {
        Self::new(DEFAULT_CONCURRENCY)
    }
}

impl AsyncQueue {
    /// A queue that runs `concurrency` jobs at once. Any number is allowed.
    #[must_use]
    pub fn new(concurrency: NonZeroUsize) -> Self {
        // A semaphore panics above its own limit, which no number of jobs reaches.
        Self { permits: Semaphore::new(concurrency.get().min(Semaphore::MAX_PERMITS)) }
    }

    /// Waits for its turn, then calls `job` and runs the future it returns to its end.
    ///
    /// `job` is not called before its turn has come. The place is free again when the job has ended,
    /// whether it returned, returned an error or panicked. The job runs inside the future of `add`, not
    /// in a task of its own: so it may borrow from its caller, and needs to be neither `Send` nor
    /// `'static`.
    ///
    /// # Deadlocks
    ///
    /// A job that calls `add` on its own queue and awaits it keeps its place meanwhile. When the jobs in
    /// all places do that, none of them gets another one, and all wait without end. A queue does not
    /// notice.
    ///
    /// # Panics
    ///
    /// A panic of the job, in the closure or in its future, passes to the caller; the queue goes on.
    ///
    /// # Cancellation
    ///
    /// Dropping the future while it waits gives up its place in the queue. Dropping it while the job
    /// runs stops the job and frees its place for the next one.
    pub async fn add<F, Fut>(&self, job: F) -> Fut::Output
    where
        F: FnOnce() -> Fut,
        Fut: Future,
    {
        // The destructor of the permit returns it, so a panic or a drop cannot lose it.
        let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
        // Called only now, with a permit: a closure that is called early may already do work.
        job().await
    }
}
