//! How a processor behaves.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

// The interface names their types, so that its user needs no dependency on level 3.
pub use level3::{breaker, retry};

use breaker::{BreakerConfig, BreakerConfigError, CircuitBreaker};
use retry::Backoff;

use super::sink::SendError;

/// How a processor behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// The most events of a batch. When as many wait, they are sent without waiting for [`flush`](Self::flush).
    pub batch_size: NonZeroUsize,
    /// How long the first event of a batch waits for more. Zero: not at all.
    pub flush: Duration,
    /// The most batches of one service that are under way at the same time.
    pub batches_in_flight: NonZeroUsize,
    /// How long a service may take for a batch. After this time the attempt has failed.
    pub send_timeout: Duration,
    /// How often an event is sent, and how long it waits after each attempt that has failed.
    pub retry: Backoff,
    /// When the breaker of a service opens. Each service has its own.
    pub breaker: BreakerConfig<SendError>,
    /// The most pending events. While as many are pending, only critical events are accepted.
    pub threshold: NonZeroUsize,
    /// The most critical events that are accepted beyond the threshold. Further ones wait for room.
    pub critical_reserve: usize,
    /// An event that has waited this long for its turn goes before all but critical ones.
    pub max_wait: Duration,
    /// The most dead letters. What dies beyond them is left in the journal, as an event that has not ended.
    pub dead_letters: usize,
    /// The number of ended events whose ids are remembered, so that an event with such an id is not accepted again. Also
    /// the most breakers that are kept of services without events, because they have counted failures.
    pub remembered_ids: usize,
    /// Whether batches are compressed.
    pub compress: bool,
}

// starter: keep
impl Default for Config {
    /// Batches of 100, sent after 5 s at the latest, four at once for a service and each within 30 s; 4 attempts with
    /// waits of 1, 2 and 4 s; a breaker that opens at the 5th failure within 60 s, for 30 s; 10 000 pending events and
    /// 1000 critical ones beyond them, 30 s for a turn, 10 000 dead letters, 100 000 ids, compressed.
    fn default() -> Self {
        let number = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
        let attempts = NonZeroU32::MIN.saturating_add(3);
        let (base, cap) = (Duration::from_secs(1), Duration::from_secs(30));
        Self {
            batch_size: number(100),
            flush: Duration::from_secs(5),
            batches_in_flight: number(4),
            send_timeout: Duration::from_secs(30),
            retry: Backoff::new(base, 2.0, cap, attempts).expect("1 s to 30 s, doubled"),
            breaker: BreakerConfig::windowed(SendError::is_transient),
            threshold: number(10_000),
            critical_reserve: 1000,
            max_wait: Duration::from_secs(30),
            dead_letters: 10_000,
            remembered_ids: 100_000,
            compress: true,
        }
    }
}

/// A configuration with which no processor starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// [`Config::send_timeout`] is zero: no service could answer.
    #[error("the time limit of a send is zero")]
    ZeroSendTimeout,
    /// [`Config::breaker`] is refused.
    #[error(transparent)]
    Breaker(#[from] BreakerConfigError),
}

impl Config {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.send_timeout.is_zero() {
            return Err(ConfigError::ZeroSendTimeout);
        }
        // A breaker of these settings is made and dropped: level 3 knows which ones it refuses, and a copy of its rules
        // here would become wrong with the next of them. The driver relies on it when it makes a breaker.
        CircuitBreaker::new("", self.breaker)?;
        Ok(())
    }
}
