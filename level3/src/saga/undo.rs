//! Backward: undoing the steps that had, or may have had, an effect.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::sleep;
use tracing::Instrument as _;

use super::progress::Progress;
use super::run::panic_text;
use super::step::UndoStep;
use super::{
    Saga, SagaError, SagaEvent, SagaOutcome, SagaOwner, SagaState, StepOutcome, Stuck, UndoContext,
    UndoError,
};
use crate::deadline::Deadline;
use crate::journal::{Record, SagaFailure};

/// A step to undo.
struct PendingUndo<'a, S, C> {
    index: usize,
    name: &'static str,
    known: StepOutcome,
    limit: Duration,
    undo: &'a UndoStep<S, C>,
    attempts: u32,
}

impl<S: SagaState, C: Send + Sync + 'static> Saga<S, C> {
    /// Undoes everything that is armed, the last step first.
    ///
    /// Every undo is tried once before any is tried again, so that an undo that fails delays the others by
    /// no more than its own limit. `batch` holds records that were not written yet.
    ///
    /// Boxed, since few sagas go back: the future of one that goes forward need not have room for it.
    pub(super) fn back<'a>(
        &'a self,
        owner: &'a SagaOwner<'_>,
        progress: &'a mut Progress<S>,
        failure: SagaFailure,
        batch: Vec<Record>,
    ) -> BoxFuture<'a, Result<SagaOutcome<S>, SagaError>> {
        self.undo_all(owner, progress, failure, batch).boxed()
    }

    async fn undo_all(
        &self,
        owner: &SagaOwner<'_>,
        progress: &mut Progress<S>,
        failure: SagaFailure,
        mut batch: Vec<Record>,
    ) -> Result<SagaOutcome<S>, SagaError> {
        if progress.failure.is_none() {
            batch.push(Record::Compensating { failure: failure.clone() });
        }
        let mut armed: Vec<PendingUndo<'_, S, C>> = Vec::new();
        for (index, (step, step_state)) in self.steps.iter().zip(&progress.steps).enumerate().rev()
        {
            if let (Some(known), Some((limit, undo))) = (step_state.armed(), &step.undo) {
                let limit = *limit;
                let attempts = step_state.attempts;
                armed.push(PendingUndo { index, name: step.name, known, limit, undo, attempts });
            }
        }
        let mut stuck: Vec<Stuck> = Vec::new();
        let mut round = 1;
        while !armed.is_empty() {
            let mut left = Vec::new();
            for mut step in armed {
                step.attempts += 1;
                batch.push(Record::UndoStarted { step: step.name.into(), attempt: step.attempts });
                owner.write(std::mem::take(&mut batch)).await?;
                match self.attempt(&step, progress.state.clone(), owner).await {
                    Ok(state) => {
                        let state = progress.advance(state)?;
                        batch.push(Record::UndoDone { step: step.name.into(), state });
                        progress.steps[step.index].undone = true;
                        let attempts = step.attempts;
                        owner.notify(SagaEvent::Undone { step: step.name, attempts });
                    }
                    Err(error) => {
                        let parked =
                            !error.retryable || step.attempts >= self.undo.attempts().get();
                        owner.notify(SagaEvent::UndoFailed {
                            step: step.name,
                            cause: &error.message,
                            attempts: step.attempts,
                            parked,
                        });
                        if parked {
                            batch.push(Record::UndoParked {
                                step: step.name.into(),
                                cause: error.message.clone(),
                                attempts: step.attempts,
                            });
                            stuck.push(Stuck {
                                step: step.name.to_owned(),
                                cause: error.message,
                                attempts: step.attempts,
                            });
                        } else {
                            left.push(step);
                        }
                    }
                }
            }
            armed = left;
            if !armed.is_empty() {
                sleep(self.undo.delay(round, self.jitter.unit())).await;
                round += 1;
            }
        }
        let parked = !stuck.is_empty();
        batch.push(if parked { Record::Parked } else { Record::Compensated });
        owner.write(batch).await?;
        let state = progress.state.clone();
        Ok(if parked {
            SagaOutcome::Parked { state, failure, stuck }
        } else {
            SagaOutcome::Compensated { state, failure }
        })
    }

    async fn attempt(
        &self,
        step: &PendingUndo<'_, S, C>,
        state: S,
        owner: &SagaOwner<'_>,
    ) -> Result<S, UndoError> {
        let deadline = Deadline::after(step.limit);
        let context = UndoContext {
            shared: Arc::clone(&self.shared),
            saga: owner.saga().clone(),
            known: step.known,
            attempt: step.attempts,
            deadline,
        };
        let work = AssertUnwindSafe(async { (step.undo)(state, context).await }).catch_unwind();
        let span = tracing::info_span!("undo", name = step.name, attempt = step.attempts);
        match deadline.run(work).instrument(span).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(UndoError::transient(panic_text(panic.as_ref()))),
            Err(elapsed) => Err(UndoError::transient(elapsed)),
        }
    }
}
