//! The engine as one loop over the steps and a stack of what is to be undone.
//!
//! A step is pushed before it is called, and comes off again only if it certainly did nothing. Going
//! back is popping. Reading a journal pushes and pops in the same way, so that the next owner of a saga has
//! the stack of the last one.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::{Instant, sleep};

use super::{
    SagaOutcome, StepOutcome, SagaOwner, Saga, SagaError, SagaEvent, SagaState, StepContext, StepError, Stuck,
    UndoContext, UndoError, ignore_events,
};
use crate::deadline::Deadline;
use crate::journal::{
    SagaFailure, FailureKind, Journal, JournalError, Opened, Payload, Record, SagaId, SagaLog,
};
use crate::provider::Effect;

/// Something on the stack.
#[derive(Debug, Clone)]
struct PendingUndo {
    step: usize,
    known: StepOutcome,
    attempts: u32,
    stuck: Option<Stuck>,
}

/// Where a saga stands.
struct Stand<S> {
    state: S,
    /// The step to call next.
    next: usize,
    /// The step that was begun last.
    last: Option<usize>,
    past_the_pivot: bool,
    stack: Vec<PendingUndo>,
    failure: Option<SagaFailure>,
    /// The record that ended it.
    end: Option<Record>,
}

impl<S> Stand<S> {
    fn new(state: S) -> Self {
        let stack = Vec::new();
        Self { state, next: 0, last: None, past_the_pivot: false, stack, failure: None, end: None }
    }

    /// The step is about to be called. Says whether it was before.
    fn arm(&mut self, step: usize) -> bool {
        self.last = Some(step);
        self.next = step;
        let before = self.stack.last().is_some_and(|top| top.step == step);
        if !before {
            self.stack.push(PendingUndo { step, known: StepOutcome::Unknown, attempts: 0, stuck: None });
        }
        before
    }

    fn done(&mut self, step: usize, pivot: bool, state: S) {
        if let Some(armed) = self.stack.iter_mut().find(|armed| armed.step == step) {
            armed.known = StepOutcome::Done;
        }
        self.past_the_pivot |= pivot;
        self.next = step + 1;
        self.state = state;
    }

    fn failed(&mut self, step: usize, may_have_acted: bool) {
        if !may_have_acted {
            self.stack.pop();
        }
        self.next = step + 1;
    }
}

impl<S: SagaState, C: Send + Sync + 'static> Saga<S, C> {
    /// See the reference: the promises are the same.
    ///
    /// # Errors
    ///
    /// [`SagaError`].
    pub async fn execute(
        self: &Arc<Self>,
        journal: Arc<dyn Journal>,
        id: SagaId,
        state: S,
        deadline: Deadline,
    ) -> Result<SagaOutcome<S>, SagaError> {
        let saga = Arc::clone(self);
        let task = async move {
            match saga.open(&*journal, id, &state).await? {
                Opened::Known(saga_log) => Err(SagaError::Exists(Box::new(saga_log))),
                Opened::New(lease) => {
                    let owner = SagaOwner { journal: &*journal, lease, observer: &ignore_events };
                    saga.run(&owner, state, deadline).await
                }
            }
        };
        match tokio::spawn(task).await {
            Ok(end) => end,
            Err(_) => Err(SagaError::Lost),
        }
    }

    /// Writes down that there is a saga, unless it is known already.
    ///
    /// # Errors
    ///
    /// [`SagaError`].
    pub async fn open(
        &self,
        journal: &dyn Journal,
        id: SagaId,
        state: &S,
    ) -> Result<Opened, SagaError> {
        let state = written(state)?;
        Ok(journal.open(id, Record::Begun { kind: self.kind.into(), state }).await?)
    }

    /// Runs a saga that was just opened.
    ///
    /// # Errors
    ///
    /// [`SagaError`].
    pub async fn run(
        &self,
        owner: &SagaOwner<'_>,
        state: S,
        deadline: Deadline,
    ) -> Result<SagaOutcome<S>, SagaError> {
        self.play(owner, Stand::new(state), deadline).await
    }

    /// Takes a saga up that was claimed.
    ///
    /// # Errors
    ///
    /// [`SagaError`].
    pub async fn resume(
        &self,
        owner: &SagaOwner<'_>,
        saga_log: &SagaLog,
        deadline: Deadline,
    ) -> Result<SagaOutcome<S>, SagaError> {
        let mut stand = self.read(&saga_log.records)?;
        match stand.failure.take() {
            Some(failure) => self.unwind(owner, stand, failure, Vec::new()).await,
            None if stand.past_the_pivot => self.play(owner, stand, deadline).await,
            None => {
                let failure = SagaFailure {
                    step: stand.last.map_or(self.kind, |at| self.steps[at].name).into(),
                    kind: FailureKind::Interrupted,
                    message: "its owner is gone".to_owned(),
                };
                let decision = vec![Record::Compensating { failure: failure.clone() }];
                self.unwind(owner, stand, failure, decision).await
            }
        }
    }

    /// How a saga ended; none while it is open.
    ///
    /// # Errors
    ///
    /// [`SagaError::State`].
    pub fn outcome_of(&self, saga_log: &SagaLog) -> Result<Option<SagaOutcome<S>>, SagaError> {
        let Stand { state, stack, failure, end, .. } = self.read(&saga_log.records)?;
        let failure = failure.ok_or_else(|| broken("undone without a failure"));
        Ok(match end {
            Some(Record::Completed) => Some(SagaOutcome::Completed(state)),
            Some(Record::Compensated) => Some(SagaOutcome::Compensated { state, failure: failure? }),
            Some(_) => {
                let stuck = stack.into_iter().rev().filter_map(|armed| armed.stuck).collect();
                Some(SagaOutcome::Parked { state, failure: failure?, stuck })
            }
            None => None,
        })
    }

    /// The state that a saga began with.
    ///
    /// # Errors
    ///
    /// [`SagaError::State`].
    pub fn begun_with(&self, saga_log: &SagaLog) -> Result<S, SagaError> {
        self.first(saga_log.records.first())
    }

    fn first(&self, record: Option<&Record>) -> Result<S, SagaError> {
        match record {
            Some(Record::Begun { kind, state }) if *kind == self.kind => {
                state.read().map_err(broken)
            }
            _ => Err(broken("the journal does not begin as this kind of saga does")),
        }
    }

    /// Plays the records back.
    fn read(&self, records: &[Record]) -> Result<Stand<S>, SagaError> {
        let at = |name: &str| {
            let found = self.steps.iter().position(|step| step.name == name);
            found.ok_or_else(|| broken(format!("no step {name}")))
        };
        let mut stand = Stand::new(self.first(records.first())?);
        for record in records {
            match record {
                Record::Begun { .. } => {}
                Record::StepStarted { step } => {
                    stand.arm(at(step)?);
                }
                Record::StepDone { step, state } => {
                    let step = at(step)?;
                    stand.done(step, self.steps[step].pivot, state.read().map_err(broken)?);
                }
                // A batch may have been written twice: then there is nothing to take off any more.
                Record::StepFailed { failure, may_have_acted } => {
                    let step = at(&failure.step)?;
                    let on_top = stand.stack.last().is_some_and(|top| top.step == step);
                    stand.failed(step, *may_have_acted || !on_top);
                }
                Record::Compensating { failure } => stand.failure = Some(failure.clone()),
                Record::UndoStarted { step, attempt } => {
                    let step = at(step)?;
                    for armed in stand.stack.iter_mut().filter(|armed| armed.step == step) {
                        armed.attempts = *attempt;
                        armed.stuck = None;
                    }
                    stand.end = None;
                }
                Record::UndoDone { step, state } => {
                    let step = at(step)?;
                    stand.stack.retain(|armed| armed.step != step);
                    stand.state = state.read().map_err(broken)?;
                }
                Record::UndoParked { step: name, cause, attempts } => {
                    let step = at(name)?;
                    let (cause, attempts) = (cause.clone(), *attempts);
                    for armed in stand.stack.iter_mut().filter(|armed| armed.step == step) {
                        let (step, cause) = (name.to_string(), cause.clone());
                        armed.stuck = Some(Stuck { step, cause, attempts });
                    }
                }
                Record::Parked | Record::Completed | Record::Compensated => {
                    stand.end = Some(record.clone());
                }
            }
        }
        Ok(stand)
    }

    /// Forward, and back if need be.
    async fn play(
        &self,
        owner: &SagaOwner<'_>,
        mut stand: Stand<S>,
        deadline: Deadline,
    ) -> Result<SagaOutcome<S>, SagaError> {
        let deadline = deadline.earlier_by(self.reserve());
        let mut unwritten = Vec::new();
        while let Some(step) = self.steps.get(stand.next) {
            let at = stand.next;
            if deadline.is_over() {
                let failure = SagaFailure {
                    step: step.name.into(),
                    kind: FailureKind::Deadline,
                    message: "it was too late to begin".to_owned(),
                };
                unwritten.push(Record::Compensating { failure: failure.clone() });
                return self.unwind(owner, stand, failure, unwritten).await;
            }
            let begun_before = stand.arm(at);
            unwritten.push(Record::StepStarted { step: step.name.into() });
            write(owner, std::mem::take(&mut unwritten)).await?;
            (owner.observer)(SagaEvent::StepStarted { step: step.name });
            let begun = Instant::now();
            let (shared, saga) = (Arc::clone(&self.shared), owner.saga().clone());
            let context = StepContext { shared, saga, deadline };
            let state = stand.state.clone();
            let outcome = guarded(deadline, async { (step.run)(state, context).await }).await;
            let took = begun.elapsed();
            let error = match outcome {
                Ok(Ok(state)) => {
                    let record =
                        Record::StepDone { step: step.name.into(), state: written(&state)? };
                    unwritten.push(record);
                    stand.done(at, step.pivot, state);
                    (owner.observer)(SagaEvent::StepDone { step: step.name, took });
                    continue;
                }
                Ok(Err(error)) => error,
                Err((kind, message)) => StepError::unknown(kind, message),
            };
            let may_have_acted = begun_before || error.effect == Effect::Unknown;
            stand.failed(at, may_have_acted);
            let failure =
                SagaFailure { step: step.name.into(), kind: error.kind, message: error.message };
            let critical = step.critical;
            (owner.observer)(SagaEvent::StepFailed { failure: &failure, critical, took });
            unwritten.push(Record::StepFailed { failure: failure.clone(), may_have_acted });
            if critical {
                unwritten.push(Record::Compensating { failure: failure.clone() });
                return self.unwind(owner, stand, failure, unwritten).await;
            }
        }
        unwritten.push(Record::Completed);
        write(owner, unwritten).await?;
        Ok(SagaOutcome::Completed(stand.state))
    }

    /// Pops and undoes until nothing is left to do. What does not go yet waits on a second stack for
    /// the next round.
    async fn unwind(
        &self,
        owner: &SagaOwner<'_>,
        mut stand: Stand<S>,
        failure: SagaFailure,
        mut unwritten: Vec<Record>,
    ) -> Result<SagaOutcome<S>, SagaError> {
        let mut stuck = Vec::new();
        for round in 1.. {
            let mut later = Vec::new();
            while let Some(mut armed) = stand.stack.pop() {
                let step = &self.steps[armed.step];
                let Some((limit, undo)) = &step.undo else { continue };
                armed.attempts += 1;
                let (name, attempt) = (step.name, armed.attempts);
                unwritten.push(Record::UndoStarted { step: name.into(), attempt });
                write(owner, std::mem::take(&mut unwritten)).await?;
                let deadline = Deadline::after(*limit);
                let (shared, saga) = (Arc::clone(&self.shared), owner.saga().clone());
                let known = armed.known;
                let context = UndoContext { shared, saga, known, attempt, deadline };
                let state = stand.state.clone();
                let outcome = guarded(deadline, async { undo(state, context).await }).await;
                let error = match outcome {
                    Ok(Ok(state)) => {
                        let state_now = written(&state)?;
                        unwritten.push(Record::UndoDone { step: name.into(), state: state_now });
                        stand.state = state;
                        (owner.observer)(SagaEvent::Undone { step: name, attempts: attempt });
                        continue;
                    }
                    Ok(Err(error)) => error,
                    Err((_, message)) => UndoError::transient(message),
                };
                let parked = !error.retryable || attempt >= self.undo.attempts().get();
                let (cause, attempts) = (error.message, attempt);
                let event = SagaEvent::UndoFailed { step: name, cause: &cause, attempts, parked };
                (owner.observer)(event);
                if parked {
                    let (step, told) = (name.into(), cause.clone());
                    unwritten.push(Record::UndoParked { step, cause: told, attempts });
                    stuck.push(Stuck { step: name.to_owned(), cause, attempts });
                } else {
                    later.push(armed);
                }
            }
            if later.is_empty() {
                break;
            }
            // Turned over by the popping.
            later.reverse();
            stand.stack = later;
            sleep(self.undo.delay(round, self.jitter.unit())).await;
        }
        let state = stand.state;
        if stuck.is_empty() {
            unwritten.push(Record::Compensated);
            write(owner, unwritten).await?;
            Ok(SagaOutcome::Compensated { state, failure })
        } else {
            unwritten.push(Record::Parked);
            write(owner, unwritten).await?;
            Ok(SagaOutcome::Parked { state, failure, stuck })
        }
    }
}

/// Runs foreign code up to a deadline. What it does to itself comes back as a failure.
async fn guarded<T>(
    deadline: Deadline,
    work: impl Future<Output = T>,
) -> Result<T, (FailureKind, String)> {
    match deadline.run(AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(panic)) => Err((FailureKind::Panicked, format!("panicked: {}", said(&*panic)))),
        Err(elapsed) => Err((FailureKind::Deadline, elapsed.to_string())),
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "without a word",
    }
}

/// Offers the records to the journal up to three times.
async fn write(owner: &SagaOwner<'_>, records: Vec<Record>) -> Result<(), SagaError> {
    let mut left = 3;
    loop {
        left -= 1;
        match owner.journal.append(&owner.lease, records.clone()).await {
            Ok(()) => return Ok(()),
            Err(JournalError::Unavailable) if left > 0 => sleep(Duration::from_millis(50)).await,
            Err(error) => return Err(error.into()),
        }
    }
}

fn written(state: &impl serde::Serialize) -> Result<Payload, SagaError> {
    Payload::of(state).map_err(broken)
}

fn broken(why: impl std::fmt::Display) -> SagaError {
    SagaError::State(why.to_string())
}
