//! A fraud check with a limited capacity.

use std::fmt;
use std::sync::Arc;

use level3_domain::provider::{
    CallFuture, FraudAssessment, FraudCheck, FraudQuestion, ProviderError,
};
use tokio::sync::Semaphore;

/// A fraud check with a number of workers. A question waits until a worker is free, and the worker answers it
/// whether or not the client still waits, like a server that does not notice a client that has gone.
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
    /// Makes a fraud check around `inner` with this number of workers.
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
        // A task ends without an answer only when the runtime ends, or by a requested panic.
        Box::pin(async move { work.await.unwrap_or(Err(ProviderError::ConnectionLost)) })
    }
}
