//! Writing to the journal.

use std::time::Duration;

use tokio::time::sleep;

use super::progress::Progress;
use super::{SagaError, SagaOwner, SagaState};
use crate::journal::{JournalError, Payload, Record};

/// How often a batch is offered to a journal that cannot be reached, and the pause between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(50);

impl SagaOwner<'_> {
    /// Writes a batch, or says that the saga must stop here: without the record there is no effect.
    ///
    /// A batch that was written although the journal said otherwise is written twice. Reading one twice
    /// changes nothing: see [`Progress`](super::progress::Progress).
    pub(super) async fn write(&self, records: Vec<Record>) -> Result<(), SagaError> {
        for _ in 1..TRIES {
            match self.journal.append(&self.lease, records.clone()).await {
                Err(JournalError::Unavailable) => sleep(PAUSE).await,
                written => return Ok(written?),
            }
        }
        Ok(self.journal.append(&self.lease, records).await?)
    }
}

pub(super) fn payload(state: &impl serde::Serialize) -> Result<Payload, SagaError> {
    Payload::of(state).map_err(|why| SagaError::State(why.to_string()))
}

impl<S: SagaState> Progress<S> {
    /// Takes the state after a step, and gives it as it is to be written. Writing is the dearest thing
    /// that an engine does for a step, so it is done once for each state and not once for each step.
    pub(super) fn advance(&mut self, state: S) -> Result<Payload, SagaError> {
        let written = match self.written.take() {
            Some(written) if state == self.state => written,
            _ => payload(&state)?,
        };
        self.written = Some(written.clone());
        self.state = state;
        Ok(written)
    }
}
