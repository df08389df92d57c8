//! The state of a notifier, and the steps from one state to the next.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use level3::dead_letters::DeadLetters;
use tokio::sync::{Notify, broadcast, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::agenda::Agenda;
use super::channel::{ChannelFailure, ChannelKind, Channels, DeliveryReport};
use super::config::Config;
use super::deliver::{Delivery, Ended};
use super::metrics::{MinuteMetrics, Minutes};
use super::notification::{
    DeadReason, Fate, Notification, NotificationId, Pending, Receipt, Refused, UserId,
};
use super::preferences::Preferences;
use super::user::{Due, End, Group, Item, LaneName, Now, User};
use crate::wall_clock::WallClock;

/// What the notifier, its driver and its deliveries share.
pub(super) struct Shared {
    pub config: Config,
    pub channels: Channels,
    /// For dates only: digests, quiet hours, expiry. Windows and pauses are measured by tokio's clock, so that a wall
    /// clock that is set neither shortens nor stretches them.
    pub wall: Box<dyn WallClock>,
    /// A `std` mutex: it is held for one step, never across an await, and a destructor takes it. Channels, the wall
    /// clock and the jitter, which are foreign code, are called without it.
    pub state: Mutex<State>,
    /// Wakes the driver. It keeps one permit, so a change between two waits is not lost.
    pub wake: Notify,
    /// Cancelled when the driver has ended, and with it every delivery. A token, because several shutdowns may wait.
    pub ended: CancellationToken,
    /// Apart from the state, with a lock of its own: callers have it by reference.
    pub letters: DeadLetters<Notification>,
    /// Broadcast: every reader sees each call, and a slow one loses the oldest. No delivery waits for a reader.
    pub reports: broadcast::Sender<DeliveryReport>,
    /// Watch: only the latest minute matters.
    pub metrics: watch::Sender<MinuteMetrics>,
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Now {
        Now { wall: self.wall.now(), at: Instant::now() }
    }

    /// Counts and reports a call of a channel that has ended.
    pub fn announce(
        &self,
        channel: ChannelKind,
        user: &UserId,
        group: &Group,
        result: &Result<(), ChannelFailure>,
    ) {
        let now = Instant::now();
        {
            let mut state = self.lock();
            // First the minutes that have ended: in an idle time the driver had no timer for them, and this call would
            // be counted in a minute that is over.
            self.show(state.minutes.roll(now));
            state.minutes.count(channel, result.is_ok());
        }
        // The driver may have no timer for the end of this minute.
        self.wake.notify_one();
        let ids = group.iter().map(|item| item.notification.id.clone()).collect();
        let (user, result) = (user.clone(), result.clone());
        // An error says that there is no reader.
        let _ = self.reports.send(DeliveryReport { user, channel, ids, result });
    }

    pub fn show(&self, figures: Option<MinuteMetrics>) {
        if let Some(figures) = figures {
            // `send_replace` and not `send`, which keeps the old figures while there is no reader.
            self.metrics.send_replace(figures);
        }
    }
}

/// How far a notifier is from its end. It only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Nothing is accepted and nothing begins. Deliveries that are under way may end.
    Draining,
    /// Deliveries that are under way are dropped.
    Stopping,
}

/// The state of a notifier. Every method is one step, under the lock of [`Shared`].
pub(super) struct State {
    pub phase: Phase,
    pub minutes: Minutes,
    /// In `Arc`s: a step reads the preferences of a user while it changes the user.
    preferences: HashMap<UserId, Arc<Preferences>>,
    defaults: Arc<Preferences>,
    /// The users with notifications that have not ended. The others cost nothing.
    users: HashMap<UserId, User>,
    /// When each of `users` needs attention. A step that changes a user enters the new moments in here, or the user
    /// would wait until something else wakes the driver.
    agenda: Agenda,
    ids: Ids,
    /// By the number of the notification. Each has one until its fate is known: this is what makes it one fate. Their
    /// number is that of the notifications that wait, against which the capacity is checked.
    receipts: HashMap<u64, oneshot::Sender<Fate>>,
    /// How many notifications were accepted, and so the number of the next one. A number and not the id identifies a
    /// notification: an id may come again.
    accepted: u64,
}

impl State {
    pub fn new(config: &Config, now: Instant) -> Self {
        Self {
            phase: Phase::Open,
            minutes: Minutes::new(now),
            preferences: HashMap::new(),
            defaults: Arc::new(config.defaults.clone()),
            users: HashMap::new(),
            agenda: Agenda::default(),
            ids: Ids::new(config.remembered_ids.get()),
            receipts: HashMap::new(),
            accepted: 0,
        }
    }

    /// How many notifications have not ended, and how many users they belong to.
    pub fn backlog(&self) -> (usize, usize) {
        (self.receipts.len(), self.users.len())
    }

    /// Accepts a notification, which is due at `date`, or when its user's preferences say.
    pub fn accept(
        &mut self,
        notification: Notification,
        date: Option<Timestamp>,
        config: &Config,
        now: Now,
    ) -> Result<Receipt, Refused> {
        // All that can refuse comes first, so that a refusal has nothing to undo. `Closed` before the others: those may
        // pass, and a caller would try again.
        if self.phase != Phase::Open {
            return Err(Refused::Closed);
        }
        if self.ids.has(&notification.id) {
            return Err(Refused::Duplicate);
        }
        let capacity = config.max_pending.get();
        if self.receipts.len() >= capacity {
            return Err(Refused::Full { capacity });
        }
        self.ids.add(notification.id.clone());
        let (sender, fate) = oneshot::channel();
        let receipt = Receipt { id: notification.id.clone(), fate };
        let (number, user) = (self.accepted, notification.user.clone());
        self.accepted += 1;
        self.receipts.insert(number, sender);
        let item = Item { number, notification: Arc::new(notification) };
        // After the receipt and the id are entered, since `settle` is the one way to a fate.
        if item.notification.is_expired(now.wall) {
            self.settle(item, Fate::Expired);
            return Ok(receipt);
        }
        let preferences = self.preferences(&user);
        let waiting = self.users.entry(user.clone()).or_default();
        let wake = match date {
            Some(date) => waiting.accept_at(item, Due::Date(date), now),
            None => waiting.accept(item, &preferences, config.window, now),
        };
        self.agenda.add(&user, wake);
        Ok(receipt)
    }

    /// Sets the preferences of a user, and plans all that waits again.
    pub fn prefer(&mut self, user: UserId, preferences: Preferences, config: &Config, now: Now) {
        if let Some(waiting) = self.users.get_mut(&user) {
            waiting.replan(&preferences, config.window, now);
            self.agenda.set(&user, waiting.wake(now));
        }
        self.preferences.insert(user, Arc::new(preferences));
    }

    fn preferences(&self, user: &UserId) -> Arc<Preferences> {
        Arc::clone(self.preferences.get(user).unwrap_or(&self.defaults))
    }

    /// The deliveries that begin now.
    pub fn begin(&mut self, shared: &Shared, now: Now) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        // It ends, because `attend` leaves a user no moment up to `now`: what is due has begun, is held, or waits for a
        // lane, whose end counts as attention.
        while let Some(name) = self.agenda.due(now) {
            self.attend(&name, shared, now, &mut deliveries);
        }
        deliveries
    }

    /// Does for a user what is due.
    fn attend(&mut self, name: &UserId, shared: &Shared, now: Now, begin: &mut Vec<Delivery>) {
        let preferences = self.preferences(name);
        let Some(user) = self.users.get_mut(name) else { return self.agenda.remove(name) };
        // Before anything begins: of two that are due and expired at the same moment, neither is sent.
        let expired = user.expire(now);
        let quiet_until = preferences.quiet_until(now.wall);
        // Settled below, when the borrow of `user` has ended.
        let mut stranded = Group::new();
        for lane in [LaneName::Urgent, LaneName::Rest] {
            let Some(group) = user.begin(lane, quiet_until, now) else { continue };
            let route = preferences.route(&shared.channels);
            if route.is_empty() {
                user.nowhere(lane);
                stranded.extend(group);
            } else {
                begin.push(Delivery { user: name.clone(), lane, group, route });
            }
        }
        self.reschedule(name, now);
        for item in expired {
            self.settle(item, Fate::Expired);
        }
        self.bury(stranded, &DeadReason::NoChannel, 0, &shared.letters);
    }

    /// Applies the end of an attempt. `unit` is a number of the jitter, for the wait before the next one.
    pub fn ended(&mut self, ended: Ended, shared: &Shared, unit: f64, now: Now) {
        // No user: its notifications were handed back, and have their fate. A second one would be the loss of a
        // promise: `Pending` says that another notifier may send it.
        let Some(user) = self.users.get_mut(&ended.user) else { return };
        let retry = &shared.config.retry;
        let wait = |failed: u32| {
            let again = failed < retry.attempts().get();
            again.then(|| retry.delay(failed, unit))
        };
        let end = user.ended(ended.lane, ended.outcome, wait, now);
        self.reschedule(&ended.user, now);
        match end {
            None => {}
            Some(End::Sent(group, via)) => {
                for item in group {
                    self.settle(item, Fate::Sent { via: via.clone() });
                }
            }
            Some(End::Failed { group, attempts, last }) => {
                let reason = DeadReason::Failed { attempts, last };
                self.bury(group, &reason, attempts, &shared.letters);
            }
        }
    }

    /// When the driver is needed next, if nothing happens before.
    pub fn next(&self, now: Now) -> Option<Instant> {
        self.agenda.next(now).into_iter().chain(self.minutes.next()).min()
    }

    /// Takes out all that has not ended, in the order of acceptance, and settles each as pending.
    pub fn hand_back(&mut self, now: Now) -> Vec<Pending> {
        let users = std::mem::take(&mut self.users);
        self.agenda = Agenda::default();
        let mut left: Vec<_> = users.into_values().flat_map(|user| user.hand_back(now)).collect();
        // The map has its own order, and lanes come after what waits.
        left.sort_by_key(|(item, _)| item.number);
        let pending = left.into_iter().map(|(item, due)| {
            let notification = (*item.notification).clone();
            self.settle(item, Fate::Pending { due });
            Pending { notification, due }
        });
        pending.collect()
    }

    /// Enters the next moments of a user, or forgets one of whom nothing waits. After each step that changes a user.
    fn reschedule(&mut self, name: &UserId, now: Now) {
        let Some(user) = self.users.get(name) else { return };
        // Otherwise a notifier would keep an entry of every user that it ever had.
        if user.is_done() {
            self.users.remove(name);
            self.agenda.remove(name);
        } else {
            let wake = user.wake(now);
            self.agenda.set(name, wake);
        }
    }

    /// Ends the notifications of a group as dead letters.
    fn bury(
        &mut self,
        group: Group,
        reason: &DeadReason,
        attempts: u32,
        letters: &DeadLetters<Notification>,
    ) {
        for item in group {
            // Full: the older letters stay, and the fate says what has happened to this one.
            let _ = letters.push((*item.notification).clone(), reason, attempts);
            self.settle(item, Fate::Dead(reason.clone()));
        }
    }

    /// Gives a notification its fate. Every notification ends here, and only here.
    fn settle(&mut self, item: Item, fate: Fate) {
        match fate {
            // It was not delivered, so it may be sent again.
            Fate::Dead(_) | Fate::Pending { .. } => self.ids.forget(&item.notification.id),
            Fate::Sent { .. } | Fate::Expired => self.ids.ended(item.notification.id.clone()),
        }
        if let Some(receipt) = self.receipts.remove(&item.number) {
            // An error says that the receipt was dropped.
            let _ = receipt.send(fate);
        }
    }
}

/// The ids that are refused as duplicates: those of notifications that wait, and of the last ones that have ended.
struct Ids {
    /// All of them. The capacity of the notifier bounds those that wait.
    known: HashSet<NotificationId>,
    /// The ids of ended notifications, the oldest one first: the order in which they are forgotten.
    ended: VecDeque<NotificationId>,
    /// The most ids in `ended`.
    capacity: usize,
}

impl Ids {
    fn new(capacity: usize) -> Self {
        Self { known: HashSet::new(), ended: VecDeque::new(), capacity }
    }

    fn has(&self, id: &NotificationId) -> bool {
        self.known.contains(id)
    }

    fn add(&mut self, id: NotificationId) {
        self.known.insert(id);
    }

    fn forget(&mut self, id: &NotificationId) {
        self.known.remove(id);
    }

    fn ended(&mut self, id: NotificationId) {
        self.ended.push_back(id);
        if self.ended.len() > self.capacity
            && let Some(oldest) = self.ended.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}
