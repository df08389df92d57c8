//! The settings of a notifier.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use level3::retry::{Backoff, Jitter, NoJitter};

use super::channel::ChannelKind;
use super::preferences::{Preferences, PreferencesError};

/// The settings of a notifier.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long the first of several notifications waits for more, if it is not urgent and has no digest. All that come
    /// within this time go together.
    pub window: Duration,
    /// How long a channel may take for a delivery. Not zero.
    pub channel_timeout: Duration,
    /// The number of attempts, and the waits between them. An attempt tries the channels of the user.
    pub retry: Backoff,
    /// Spreads the waits, so that many users whose channel failed at once are not retried at once.
    pub jitter: Arc<dyn Jitter>,
    /// The most notifications that wait. One more is refused.
    pub max_pending: NonZeroUsize,
    /// The number of ended notifications whose ids are remembered. The one that ended first is forgotten first.
    pub remembered_ids: NonZeroUsize,
    /// The most dead letters. A full queue keeps the older ones; a newer one has only its fate.
    pub dead_letters: NonZeroUsize,
    /// The most deliveries that a slow reader may be behind. It misses the oldest ones, and learns how many.
    pub announced: NonZeroUsize,
    /// The preferences of users without preferences of their own.
    pub defaults: Preferences,
}

impl Default for Config {
    /// 5 s windows, 10 s for a channel, 4 attempts with waits of 1, 2 and 4 s without jitter. 100 000 notifications
    /// wait, 100 000 ids are remembered, 1000 dead letters are kept, readers may be 1024 deliveries behind. Users
    /// without preferences have the list within the application, and then mail.
    // starter: keep
    fn default() -> Self {
        let attempts = NonZeroU32::MIN.saturating_add(3);
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(60));
        let count = |count: usize| NonZeroUsize::MIN.saturating_add(count - 1);
        Self {
            window: Duration::from_secs(5),
            channel_timeout: Duration::from_secs(10),
            retry: Backoff::new(first, 2.0, longest, attempts).unwrap_or_default(),
            jitter: Arc::new(NoJitter),
            max_pending: count(100_000),
            remembered_ids: count(100_000),
            dead_letters: count(1000),
            announced: count(1024),
            defaults: Preferences::new([ChannelKind::InApp, ChannelKind::Email]),
        }
    }
}

/// A configuration that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The time of a channel is zero: every delivery would be late.
    #[error("channel_timeout is zero; a channel needs time to deliver")]
    ZeroTimeout,
    /// The preferences of users without preferences contradict themselves.
    #[error("the default preferences: {0}")]
    Defaults(#[from] PreferencesError),
}

impl Config {
    /// Checks the settings on their own and the default preferences.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.channel_timeout.is_zero() {
            return Err(ConfigError::ZeroTimeout);
        }
        Ok(self.defaults.check()?)
    }
}
