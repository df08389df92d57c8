//! Ways to deal with a failure: a default value, another try, or a page with gaps.
//!
//! None of the three hides the failure: the caller can see that the result is a fallback, and
//! why. (Level 3 adds a fourth strategy, the circuit breaker.)
//!
//! Lesson: `level2/lessons/recovery.md`.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::sleep;

use crate::error::{SectionError, SourceError};
use crate::model::Dashboard;
use crate::settled::Settled;

/// A value, and the failure that it replaces, if any.
///
/// ```
/// use level2::recovery::or_default;
///
/// let recovered = or_default(Err("no connection"), 0);
/// assert_eq!((recovered.value, recovered.cause), (0, Some("no connection")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered<T, E> {
    /// The value, or the default.
    pub value: T,
    /// The failure that the default replaces; `None` for a success.
    pub cause: Option<E>,
}

/// Replaces a failure by `default`, and keeps the failure beside it.
pub fn or_default<T, E>(result: Result<T, E>, default: T) -> Recovered<T, E> {
    match result {
        Ok(value) => Recovered { value, cause: None },
        // Unlike `unwrap_or`, which drops the error: a shop with 0 orders and a shop whose orders could not be
        // read would look the same.
        Err(cause) => Recovered { value: default, cause: Some(cause) },
    }
}

/// How often to try, and how long to wait in between.
///
/// ```
/// use std::time::Duration;
///
/// use level2::recovery::Backoff;
///
/// let backoff = Backoff::default();
/// assert_eq!(backoff.delay(1), Duration::from_secs(1));
/// assert_eq!(backoff.delay(2), Duration::from_secs(2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The number of tries, the first included.
    pub attempts: NonZeroU32,
    /// The wait after the first failure. It doubles with every further failure.
    pub base: Duration,
}

impl Default for Backoff {
    /// Makes a backoff of three attempts, with a first wait of 1000 ms.
    fn default() -> Self {
        Self {
            attempts: const { NonZeroU32::new(3).expect("3 is not 0") },
            base: Duration::from_millis(1000),
        }
    }
}

impl Backoff {
    /// Returns the wait after `failures` failures: `base` after the first, twice that after the second, four
    /// times after the third. Zero before the first failure. The wait stops growing after the 32nd failure,
    /// and at [`Duration::MAX`].
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        // `checked_sub`: without a failure there is nothing to wait for, and 0 - 1 would panic.
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        // The largest power of two that fits; with a base of a second that is 68 years.
        let doublings = doublings.min(u32::BITS - 1);
        self.base.saturating_mul(1 << doublings)
    }
}

/// The failure of a [`retry`]: its last try failed, or a try failed with an error that another try cannot
/// change.
///
/// ```
/// use level2::error::SourceError;
/// use level2::recovery::{self, Backoff};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let refused = || async { Err::<u32, _>(SourceError::Rejected("unknown shop".to_owned())) };
/// let error = recovery::retry(Backoff::default(), refused).await.unwrap_err();
/// assert_eq!(error.attempts, 1); // another try would be refused again
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gave up after {attempts} attempts: {last}")]
pub struct Exhausted {
    /// The number of tries that were made.
    pub attempts: u32,
    /// The error of the last try.
    #[source]
    pub last: SourceError,
}

/// Calls `attempt` until it succeeds, at most [`Backoff::attempts`] times, and waits
/// [`Backoff::delay`] between two tries. There is no wait after the last one.
///
/// # Errors
///
/// [`Exhausted`] when the last try failed, or at once when a try failed with an error that is not
/// [transient](SourceError::is_transient).
///
/// # Panics
///
/// A panic of a try, in the closure or in its future, passes to the caller.
///
/// # Cancellation
///
/// Dropping the future drops the try that is running. No other try follows.
pub async fn retry<T, F, Fut>(backoff: Backoff, mut attempt: F) -> Result<T, Exhausted>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, SourceError>>,
{
    let mut attempts = 0;
    loop {
        // A new future for each try: a future that has ended cannot be run again, so `retry` takes a function
        // that makes one.
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        // Counted after the attempt, so that the error can say how many there were.
        attempts += 1;
        // Before the wait: no attempt follows the last one, so a wait would only delay the error. The same holds
        // for an error that another try cannot change.
        if attempts == backoff.attempts.get() || !error.is_transient() {
            return Err(Exhausted { attempts, last: error });
        }
        sleep(backoff.delay(attempts)).await;
    }
}

/// A page that can always be shown, with the list of its gaps.
///
/// ```
/// use std::sync::Arc;
/// use level2::all_settled::{self, Timeouts};
/// use level2::model::{Orders, Section};
/// use level2::recovery::degrade;
/// use level2::source::{Behaviour, SimulatedSource};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let source = SimulatedSource::default().with(Section::Orders, Behaviour::Fails);
/// let settled = all_settled::load(Arc::new(source), Timeouts::default()).await;
/// let page = degrade(&settled);
/// assert_eq!(page.dashboard.orders, Orders::default());
/// assert_eq!(page.errors[0].section, Section::Orders);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Degraded {
    /// Every section. One that failed has its type's default: zeros and empty lists.
    pub dashboard: Dashboard,
    /// The sections that failed, in the order of the page.
    pub errors: Vec<SectionError>,
}

/// Fills the gaps of `settled` with empty sections and lists them.
#[must_use]
pub fn degrade(settled: &Settled) -> Degraded {
    // Both come from the same reports, so a section is either on the page or in `errors`.
    let page = settled.partial();
    let dashboard = Dashboard {
        sales: page.sales.unwrap_or_default(),
        users: page.users.unwrap_or_default(),
        orders: page.orders.unwrap_or_default(),
        low_stock: page.low_stock.unwrap_or_default(),
        // A default is no data: the caller sees in `errors` which sections are empty because of a failure.
        reviews: page.reviews.unwrap_or_default(),
    };
    Degraded { dashboard, errors: settled.errors() }
}
