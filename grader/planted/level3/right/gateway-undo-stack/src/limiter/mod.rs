//! At most so many wire calls in any window of time.
//!
//! A provider that allows 100 requests a second counts them in *every* second, not in seconds of our
//! choosing. A counter that is reset each second lets 200 through around the turn, a token bucket
//! with a burst of 100 lets 199 through in the first second. This limiter remembers the instants of the
//! last N calls: the next one may go when the N-th last is a window old.
//!
//! One limiter belongs to one account and is shared by all that call with it. Each wire call takes a
//! slot of its own: retries and compensations too.

mod wait;

use std::time::Duration;

pub use wait::{Permit, RateLimiter};

/// Why a limiter cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimiterConfigError {
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
