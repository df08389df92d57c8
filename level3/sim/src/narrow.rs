//! A fraud check that can do only so much at once.

use std::fmt;
use std::sync::Arc;

use level3_domain::provider::{
    CallFuture, FraudAssessment, FraudCheck, FraudQuestion, ProviderError,
};
use tokio::sync::Semaphore;

/// A fraud check with a number of workers. A question waits until a worker is free, and the worker
/// answers it whether the client still waits or not, as a server does that notices nothing of a client
/// that has gone.
pub struct NarrowFraudCheck {
    inner: Arc<dyn FraudCheck>,
    workers: Arc<Semaphore>,
}

impl fmt::Debug for NarrowFraudCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.workers.available_permits();
        f.debug_struct("NarrowFraudCheck").field("free", &free).finish_non_exhaustive()
    }
}

impl NarrowFraudCheck {
    /// `inner` with so many workers.
    #[must_use]
    pub fn new(inner: Arc<dyn FraudCheck>, workers: usize) -> Self {
        Self { inner, workers: Arc::new(Semaphore::new(workers)) }
    }
}

impl FraudCheck for NarrowFraudCheck {
    fn check(&self, question: FraudQuestion) -> CallFuture<FraudAssessment> {
        let (inner, workers) = (Arc::clone(&self.inner), Arc::clone(&self.workers));
        let work = tokio::spawn(async move {
            // The semaphore is never closed.
            let _worker = workers.acquire().await;
            inner.check(question).await
        });
        // A task ends without an answer only when the runtime does, or by a panic that was asked for.
        Box::pin(async move { work.await.unwrap_or(Err(ProviderError::ConnectionLost)) })
    }
}
