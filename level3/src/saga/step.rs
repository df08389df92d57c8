//! A step of a saga: an action and its undo.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::deadline::Deadline;
use crate::journal::{Effect, FailureKind, SagaId};

/// The context of a step: its arguments besides the state.
pub struct StepContext<C = ()> {
    /// What all steps of the saga share: see [`Saga::sharing`](super::Saga::sharing).
    pub shared: Arc<C>,
    /// The name of the saga; derive the keys of the step's calls from it.
    pub saga: SagaId,
    /// The instant at which the step is stopped, wherever it is.
    pub deadline: Deadline,
}

/// The outcome of a step that is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// The step has had its effect.
    Done,
    /// Unknown: the step may have had its effect, may still have it, or had none.
    Unknown,
}

/// The context of an undo: its arguments besides the state.
pub struct UndoContext<C = ()> {
    /// What all steps of the saga share: see [`Saga::sharing`](super::Saga::sharing).
    pub shared: Arc<C>,
    /// The name of the saga.
    pub saga: SagaId,
    /// The outcome of the step.
    pub known: StepOutcome,
    /// The number of this attempt; the first is 1. It counts on when another owner takes the saga over,
    /// also for an undo that was parked.
    pub attempt: u32,
    /// The instant at which the attempt is stopped; it is then tried again.
    pub deadline: Deadline,
}

// By hand: a derive would ask `C` for `Clone` and `Debug`, although the context is shared.
impl<C> Clone for StepContext<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), saga: self.saga.clone(), deadline: self.deadline }
    }
}

impl<C> Clone for UndoContext<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), saga: self.saga.clone(), ..*self }
    }
}

impl<C> fmt::Debug for StepContext<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepContext")
            .field("saga", &self.saga)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for UndoContext<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UndoContext")
            .field("saga", &self.saga)
            .field("known", &self.known)
            .field("attempt", &self.attempt)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Why a step has failed, and whether it may still have had its effect.
///
/// ```
/// use level3::journal::{Effect, FailureKind};
/// use level3::saga::StepError;
///
/// let refused = StepError::not_done(FailureKind::Declined, "card declined");
/// assert_eq!(refused.effect, Effect::None); // nothing to undo
/// let timed_out = StepError::unknown(FailureKind::Transient, "no answer");
/// assert_eq!(timed_out.effect, Effect::Unknown); // has to be undone
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StepError {
    /// [`Effect::None`] only if it is certain that the step had no effect and will have none.
    pub effect: Effect,
    /// The kind of the failure.
    pub kind: FailureKind,
    /// The message, for people and for the journal. Without secrets.
    pub message: String,
}

impl StepError {
    /// A failure without an effect.
    #[must_use]
    pub fn not_done(kind: FailureKind, message: impl fmt::Display) -> Self {
        Self { effect: Effect::None, kind, message: message.to_string() }
    }

    /// A failure with an unknown effect.
    #[must_use]
    pub fn unknown(kind: FailureKind, message: impl fmt::Display) -> Self {
        Self { effect: Effect::Unknown, kind, message: message.to_string() }
    }
}

/// The failure of an attempt to undo a step.
///
/// ```
/// use level3::saga::UndoError;
///
/// assert!(UndoError::transient("no connection").retryable);
/// assert!(!UndoError::permanent("unknown charge").retryable);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UndoError {
    /// Whether another attempt may succeed.
    pub retryable: bool,
    /// The message. Without secrets.
    pub message: String,
}

impl UndoError {
    /// A transient failure: another attempt may succeed.
    #[must_use]
    pub fn transient(message: impl fmt::Display) -> Self {
        Self { retryable: true, message: message.to_string() }
    }

    /// A permanent failure: the undo is parked at once.
    #[must_use]
    pub fn permanent(message: impl fmt::Display) -> Self {
        Self { retryable: false, message: message.to_string() }
    }
}

// starter: drop
pub(super) type RunStep<S, C> =
    Arc<dyn Fn(S, StepContext<C>) -> BoxFuture<'static, Result<S, StepError>> + Send + Sync>;
// starter: drop
pub(super) type UndoStep<S, C> =
    Arc<dyn Fn(S, UndoContext<C>) -> BoxFuture<'static, Result<S, UndoError>> + Send + Sync>;

/// One step of a [`Saga`](super::Saga).
pub struct Step<S, C = ()> {
    // starter: drop
    pub(super) name: &'static str,
    // starter: drop
    pub(super) run: RunStep<S, C>,
    // starter: drop
    pub(super) undo: Option<(Duration, UndoStep<S, C>)>,
    // starter: drop
    pub(super) critical: bool,
    // starter: drop
    pub(super) pivot: bool,
}

impl<S, C> fmt::Debug for Step<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("name", &self.name)
            .field("critical", &self.critical)
            .field("pivot", &self.pivot)
            .field("can be undone", &self.undo.is_some())
            .finish_non_exhaustive()
    }
}

impl<S: 'static, C: 'static> Step<S, C> {
    /// A critical step that needs no undo.
    ///
    /// It gets the state and returns the state for the next step. `name` is written to the journal,
    /// so it must never change.
    #[must_use]
    pub fn new<F, Fut>(name: &'static str, run: F) -> Self
    where
        F: Fn(S, StepContext<C>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<S, StepError>> + Send + 'static,
    {
        Self {
            name,
            // Every step returns a future of its own type. Boxing gives them one type, so that a
            // `Vec` can hold them. `run` is an `Fn` because all sagas of the kind share the step,
            // and a resumed saga calls it again.
            run: Arc::new(move |state, context| run(state, context).boxed()),
            // A step that only reads leaves nothing behind.
            undo: None,
            // The safe default. An optional step has to be declared, so that a forgotten call
            // cannot let a saga complete without one of its steps.
            critical: true,
            pivot: false,
        }
    }

    /// Sets how the step is undone, and how long one attempt of that may take.
    ///
    /// Called when the step has, or may have, had its effect; possibly more than once.
    #[must_use]
    pub fn undo<F, Fut>(mut self, limit: Duration, undo: F) -> Self
    where
        F: Fn(S, UndoContext<C>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<S, UndoError>> + Send + 'static,
    {
        // One `Option` for both: a limit without an undo would reserve time that nothing uses, and
        // an undo without a limit could hang and hold up the others.
        self.undo = Some((limit, Arc::new(move |state, context| undo(state, context).boxed())));
        self
    }

    /// Makes the step optional: after its failure the saga goes on with the state from before.
    #[must_use]
    pub fn not_critical(mut self) -> Self {
        self.critical = false;
        self
    }

    /// Makes the step the pivot: when it is done, a saga whose process died is finished, not
    /// undone.
    #[must_use]
    pub fn pivot(mut self) -> Self {
        self.pivot = true;
        self
    }

    /// The name of the step.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn undo_limit(&self) -> Option<Duration> {
        self.undo.as_ref().map(|(limit, _)| *limit)
    }
}
