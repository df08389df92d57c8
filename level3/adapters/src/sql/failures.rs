//! What a store remembers of its failures.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::StoreError;

/// The last failure, and the one that ended the store for good.
#[derive(Debug)]
pub(crate) struct Failures {
    // A standard mutex: it is held for a copy, and never across an await.
    last: Mutex<Option<StoreError>>,
    lost: watch::Sender<Option<StoreError>>,
}

impl Failures {
    pub(crate) fn new() -> Self {
        Self { last: Mutex::default(), lost: watch::Sender::new(None) }
    }

    /// Notes the outcome of operations. The first that says that the store is lost is final.
    pub(crate) fn note(&self, outcome: &Result<(), StoreError>) {
        let error = outcome.as_ref().err();
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&error.cloned());
        if let Some(error) = error.filter(|error| error.is_final()) {
            self.lost.send_if_modified(|lost| {
                let is_first = lost.is_none();
                lost.get_or_insert_with(|| error.clone());
                is_first
            });
        }
    }

    /// Fails if the store is lost: after that nothing is written, and nothing acknowledged, even if
    /// other parts of the store still work.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.lost.borrow().clone().map_or(Ok(()), Err)
    }

    pub(crate) fn last(&self) -> Option<StoreError> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the store is lost.
    pub(crate) async fn lost(&self) -> StoreError {
        let mut lost = self.lost.subscribe();
        let found = lost.wait_for(Option::is_some).await.ok().and_then(|lost| lost.clone());
        match found {
            Some(error) => error,
            // `self` has the sender, so the channel is not closed.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_that_is_lost_stays_lost() {
        let failures = Failures::new();
        let place = || "there".to_owned();
        let gone = StoreError::Gone { place: place() };
        for (outcome, is_final) in [
            (Err(StoreError::Locked { place: place() }), false),
            (Err(gone.clone()), true),
            (Ok(()), true),
            (Err(StoreError::Damaged { place: place(), why: String::new() }), true),
        ] {
            failures.note(&outcome);
            assert_eq!(failures.last(), outcome.err());
            assert_eq!(failures.check().is_err(), is_final);
        }
        assert_eq!(failures.lost().await, gone);
    }
}
