//! Forward: one step after another.

use std::any::Any;
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use super::log::payload;
use super::progress::{Over, Progress};
use super::{
    End, Owner, Saga, SagaError, SagaEvent, State, Step, StepContext, StepError, Watcher, nobody,
};
use crate::deadline::{Deadline, Elapsed};
use crate::journal::{Effect, Failure, FailureKind, Journal, Opened, Record, SagaId, Story};

impl<S: State> Saga<S> {
    /// Runs a new saga in a task of its own, and waits for its end.
    ///
    /// The steps have to be over [`reserve`](Self::reserve) before `deadline`. Undoing goes on after
    /// the deadline, until everything is undone or parked.
    ///
    /// # Errors
    ///
    /// [`SagaError::Exists`] if there is a saga with this name: nothing was done then. For the others
    /// the saga stays open in the journal.
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
    ) -> Result<End<S>, SagaError> {
        let saga = Arc::clone(self);
        let task = tokio::spawn(async move {
            let lease = match saga.open(journal.as_ref(), id, &state).await? {
                Opened::New(lease) => lease,
                Opened::Known(story) => return Err(SagaError::Exists(Box::new(story))),
            };
            let owner = Owner { journal: journal.as_ref(), lease, watcher: &nobody };
            saga.run(&owner, state, deadline).await
        });
        task.await.unwrap_or(Err(SagaError::Lost))
    }

    /// Writes down that there is a saga, unless it is known already.
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
    /// Dropping the future stops the saga where it is. Whoever must not let that happen spawns it, as
    /// [`execute`](Self::execute) does.
    pub async fn run(
        &self,
        owner: &Owner<'_>,
        state: S,
        deadline: Deadline,
    ) -> Result<End<S>, SagaError> {
        let mut progress = Progress::new(self, state);
        self.forward(owner, &mut progress, deadline).await
    }

    /// Takes a saga up that was [claimed](Journal::claim): finishes it if its pivot is done, and undoes
    /// it otherwise. Parked undos are tried again.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); [`SagaError::State`] if the records are not those of such a saga.
    pub async fn resume(
        &self,
        owner: &Owner<'_>,
        story: &Story,
        deadline: Deadline,
    ) -> Result<End<S>, SagaError> {
        let mut progress = Progress::read(self, &story.records)?;
        if let Some(failure) = progress.failure.clone() {
            progress.over = None;
            return self.back(owner, &mut progress, *failure, Vec::new()).await;
        }
        if progress.is_past_the_pivot(self) {
            return self.forward(owner, &mut progress, deadline).await;
        }
        // Where it stopped: at the step that was begun and not ended, or before its first one.
        let at = self.steps.iter().zip(&progress.steps).rfind(|(_, trace)| trace.begun);
        let failure = Failure {
            step: at.map_or(self.kind, |(step, _)| step.name).into(),
            kind: FailureKind::Interrupted,
            message: "the process ended".to_owned(),
        };
        self.back(owner, &mut progress, failure, Vec::new()).await
    }

    /// How a saga ended, from its records; none while it is open.
    ///
    /// # Errors
    ///
    /// [`SagaError::State`] if the records are not those of such a saga.
    pub fn end_of(&self, story: &Story) -> Result<Option<End<S>>, SagaError> {
        let progress = Progress::read(self, &story.records)?;
        let stuck = progress.stuck();
        let Progress { state, failure, over, .. } = progress;
        let no_failure = || SagaError::State("undone for no reason".to_owned());
        Ok(match over {
            None => None,
            Some(Over::Completed) => Some(End::Completed(state)),
            Some(Over::Compensated) => {
                Some(End::Compensated { state, failure: *failure.ok_or_else(no_failure)? })
            }
            Some(Over::Parked) => {
                Some(End::Parked { state, failure: *failure.ok_or_else(no_failure)?, stuck })
            }
        })
    }

    /// The state that a saga began with, from its records.
    ///
    /// # Errors
    ///
    /// [`SagaError::State`] if the records are not those of such a saga.
    pub fn begun_with(&self, story: &Story) -> Result<S, SagaError> {
        let first = story.records.get(..1).unwrap_or_default();
        Ok(Progress::read(self, first)?.state)
    }

    async fn forward(
        &self,
        owner: &Owner<'_>,
        progress: &mut Progress<S>,
        deadline: Deadline,
    ) -> Result<End<S>, SagaError> {
        let deadline = deadline.earlier_by(self.reserve());
        // Records wait here for the next write: that a step is done and that the next one begins go to
        // the journal in one batch.
        let mut batch = Vec::new();
        // One look at the clock ends a step and decides whether there is time for the next.
        let mut now = Instant::now();
        for (index, step) in self.steps.iter().enumerate() {
            let trace = &mut progress.steps[index];
            if trace.done || trace.failed.is_some() {
                continue;
            }
            if now >= deadline.instant() {
                let message = "no time left for it".to_owned();
                let failure =
                    Failure { step: step.name.into(), kind: FailureKind::Deadline, message };
                return self.back(owner, progress, failure, batch).await;
            }
            // Begun before by an owner who did not live to see the outcome: whatever comes of it now,
            // that attempt may have had its effect.
            let begun_before = trace.begun;
            trace.begun = true;
            batch.push(Record::StepStarted { step: step.name.into() });
            owner.write(std::mem::take(&mut batch)).await?;
            let begun = Instant::now();
            (owner.watcher)(SagaEvent::StepStarted { step: step.name });
            let outcome = if begun < deadline.instant() {
                let context = StepContext { saga: owner.saga().clone(), deadline };
                Self::attempt(step, progress.state.clone(), context).await
            } else {
                // The journal has taken all the time there was.
                Err(StepError::not_done(FailureKind::Deadline, Elapsed))
            };
            now = Instant::now();
            let took = now - begun;
            match outcome {
                Ok(state) => {
                    let state = progress.advance(state)?;
                    batch.push(Record::StepDone { step: step.name.into(), state });
                    progress.steps[index].done = true;
                    (owner.watcher)(SagaEvent::StepDone { step: step.name, took });
                }
                Err(mut error) => {
                    if begun_before {
                        error.effect = Effect::Unknown;
                    }
                    progress.steps[index].failed = Some(error.effect);
                    let failure = failed(owner.watcher, step, took, error, &mut batch);
                    if step.critical {
                        // In one batch with the decision to go back: a crash in between would leave a
                        // saga that has failed and does not know what follows.
                        return self.back(owner, progress, failure, batch).await;
                    }
                }
            }
        }
        batch.push(Record::Completed);
        owner.write(batch).await?;
        Ok(End::Completed(progress.state.clone()))
    }

    /// Calls a step. A panic and a missed deadline are failures like others, whose effect is unknown.
    ///
    /// Like [`Deadline::run`], without a look at the clock: the caller has had one.
    fn attempt(
        step: &Step<S>,
        state: S,
        context: StepContext,
    ) -> impl Future<Output = Result<S, StepError>> + use<S> {
        let deadline = context.deadline.instant();
        let span = tracing::info_span!("step", name = step.name);
        // A step may panic before it returns a future.
        let work = match catch_unwind(AssertUnwindSafe(|| (step.run)(state, context))) {
            Ok(work) => AssertUnwindSafe(work).catch_unwind(),
            Err(panic) => return ready(Err(panicked(panic.as_ref()))).left_future(),
        };
        let work = timeout_at(deadline, work).instrument(span);
        let outcome = work.map(|outcome| match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(panicked(panic.as_ref())),
            Err(_) => Err(StepError::unknown(FailureKind::Deadline, Elapsed)),
        });
        outcome.right_future()
    }
}

fn panicked(panic: &(dyn Any + Send)) -> StepError {
    StepError::unknown(FailureKind::Panicked, panic_text(panic))
}

/// Notes the failure of a step.
fn failed<S>(
    watcher: Watcher<'_>,
    step: &Step<S>,
    took: Duration,
    error: StepError,
    batch: &mut Vec<Record>,
) -> Failure {
    let failure = Failure { step: step.name.into(), kind: error.kind, message: error.message };
    watcher(SagaEvent::StepFailed { failure: &failure, critical: step.critical, took });
    let may_have_acted = error.effect == Effect::Unknown;
    batch.push(Record::StepFailed { failure: failure.clone(), may_have_acted });
    failure
}

pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.as_deref().unwrap_or("no message"))
}
