//! The figures of a gateway.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use crate::breaker;
use crate::idempotency::StoreConfig;
use crate::limiter;
use crate::nonzero;
use crate::retry::{self, Backoff, RetryPolicy};

/// How the calls of one step are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepConfig {
    /// How long one attempt may take.
    pub limit: Duration,
    /// How often, with which pauses, and how much time an attempt needs to be worth its start.
    pub retry: RetryPolicy,
}

/// How long one attempt to undo a step may take. Their sum is kept free at the end of the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UndoLimits {
    /// Finding an intent and ending it.
    pub create: Duration,
    /// Ending an intent and, where that is too late, giving the money back.
    pub confirm: Duration,
    /// Taking a row back.
    pub save: Duration,
}

/// A gateway's figures. The default is the assignment's, filled up where it gives none.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// `pay` answers within this time: the assignment's 10 s, compensation included.
    pub total: Duration,
    /// Making the intent.
    pub create: StepConfig,
    /// Scoring.
    pub fraud: StepConfig,
    /// Charging.
    pub confirm: StepConfig,
    /// Writing the row.
    pub save: StepConfig,
    /// Sending a receipt. It has no deadline: it is off the payment's path.
    pub receipt: StepConfig,
    /// Undoing.
    pub undo: UndoLimits,
    /// Calls to the payment provider within [`rate_window`](Self::rate_window): 100 for an account of
    /// Stripe in live mode.
    pub rate: NonZeroUsize,
    /// The window of the rate limit.
    pub rate_window: Duration,
    /// The time that the account may need for the calls that are promised to payments under way. A
    /// payment that would make it longer is refused before its first call. The more it is, the more
    /// payments a burst may bring, and the longer they wait for the rate limit.
    pub max_backlog: Duration,
    /// Payments under way at once; one more is refused. Fewer are admitted while a service is slow.
    pub max_in_flight: u32,
    /// Receipts that are sent at once; more of them wait.
    pub max_receipts: usize,
    /// Dead letters of each kind that are kept.
    pub dead_letters: NonZeroUsize,
    /// Redrives of a dead letter after which it is set aside.
    pub park_after: NonZeroU32,
    /// How long and how many answers are kept in memory. The journal keeps them anyway.
    pub idempotency: StoreConfig,
    /// The seed of all jitter.
    pub seed: u64,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        let ms = Duration::from_millis;
        // The pauses: at most 200 and 400 ms, so that four steps that fail twice each are over after
        // 5.7 s, well before the 7.7 s that the reserve for undoing leaves of the 10 s. With the
        // lesson's second between attempts the worst case is 16.8 s.
        let backoff = |attempts| Backoff::new(ms(200), 2.0, ms(2000), attempts).unwrap_or_default();
        let three = nonzero!(3);
        let step = |limit, needs| StepConfig {
            limit: ms(limit),
            retry: RetryPolicy { backoff: backoff(three), min_attempt: ms(needs) },
        };
        Self {
            total: Duration::from_secs(10),
            // An attempt needs what the service usually takes, and half of that again.
            create: step(1500, 300),
            fraud: step(2000, 750),
            confirm: step(2500, 450),
            save: step(1000, 150),
            receipt: step(5000, 0),
            undo: UndoLimits { create: ms(900), confirm: ms(1000), save: ms(400) },
            rate: nonzero!(100),
            rate_window: Duration::from_secs(1),
            max_backlog: Duration::from_secs(1),
            max_in_flight: 100_000,
            max_receipts: 1000,
            dead_letters: nonzero!(10_000),
            park_after: nonzero!(5),
            idempotency: StoreConfig::default(),
            seed: 0,
        }
    }
}

/// Why a gateway cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum GatewayConfigError {
    /// The limiter's figures.
    #[error(transparent)]
    Limiter(#[from] limiter::LimiterConfigError),
    /// The breaker's figures.
    #[error(transparent)]
    Breaker(#[from] breaker::BreakerConfigError),
    /// The pauses between attempts.
    #[error(transparent)]
    Retry(#[from] retry::BackoffConfigError),
    /// Undoing would take all the time there is.
    #[error("undoing needs {reserve:?} of the {total:?} there are")]
    NoTimeToPay {
        /// What undoing needs.
        reserve: Duration,
        /// What there is.
        total: Duration,
    },
}
