//! A rate limiter: at most N wire calls in any window of time.
//!
//! A provider that allows 100 requests a second counts them in *every* second, not in seconds that the
//! client chooses. A counter that is reset each second lets 200 through around the reset; a token bucket with
//! a burst of 100 lets 199 through in the first second. This limiter remembers the instants of the last
//! N calls: the next one may be made when the N-th last is a window old.
//!
//! One limiter belongs to one account and is shared by all callers that use the account. Each wire call
//! takes a slot of its own, retries and compensations too.
//!
//! A solution needs [`Deadline`](crate::deadline::Deadline): write `src/deadline.rs` first.
//!
//! Lesson: `level3/lessons/limiter.md`.

mod queue;
mod wait;
mod window;

use std::time::Duration;

pub use wait::{Permit, RateLimiter};

/// A configuration that [`RateLimiter::new`] refuses.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level3::limiter::{LimiterConfigError, RateLimiter};
///
/// let refused = RateLimiter::new(NonZeroUsize::MIN, Duration::ZERO).unwrap_err();
/// assert_eq!(refused, LimiterConfigError::ZeroWindow);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimiterConfigError {
    /// The window is zero: no call would ever count.
    #[error("the window of a rate limiter must not be zero")]
    ZeroWindow,
}

/// The order in which calls are served when they have to wait.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level3::deadline::Deadline;
/// use level3::limiter::{Priority, RateLimiter};
/// use tokio::time::Instant;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let limiter = RateLimiter::new(NonZeroUsize::MIN, Duration::from_secs(1)).unwrap();
/// let start = Instant::now();
/// let after = |priority| {
///     let limiter = &limiter;
///     async move {
///         limiter.admit(priority, Deadline::never()).await.unwrap();
///         start.elapsed().as_secs()
///     }
/// };
/// assert_eq!(after(Priority::Charge).await, 0); // takes the only slot
/// let (charge, refund) = tokio::join!(after(Priority::Charge), after(Priority::Refund));
/// assert_eq!((charge, refund), (2, 1));
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A call that refunds money or cancels a payment. It is served before all charges.
    Refund,
    /// A call that neither refunds nor cancels. It is served when no refund waits.
    Charge,
}

/// Why a caller gets no slot.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level3::deadline::Deadline;
/// use level3::limiter::{LimitError, Priority, RateLimiter};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let limiter = RateLimiter::new(NonZeroUsize::MIN, Duration::from_secs(1)).unwrap();
/// limiter.admit(Priority::Charge, Deadline::never()).await.unwrap();
/// let deadline = Deadline::after(Duration::from_millis(300));
/// let answer = match limiter.admit(Priority::Charge, deadline).await {
///     Ok(()) => "charged".to_owned(),
///     Err(LimitError::WouldMissDeadline { wait }) => format!("429, retry after {wait:?}"),
/// };
/// assert_eq!(answer, "429, retry after 1s");
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// No slot becomes free before the deadline.
    #[error("the rate limit allows no call for another {} ms, past the deadline", wait.as_millis())]
    WouldMissDeadline {
        /// The least time until a slot would have been free for this caller, behind the callers ahead of it.
        /// For a caller that has waited until its deadline, the least time until any slot is free is enough.
        wait: Duration,
    },
}

/// How much of a limiter is in use at one instant.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level3::deadline::Deadline;
/// use level3::limiter::{Priority, RateLimiter, Usage};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let limiter = RateLimiter::new(NonZeroUsize::new(2).unwrap(), Duration::from_secs(1)).unwrap();
/// limiter.admit(Priority::Charge, Deadline::never()).await.unwrap();
/// let permit = limiter.acquire(Priority::Charge, Deadline::never()).await.unwrap();
/// let usage = Usage { in_window: 1, held: 1, waiting_refunds: 0, waiting_charges: 0 };
/// assert_eq!(limiter.usage(), usage);
/// permit.used();
/// assert_eq!(limiter.usage(), Usage { in_window: 2, held: 0, ..usage });
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Calls made within the last window.
    pub in_window: usize,
    /// Slots that permits hold, for calls that are about to be made.
    pub held: usize,
    /// Refunds in the queue.
    pub waiting_refunds: usize,
    /// Charges in the queue.
    pub waiting_charges: usize,
}
