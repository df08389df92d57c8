//! The notifier: a thin driver of the state, with the timers and the tasks.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::Either;
use level3::dead_letters::DeadLetters;
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::{AbortHandle, JoinSet};
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

/// The notifications that a shutdown hands back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The notifications without another fate, in the order of acceptance.
    pub pending: Vec<Pending>,
}

/// The number of notifications that wait, and of their users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Notifications that have no fate yet.
    pub notifications: usize,
    /// Users of these notifications. Of other users the notifier keeps only the preferences.
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
    /// The driver and its deliveries hold it too, so they do not end with it: the destructor aborts the driver.
    shared: Arc<Shared>,
    /// For the destructor. A shutdown waits for `Shared::ended` instead, because several calls may wait for it.
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
        // Before the spawn: a notifier that does not start leaves no task.
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

    /// Sets the preferences of a user. They hold for all that is accepted later and for all that waits, which is
    /// planned as if it were accepted now. A delivery that is under way is not stopped; the next attempt uses the new
    /// channels.
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
        // What waits may be due earlier now than the driver's timer says.
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Accepts a notification. Each accepted notification gets exactly one [`Fate`](super::Fate).
    ///
    /// # Errors
    ///
    /// [`Refused`], and nothing of the notification is kept.
    ///
    /// # Cancellation
    ///
    /// Before the first poll of the future nothing has happened. The call does not wait.
    pub async fn notify(&self, notification: Notification) -> Result<Receipt, Refused> {
        // Inside the future and not before it: a call that is made and dropped unpolled, as in a `select!` that another
        // branch wins, must not send a notification of which no caller has a receipt.
        self.accept(notification, None)
    }

    /// Accepts a notification that another notifier has handed back. It is due when it was due there, and at once if
    /// that has passed. So a restart neither skips nor repeats a digest. Attempts are counted from zero.
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
        // The wall clock is the caller's code, so it is read before the lock.
        let now = self.shared.now();
        // One lock for the look at the id and the capacity and for the acceptance: two calls with one id, or two for
        // the last place, would otherwise both be accepted.
        let receipt = self.shared.lock().accept(notification, date, &self.shared.config, now)?;
        self.shared.wake.notify_one();
        Ok(receipt)
    }

    /// Returns a stream of the calls of channels, with each one that ends from now on. A reader that is
    /// [`Config::announced`] calls behind misses the oldest ones, and learns how many.
    #[must_use]
    pub fn deliveries(&self) -> broadcast::Receiver<DeliveryReport> {
        self.shared.reports.subscribe()
    }

    /// The figures of the minute that ended last. They are counted with and without readers.
    #[must_use]
    pub fn metrics(&self) -> watch::Receiver<MinuteMetrics> {
        self.shared.metrics.subscribe()
    }

    /// The notifications that could not be delivered, the oldest one first. The id of a dead letter may be used again:
    /// to send it once more, remove it and call [`notify`](Self::notify).
    #[must_use]
    pub fn dead_letters(&self) -> &DeadLetters<Notification> {
        &self.shared.letters
    }

    /// The number of notifications that wait, and of their users.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        let (notifications, users) = self.shared.lock().backlog();
        Backlog { notifications, users }
    }

    /// Stops the notifier. From the first poll on it accepts nothing and begins no delivery. Deliveries that are under
    /// way may end within `deadline`. The rest is handed back: windows, digests and pauses between attempts are not
    /// waited for.
    ///
    /// Afterwards no task of the notifier is left. A second call returns an empty report.
    ///
    /// # Cancellation
    ///
    /// A dropped call leaves the notifier closed, and deliveries that are under way may end. Another call continues.
    pub async fn shutdown(&self, deadline: Duration) -> Report {
        self.enter(Phase::Draining);
        if timeout(deadline, self.shared.ended.cancelled()).await.is_err() {
            self.enter(Phase::Stopping);
            // The driver has dropped every delivery before this returns. Handed back earlier, a notification could
            // still be delivered while another notifier resumes it.
            self.shared.ended.cancelled().await;
        }
        let now = self.shared.now();
        Report { pending: self.shared.lock().hand_back(now) }
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.shared.lock();
        // A second shutdown must not let deliveries go on that the deadline of the first one ends.
        if state.phase != Phase::Stopping {
            state.phase = phase;
        }
        drop(state);
        self.shared.wake.notify_one();
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        // The driver's future owns the deliveries, so they are dropped with it. A destructor cannot wait for that: the
        // end of a delivery that comes after the next lines finds no user, and changes nothing.
        self.driver.abort();
        // Each fate is settled here. A receipt whose sender is only dropped would not say when its notification is due.
        let now = self.shared.now();
        self.shared.lock().hand_back(now);
    }
}

/// Begins what is due, and sleeps until the next moment. No other task waits for windows, dates or pauses.
async fn drive(shared: Arc<Shared>) {
    // Locals are dropped in reverse order: on every way out the deliveries are stopped before the token is cancelled.
    let _ended = shared.ended.clone().drop_guard();
    // A task for each delivery, so that no user waits for another one; in a set, which aborts them when it is dropped.
    let mut deliveries = JoinSet::new();
    loop {
        // All that have ended, before anything begins: each one frees a lane, whose next group can go in this round.
        // `select!` below takes one at a time.
        while let Some(ended) = deliveries.try_join_next() {
            note(&shared, ended.ok());
        }
        let now = shared.now();
        let next = {
            let mut state = shared.lock();
            match state.phase {
                Phase::Stopping => break,
                Phase::Draining if deliveries.is_empty() => break,
                // Without a timer: nothing begins any more, and only the end of a delivery is awaited.
                Phase::Draining => None,
                Phase::Open => {
                    for delivery in state.begin(&shared, now) {
                        deliveries.spawn(attempt(Arc::clone(&shared), delivery));
                    }
                    shared.show(state.minutes.roll(now.at));
                    state.next(now)
                }
            }
        };
        // A new timer for each round: what was accepted since may be due before the old one. With nothing due there is
        // none, and an idle notifier costs nothing.
        let timer =
            next.map_or(Either::Right(std::future::pending()), |at| Either::Left(sleep_until(at)));
        // Not `biased`: each branch leads to the next round, which looks at everything. Nothing is lost with the
        // others: `notified` leaves its permit, and `join_next` the tasks that it has not returned. Without deliveries
        // `join_next` yields `None`, and its branch is off for the round.
        tokio::select! {
            () = shared.wake.notified() => {}
            () = timer => {}
            Some(ended) = deliveries.join_next() => note(&shared, ended.ok()),
        }
    }
    // Waits until their futures are gone, and not only until they are aborted: `ended` must mean that no channel is
    // called any more.
    deliveries.shutdown().await;
}

/// Passes the end of a delivery to the state. `None`: the delivery was aborted, and the notifier with it.
fn note(shared: &Shared, ended: Option<Ended>) {
    if let Some(ended) = ended {
        // Clock and jitter are foreign code, so they are asked before the lock is taken. The jitter is asked only after
        // a failure: a seeded one then yields the same waits whatever was delivered in between.
        let (now, failed) = (shared.now(), ended.outcome.via.is_empty());
        let unit = if failed { shared.config.jitter.unit() } else { 1.0 };
        shared.lock().ended(ended, shared, unit, now);
    }
}
