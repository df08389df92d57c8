//! What to do about a failure: a default value, another try, or less of the page.
//!
//! Three of the assignment's four strategies. None of them hides the failure: the caller can see that
//! the result is a fallback, and why. (The fourth, the circuit breaker, is level 3's.)

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::sleep;

use crate::error::{SectionError, SourceError};
use crate::model::Dashboard;
use crate::settled::Settled;

/// A value, and the failure it stands in for, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered<T, E> {
    /// The value to go on with.
    pub value: T,
    /// Why it is the default.
    pub cause: Option<E>,
}

/// Replaces a failure by `default`, and keeps the failure beside it.
pub fn or_default<T, E>(result: Result<T, E>, default: T) -> Recovered<T, E> {
    match result {
        Ok(value) => Recovered { value, cause: None },
        Err(cause) => Recovered { value: default, cause: Some(cause) },
    }
}

/// How often to try, and how long to wait in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Tries in all, the first included.
    pub attempts: NonZeroU32,
    /// The wait after the first failure. It doubles with every further failure.
    pub base: Duration,
}

impl Default for Backoff {
    /// Three attempts, as in the assignment, with a first wait of 1000 ms.
    fn default() -> Self {
        Self {
            attempts: const { NonZeroU32::new(3).expect("3 is not 0") },
            base: Duration::from_millis(1000),
        }
    }
}

impl Backoff {
    /// The wait after `failures` failures: `base` after the first, twice that after the second, four
    /// times after the third. Zero before the first failure. The wait stops growing after the 32nd.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        // The largest power of two that fits; with a base of a second that is 68 years.
        let doublings = doublings.min(u32::BITS - 1);
        self.base.saturating_mul(1 << doublings)
    }
}

/// The last try failed, or another one was pointless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gave up after {attempts} attempts: {last}")]
pub struct Exhausted {
    /// How many tries were made.
    pub attempts: u32,
    /// The error of the last one.
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
/// # Cancellation
///
/// Dropping the future stops the try that is running; no other follows.
pub async fn retry<T, F, Fut>(backoff: Backoff, mut attempt: F) -> Result<T, Exhausted>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, SourceError>>,
{
    try_from(1, backoff, &mut attempt).await
}

/// The tries from the `number`th on.
fn try_from<'a, T: 'a, F, Fut>(
    number: u32,
    backoff: Backoff,
    attempt: &'a mut F,
) -> futures::future::LocalBoxFuture<'a, Result<T, Exhausted>>
where
    F: FnMut() -> Fut + 'a,
    Fut: Future<Output = Result<T, SourceError>> + 'a,
{
    Box::pin(async move {
        match attempt().await {
            Ok(value) => Ok(value),
            Err(error) if error.is_transient() && number < backoff.attempts.get() => {
                sleep(backoff.delay(number)).await;
                try_from(number + 1, backoff, attempt).await
            }
            Err(last) => Err(Exhausted { attempts: number, last }),
        }
    })
}

/// A page that can always be shown.
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
    let page = settled.partial();
    let dashboard = Dashboard {
        sales: page.sales.unwrap_or_default(),
        users: page.users.unwrap_or_default(),
        orders: page.orders.unwrap_or_default(),
        low_stock: page.low_stock.unwrap_or_default(),
        reviews: page.reviews.unwrap_or_default(),
    };
    Degraded { dashboard, errors: settled.errors() }
}
