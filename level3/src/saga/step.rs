//! A step of a saga: an action and its undo.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::deadline::Deadline;
use crate::journal::{Effect, FailureKind, SagaId};

/// The context of a step: its arguments besides the state.
///
/// ```
/// # use std::time::Duration;
/// # use level3::deadline::Deadline;
/// # use level3::journal::{MemoryJournal, SagaId};
/// use std::sync::Arc;
/// use level3::saga::{Saga, SagaOutcome, Step, StepContext};
///
/// /// The clients that all steps share.
/// struct Clients { currency: &'static str }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let (journal, id) = (Arc::new(MemoryJournal::new()), SagaId::new("trip-1"));
/// # let deadline = Deadline::after(Duration::from_secs(10));
/// let pay = Step::new("pay", |_: String, context: StepContext<Clients>| async move {
///     // A repeated call has the same key.
///     let key = format!("{}-pay", context.saga);
///     Ok(format!("{key} in {}", context.shared.currency))
/// });
/// let saga = Arc::new(Saga::sharing("trip", Arc::new(Clients { currency: "USD" })).step(pay));
/// let outcome = saga.execute(journal, id, String::new(), deadline).await.unwrap();
/// assert_eq!(outcome, SagaOutcome::Completed("trip-1-pay in USD".to_owned()));
/// # }
/// ```
pub struct StepContext<C = ()> {
    /// What all steps of the saga share: see [`Saga::sharing`](super::Saga::sharing).
    pub shared: Arc<C>,
    /// The name of the saga; derive the keys of the step's calls from it.
    pub saga: SagaId,
    /// The instant at which the step is stopped, wherever it is.
    pub deadline: Deadline,
}

/// The outcome of a step that is undone.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use level3::deadline::Deadline;
/// # use level3::journal::{FailureKind, MemoryJournal, SagaId};
/// use level3::saga::{Saga, SagaOutcome, Step, StepError, StepOutcome, UndoContext};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let (journal, id) = (Arc::new(MemoryJournal::new()), SagaId::new("trip-1"));
/// # let deadline = Deadline::after(Duration::from_secs(10));
/// let pay = Step::new("pay", |_: String, _| async move {
///     Err(StepError::unknown(FailureKind::Transient, "no answer"))
/// })
/// .undo(Duration::from_secs(1), |_, context: UndoContext| async move {
///     Ok(match context.known {
///         StepOutcome::Done => "refunded".to_owned(),
///         StepOutcome::Unknown => "asked the provider, found no charge".to_owned(),
///     })
/// });
/// let saga = Arc::new(Saga::new("trip").step(pay));
/// let outcome = saga.execute(journal, id, String::new(), deadline).await.unwrap();
/// let SagaOutcome::Compensated { state, .. } = outcome else { panic!("it is undone") };
/// assert_eq!(state, "asked the provider, found no charge");
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// The step has had its effect.
    Done,
    /// Unknown: the step may have had its effect, may still have it, or had none.
    Unknown,
}

/// The context of an undo: its arguments besides the state.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use level3::deadline::Deadline;
/// # use level3::journal::{FailureKind, MemoryJournal, SagaId};
/// use level3::saga::{Saga, SagaOutcome, Step, StepError, UndoContext, UndoError};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let (journal, id) = (Arc::new(MemoryJournal::new()), SagaId::new("trip-1"));
/// # let deadline = Deadline::after(Duration::from_secs(10));
/// let book = Step::new("book", |_: String, _| async move { Ok("booked".to_owned()) }).undo(
///     Duration::from_secs(1),
///     |_, context: UndoContext| async move {
///         if context.attempt == 1 {
///             return Err(UndoError::transient("no connection"));
///         }
///         Ok(format!("{} cancelled by attempt {}", context.saga, context.attempt))
///     },
/// );
/// # let pay = Step::new("pay", |_: String, _| async move {
/// #     Err(StepError::not_done(FailureKind::Declined, "no money"))
/// # });
/// let saga = Arc::new(Saga::new("trip").step(book).step(pay)); // `pay` is declined
/// let outcome = saga.execute(journal, id, String::new(), deadline).await.unwrap();
/// let SagaOutcome::Compensated { state, .. } = outcome else { panic!("it is undone") };
/// assert_eq!(state, "trip-1 cancelled by attempt 2");
/// # }
/// ```
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
///
/// ```
/// # use std::sync::Arc;
/// # use level3::deadline::Deadline;
/// # use level3::journal::{MemoryJournal, SagaId};
/// use std::time::Duration;
/// use level3::journal::FailureKind;
/// use level3::saga::{Saga, SagaOutcome, Step, StepError};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let (journal, id) = (Arc::new(MemoryJournal::new()), SagaId::new("trip-1"));
/// # let deadline = Deadline::after(Duration::from_secs(10));
/// let book = Step::new("book", |seats: u32, _| async move { Ok(seats + 2) })
///     .undo(Duration::from_secs(1), |seats: u32, _| async move { Ok(seats - 2) });
/// let notify = Step::new("notify", |_: u32, _| async move {
///     Err(StepError::not_done(FailureKind::Transient, "no connection"))
/// })
/// .not_critical();
/// let saga = Arc::new(Saga::new("trip").step(book).step(notify));
/// let outcome = saga.execute(journal, id, 0, deadline).await;
/// assert_eq!(outcome, Ok(SagaOutcome::Completed(2))); // booked, without the notification
/// # }
/// ```
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
