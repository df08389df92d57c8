//! Sagas: several steps that succeed together or are undone.
//!
//! No transaction spans a payment provider, a ledger and a ride service. A saga replaces it: its
//! steps run one after another, and when one fails permanently, the steps before it are undone in
//! reverse order. Four rules make that work:
//!
//! 1. **An undo is armed before its step is called**, not when the step has returned: a step that
//!    timed out may have had its effect. Outcomes have three values, and "unknown" is undone.
//! 2. **Every effect is written to the [`journal`] before it is tried**, so that another owner can
//!    end a saga whose owner died. No record, no effect.
//! 3. **An undo that fails, hangs or panics does not stop the others.** Each is tried again with
//!    growing pauses, and is parked with its cause when it has no attempt left.
//! 4. **An undo may run twice**: after a crash it is unknown whether the last attempt had its
//!    effect. Undos have to be idempotent.
//!
//! The engine knows nothing of payments; `examples/` has a ride, an order, a post and a data sync
//! on it.
//!
//! A solution needs [`Deadline`](crate::deadline::Deadline) and the schedules of
//! `level3::retry`: write `src/deadline.rs`, `src/retry/backoff.rs` and `src/retry/jitter.rs` first.
//!
//! Lesson: `level3/lessons/saga.md`.

mod log;
mod progress;
mod run;
mod step;
mod undo;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::journal::{JournalError, Lease, SagaFailure, SagaId, SagaLog};
use crate::nonzero;
use crate::retry::{Backoff, Jitter, NoJitter};

pub use crate::journal::{Effect, Stuck};
pub use step::{Step, StepContext, StepError, StepOutcome, UndoContext, UndoError};

/// The state of a saga: passed from step to step, and written to the journal after each. The engine
/// compares it with the last one, since an unchanged state need not be converted to JSON again.
///
/// ```
/// use level3::saga::{Saga, Step};
/// use serde::{Deserialize, Serialize};
///
/// // Every type with these traits is a state.
/// #[derive(Clone, PartialEq, Serialize, Deserialize)]
/// struct Trip {
///     seats: u32,
///     booking: Option<String>,
/// }
///
/// let book = Step::new("book", |trip: Trip, _| async move {
///     Ok(Trip { booking: Some(format!("{} seats", trip.seats)), ..trip })
/// });
/// let saga: Saga<Trip> = Saga::new("trip").step(book);
/// assert_eq!(saga.kind(), "trip");
/// ```
pub trait SagaState:
    Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

impl<S: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static> SagaState for S {}

/// A kind of saga: its steps, in order, and what they share. Used by all sagas of the kind.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use level3::deadline::Deadline;
/// use level3::journal::{FailureKind, MemoryJournal, SagaId};
/// use level3::saga::{Saga, SagaOutcome, Step, StepError};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// // The state is a log of what was done.
/// let book = Step::new("book", |log: Vec<String>, _| async move {
///     Ok([log, vec!["booked".to_owned()]].concat())
/// })
/// .undo(Duration::from_secs(1), |log: Vec<String>, _| async move {
///     Ok([log, vec!["cancelled".to_owned()]].concat())
/// });
/// let pay = Step::new("pay", |_: Vec<String>, _| async move {
///     Err(StepError::not_done(FailureKind::Declined, "no money"))
/// });
/// let saga = Arc::new(Saga::new("trip").step(book).step(pay));
///
/// let journal = Arc::new(MemoryJournal::new());
/// let deadline = Deadline::after(Duration::from_secs(10));
/// let outcome = saga.execute(journal, SagaId::new("trip-1"), Vec::new(), deadline).await.unwrap();
/// let SagaOutcome::Compensated { state, failure } = outcome else { panic!("it is undone") };
/// assert_eq!(state, ["booked", "cancelled"]);
/// assert_eq!(failure.message, "no money");
/// # }
/// ```
pub struct Saga<S, C = ()> {
    // Written with the first record. `Progress::read` compares it, so that a saga is never resumed
    // with the steps of another kind.
    kind: &'static str,
    // In the order of the calls; the undos run from the back. `Progress::steps` has the same
    // indices.
    steps: Vec<Step<S, C>>,
    // Handed to every step and undo, so that a step can be a plain function.
    shared: Arc<C>,
    // For undos alone. The engine calls a step once: only the step knows which of its errors are
    // worth a retry.
    undo: Backoff,
    // Spreads the undos of sagas that failed in the same outage, which would otherwise all come
    // back at the same instant.
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
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use level3::deadline::Deadline;
/// # use level3::journal::{MemoryJournal, SagaId};
/// use level3::saga::{Saga, SagaOutcome, Step};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let (journal, id) = (Arc::new(MemoryJournal::new()), SagaId::new("trip-1"));
/// # let deadline = Deadline::after(Duration::from_secs(10));
/// let book = Step::new("book", |seats: u32, _| async move { Ok(seats + 2) });
/// let saga = Arc::new(Saga::new("trip").step(book));
/// let answer = match saga.execute(journal, id, 0, deadline).await.unwrap() {
///     SagaOutcome::Completed(seats) => format!("{seats} seats are booked"),
///     SagaOutcome::Compensated { failure, .. } => format!("nothing is booked: {failure:?}"),
///     SagaOutcome::Parked { stuck, .. } => format!("an operator has to undo {stuck:?}"),
/// };
/// assert_eq!(answer, "2 seats are booked");
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SagaOutcome<S> {
    /// All critical steps are done.
    Completed(S),
    /// A critical step failed, and every step that may have had an effect is undone.
    Compensated {
        /// The state after the last undo.
        state: S,
        /// The failure that sent the saga back.
        failure: SagaFailure,
    },
    /// A critical step failed, and at least one step that may have had an effect could not be
    /// undone.
    Parked {
        /// The state after the last undo.
        state: S,
        /// The failure that sent the saga back.
        failure: SagaFailure,
        /// The steps that could not be undone, in the order of the saga's steps.
        stuck: Vec<Stuck>,
    },
}

/// Why a saga has not ended yet. It stays open in the journal; an owner that claims it can
/// [resume](Saga::resume) it.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use level3::deadline::Deadline;
/// # use level3::journal::{MemoryJournal, SagaId};
/// use level3::saga::{Saga, SagaError, Step};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let (journal, id) = (Arc::new(MemoryJournal::new()), SagaId::new("trip-1"));
/// # let deadline = Deadline::after(Duration::from_secs(10));
/// let book = Step::new("book", |seats: u32, _| async move { Ok(seats + 2) });
/// let saga = Arc::new(Saga::new("trip").step(book));
/// saga.execute(journal.clone(), id.clone(), 0, deadline).await.unwrap();
/// let repeated = saga.execute(journal, id, 0, deadline).await;
/// let Err(SagaError::Exists(log)) = repeated else { panic!("the name is used twice") };
/// assert!(saga.outcome_of(&log).unwrap().is_some()); // the first one has ended
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SagaError {
    /// Another owner has taken the saga over, and will end it.
    #[error("another owner has taken the saga over")]
    Fenced,
    /// The journal cannot be reached.
    #[error("the journal cannot be reached")]
    JournalUnavailable,
    /// The state cannot be written or read: a bug of the program.
    #[error("the state of the saga cannot be written or read: {0}")]
    State(String),
    /// A saga with this name was begun before; its [`SagaLog`] says how far it got.
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
///
/// ```
/// # use std::time::Duration;
/// # use level3::deadline::Deadline;
/// # use level3::journal::{MemoryJournal, Opened, SagaId};
/// use std::sync::Mutex;
/// use level3::saga::{Saga, SagaEvent, SagaOwner, Step};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let journal = MemoryJournal::new();
/// # let deadline = Deadline::after(Duration::from_secs(10));
/// let book = Step::new("book", |seats: u32, _| async move { Ok(seats + 2) });
/// let saga = Saga::new("trip").step(book);
/// # let Opened::New(lease) = saga.open(&journal, SagaId::new("trip-1"), &0).await.unwrap() else {
/// #     panic!("the name is new")
/// # };
/// let lines = Mutex::new(Vec::new());
/// let observer = |event: SagaEvent<'_>| {
///     lines.lock().unwrap().push(match event {
///         SagaEvent::StepStarted { step } => format!("{step} is started"),
///         SagaEvent::StepDone { step, .. } => format!("{step} is done"),
///         other => format!("{other:?}"),
///     });
/// };
/// let owner = SagaOwner { journal: &journal, lease, observer: &observer };
/// saga.run(&owner, 0, deadline).await.unwrap();
/// assert_eq!(*lines.lock().unwrap(), ["book is started", "book is done"]);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SagaEvent<'a> {
    /// A step is about to be called.
    StepStarted {
        /// The name of the step.
        step: &'static str,
    },
    /// A step is done.
    StepDone {
        /// The name of the step.
        step: &'static str,
        /// The time from the call to the outcome.
        took: Duration,
    },
    /// A step has failed. Unless it is critical, the saga goes on. A step that is skipped because
    /// no time is left for it raises no event.
    StepFailed {
        /// The failure of the step.
        failure: &'a SagaFailure,
        /// Whether the saga is undone because of it.
        critical: bool,
        /// The time from the call to the outcome.
        took: Duration,
    },
    /// A step is undone.
    Undone {
        /// The name of the step.
        step: &'static str,
        /// The number of attempts, the successful one included.
        attempts: u32,
    },
    /// An attempt to undo a step has failed.
    UndoFailed {
        /// The name of the step.
        step: &'static str,
        /// The message of the failed attempt.
        cause: &'a str,
        /// The number of attempts so far.
        attempts: u32,
        /// Whether the step is parked: there is no further attempt.
        parked: bool,
    },
}

/// An observer of a saga. The saga's task calls it, so it must not block. It influences nothing: a
/// panic of it is contained, and the saga goes on.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use level3::saga::{SagaEvent, SagaObserver};
///
/// let started = AtomicU32::new(0);
/// let count = |event: SagaEvent<'_>| {
///     if let SagaEvent::StepStarted { .. } = event {
///         started.fetch_add(1, Ordering::Relaxed);
///     }
/// };
/// let observer: SagaObserver<'_> = &count;
/// observer(SagaEvent::StepStarted { step: "reserve" });
/// assert_eq!(started.load(Ordering::Relaxed), 1);
/// ```
pub type SagaObserver<'a> = &'a (dyn Fn(SagaEvent<'_>) + Send + Sync);

/// A [`SagaObserver`] that ignores every event.
pub fn ignore_events(_: SagaEvent<'_>) {}

impl<S: SagaState> Saga<S> {
    /// Makes a saga without steps, whose steps share nothing. `kind` is written to the journal, so
    /// it must never change.
    #[must_use]
    pub fn new(kind: &'static str) -> Self {
        Self::sharing(kind, Arc::new(()))
    }
}

impl<S: SagaState, C: Send + Sync + 'static> Saga<S, C> {
    /// Makes a saga without steps. Every step and undo gets `shared` in its context: the clients of
    /// the services that they call, for instance. `kind` is written to the journal, so it must
    /// never change.
    #[must_use]
    pub fn sharing(kind: &'static str, shared: Arc<C>) -> Self {
        Self { kind, steps: Vec::new(), shared, undo: undo_backoff(), jitter: Arc::new(NoJitter) }
    }

    /// Adds a step after the last one.
    #[must_use]
    pub fn step(mut self, step: Step<S, C>) -> Self {
        self.steps.push(step);
        self
    }

    /// Sets how often an undo is tried and how long the pauses are. The default is [`undo_backoff`]
    /// without jitter. The attempts of all owners count: an owner that takes a saga over has the
    /// attempts that the earlier owners have left, and at least one at each undo that is not done,
    /// parked or not.
    #[must_use]
    pub fn undo_with(mut self, backoff: Backoff, jitter: Arc<dyn Jitter>) -> Self {
        self.undo = backoff;
        self.jitter = jitter;
        self
    }

    /// The kind, as it is written to the journal.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// The time to keep free at the end of a deadline so that every undo can be tried once up to
    /// its own limit: the sum of the limits, at most `Duration::MAX`. The steps have to end before
    /// it.
    #[must_use]
    pub fn reserve(&self) -> Duration {
        // `sum` panics on overflow, and a limit may be `Duration::MAX`. The undos run one after
        // another, so their limits add up. A step without an undo needs no time.
        let limits = self.steps.iter().filter_map(Step::undo_limit);
        limits.fold(Duration::ZERO, Duration::saturating_add)
    }
}

/// Returns the schedule of undos: 23 attempts, with pauses that begin at 200 ms, double after each attempt
/// and are at most 8 s.
///
/// The pauses add up to 140 s without jitter and to at least 70 s with it, so an undo outlives the 60 s for
/// which a breaker is open. Each pause is well below the 20 s after which a journal lets another owner claim
/// a saga, so the owner keeps its lease.
#[must_use]
pub fn undo_backoff() -> Backoff {
    let (base, cap) = (Duration::from_millis(200), Duration::from_secs(8));
    // The figures are constants that `new` accepts: no input can make this panic.
    Backoff::new(base, 2.0, cap, nonzero!(23)).expect("a base below the cap, a factor above 1")
}

/// What [`Saga::run`] and [`Saga::resume`] need besides the steps.
///
/// ```
/// # use std::time::Duration;
/// # use level3::deadline::Deadline;
/// use level3::journal::{MemoryJournal, Opened, SagaId};
/// use level3::saga::{Saga, SagaOutcome, SagaOwner, Step, ignore_events};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let deadline = Deadline::after(Duration::from_secs(10));
/// let book = Step::new("book", |seats: u32, _| async move { Ok(seats + 2) });
/// let saga = Saga::new("trip").step(book);
///
/// let journal = MemoryJournal::new();
/// let opened = saga.open(&journal, SagaId::new("trip-1"), &0).await.unwrap();
/// let Opened::New(lease) = opened else { panic!("the name is new") };
/// let owner = SagaOwner { journal: &journal, lease, observer: &ignore_events };
/// assert_eq!(owner.saga().as_str(), "trip-1");
/// assert_eq!(saga.run(&owner, 0, deadline).await, Ok(SagaOutcome::Completed(2)));
/// # }
/// ```
pub struct SagaOwner<'a> {
    /// The journal to write to.
    pub journal: &'a dyn crate::journal::Journal,
    /// The right to write.
    pub lease: Lease,
    /// The observer.
    pub observer: SagaObserver<'a>,
}

impl fmt::Debug for SagaOwner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SagaOwner").field("lease", &self.lease).finish_non_exhaustive()
    }
}

impl SagaOwner<'_> {
    /// Returns the id of the saga that the lease is for.
    #[must_use]
    pub fn saga(&self) -> &SagaId {
        &self.lease.saga
    }

    /// Notifies the observer. It is foreign code: a panic of it would stop the saga between two
    /// effects.
    fn notify(&self, event: SagaEvent<'_>) {
        // The hook has reported the panic. `AssertUnwindSafe`: the saga shares no state with its
        // observer.
        let _ = catch_unwind(AssertUnwindSafe(|| (self.observer)(event)));
    }
}
