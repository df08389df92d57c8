//! Keeps the result of an operation until its transaction is on disk.

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

    /// Keeps the result of the operation. If the transaction fails, the operation is done again and
    /// the result replaced.
    pub(crate) fn fill(&mut self, done: T) {
        self.done = Some(done);
    }

    /// Answers the caller: the transaction is on disk, or failed.
    pub(crate) fn answer(self, outcome: Result<(), StoreError>) {
        match (outcome, self.done) {
            (Ok(()), Some(done)) => drop(self.reply.send(Ok(done))),
            (Err(error), _) => drop(self.reply.send(Err(error))),
            // The operation was never run. The drop of the sender reports that.
            (Ok(()), None) => {}
        }
    }
}
