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

/// A step that is still to be undone.
struct PendingUndo<'a, S, C> {
    /// The step's index in the saga, to mark its progress.
    index: usize,
    /// The step's name. Every record and event of the undo carries it, and a restart finds the step by it.
    name: &'static str,
    /// Whether the step certainly had its effect. The undo decides by it what to do.
    known: StepOutcome,
    /// The time limit of one attempt.
    limit: Duration,
    /// Makes the future of one attempt. A function and not a future, since each attempt needs a new one.
    undo: &'a UndoStep<S, C>,
    /// Attempts so far, those of earlier owners included: a restart does not renew them.
    attempts: u32,
}

impl<S: SagaState, C: Send + Sync + 'static> Saga<S, C> {
    /// Undoes everything that is armed, the last step first.
    ///
    /// Every undo is tried once before any is tried again, so that an undo that fails delays the
    /// others by no more than its own limit. `batch` holds records that were not written yet.
    ///
    /// Boxed, since few sagas go back: the future of one that goes forward need not have room for
    /// it.
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
        // A resumed saga has this record already. It decides the direction for every later owner:
        // without it the next one could finish a saga that is half undone.
        if progress.failure.is_none() {
            batch.push(Record::Compensating { failure: failure.clone() });
        }
        // In reverse order: a later step may rely on the effect of an earlier one, so it is undone
        // first. Collected once, before the first attempt: from here on a step leaves the list by
        // success or by being parked, and none joins it.
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
        // One round tries every undo that is left, once. The pause between rounds grows; a pause
        // after each failed undo would delay the ones that work.
        let mut round = 1;
        while !armed.is_empty() {
            let mut left = Vec::new();
            for mut step in armed {
                // Counted and recorded before the attempt: an owner that dies during it leaves one
                // attempt fewer to the next owner.
                step.attempts += 1;
                // Written before the attempt, with the outcome of the last undo in the same batch.
                // If the journal refuses the batch, another owner has the saga and this attempt
                // must not begin.
                batch.push(Record::UndoStarted { step: step.name.into(), attempt: step.attempts });
                owner.write(std::mem::take(&mut batch)).await?;
                // A clone: after a failed attempt the next one starts from the same state.
                match self.attempt(&step, progress.state.clone(), owner).await {
                    Ok(state) => {
                        let state = progress.advance(state)?;
                        batch.push(Record::UndoDone { step: step.name.into(), state });
                        progress.steps[step.index].undone = true;
                        let attempts = step.attempts;
                        owner.notify(SagaEvent::Undone { step: step.name, attempts });
                    }
                    Err(error) => {
                        // A permanent failure is parked at once: the same call would be refused
                        // again. The loop goes on, because the other undos do not depend on this
                        // one.
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
            // No pause after the last round: the saga has ended.
            if !armed.is_empty() {
                sleep(self.undo.delay(round, self.jitter.unit())).await;
                round += 1;
            }
        }
        // Undos are parked in the order of their last failures, which is chance. `outcome_of` reads
        // them by step, and a caller must get one answer from both.
        stuck.sort_by_key(|parked| self.steps.iter().position(|step| step.name == parked.step));
        // The last record ends the saga in the journal. A parked saga can be claimed and resumed
        // again. Written last, after the outcome of each undo: an owner that dies before this write
        // leaves an open saga, and the next owner continues with the undos that have no outcome.
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

    /// Makes one attempt to undo a step. A panic and a missed limit are transient failures: the
    /// next attempt may succeed, and without one the effect would stay.
    async fn attempt(
        &self,
        step: &PendingUndo<'_, S, C>,
        state: S,
        owner: &SagaOwner<'_>,
    ) -> Result<S, UndoError> {
        // The limit of this attempt alone. The saga's deadline does not stop undos: an effect that
        // stays is worse than an answer that comes late.
        let deadline = Deadline::after(step.limit);
        let context = UndoContext {
            shared: Arc::clone(&self.shared),
            saga: owner.saga().clone(),
            known: step.known,
            attempt: step.attempts,
            deadline,
        };
        // The call is inside the block: an undo may panic before it returns a future.
        // `AssertUnwindSafe`: the attempt owns its state, and what it shares is the saga's user's
        // to protect.
        let work = AssertUnwindSafe(async { (step.undo)(state, context).await }).catch_unwind();
        let span = tracing::info_span!("undo", name = step.name, attempt = step.attempts);
        match deadline.run(work).instrument(span).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(UndoError::transient(panic_text(panic.as_ref()))),
            Err(elapsed) => Err(UndoError::transient(elapsed)),
        }
    }
}
