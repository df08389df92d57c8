//! Forward: one step after another.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::log::payload;
use super::progress::{Progress, Terminal};
use super::{
    Saga, SagaError, SagaEvent, SagaOutcome, SagaOwner, SagaState, Step, StepContext, StepError,
    ignore_events,
};
use crate::deadline::{Deadline, Elapsed};
use crate::journal::{Effect, FailureKind, Journal, Opened, Record, SagaFailure, SagaId, SagaLog};

impl<S: SagaState, C: Send + Sync + 'static> Saga<S, C> {
    /// Runs a new saga in a task of its own, and waits for its end.
    ///
    /// The steps have to be over [`reserve`](Self::reserve) before `deadline`. A step that is under
    /// way then is stopped, and its effect is unknown; one that has not been called has done
    /// nothing. Either is a failure of the kind [`FailureKind::Deadline`]: a step that is not
    /// critical fails and the saga goes on. Undoing goes on after the deadline, until everything is
    /// undone or parked.
    ///
    /// # Errors
    ///
    /// [`SagaError::Exists`] if there is a saga with this name: nothing was done then. For the
    /// others the saga stays open in the journal. A write that the journal refuses, or cannot take
    /// after a few tries, ends the run before the step or undo that it announces.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves the saga running to its end.
    pub async fn execute(
        self: &Arc<Self>,
        journal: Arc<dyn Journal>,
        id: SagaId,
        state: S,
        deadline: Deadline,
    ) -> Result<SagaOutcome<S>, SagaError> {
        let saga = Arc::clone(self);
        // The task owns the saga. A caller that drops its future drops the `JoinHandle` only, which
        // detaches the task and does not stop it.
        let task = tokio::spawn(async move {
            let lease = match saga.open(journal.as_ref(), id, &state).await? {
                Opened::New(lease) => lease,
                Opened::Known(saga_log) => return Err(SagaError::Exists(Box::new(saga_log))),
            };
            let owner = SagaOwner { journal: journal.as_ref(), lease, observer: &ignore_events };
            saga.run(&owner, state, deadline).await
        });
        // The task panicked, or the runtime shut down. What was done until then is in the journal,
        // for the next owner.
        task.await.unwrap_or(Err(SagaError::Lost))
    }

    /// Writes the first record of the saga, unless the journal has a saga with this name.
    ///
    /// # Errors
    ///
    /// When the journal cannot be reached or the state cannot be written.
    pub async fn open(
        &self,
        journal: &dyn Journal,
        id: SagaId,
        state: &S,
    ) -> Result<Opened, SagaError> {
        // The state is converted before the journal is asked: a saga whose state cannot be written
        // could not be resumed either, so it must not exist.
        let first = Record::Begun { kind: self.kind.into(), state: payload(state)? };
        Ok(journal.open(id, first).await?)
    }

    /// Runs a saga that was just [opened](Self::open), from its first step to its end.
    ///
    /// # Errors
    ///
    /// The saga stays open in the journal.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops the saga where it is. [`execute`](Self::execute) spawns it, so
    /// that it does not depend on its caller.
    pub async fn run(
        &self,
        owner: &SagaOwner<'_>,
        state: S,
        deadline: Deadline,
    ) -> Result<SagaOutcome<S>, SagaError> {
        let mut progress = Progress::new(self, state);
        self.forward(owner, &mut progress, deadline).await
    }

    /// Takes over a saga that was [claimed](Journal::claim).
    ///
    /// A saga that was going back still goes back, whether or not its pivot is done; an undo that
    /// is done does not run again. Otherwise the saga is finished if its pivot is done, and undone
    /// if not. A step that had begun before, is called again and fails has an unknown effect,
    /// whatever effect it reports: the first call may have had one. Parked undos are tried again.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), and [`SagaError::State`] as in [`outcome_of`](Self::outcome_of).
    pub async fn resume(
        &self,
        owner: &SagaOwner<'_>,
        saga_log: &SagaLog,
        deadline: Deadline,
    ) -> Result<SagaOutcome<S>, SagaError> {
        let mut progress = Progress::read(self, &saga_log.records)?;
        // First of all: a saga that has begun to go back must not go forward again, also past its
        // pivot. Some of its steps may be undone already.
        if let Some(failure) = progress.failure.clone() {
            // A parked saga has ended once; its parked undos are tried again now.
            progress.over = None;
            // The batch is empty: the dead owner took its unwritten records with it. No effect is
            // lost by that, because every effect was announced before it was tried.
            return self.back(owner, &mut progress, *failure, Vec::new()).await;
        }
        // Past the pivot, undoing would cost more than finishing: for a payment, a refund to a
        // customer who has paid for something that can still be delivered.
        if progress.is_past_the_pivot(self) {
            return self.forward(owner, &mut progress, deadline).await;
        }
        // The saga stopped at the step that had begun and not ended, or before its first one.
        let at = self.steps.iter().zip(&progress.steps).rfind(|(_, step_state)| step_state.begun);
        let failure = SagaFailure {
            step: at.map_or(self.kind, |(step, _)| step.name).into(),
            kind: FailureKind::Interrupted,
            message: "the process ended".to_owned(),
        };
        self.back(owner, &mut progress, failure, Vec::new()).await
    }

    /// Returns the outcome of a saga, from its records alone. Without a record of the saga's end it
    /// returns `None`. [`SagaLog::standing`] is not used.
    ///
    /// # Errors
    ///
    /// [`SagaError::State`] if the records do not belong to such a saga: they do not begin with
    /// [`Record::Begun`], are of another kind of saga, name a step that this saga does not have, or
    /// have a state that cannot be read.
    pub fn outcome_of(&self, saga_log: &SagaLog) -> Result<Option<SagaOutcome<S>>, SagaError> {
        let progress = Progress::read(self, &saga_log.records)?;
        let stuck = progress.stuck();
        let Progress { state, failure, over, .. } = progress;
        // The records come from outside the program. A saga that was undone without a reason is
        // damage, which is an error here and not a panic.
        let no_failure = || SagaError::State("undone for no reason".to_owned());
        Ok(match over {
            None => None,
            Some(Terminal::Completed) => Some(SagaOutcome::Completed(state)),
            Some(Terminal::Compensated) => {
                Some(SagaOutcome::Compensated { state, failure: *failure.ok_or_else(no_failure)? })
            }
            Some(Terminal::Parked) => Some(SagaOutcome::Parked {
                state,
                failure: *failure.ok_or_else(no_failure)?,
                stuck,
            }),
        })
    }

    /// Returns the state that a saga began with, from its records.
    ///
    /// # Errors
    ///
    /// As [`outcome_of`](Self::outcome_of), for the first record.
    pub fn begun_with(&self, saga_log: &SagaLog) -> Result<S, SagaError> {
        // `get` and not an index: `read` reports an empty journal as an error.
        let first = saga_log.records.get(..1).unwrap_or_default();
        Ok(Progress::read(self, first)?.state)
    }

    async fn forward(
        &self,
        owner: &SagaOwner<'_>,
        progress: &mut Progress<S>,
        deadline: Deadline,
    ) -> Result<SagaOutcome<S>, SagaError> {
        // From here on `deadline` is that of the steps: the reserve behind it belongs to the undos.
        let deadline = deadline.earlier_by(self.reserve());
        // Records wait here for the next write: the end of a step and the start of the next one go
        // to the journal in one batch.
        let mut batch = Vec::new();
        // One reading of the clock ends a step and decides whether there is time for the next.
        let mut now = Instant::now();
        for (index, step) in self.steps.iter().enumerate() {
            // Borrowed for a few lines only: `back` and `advance` need the whole progress.
            let step_state = &mut progress.steps[index];
            // Only in a resumed saga: done before, or optional and failed before.
            if step_state.done || step_state.failed.is_some() {
                continue;
            }
            if now >= deadline.instant() {
                let message = "no time left for it".to_owned();
                let failure =
                    SagaFailure { step: step.name.into(), kind: FailureKind::Deadline, message };
                if step.critical {
                    return self.back(owner, progress, failure, batch).await;
                }
                // Not called, so it has done nothing, unless an owner that died had begun it. The
                // record needs no write of its own: there is no effect that it has to precede.
                let may_have_acted = step_state.begun;
                let effect = if may_have_acted { Effect::Unknown } else { Effect::None };
                step_state.failed = Some(effect);
                batch.push(Record::StepFailed { failure, may_have_acted });
                continue;
            }
            // Begun before by an owner that died before the outcome: whatever the outcome is now,
            // that attempt may have had its effect. Only a resumed saga past its pivot gets here
            // with `true`.
            let begun_before = step_state.begun;
            step_state.begun = true;
            batch.push(Record::StepStarted { step: step.name.into() });
            // Write-ahead: if this write fails, the step is not called.
            owner.write(std::mem::take(&mut batch)).await?;
            // Read again: the write may have taken a long time.
            let begun = Instant::now();
            owner.notify(SagaEvent::StepStarted { step: step.name });
            let outcome = if begun < deadline.instant() {
                let (shared, saga) = (Arc::clone(&self.shared), owner.saga().clone());
                let context = StepContext { shared, saga, deadline };
                // The step gets a clone: if it fails or is stopped, the state from before it is
                // still there. If this whole future is dropped during the await, the journal has
                // the start of the step and no outcome, so the next owner treats its effect as
                // unknown.
                attempt(step, progress.state.clone(), context).await
            } else {
                // The journal has used up the time.
                Err(StepError::not_done(FailureKind::Deadline, Elapsed))
            };
            now = Instant::now();
            let took = now - begun;
            match outcome {
                Ok(state) => {
                    let state = progress.advance(state)?;
                    // Not written on its own. If the process dies before the next write, the step
                    // reads as begun without an outcome. That is why a step past the pivot may be
                    // called twice, and why an undo may get `Unknown` for a step that was done.
                    batch.push(Record::StepDone { step: step.name.into(), state });
                    progress.steps[index].done = true;
                    owner.notify(SagaEvent::StepDone { step: step.name, took });
                }
                Err(mut error) => {
                    if begun_before {
                        // The error describes this call only.
                        error.effect = Effect::Unknown;
                    }
                    progress.steps[index].failed = Some(error.effect);
                    let failure = failed(owner, step, took, error, &mut batch);
                    if step.critical {
                        // In one batch with the decision to go back: a crash in between would leave
                        // a saga that has failed, without the decision to undo it.
                        return self.back(owner, progress, failure, batch).await;
                    }
                }
            }
        }
        // The last batch: the end of the last step and that of the saga. An owner that dies before
        // this write leaves a saga whose last step has no outcome. Past the pivot, the next owner
        // calls that step again and then writes this record.
        batch.push(Record::Completed);
        owner.write(batch).await?;
        Ok(SagaOutcome::Completed(progress.state.clone()))
    }
}

/// Calls a step. A panic and a missed deadline are failures like others, whose effect is unknown.
async fn attempt<S, C>(
    step: &Step<S, C>,
    state: S,
    context: StepContext<C>,
) -> Result<S, StepError> {
    let deadline = context.deadline;
    // The call is inside: a step may panic before it returns a future. `AssertUnwindSafe`: a step
    // that panics half way leaves only its own clone of the state half changed; what it shares is
    // the saga's user's to protect.
    let work = AssertUnwindSafe(async { (step.run)(state, context).await }).catch_unwind();
    let span = tracing::info_span!("step", name = step.name);
    // At the deadline `run` drops the step wherever it waits. That stops the waiting and not the
    // service, so the effect is unknown. The span is outside of the work, so that each poll is
    // inside the span.
    match deadline.run(work).instrument(span).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => {
            Err(StepError::unknown(FailureKind::Panicked, panic_text(panic.as_ref())))
        }
        Err(elapsed) => Err(StepError::unknown(FailureKind::Deadline, elapsed)),
    }
}

/// Notes the failure of a step.
fn failed<S, C>(
    owner: &SagaOwner<'_>,
    step: &Step<S, C>,
    took: Duration,
    error: StepError,
    batch: &mut Vec<Record>,
) -> SagaFailure {
    let failure = SagaFailure { step: step.name.into(), kind: error.kind, message: error.message };
    owner.notify(SagaEvent::StepFailed { failure: &failure, critical: step.critical, took });
    // Only an error that excludes an effect spares the step its undo.
    let may_have_acted = error.effect == Effect::Unknown;
    batch.push(Record::StepFailed { failure: failure.clone(), may_have_acted });
    failure
}

/// Returns the message of a panic: its payload is a `&str` or a `String`, unless `panic_any` made
/// it.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.as_deref().unwrap_or("no message"))
}
