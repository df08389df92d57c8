//! The handle to the actor.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use level3::dead_letters::DeadLetters;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{broadcast, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::actor::{Actor, Order, Seen, Stop};
use super::channel::{Channels, DeliveryReport};
use super::config::{Config, ConfigError};
use super::metrics::MinuteMetrics;
use super::notification::{Notification, Pending, Receipt, Refused, UserId};
use super::preferences::{Preferences, PreferencesError};
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
    /// Their users.
    pub users: usize,
}

/// Sends notifications by the channels that their users prefer, when they prefer it.
pub struct Notifier {
    orders: UnboundedSender<Order>,
    stops: UnboundedSender<Stop>,
    seen: Arc<Seen>,
    actor: AbortHandle,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").finish_non_exhaustive()
    }
}

impl Notifier {
    /// Starts a notifier that knows no user.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the configuration makes no sense.
    pub fn start(
        config: Config,
        wall: impl WallClock,
        channels: Channels,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let seen = Arc::new(Seen {
            letters: DeadLetters::new(config.dead_letters, NonZeroU32::MIN),
            reports: broadcast::channel(config.announced.get()).0,
            metrics: watch::Sender::new(MinuteMetrics::default()),
            notifications: AtomicUsize::new(0),
            users: AtomicUsize::new(0),
        });
        let (orders, heard) = unbounded_channel();
        let (stops, stopped) = unbounded_channel();
        let actor = Actor::new(config, channels, Box::new(wall), Arc::clone(&seen));
        let actor = tokio::spawn(actor.run(heard, stopped)).abort_handle();
        Ok(Self { orders, stops, seen, actor })
    }

    /// Sets the preferences of a user.
    ///
    /// # Errors
    ///
    /// [`PreferencesError`] when the preferences contradict themselves.
    pub fn set_preferences(
        &self,
        user: UserId,
        preferences: Preferences,
    ) -> Result<(), PreferencesError> {
        preferences.check()?;
        let _ = self.orders.send(Order::Prefer(user, Box::new(preferences)));
        Ok(())
    }

    /// Accepts a notification.
    ///
    /// # Errors
    ///
    /// [`Refused`], and nothing of the notification is kept.
    pub async fn notify(&self, notification: Notification) -> Result<Receipt, Refused> {
        self.accept(notification, None).await
    }

    /// Accepts what another notifier has handed back.
    ///
    /// # Errors
    ///
    /// As [`notify`](Self::notify).
    pub async fn resume(&self, pending: Pending) -> Result<Receipt, Refused> {
        self.accept(pending.notification, Some(pending.due)).await
    }

    async fn accept(
        &self,
        one: Notification,
        date: Option<jiff::Timestamp>,
    ) -> Result<Receipt, Refused> {
        let fields = [("id", &*one.id.0), ("user", &*one.user.0), ("topic", &one.topic)];
        if let Some((field, _)) = fields.into_iter().find(|(_, text)| text.is_empty()) {
            return Err(Refused::Empty(field));
        }
        let (answer, answered) = oneshot::channel();
        let order = Order::Notify(Box::new(one), date, answer);
        self.orders.send(order).map_err(|_| Refused::Closed)?;
        answered.await.unwrap_or(Err(Refused::Closed))
    }

    /// Follows the calls of channels.
    #[must_use]
    pub fn deliveries(&self) -> broadcast::Receiver<DeliveryReport> {
        self.seen.reports.subscribe()
    }

    /// The figures of the minute that ended last.
    #[must_use]
    pub fn metrics(&self) -> watch::Receiver<MinuteMetrics> {
        self.seen.metrics.subscribe()
    }

    /// What could not be delivered.
    #[must_use]
    pub fn dead_letters(&self) -> &DeadLetters<Notification> {
        &self.seen.letters
    }

    /// How much waits.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        let read = |count: &AtomicUsize| count.load(SeqCst);
        Backlog { notifications: read(&self.seen.notifications), users: read(&self.seen.users) }
    }

    /// Stops.
    pub async fn shutdown(&self, deadline: Duration) -> Report {
        let (answer, answered) = oneshot::channel();
        let _ = self.stops.send((Instant::now().checked_add(deadline), answer));
        Report { pending: answered.await.unwrap_or_default() }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.actor.abort();
    }
}
