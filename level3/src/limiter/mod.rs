//! At most so many wire calls in any window of time.
//!
//! A provider that allows 100 requests a second counts them in *every* second, not in seconds of our
//! choosing. A counter that starts anew each second lets 200 through around the turn, a token bucket
//! with a burst of 100 lets 199 through in the first second. This limiter remembers the instants of the
//! last N calls: the next one may go when the N-th last is a window old.
//!
//! One limiter belongs to one account and is shared by all that call with it. Each wire call takes a
//! slot of its own: retries and compensations too.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::deadline::Deadline;

/// Why a limiter cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A window in which nothing ever counts.
    #[error("the window of a rate limiter must not be zero")]
    ZeroWindow,
}

/// Who goes first when calls have to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Gives money back, or calls a payment off: goes before all charges.
    Refund,
    /// Everything else.
    Charge,
}

/// Why there is no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// The slot would come too late.
    #[error("the rate limit allows no call for another {} ms, past the deadline", wait.as_millis())]
    WouldMissDeadline {
        /// The least time until there would have been one.
        wait: Duration,
    },
}

/// A limiter's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Calls made within the last window.
    pub in_window: usize,
    /// Slots that are held by permits: calls that are about to be made.
    pub held: usize,
    /// Refunds in the line.
    pub waiting_refunds: usize,
    /// Charges in the line.
    pub waiting_charges: usize,
}

/// A sliding-window rate limiter. Share it in an [`Arc`](std::sync::Arc).
#[derive(Debug)]
pub struct RateLimiter {}

impl RateLimiter {
    /// A limiter that lets at most `limit` calls through in any `window`: a call counts while its age
    /// is below `window`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ZeroWindow`].
    pub fn new(limit: NonZeroUsize, window: Duration) -> Result<Self, ConfigError> {
        let _ = limit;
        if window.is_zero() { Err(ConfigError::ZeroWindow) } else { Ok(Self {}) }
    }

    /// Waits for a slot and holds it for a call that is about to be made.
    ///
    /// Callers of the same [`Priority`] are served in the order in which they first polled; refunds go
    /// before charges.
    ///
    /// # Errors
    ///
    /// [`LimitError::WouldMissDeadline`]: at once when, as things stand, no slot can come before the
    /// deadline; later, at the deadline at the latest, when others were put before this caller meanwhile.
    /// No slot is taken then.
    ///
    /// # Cancellation
    ///
    /// Dropping the future gives up the place in the line. Nobody behind is held up by it, and no slot
    /// is lost.
    pub async fn acquire(
        &self,
        priority: Priority,
        deadline: Deadline,
    ) -> Result<Permit<'_>, LimitError> {
        let _ = (priority, deadline);
        todo!()
    }

    /// [`acquire`](Self::acquire) for a call that is made at once: the slot is used when this returns.
    ///
    /// # Errors
    ///
    /// As for [`acquire`](Self::acquire).
    ///
    /// # Cancellation
    ///
    /// As for [`acquire`](Self::acquire).
    pub async fn admit(&self, priority: Priority, deadline: Deadline) -> Result<(), LimitError> {
        let _ = (priority, deadline);
        todo!()
    }

    /// Lets nothing through for `time` from now: the server answered 429 and said when to come back.
    /// The longest such wish holds.
    pub fn pause_for(&self, time: Duration) {
        let _ = time;
        todo!()
    }

    /// The figures now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        todo!()
    }
}

/// A slot held for one call. Dropping it unused gives the slot back to the next in line.
#[derive(Debug)]
#[must_use = "a permit that is dropped unused gives its slot back: call `used` when the call is made"]
pub struct Permit<'a> {
    limiter: &'a RateLimiter,
}

impl Permit<'_> {
    /// The call is made now: from here on it counts for one window.
    pub fn used(self) {
        let _ = self.limiter;
        todo!()
    }
}
