//! Writing to the journal.

use std::time::Duration;

use tokio::time::sleep;

use super::progress::Progress;
use super::{SagaError, SagaOwner, SagaState};
use crate::journal::{JournalError, Payload, Record};

/// How often a batch is written to a journal that cannot be reached, and the pause between the
/// tries.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(50);

impl SagaOwner<'_> {
    /// Writes a batch, or says that the saga must stop here: without the record there is no effect.
    ///
    /// If the journal wrote a batch but reported a failure, the batch is written twice. Reading it
    /// twice changes nothing: see [`Progress`](super::progress::Progress).
    pub(super) async fn write(&self, records: Vec<Record>) -> Result<(), SagaError> {
        // Only an unreachable journal is tried again. `Fenced` is an answer: another owner has the
        // saga. The client waits during these tries, so they are few and short.
        for _ in 1..TRIES {
            // `append` takes the batch, and the next try needs it again.
            match self.journal.append(&self.lease, records.clone()).await {
                Err(JournalError::Unavailable) => sleep(PAUSE).await,
                written => return Ok(written?),
            }
        }
        // The last try, with the original. If it fails too, the saga stops here and stays open in
        // the journal. No further write renews its lease, so another owner can claim it later.
        Ok(self.journal.append(&self.lease, records).await?)
    }
}

/// Converts a state to JSON. A failure is a bug of the state's type, not of the journal.
pub(super) fn payload(state: &impl serde::Serialize) -> Result<Payload, SagaError> {
    Payload::of(state).map_err(|why| SagaError::State(why.to_string()))
}

impl<S: SagaState> Progress<S> {
    /// Takes the state after a step and returns its JSON. Serialising is the most expensive part of
    /// a step for the engine, so it is done once for each new state and not for each step.
    pub(super) fn advance(&mut self, state: S) -> Result<Payload, SagaError> {
        let written = match self.written.take() {
            // Comparing is much cheaper than serialising, and a `Payload` is cheap to clone.
            Some(written) if state == self.state => written,
            _ => payload(&state)?,
        };
        self.written = Some(written.clone());
        self.state = state;
        Ok(written)
    }
}
