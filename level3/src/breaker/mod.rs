//! A circuit breaker: stops calling a dependency that is down, and finds out when it is up again.
//!
//! | state | calls | ends |
//! |---|---|---|
//! | closed | run | with the failure that trips it ([`Trip`]) |
//! | open | are refused at once | after `reset_timeout` |
//! | half-open | at most `probes` at a time run, the others are refused | closed after `successes_to_close` successes, open again at the first failure |
//!
//! One breaker belongs to one dependency and is shared by all of its callers. Retry sits *outside* the
//! breaker, so that the breaker counts every wire call. The timeout of an attempt sits *inside*, so that
//! the breaker sees a hang as a failure. The breaker sets no time limit of its own: a probe that never ends
//! keeps its place, and the breaker refuses the other calls for as long. If the operation first waits, as for
//! a rate limiter, that wait belongs to the probe as well.
//!
//! Lesson: `level3/lessons/breaker.md`.
//!
//! [`Trip`]: crate::breaker::Trip

mod call;
mod core;

use std::fmt::{self, Debug};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use tokio::time::Instant;

pub use crate::event::BreakerState as State;
pub use call::CircuitBreaker;

/// When a closed breaker opens.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// use level3::breaker::{BreakerConfig, CircuitBreaker, State, Trip};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let failures = NonZeroU32::new(3).unwrap();
/// let trip = Trip::InWindow { failures, window: Duration::from_secs(10) };
/// let config = BreakerConfig { trip, ..BreakerConfig::payment(|_: &&str| true) };
/// let breaker = CircuitBreaker::new("ledger", config).unwrap();
/// // The third failure within 10 s opens the breaker, although a call has succeeded in between.
/// for result in [Err("down"), Ok(()), Err("down"), Err("down")] {
///     let _ = breaker.call(|| async move { result }).await;
/// }
/// assert_eq!(breaker.state(), State::Open);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trip {
    /// At the given number of failures with no success between them.
    Consecutive(NonZeroU32),
    /// At the given number of failures within a window of time, whatever succeeded between them. A
    /// failure counts while its age is below `window`.
    InWindow {
        /// The number of failures that opens the breaker.
        failures: NonZeroU32,
        /// How long a failure counts.
        window: Duration,
    },
}

/// How a breaker behaves.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use level3::breaker::{BreakerConfig, CircuitBreaker, Trip};
///
/// #[derive(Debug)]
/// enum CallError { Declined, Unavailable }
///
/// let config = BreakerConfig {
///     trip: Trip::Consecutive(NonZeroU32::new(3).unwrap()),
///     reset_timeout: Duration::from_secs(5),
///     ..BreakerConfig::payment(|error| matches!(error, CallError::Unavailable))
/// };
/// assert!(!(config.is_failure)(&CallError::Declined));
/// assert!(CircuitBreaker::new("payments", config).is_ok());
/// ```
pub struct BreakerConfig<E> {
    /// When the breaker opens.
    pub trip: Trip,
    /// How long the breaker stays open. It is half-open from exactly this age on.
    pub reset_timeout: Duration,
    /// The most calls that run at the same time while the breaker is half-open.
    pub probes: NonZeroUsize,
    /// The number of successes that closes a half-open breaker.
    pub successes_to_close: NonZeroU32,
    /// Whether an error means that the dependency is in trouble. An error that does not, such as a
    /// decline or a 404, is neutral: neither a failure nor a success.
    pub is_failure: fn(&E) -> bool,
}

impl<E> BreakerConfig<E> {
    /// Returns the payment gateway's configuration: the breaker opens at the 5th failure in a row, is half-open
    /// after 60 s with one probe at a time, and closes after 2 successes.
    #[must_use]
    pub const fn payment(is_failure: fn(&E) -> bool) -> Self {
        Self {
            trip: Trip::Consecutive(FIVE),
            reset_timeout: Duration::from_secs(60),
            probes: NonZeroUsize::MIN,
            successes_to_close: NonZeroU32::MIN.saturating_add(1),
            is_failure,
        }
    }

    /// Returns a configuration with a window: the breaker opens at the 5th failure within 60 s, is half-open
    /// after 30 s with one probe at a time, and closes after 3 successes.
    #[must_use]
    pub const fn windowed(is_failure: fn(&E) -> bool) -> Self {
        Self {
            trip: Trip::InWindow { failures: FIVE, window: Duration::from_secs(60) },
            reset_timeout: Duration::from_secs(30),
            probes: NonZeroUsize::MIN,
            successes_to_close: NonZeroU32::MIN.saturating_add(2),
            is_failure,
        }
    }
}

// `NonZeroU32::MIN` is 1. `saturating_add` makes the constant without an `unwrap`.
const FIVE: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);

// Written by hand: a derive would ask `E` for the same traits, although only a function of it is held.
// `is_failure` is a pointer to a function and not a boxed closure, so that a configuration is `Copy`: one
// constant can configure several breakers.
impl<E> Clone for BreakerConfig<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for BreakerConfig<E> {}

impl<E> Debug for BreakerConfig<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerConfig")
            .field("trip", &self.trip)
            .field("reset_timeout", &self.reset_timeout)
            .field("probes", &self.probes)
            .field("successes_to_close", &self.successes_to_close)
            .finish_non_exhaustive()
    }
}

/// A configuration that [`CircuitBreaker::new`] refuses.
///
/// ```
/// use std::time::Duration;
/// use level3::breaker::{BreakerConfig, BreakerConfigError, CircuitBreaker};
///
/// let defaults = BreakerConfig::payment(|_: &&str| true);
/// let config = BreakerConfig { reset_timeout: Duration::ZERO, ..defaults };
/// let refused = CircuitBreaker::new("payments", config).unwrap_err();
/// assert_eq!(refused, BreakerConfigError::ZeroResetTimeout);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BreakerConfigError {
    /// `reset_timeout` is zero: the breaker would be half-open at the instant in which it opens.
    #[error("the reset timeout of a breaker must not be zero")]
    ZeroResetTimeout,
    /// The window of [`Trip::InWindow`] is zero: no failure would ever count.
    #[error("the window of a breaker must not be zero")]
    ZeroWindow,
}

/// Why a call returned no value.
///
/// ```
/// use std::time::Duration;
/// use level3::breaker::{BreakerConfig, BreakerError, CircuitBreaker};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let breaker = CircuitBreaker::new("payments", BreakerConfig::payment(|_: &&str| true)).unwrap();
/// let mut answers = Vec::new();
/// for _ in 0..6 {
///     answers.push(match breaker.call(|| async { Err::<(), _>("no connection") }).await {
///         Ok(()) => "charged".to_owned(),
///         Err(BreakerError::Inner(error)) => error.to_owned(),
///         Err(BreakerError::Open { retry_after }) => format!("retry after {retry_after:?}"),
///     });
/// }
/// assert_eq!(answers[4..], ["no connection", "retry after 60s"]);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BreakerError<E> {
    /// The breaker refused the call; the operation was not run.
    #[error("the circuit breaker refuses the call, try again in {} ms", retry_after.as_millis())]
    Open {
        /// How long to wait before the next call, never zero. While the breaker is open, this is the
        /// time until it is half-open. While it is half-open and every place of a probe is taken, no clock
        /// knows when a probe ends: any time above zero and at most the reset timeout is right. The reset
        /// timeout itself is the time for which the breaker stays open if a probe fails now.
        retry_after: Duration,
    },
    /// The operation's own error.
    #[error(transparent)]
    Inner(E),
}

/// The state and the counts of a breaker at one instant.
///
/// A call is counted when it has ended or was refused, so that always
/// `calls == ok + failed + neutral + dropped + refused`.
///
/// ```
/// use level3::breaker::{BreakerConfig, CircuitBreaker, State};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let breaker = CircuitBreaker::new("payments", BreakerConfig::payment(|_: &&str| true)).unwrap();
/// for result in [Ok(()), Err("no connection")] {
///     let _ = breaker.call(|| async move { result }).await;
/// }
/// let snapshot = breaker.snapshot();
/// assert_eq!((snapshot.calls, snapshot.ok, snapshot.failed), (2, 1, 1));
/// // Four more failures in a row would open the breaker.
/// assert_eq!((snapshot.state, snapshot.failures), (State::Closed, 1));
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// The state at the instant of the snapshot.
    pub state: State,
    /// All calls, the refused ones included.
    pub calls: u64,
    /// Calls that succeeded.
    pub ok: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls that ended with an error that is no failure of the dependency.
    pub neutral: u64,
    /// Calls that panicked, or were dropped by their caller before they ended.
    pub dropped: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// The failures that count towards the trip now: in a row, or within the window. Zero unless
    /// the breaker is closed.
    pub failures: u32,
    /// When the breaker opened last, in whatever state it is now; `None` if it never did.
    pub opened_at: Option<Instant>,
    /// The time until the breaker is half-open; zero unless it is open.
    pub retry_after: Duration,
}

/// A change of state.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use level3::breaker::{BreakerConfig, CircuitBreaker, State, Transition};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let changes = Arc::new(Mutex::new(Vec::new()));
/// let log = Arc::clone(&changes);
/// let breaker = CircuitBreaker::new("payments", BreakerConfig::payment(|_: &&str| true))
///     .unwrap()
///     .with_listener(move |change: &Transition| log.lock().unwrap().push((change.from, change.to)));
/// for _ in 0..5 {
///     let _ = breaker.call(|| async { Err::<(), _>("no connection") }).await;
/// }
/// assert_eq!(*changes.lock().unwrap(), [(State::Closed, State::Open)]);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The state before the change.
    pub from: State,
    /// The state after the change.
    pub to: State,
    /// When the breaker noticed the change. Open becomes half-open by the mere passing of time: the first
    /// call, [`state`](CircuitBreaker::state) or [`snapshot`](CircuitBreaker::snapshot) after it notices.
    pub at: Instant,
}
