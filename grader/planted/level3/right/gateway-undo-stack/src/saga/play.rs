//! The engine as one loop over the steps and a stack of what is to be undone.
//!
//! A step is pushed before it is called, and comes off again only if it certainly did nothing. Going
//! back is popping. Reading a journal pushes and pops in the same way, so that whoever takes a saga up
//! has the stack of whoever left it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::{Instant, sleep};

use super::{
    End, Known, Owner, Saga, SagaError, SagaEvent, State, StepContext, StepError, Stuck,
    UndoContext, UndoError, nobody,
};
use crate::deadline::Deadline;
use crate::journal::{
    Failure, FailureKind, Journal, JournalError, Opened, Payload, Record, SagaId, Story,
};
use crate::provider::Effect;

/// Something on the stack.
#[derive(Debug, Clone)]
struct Armed {
    step: usize,
    known: Known,
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
    stack: Vec<Armed>,
    failure: Option<Failure>,
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
            self.stack.push(Armed { step, known: Known::Unknown, attempts: 0, stuck: None });
        }
        before
    }

    fn done(&mut self, step: usize, pivot: bool, state: S) {
        if let Some(armed) = self.stack.iter_mut().find(|armed| armed.step == step) {
            armed.known = Known::Done;
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

impl<S: State> Saga<S> {
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
    ) -> Result<End<S>, SagaError> {
        let saga = Arc::clone(self);
        let task = async move {
            match saga.open(&*journal, id, &state).await? {
                Opened::Known(story) => Err(SagaError::Exists(Box::new(story))),
                Opened::New(lease) => {
                    let owner = Owner { journal: &*journal, lease, watcher: &nobody };
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
        owner: &Owner<'_>,
        state: S,
        deadline: Deadline,
    ) -> Result<End<S>, SagaError> {
        self.play(owner, Stand::new(state), deadline).await
    }

    /// Takes a saga up that was claimed.
    ///
    /// # Errors
    ///
    /// [`SagaError`].
    pub async fn resume(
        &self,
        owner: &Owner<'_>,
        story: &Story,
        deadline: Deadline,
    ) -> Result<End<S>, SagaError> {
        let mut stand = self.read(&story.records)?;
        match stand.failure.take() {
            Some(failure) => self.unwind(owner, stand, failure, Vec::new()).await,
            None if stand.past_the_pivot => self.play(owner, stand, deadline).await,
            None => {
                let failure = Failure {
                    step: stand.last.map_or(self.kind, |at| self.steps[at].name).into(),
                    kind: FailureKind::Interrupted,
                    message: "whoever ran it is gone".to_owned(),
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
    pub fn end_of(&self, story: &Story) -> Result<Option<End<S>>, SagaError> {
        let Stand { state, stack, failure, end, .. } = self.read(&story.records)?;
        let failure = failure.ok_or_else(|| broken("undone without a failure"));
        Ok(match end {
            Some(Record::Completed) => Some(End::Completed(state)),
            Some(Record::Compensated) => Some(End::Compensated { state, failure: failure? }),
            Some(_) => {
                let stuck = stack.into_iter().rev().filter_map(|armed| armed.stuck).collect();
                Some(End::Parked { state, failure: failure?, stuck })
            }
            None => None,
        })
    }

    /// The state that a saga began with.
    ///
    /// # Errors
    ///
    /// [`SagaError::State`].
    pub fn begun_with(&self, story: &Story) -> Result<S, SagaError> {
        self.first(story.records.first())
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
        owner: &Owner<'_>,
        mut stand: Stand<S>,
        deadline: Deadline,
    ) -> Result<End<S>, SagaError> {
        let deadline = deadline.earlier_by(self.reserve());
        let mut unwritten = Vec::new();
        while let Some(step) = self.steps.get(stand.next) {
            let at = stand.next;
            if deadline.is_over() {
                let failure = Failure {
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
            (owner.watcher)(SagaEvent::StepStarted { step: step.name });
            let begun = Instant::now();
            let context = StepContext { saga: owner.saga().clone(), deadline };
            let state = stand.state.clone();
            let outcome = guarded(deadline, async { (step.run)(state, context).await }).await;
            let took = begun.elapsed();
            let error = match outcome {
                Ok(Ok(state)) => {
                    let record =
                        Record::StepDone { step: step.name.into(), state: written(&state)? };
                    unwritten.push(record);
                    stand.done(at, step.pivot, state);
                    (owner.watcher)(SagaEvent::StepDone { step: step.name, took });
                    continue;
                }
                Ok(Err(error)) => error,
                Err((kind, message)) => StepError::unknown(kind, message),
            };
            let may_have_acted = begun_before || error.effect == Effect::Unknown;
            stand.failed(at, may_have_acted);
            let failure =
                Failure { step: step.name.into(), kind: error.kind, message: error.message };
            let critical = step.critical;
            (owner.watcher)(SagaEvent::StepFailed { failure: &failure, critical, took });
            unwritten.push(Record::StepFailed { failure: failure.clone(), may_have_acted });
            if critical {
                unwritten.push(Record::Compensating { failure: failure.clone() });
                return self.unwind(owner, stand, failure, unwritten).await;
            }
        }
        unwritten.push(Record::Completed);
        write(owner, unwritten).await?;
        Ok(End::Completed(stand.state))
    }

    /// Pops and undoes until nothing is left to do. What does not go yet waits on a second stack for
    /// the next round.
    async fn unwind(
        &self,
        owner: &Owner<'_>,
        mut stand: Stand<S>,
        failure: Failure,
        mut unwritten: Vec<Record>,
    ) -> Result<End<S>, SagaError> {
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
                let (saga, known) = (owner.saga().clone(), armed.known);
                let context = UndoContext { saga, known, attempt, deadline };
                let state = stand.state.clone();
                let outcome = guarded(deadline, async { undo(state, context).await }).await;
                let error = match outcome {
                    Ok(Ok(state)) => {
                        let state_now = written(&state)?;
                        unwritten.push(Record::UndoDone { step: name.into(), state: state_now });
                        stand.state = state;
                        (owner.watcher)(SagaEvent::Undone { step: name, attempts: attempt });
                        continue;
                    }
                    Ok(Err(error)) => error,
                    Err((_, message)) => UndoError::transient(message),
                };
                let parked = !error.retryable || attempt >= self.undo.attempts().get();
                let (cause, attempts) = (error.message, attempt);
                let event = SagaEvent::UndoFailed { step: name, cause: &cause, attempts, parked };
                (owner.watcher)(event);
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
            Ok(End::Compensated { state, failure })
        } else {
            unwritten.push(Record::Parked);
            write(owner, unwritten).await?;
            Ok(End::Parked { state, failure, stuck })
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
async fn write(owner: &Owner<'_>, records: Vec<Record>) -> Result<(), SagaError> {
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
