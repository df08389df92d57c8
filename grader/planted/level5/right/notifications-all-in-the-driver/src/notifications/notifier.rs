//! The notifier: a thin driver of the state, with the timers and the tasks.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::Either;
use futures::stream::{FuturesUnordered, StreamExt as _};
use level3::dead_letters::DeadLetters;
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::channel::{Channels, DeliveryReport};
use super::config::{Config, ConfigError};
use super::deliver::{Ended, attempt};
use super::metrics::MinuteMetrics;
use super::notification::{Notification, Pending, Receipt, Refused, UserId};
use super::preferences::{Preferences, PreferencesError};
use super::state::{Phase, Shared, State};
use crate::wall_clock::WallClock;

/// What a notifier has left undone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What has no other fate, in the order of acceptance.
    pub pending: Vec<Pending>,
}

/// How much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Notifications that have no fate yet.
    pub notifications: usize,
    /// Their users. The notifier keeps nothing of other users but their preferences.
    pub users: usize,
}

/// Sends notifications by the channels that their users prefer, when they prefer it.
///
/// Dropping it stops everything: what has no fate gets [`Fate::Pending`](super::Fate::Pending), and calls of channels
/// are dropped.
///
/// ```
/// use level5::notifications::{
///     Channel, ChannelError, ChannelKind, Channels, Config, Fate, Notification, Notifier, Priority,
///     Rendered, UserId,
/// };
/// use level5::wall_clock::VirtualWall;
///
/// struct Log;
///
/// impl Channel for Log {
///     fn kind(&self) -> ChannelKind {
///         ChannelKind::InApp
///     }
///
///     async fn deliver(&self, _: &UserId, _: &[Rendered]) -> Result<(), ChannelError> {
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let wall = VirtualWall::starting("2026-03-28T12:00:00Z".parse()?);
/// let notifier = Notifier::start(Config::default(), wall, Channels::default().with(Log))?;
/// let receipt = notifier.notify(Notification::new("n1", "ann", Priority::High, "It rains.")).await?;
/// assert_eq!(receipt.fate().await, Fate::Sent { via: vec![ChannelKind::InApp] });
/// # Ok(())
/// # }
/// ```
pub struct Notifier {
    shared: Arc<Shared>,
    driver: AbortHandle,
}

// starter: keep
impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").finish_non_exhaustive()
    }
}

impl Notifier {
    /// Starts a notifier that knows no user.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the configuration makes no sense.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(
        config: Config,
        wall: impl WallClock,
        channels: Channels,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(&config, Instant::now())),
            wake: Notify::new(),
            ended: CancellationToken::new(),
            // Letters are redriven by their owner, who decides when to stop.
            letters: DeadLetters::new(config.dead_letters, NonZeroU32::MAX),
            reports: broadcast::channel(config.announced.get()).0,
            metrics: watch::Sender::new(MinuteMetrics::default()),
            wall: Box::new(wall),
            channels,
            config,
        });
        let driver = tokio::spawn(drive(Arc::clone(&shared))).abort_handle();
        Ok(Self { shared, driver })
    }

    /// Sets the preferences of a user. They hold for all that is accepted later and for all that waits, which is planned as
    /// if it were accepted now. A delivery on its way is not stopped; the next attempt takes the new channels.
    ///
    /// # Errors
    ///
    /// [`PreferencesError`] when the preferences contradict themselves. The old ones stay.
    pub fn set_preferences(
        &self,
        user: UserId,
        preferences: Preferences,
    ) -> Result<(), PreferencesError> {
        preferences.check()?;
        let now = self.shared.now();
        self.shared.lock().prefer(user, preferences, &self.shared.config, now);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Accepts a notification. From then on it has exactly one [`Fate`](super::Fate).
    ///
    /// # Errors
    ///
    /// [`Refused`], and nothing of the notification is kept.
    ///
    /// # Cancellation
    ///
    /// Before the first poll of the future nothing has happened. The call does not wait.
    pub async fn notify(&self, notification: Notification) -> Result<Receipt, Refused> {
        self.accept(notification, None)
    }

    /// Accepts what another notifier has handed back. It is due when it was due there; what is overdue goes at once.
    /// So a restart neither skips nor repeats a digest. Attempts are counted from zero.
    ///
    /// # Errors
    ///
    /// As [`notify`](Self::notify).
    ///
    /// # Cancellation
    ///
    /// As [`notify`](Self::notify).
    pub async fn resume(&self, pending: Pending) -> Result<Receipt, Refused> {
        self.accept(pending.notification, Some(pending.due))
    }

    fn accept(
        &self,
        notification: Notification,
        date: Option<jiff::Timestamp>,
    ) -> Result<Receipt, Refused> {
        let named = [
            ("id", notification.id.0.is_empty()),
            ("user", notification.user.0.is_empty()),
            ("topic", notification.topic.is_empty()),
        ];
        if let Some((field, _)) = named.into_iter().find(|(_, is_empty)| *is_empty) {
            return Err(Refused::Empty(field));
        }
        let now = self.shared.now();
        let receipt = self.shared.lock().accept(notification, date, &self.shared.config, now)?;
        self.shared.wake.notify_one();
        Ok(receipt)
    }

    /// Follows the calls of channels: each one that ends from now on. A reader that is [`Config::announced`] calls behind
    /// misses the oldest ones, and learns how many.
    #[must_use]
    pub fn deliveries(&self) -> broadcast::Receiver<DeliveryReport> {
        self.shared.reports.subscribe()
    }

    /// The figures of the minute that ended last. They are counted with and without readers.
    #[must_use]
    pub fn metrics(&self) -> watch::Receiver<MinuteMetrics> {
        self.shared.metrics.subscribe()
    }

    /// What could not be delivered, the oldest one first. The id of a dead letter may be used again: to send it once
    /// more, remove it and [`notify`](Self::notify).
    #[must_use]
    pub fn dead_letters(&self) -> &DeadLetters<Notification> {
        &self.shared.letters
    }

    /// How much waits.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        let (notifications, users) = self.shared.lock().backlog();
        Backlog { notifications, users }
    }

    /// Stops. From its first poll on nothing is accepted and no delivery begins. What is on its way may end within
    /// `deadline`. The rest is handed back: windows, digests and pauses between attempts are not waited for.
    ///
    /// Afterwards no task of the notifier is left. A second call returns an empty report.
    ///
    /// # Cancellation
    ///
    /// A dropped call leaves the notifier closed, and what is on its way may end. Another call goes on.
    pub async fn shutdown(&self, deadline: Duration) -> Report {
        self.enter(Phase::Draining);
        if timeout(deadline, self.shared.ended.cancelled()).await.is_err() {
            self.enter(Phase::Stopping);
            self.shared.ended.cancelled().await;
        }
        let now = self.shared.now();
        Report { pending: self.shared.lock().hand_back(now) }
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.shared.lock();
        if state.phase != Phase::Stopping {
            state.phase = phase;
        }
        drop(state);
        self.shared.wake.notify_one();
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        // With the driver its deliveries are dropped.
        self.driver.abort();
        let now = self.shared.now();
        self.shared.lock().hand_back(now);
    }
}

/// Begins what is due, and sleeps until the next moment. The only task.
async fn drive(shared: Arc<Shared>) {
    let _ended = shared.ended.clone().drop_guard();
    let mut deliveries = FuturesUnordered::new();
    loop {
        let now = shared.now();
        let next = {
            let mut state = shared.lock();
            match state.phase {
                Phase::Stopping => break,
                Phase::Draining if deliveries.is_empty() => break,
                Phase::Draining => None,
                Phase::Open => {
                    let begin = state.begin(&shared, now);
                    deliveries.extend(begin.into_iter().map(|it| attempt(Arc::clone(&shared), it)));
                    shared.show(state.minutes.roll(now.at));
                    state.next(now)
                }
            }
        };
        let timer =
            next.map_or(Either::Right(std::future::pending()), |at| Either::Left(sleep_until(at)));
        tokio::select! {
            Some(ended) = deliveries.next() => note(&shared, ended),
            () = shared.wake.notified() => {}
            () = timer => {}
        }
    }
    drop(deliveries);
}

fn note(shared: &Shared, ended: Ended) {
    // Clock and jitter are foreign code, and so before the lock.
    let (now, failed) = (shared.now(), ended.outcome.via.is_empty());
    let unit = if failed { shared.config.jitter.unit() } else { 1.0 };
    shared.lock().ended(ended, shared, unit, now);
}
