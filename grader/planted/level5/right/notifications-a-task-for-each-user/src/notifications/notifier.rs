//! The hub that all users' tasks share, and the notifier around it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use level3::dead_letters::DeadLetters;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, broadcast, oneshot, watch};
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::channel::{ChannelFailure, ChannelKind, Channels, DeliveryReport};
use super::config::{Config, ConfigError};
use super::lane::{Job, Say, serve};
use super::metrics::{MinuteMetrics, Minutes};
use super::notification::{
    DeadReason, Fate, Notification, NotificationId, Pending, Receipt, Refused, UserId,
};
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

struct Line {
    says: UnboundedSender<Say>,
    rings: Arc<Notify>,
}

struct Book {
    closed: bool,
    lines: HashMap<UserId, Line>,
    preferences: HashMap<UserId, Arc<Preferences>>,
    known: HashSet<NotificationId>,
    ended: VecDeque<NotificationId>,
    waiting: usize,
    accepted: u64,
    left: Vec<(u64, Pending)>,
    minutes: Minutes,
}

pub(super) struct Hub {
    pub config: Config,
    pub channels: Channels,
    pub wall: Box<dyn WallClock>,
    pub drain: CancellationToken,
    pub stop: CancellationToken,
    defaults: Arc<Preferences>,
    book: Mutex<Book>,
    tasks: TaskTracker,
    letters: DeadLetters<Notification>,
    reports: broadcast::Sender<DeliveryReport>,
    metrics: watch::Sender<MinuteMetrics>,
}

impl Hub {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn preferences(&self, user: &UserId) -> Arc<Preferences> {
        Arc::clone(self.book().preferences.get(user).unwrap_or(&self.defaults))
    }

    /// Waits until there is a word for a user.
    pub async fn word(&self, user: &UserId) {
        let rings = self.book().lines.get(user).map(|line| Arc::clone(&line.rings));
        match rings {
            Some(rings) => rings.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Whether the task of a user may end: no word waits for it, and none comes any more.
    pub fn leaves(&self, user: &UserId, says: &UnboundedReceiver<Say>) -> bool {
        let mut book = self.book();
        let leaves = says.is_empty();
        if leaves {
            book.lines.remove(user);
        }
        leaves
    }

    pub fn settle(&self, job: Job, fate: Fate) {
        let mut book = self.book();
        book.waiting -= 1;
        let id = job.notification.id;
        if matches!(fate, Fate::Sent { .. } | Fate::Expired) {
            book.ended.push_back(id);
            if book.ended.len() > self.config.remembered_ids.get()
                && let Some(oldest) = book.ended.pop_front()
            {
                book.known.remove(&oldest);
            }
        } else {
            book.known.remove(&id);
        }
        drop(book);
        let _ = job.fate.send(fate);
    }

    pub fn buries(&self, job: Job, reason: &DeadReason, attempts: u32) {
        let _ = self.letters.push(job.notification.clone(), reason, attempts);
        self.settle(job, Fate::Dead(reason.clone()));
    }

    pub fn hand_back(&self, job: Job, due: Timestamp) {
        let pending = Pending { notification: job.notification.clone(), due };
        self.book().left.push((job.number, pending));
        self.settle(job, Fate::Pending { due });
    }

    pub fn reports(
        &self,
        channel: ChannelKind,
        user: UserId,
        ids: Vec<NotificationId>,
        result: Result<(), ChannelFailure>,
    ) {
        self.book().minutes.count(channel, result.is_ok());
        let _ = self.reports.send(DeliveryReport { user, channel, ids, result });
    }
}

/// Sends notifications by the channels that their users prefer, when they prefer it.
pub struct Notifier {
    hub: Arc<Hub>,
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
        let book = Book {
            closed: false,
            lines: HashMap::new(),
            preferences: HashMap::new(),
            known: HashSet::new(),
            ended: VecDeque::new(),
            waiting: 0,
            accepted: 0,
            left: Vec::new(),
            minutes: Minutes::new(Instant::now()),
        };
        let stop = CancellationToken::new();
        let hub = Arc::new(Hub {
            drain: stop.child_token(),
            stop,
            defaults: Arc::new(config.defaults.clone()),
            book: Mutex::new(book),
            tasks: TaskTracker::new(),
            letters: DeadLetters::new(config.dead_letters, NonZeroU32::MIN),
            reports: broadcast::channel(config.announced.get()).0,
            metrics: watch::Sender::new(MinuteMetrics::default()),
            wall: Box::new(wall),
            channels,
            config,
        });
        hub.tasks.spawn(counts(Arc::clone(&hub)));
        Ok(Self { hub })
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
        let mut book = self.hub.book();
        book.preferences.insert(user.clone(), Arc::new(preferences));
        if let Some(line) = book.lines.get(&user) {
            let _ = line.says.send(Say::Prefer);
            line.rings.notify_one();
        }
        Ok(())
    }

    /// Accepts a notification.
    ///
    /// # Errors
    ///
    /// [`Refused`], and nothing of the notification is kept.
    pub async fn notify(&self, notification: Notification) -> Result<Receipt, Refused> {
        self.accept(notification, None)
    }

    /// Accepts what another notifier has handed back.
    ///
    /// # Errors
    ///
    /// As [`notify`](Self::notify).
    pub async fn resume(&self, pending: Pending) -> Result<Receipt, Refused> {
        self.accept(pending.notification, Some(pending.due))
    }

    fn accept(&self, one: Notification, date: Option<Timestamp>) -> Result<Receipt, Refused> {
        for (field, is_empty) in [
            ("id", one.id.0.is_empty()),
            ("user", one.user.0.is_empty()),
            ("topic", one.topic.is_empty()),
        ] {
            if is_empty {
                return Err(Refused::Empty(field));
            }
        }
        let capacity = self.hub.config.max_pending.get();
        let mut book = self.hub.book();
        if book.closed {
            return Err(Refused::Closed);
        }
        if book.known.contains(&one.id) {
            return Err(Refused::Duplicate);
        }
        if book.waiting >= capacity {
            return Err(Refused::Full { capacity });
        }
        book.known.insert(one.id.clone());
        book.waiting += 1;
        book.accepted += 1;
        let (sender, fate) = oneshot::channel();
        let receipt = Receipt { id: one.id.clone(), fate };
        let user = one.user.clone();
        let job = Job { number: book.accepted, notification: one, fate: sender };
        let line = book.lines.entry(user.clone()).or_insert_with(|| {
            let (says, heard) = unbounded_channel();
            self.hub.tasks.spawn(serve(Arc::clone(&self.hub), user, heard));
            Line { says, rings: Arc::new(Notify::new()) }
        });
        let _ = line.says.send(Say::Accept(job, date));
        line.rings.notify_one();
        Ok(receipt)
    }

    /// Follows the calls of channels.
    #[must_use]
    pub fn deliveries(&self) -> broadcast::Receiver<DeliveryReport> {
        self.hub.reports.subscribe()
    }

    /// The figures of the minute that ended last.
    #[must_use]
    pub fn metrics(&self) -> watch::Receiver<MinuteMetrics> {
        self.hub.metrics.subscribe()
    }

    /// What could not be delivered.
    #[must_use]
    pub fn dead_letters(&self) -> &DeadLetters<Notification> {
        &self.hub.letters
    }

    /// How much waits.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        let book = self.hub.book();
        Backlog { notifications: book.waiting, users: book.lines.len() }
    }

    /// Stops.
    pub async fn shutdown(&self, deadline: Duration) -> Report {
        self.hub.book().closed = true;
        self.hub.drain.cancel();
        self.hub.tasks.close();
        if timeout(deadline, self.hub.tasks.wait()).await.is_err() {
            self.hub.stop.cancel();
            self.hub.tasks.wait().await;
        }
        let mut left = std::mem::take(&mut self.hub.book().left);
        left.sort_by_key(|(number, _)| *number);
        Report { pending: left.into_iter().map(|(_, pending)| pending).collect() }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.hub.stop.cancel();
    }
}

/// Shows the figures of each minute.
async fn counts(hub: Arc<Hub>) {
    let minute = Duration::from_secs(60);
    let mut ticks = interval_at(Instant::now() + minute, minute);
    loop {
        tokio::select! {
            () = hub.drain.cancelled() => return,
            now = ticks.tick() => {
                let figures = hub.book().minutes.roll(now);
                if let Some(figures) = figures {
                    hub.metrics.send_replace(figures);
                }
            }
        }
    }
}
