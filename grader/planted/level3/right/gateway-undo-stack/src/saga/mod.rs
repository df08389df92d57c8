//! Sagas: several steps that succeed together or are undone.
//!
//! No transaction spans a payment provider, a ledger and a ride service. A saga replaces it: its steps
//! run one after another, and when one fails for good, what was done before it is undone in reverse
//! order. Four rules make that hold:
//!
//! 1. **An undo is armed before its step is called**, not when the step has returned: a step that timed
//!    out may have had its effect. Outcomes have three values, and "unknown" is undone.
//! 2. **Everything is announced in the [`journal`](crate::journal) before it is tried**, so that
//!    another owner can finish a saga whose owner is gone.
//! 3. **One undo that fails stops no other.** Each is tried again with growing pauses, and is parked
//!    with its cause when it will not go.
//! 4. **What is undone may be undone twice**: after a crash it is unknown whether the last attempt had
//!    an effect. Undos have to be idempotent.
//!
//! The engine knows nothing of payments; `examples/` has a ride, an order, a post and a data sync on
//! it.

mod play;
mod step;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::journal::{SagaFailure, JournalError, Lease, SagaId, SagaLog};
use crate::nonzero;
use crate::retry::{Backoff, Jitter, NoJitter};

pub use crate::journal::{Effect, Stuck};
pub use step::{StepOutcome, Step, StepContext, StepError, UndoContext, UndoError};

/// What a saga works with: handed from step to step, and written to the journal after each.
pub trait SagaState: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<S: Clone + Serialize + DeserializeOwned + Send + Sync + 'static> SagaState for S {}

/// A kind of saga: its steps, in order, and what they share. Used by all sagas of the kind.
pub struct Saga<S, C = ()> {
    kind: &'static str,
    steps: Vec<Step<S, C>>,
    // Handed to every step and undo, so that a step can be a plain function.
    shared: Arc<C>,
    undo: Backoff,
    jitter: Arc<dyn Jitter>,
}

impl<S: 'static, C: 'static> fmt::Debug for Saga<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saga")
            .field("kind", &self.kind)
            .field("steps", &self.steps.iter().map(Step::name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// How a saga ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SagaOutcome<S> {
    /// All critical steps are done.
    Completed(S),
    /// A critical step failed, and everything that may have been done is undone.
    Compensated {
        /// The state after the last undo.
        state: S,
        /// Why.
        failure: SagaFailure,
    },
    /// A critical step failed, and something of what may have been done could not be undone.
    Parked {
        /// The state after the last undo.
        state: S,
        /// Why.
        failure: SagaFailure,
        /// What could not be undone.
        stuck: Vec<Stuck>,
    },
}

/// Why a saga has no end yet. It stays open in the journal; an owner that claims it can
/// [resume](Saga::resume) it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SagaError {
    /// Another owner has taken it over, and will end it.
    #[error("another owner has taken the saga over")]
    Fenced,
    /// The journal cannot be reached.
    #[error("the journal cannot be reached")]
    JournalUnavailable,
    /// The state cannot be written down or read back: a fault of the program.
    #[error("the state of the saga cannot be written or read: {0}")]
    State(String),
    /// A saga with this name was begun before; its [`SagaLog`] has the outcome.
    #[error("a saga with this name exists")]
    Exists(Box<SagaLog>),
    /// The engine's task panicked or its runtime shut down.
    #[error("the saga's task ended without a result")]
    Lost,
}

impl From<JournalError> for SagaError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Fenced => Self::Fenced,
            JournalError::Unavailable => Self::JournalUnavailable,
        }
    }
}

/// What happens within a saga, for its observer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SagaEvent<'a> {
    /// A step is about to be called.
    StepStarted {
        /// Which.
        step: &'static str,
    },
    /// A step is done.
    StepDone {
        /// Which.
        step: &'static str,
        /// How long it took.
        took: Duration,
    },
    /// A step has failed. Unless it is critical, the saga goes on.
    StepFailed {
        /// Why.
        failure: &'a SagaFailure,
        /// Whether the saga is undone because of it.
        critical: bool,
        /// How long it took.
        took: Duration,
    },
    /// A step is undone.
    Undone {
        /// Which.
        step: &'static str,
        /// How many attempts it took.
        attempts: u32,
    },
    /// An attempt to undo a step has failed.
    UndoFailed {
        /// Which.
        step: &'static str,
        /// Why.
        cause: &'a str,
        /// How many attempts there were so far.
        attempts: u32,
        /// Whether there will be none any more.
        parked: bool,
    },
}

/// Watches a saga. Called on the saga's task, so it must not block.
pub type SagaObserver<'a> = &'a (dyn Fn(SagaEvent<'_>) + Send + Sync);

/// A [`SagaObserver`] that does not look.
pub fn ignore_events(_: SagaEvent<'_>) {}

impl<S: SagaState> Saga<S> {
    /// A saga without steps, whose steps share nothing. `kind` stands in the journal, so it must never
    /// change.
    #[must_use]
    pub fn new(kind: &'static str) -> Self {
        Self::sharing(kind, Arc::new(()))
    }
}

impl<S: SagaState, C: Send + Sync + 'static> Saga<S, C> {
    /// A saga without steps. Every step and undo gets `shared` in its context: the clients of the
    /// services that they call, for instance. `kind` stands in the journal, so it must never change.
    #[must_use]
    pub fn sharing(kind: &'static str, shared: Arc<C>) -> Self {
        Self { kind, steps: Vec::new(), shared, undo: undo_backoff(), jitter: Arc::new(NoJitter) }
    }

    /// Adds a step after those that are there.
    #[must_use]
    pub fn step(mut self, step: Step<S, C>) -> Self {
        self.steps.push(step);
        self
    }

    /// How often an undo is tried and how long the pauses are. The default is [`undo_backoff`] without
    /// jitter.
    #[must_use]
    pub fn undo_with(mut self, backoff: Backoff, jitter: Arc<dyn Jitter>) -> Self {
        self.undo = backoff;
        self.jitter = jitter;
        self
    }

    /// The kind, as it stands in the journal.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// The time to keep free at the end of a deadline so that every undo can be tried once up to its
    /// own limit. The forward steps have to be over before that.
    #[must_use]
    pub fn reserve(&self) -> Duration {
        self.steps.iter().filter_map(Step::undo_limit).sum()
    }
}

/// The schedule of undos: 23 attempts, with pauses of 140 s in all without jitter and at least 70 s with
/// it. So an undo outlives an outage for which a breaker opens, 60 s. Each pause, 8 s at most, is well
/// below the 20 s after which a journal lets another owner claim a saga, so the owner keeps its lease.
#[must_use]
pub fn undo_backoff() -> Backoff {
    let (base, cap) = (Duration::from_millis(200), Duration::from_secs(8));
    Backoff::new(base, 2.0, cap, nonzero!(23)).expect("a base below the cap, a factor above 1")
}

/// What [`Saga::run`] and [`Saga::resume`] need besides the steps.
pub struct SagaOwner<'a> {
    /// Where to write.
    pub journal: &'a dyn crate::journal::Journal,
    /// With which right.
    pub lease: Lease,
    /// Who watches.
    pub observer: SagaObserver<'a>,
}

impl fmt::Debug for SagaOwner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SagaOwner").field("lease", &self.lease).finish_non_exhaustive()
    }
}

impl SagaOwner<'_> {
    /// The saga that is owned.
    #[must_use]
    pub fn saga(&self) -> &SagaId {
        &self.lease.saga
    }
}
