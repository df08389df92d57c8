//! What a journal's records say about where a saga stands.

use super::{Known, Saga, SagaError, State, Stuck};
use crate::journal::{Effect, Failure, Payload, Record};

/// Where a saga stands.
#[derive(Debug, Clone)]
pub(super) struct Progress<S> {
    pub(super) state: S,
    /// The state as it was written last, if it was written since it was read.
    pub(super) written: Option<Payload>,
    /// One for each step of the saga.
    pub(super) steps: Vec<Trace>,
    /// Why it goes back, if it does. Boxed, since few do.
    pub(super) failure: Option<Box<Failure>>,
    pub(super) over: Option<Over>,
}

/// What has become of one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) begun: bool,
    pub(super) done: bool,
    /// Failed, with this effect. It is not called again, whatever that is; without one, there is nothing
    /// to undo.
    pub(super) failed: Option<Effect>,
    pub(super) undone: bool,
    pub(super) attempts: u32,
    /// Boxed, since hardly any step ever is: a saga under way keeps one trace for each step.
    pub(super) stuck: Option<Box<Stuck>>,
}

impl Trace {
    /// What is to be undone, if anything is.
    pub(super) fn armed(&self) -> Option<Known> {
        match self {
            Self { undone: true, .. } | Self { begun: false, .. } => None,
            Self { done: true, .. } => Some(Known::Done),
            Self { failed: Some(Effect::None), .. } => None,
            _ => Some(Known::Unknown),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Completed,
    Compensated,
    Parked,
}

impl<S: State> Progress<S> {
    pub(super) fn new(saga: &Saga<S>, state: S) -> Self {
        let steps = vec![Trace::default(); saga.steps.len()];
        Self { state, written: None, steps, failure: None, over: None }
    }

    /// Reads the records in order. Reading one twice changes nothing.
    pub(super) fn read(saga: &Saga<S>, records: &[Record]) -> Result<Self, SagaError> {
        let unreadable = |why: String| SagaError::State(why);
        let mut found: Option<Self> = None;
        for record in records {
            if let Record::Begun { kind, state } = record {
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

    fn add(&mut self, saga: &Saga<S>, record: &Record) -> Result<(), SagaError> {
        let unreadable = |why: serde_json::Error| SagaError::State(why.to_string());
        match record {
            Record::Begun { .. } => {}
            Record::StepStarted { step } => self.trace(saga, step)?.begun = true,
            Record::StepDone { step, state } => {
                self.trace(saga, step)?.done = true;
                self.state = state.read().map_err(unreadable)?;
            }
            Record::StepFailed { failure, may_have_acted } => {
                let effect = if *may_have_acted { Effect::Unknown } else { Effect::None };
                self.trace(saga, &failure.step)?.failed = Some(effect);
            }
            Record::Compensating { failure } => self.failure = Some(Box::new(failure.clone())),
            Record::UndoStarted { step, attempt } => {
                let trace = self.trace(saga, step)?;
                trace.attempts = *attempt;
                trace.stuck = None;
            }
            Record::UndoDone { step, state } => {
                self.trace(saga, step)?.undone = true;
                self.state = state.read().map_err(unreadable)?;
            }
            Record::UndoParked { step, cause, attempts } => {
                let stuck =
                    Stuck { step: step.to_string(), cause: cause.clone(), attempts: *attempts };
                self.trace(saga, step)?.stuck = Some(Box::new(stuck));
            }
            Record::Parked => self.over = Some(Over::Parked),
            Record::Completed => self.over = Some(Over::Completed),
            Record::Compensated => self.over = Some(Over::Compensated),
        }
        Ok(())
    }

    fn trace(&mut self, saga: &Saga<S>, name: &str) -> Result<&mut Trace, SagaError> {
        saga.steps
            .iter()
            .zip(&mut self.steps)
            .find_map(|(step, trace)| (step.name == name).then_some(trace))
            .ok_or_else(|| SagaError::State(format!("the {} saga has no step {name}", saga.kind)))
    }

    /// Whether a step is done after which a saga is finished rather than undone.
    pub(super) fn is_past_the_pivot(&self, saga: &Saga<S>) -> bool {
        saga.steps.iter().zip(&self.steps).any(|(step, trace)| step.pivot && trace.done)
    }

    pub(super) fn stuck(&self) -> Vec<Stuck> {
        self.steps.iter().filter_map(|trace| trace.stuck.as_deref().cloned()).collect()
    }
}
