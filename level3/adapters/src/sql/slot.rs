//! Where what was done waits for its transaction.

use tokio::sync::oneshot;

use super::StoreError;

/// The result of an operation, and the caller that gets it once it is on disk.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    done: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T> Slot<T> {
    pub(crate) const fn new(reply: oneshot::Sender<Result<T, StoreError>>) -> Self {
        Self { done: None, reply }
    }

    /// The operation is done, for now: a transaction that fails is done again.
    pub(crate) fn fill(&mut self, done: T) {
        self.done = Some(done);
    }

    /// The transaction is on disk, or failed.
    pub(crate) fn answer(self, outcome: Result<(), StoreError>) {
        match (outcome, self.done) {
            (Ok(()), Some(done)) => drop(self.reply.send(Ok(done))),
            (Err(error), _) => drop(self.reply.send(Err(error))),
            // Dropping the sender tells as much: it was never run.
            (Ok(()), None) => {}
        }
    }
}
