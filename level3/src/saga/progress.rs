//! The progress of a saga, as the records of its journal show it.

use super::{Saga, SagaError, SagaState, StepOutcome, Stuck};
use crate::journal::{Effect, Payload, Record, SagaFailure};

/// The progress of a saga.
#[derive(Debug, Clone)]
pub(super) struct Progress<S> {
    /// The state after the last step or undo that succeeded.
    pub(super) state: S,
    /// The JSON that was written last, if the state was written since it was read.
    pub(super) written: Option<Payload>,
    /// The progress of each step, in order.
    pub(super) steps: Vec<StepState>,
    /// Why the saga goes back, if it does. Boxed, since few sagas do.
    pub(super) failure: Option<Box<SagaFailure>>,
    /// The last record of an ended saga; `None` while it is open.
    pub(super) over: Option<Terminal>,
}

/// The progress of one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StepState {
    /// The record before the call was written. From then on the step may have had its effect.
    pub(super) begun: bool,
    /// The step returned its new state. It is never called again.
    pub(super) done: bool,
    /// The step failed, with this effect. It is not called again. With [`Effect::None`] there is
    /// nothing to undo.
    pub(super) failed: Option<Effect>,
    /// The undo succeeded. It does not run again, also after a restart.
    pub(super) undone: bool,
    /// Attempts to undo the step, those of earlier owners included.
    pub(super) attempts: u32,
    /// Boxed, since hardly any step is ever parked, and a running saga keeps one of these for each
    /// step.
    pub(super) stuck: Option<Box<Stuck>>,
}

impl StepState {
    /// Returns the undo of this step, if it has to be undone.
    pub(super) fn armed(&self) -> Option<StepOutcome> {
        // The order matters: what is undone, or never began, needs nothing; only then does the
        // outcome of the call count. A step that began and has no outcome may have had its effect,
        // so it is undone too.
        match self {
            Self { undone: true, .. } | Self { begun: false, .. } => None,
            Self { done: true, .. } => Some(StepOutcome::Done),
            Self { failed: Some(Effect::None), .. } => None,
            _ => Some(StepOutcome::Unknown),
        }
    }
}

/// How a saga ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Terminal {
    // Every critical step is done. No later owner undoes anything, even if a record says that a
    // step failed.
    Completed,
    // Every armed step is undone.
    Compensated,
    // At least one undo has no attempt left. Unlike the other two, such a saga can be claimed
    // again.
    Parked,
}

impl<S: SagaState> Progress<S> {
    pub(super) fn new<C>(saga: &Saga<S, C>, state: S) -> Self {
        let steps = vec![StepState::default(); saga.steps.len()];
        Self { state, written: None, steps, failure: None, over: None }
    }

    /// Reads the records in order. Reading one twice changes nothing.
    pub(super) fn read<C>(saga: &Saga<S, C>, records: &[Record]) -> Result<Self, SagaError> {
        let unreadable = |why: String| SagaError::State(why);
        // `None` until the first record, which has the kind and the state. The records come from
        // outside, so an unexpected one is an error and not a panic.
        let mut found: Option<Self> = None;
        for record in records {
            if let Record::Begun { kind, state } = record {
                // The steps of another kind could have the same names and mean something else.
                if kind != saga.kind {
                    return Err(unreadable(format!(
                        "a saga of the kind {kind}, not {}",
                        saga.kind
                    )));
                }
                let state = state.read().map_err(|why| unreadable(why.to_string()))?;
                found = Some(Self::new(saga, state));
                continue;
            }
            let Some(progress) = &mut found else {
                return Err(unreadable("the journal does not begin at the beginning".to_owned()));
            };
            progress.add(saga, record)?;
        }
        found.ok_or_else(|| unreadable("an empty journal".to_owned()))
    }

    /// Adds one record. Every arm sets values and counts nothing, so that a batch that was written
    /// twice reads like one: `UndoStarted` carries the number of its attempt for this reason.
    fn add<C>(&mut self, saga: &Saga<S, C>, record: &Record) -> Result<(), SagaError> {
        let unreadable = |why: serde_json::Error| SagaError::State(why.to_string());
        match record {
            // `read` has handled it.
            Record::Begun { .. } => {}
            Record::StepStarted { step } => self.step_state(saga, step)?.begun = true,
            Record::StepDone { step, state } => {
                self.step_state(saga, step)?.done = true;
                self.state = state.read().map_err(unreadable)?;
            }
            Record::StepFailed { failure, may_have_acted } => {
                // Only a certain "no effect" disarms the undo.
                let effect = if *may_have_acted { Effect::Unknown } else { Effect::None };
                self.step_state(saga, &failure.step)?.failed = Some(effect);
            }
            // No record clears it again: a saga that goes back never turns round.
            Record::Compensating { failure } => self.failure = Some(Box::new(failure.clone())),
            Record::UndoStarted { step, attempt } => {
                let step_state = self.step_state(saga, step)?;
                step_state.attempts = *attempt;
                // A parked undo that is tried again is not parked any more.
                step_state.stuck = None;
            }
            Record::UndoDone { step, state } => {
                self.step_state(saga, step)?.undone = true;
                self.state = state.read().map_err(unreadable)?;
            }
            Record::UndoParked { step, cause, attempts } => {
                let stuck =
                    Stuck { step: step.to_string(), cause: cause.clone(), attempts: *attempts };
                self.step_state(saga, step)?.stuck = Some(Box::new(stuck));
            }
            Record::Parked => self.over = Some(Terminal::Parked),
            Record::Completed => self.over = Some(Terminal::Completed),
            Record::Compensated => self.over = Some(Terminal::Compensated),
        }
        Ok(())
    }

    /// Returns the progress of the step with this name.
    fn step_state<C>(
        &mut self,
        saga: &Saga<S, C>,
        name: &str,
    ) -> Result<&mut StepState, SagaError> {
        // By name and not by position: a later version of the program may have added a step, and
        // the old records must still find theirs. A saga has few steps, so a linear search is
        // enough.
        saga.steps
            .iter()
            .zip(&mut self.steps)
            .find_map(|(step, step_state)| (step.name == name).then_some(step_state))
            .ok_or_else(|| SagaError::State(format!("the {} saga has no step {name}", saga.kind)))
    }

    /// Whether a step is done after which a saga is finished rather than undone.
    pub(super) fn is_past_the_pivot<C>(&self, saga: &Saga<S, C>) -> bool {
        // `done` and not `begun`: a pivot without an outcome may not have had its effect, and then
        // the saga can still be undone.
        saga.steps.iter().zip(&self.steps).any(|(step, step_state)| step.pivot && step_state.done)
    }

    /// Returns the undos that are parked, in the order of the steps.
    pub(super) fn stuck(&self) -> Vec<Stuck> {
        self.steps.iter().filter_map(|step_state| step_state.stuck.as_deref().cloned()).collect()
    }
}
