//! The configuration of a gateway.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use crate::breaker;
use crate::idempotency::StoreConfig;
use crate::limiter;
use crate::nonzero;
use crate::retry::{self, Backoff, RetryPolicy};

/// The limits of the calls of one step.
///
/// ```
/// use std::time::Duration;
/// use level3::gateway::{GatewayConfig, StepConfig};
///
/// let defaults = GatewayConfig::default();
/// // An attempt of the fraud check is stopped after 1 s instead of 2 s.
/// let fraud = StepConfig { limit: Duration::from_secs(1), ..defaults.fraud };
/// let config = GatewayConfig { fraud, ..defaults };
/// assert_eq!(config.fraud.retry.backoff.attempts().get(), 3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepConfig {
    /// The time limit of one attempt.
    pub limit: Duration,
    /// The number of attempts, the pauses between them, and the least time that an attempt needs.
    pub retry: RetryPolicy,
}

/// The time limits of one attempt to undo each step. Their sum is reserved at the end of the
/// deadline.
///
/// ```
/// use std::time::Duration;
/// use level3::gateway::{GatewayConfig, UndoLimits};
///
/// let defaults = GatewayConfig::default();
/// // A refund may take 2 s instead of 1 s.
/// let undo = UndoLimits { confirm: Duration::from_secs(2), ..defaults.undo };
/// let config = GatewayConfig { undo, ..defaults };
/// let reserve = config.undo.create + config.undo.confirm + config.undo.save;
/// assert_eq!(config.total - reserve, Duration::from_millis(6_700)); // left for the steps
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UndoLimits {
    /// Finding an intent and cancelling it.
    pub create: Duration,
    /// Cancelling an intent or, if it has been charged, refunding it.
    pub confirm: Duration,
    /// Voiding the ledger's row.
    pub save: Duration,
}

/// The configuration of a gateway. The defaults are those of the assignment, where it has one.
///
/// ```
/// use level3::gateway::GatewayConfig;
///
/// let config = GatewayConfig { seed: 7, ..GatewayConfig::default() };
/// assert_eq!(config.total.as_secs(), 10);
/// assert_eq!(config.rate.get(), 100);
/// ```
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// `pay` answers within this time: the assignment's 10 s, compensation included.
    pub total: Duration,
    /// The calls that create the intent.
    pub create: StepConfig,
    /// The calls of the fraud check.
    pub fraud: StepConfig,
    /// The calls that confirm the intent, which charges the card.
    pub confirm: StepConfig,
    /// The calls that write the row.
    pub save: StepConfig,
    /// The calls that send a receipt. They have no deadline, since the answer does not wait for
    /// them.
    pub receipt: StepConfig,
    /// The limits of undos.
    pub undo: UndoLimits,
    /// Calls to the payment provider within [`rate_window`](Self::rate_window): 100 for an account
    /// of Stripe in live mode.
    pub rate: NonZeroUsize,
    /// The window of the rate limit.
    pub rate_window: Duration,
    /// The longest time that the account may need for the reserved calls of payments under way. A
    /// payment that would make it longer is refused before its first call. With a longer time a
    /// burst may have more payments, and they wait longer for the rate limit.
    pub max_backlog: Duration,
    /// The most payments under way at once; one more is refused. A payment that is being undone is
    /// under way, also after its client was answered. Fewer are admitted while a service is slow.
    pub max_in_flight: u32,
    /// The most receipts that are sent at once; more of them wait.
    pub max_receipts: usize,
    /// The most dead letters that are kept, of undos and receipts together.
    pub dead_letters: NonZeroUsize,
    /// The number of failed redrives after which a dead letter is parked.
    pub park_after: NonZeroU32,
    /// How long, and how many, answers are kept in memory. The journal keeps all of them.
    pub idempotency: StoreConfig,
    /// The seed of all jitter.
    pub seed: u64,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        let ms = Duration::from_millis;
        // The pauses are at most 200 and 400 ms, so that four steps that fail twice each have ended
        // after 5.7 s, well before the 7.7 s that the reserve for undoing leaves of the 10 s. With
        // the assignment's pause of a second between attempts the worst case is 16.8 s. No input
        // reaches these figures, and `Backoff::new` accepts them.
        let backoff = |attempts| Backoff::new(ms(200), 2.0, ms(2000), attempts).unwrap_or_default();
        let three = nonzero!(3);
        let step = |limit, needs| StepConfig {
            limit: ms(limit),
            retry: RetryPolicy { backoff: backoff(three), min_attempt: ms(needs) },
        };
        Self {
            total: Duration::from_secs(10),
            // An attempt needs one and a half times the usual latency of the service.
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

/// A configuration that [`Gateway::new`](super::Gateway::new) refuses.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use level3::event::NoObserver;
/// use level3::gateway::{Gateway, GatewayConfig, GatewayConfigError};
/// use level3::journal::MemoryJournal;
/// use level3_sim::{NoFaults, World};
///
/// let (providers, journal) = (World::new(NoFaults).providers(), Arc::new(MemoryJournal::new()));
/// // Undoing every step may take 2.3 s, so no time would be left to pay.
/// let total = Duration::from_secs(2);
/// let config = GatewayConfig { total, ..GatewayConfig::default() };
/// let refused = Gateway::new(config, providers, journal, Arc::new(NoObserver)).unwrap_err();
/// let reserve = Duration::from_millis(2_300);
/// assert_eq!(refused, GatewayConfigError::NoTimeToPay { reserve, total });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum GatewayConfigError {
    /// The limiter refuses its values.
    #[error(transparent)]
    Limiter(#[from] limiter::LimiterConfigError),
    /// The breaker refuses its values.
    #[error(transparent)]
    Breaker(#[from] breaker::BreakerConfigError),
    /// The backoff refuses its values.
    #[error(transparent)]
    Retry(#[from] retry::BackoffConfigError),
    /// The undos need the whole time of the payment.
    #[error("undoing needs {reserve:?} of the {total:?} there are")]
    NoTimeToPay {
        /// The time that the undos need.
        reserve: Duration,
        /// The time of the whole payment.
        total: Duration,
    },
}
