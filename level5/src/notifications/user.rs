//! The notifications of one user: what waits, what is under way, what is next. There is no clock and no channel here.
//!
//! ```text
//!              accept            due reached, lane free                 a channel delivered
//!   ─────────────────▶ waiting ────────────────────────▶ on its way ───────────────────────▶ Sent
//!                        │  ▲ not urgent, quiet hours:      ▲    │
//!                        │  └─ due at their end             │    │ all channels failed
//!                        │                     wait is over │    ▼
//!                        │                               between two attempts ─── no attempt left ──▶ Dead
//!                        │                                  │
//!                        └────── expires_at reached ────────┴──▶ Expired
//! ```
//!
//! A user has two lanes: one for what is urgent, one for the rest. In a lane one delivery is under way at a time,
//! retries included, so that no notification overtakes an earlier one of its lane. What is urgent does not wait behind
//! the rest.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::channel::{ChannelFailure, ChannelKind};
use super::notification::{Notification, Priority};
use super::preferences::{Plan, Preferences};

/// The present, on both clocks. Waits are measured by the first one, dates by the second one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub at: Instant,
    pub wall: Timestamp,
}

/// When something is due. A wait and a date stay what they are until they are reached: converted at acceptance, either
/// would be wrong after the wall clock is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    At(Instant),
    Date(Timestamp),
}

impl Due {
    fn is_reached(self, now: Now) -> bool {
        match self {
            Self::Now => true,
            Self::At(at) => at <= now.at,
            Self::Date(date) => date <= now.wall,
        }
    }

    /// The same moment on the wall clock: another process, to which a pending notification is handed, has other
    /// instants.
    fn date(self, now: Now) -> Timestamp {
        match self {
            Self::Now => now.wall,
            Self::At(at) => {
                now.wall.checked_add(at.duration_since(now.at)).unwrap_or(Timestamp::MAX)
            }
            Self::Date(date) => date,
        }
    }
}

/// The next moments at which a user needs attention, one on each clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wake {
    pub at: Option<Instant>,
    pub date: Option<Timestamp>,
}

impl Wake {
    fn by(&mut self, due: Due, now: Now) {
        match due {
            Due::Now => self.by(Due::At(now.at), now),
            Due::At(at) => self.at = Some(self.at.map_or(at, |first| first.min(at))),
            Due::Date(date) => self.date = Some(self.date.map_or(date, |first| first.min(date))),
        }
    }

    fn by_expiry(&mut self, item: &Item, now: Now) {
        if let Some(end) = item.notification.expires_at {
            self.by(Due::Date(end), now);
        }
    }
}

/// A notification with its number in the order of acceptance. A clone is cheap: the lane keeps one while the delivery
/// has another.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub number: u64,
    pub notification: Arc<Notification>,
}

/// Notifications that are delivered together, in the order of acceptance.
pub(super) type Group = Vec<Item>;

/// Which of a user's two lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneName {
    Urgent,
    Rest,
}

/// A lane has one group, from the beginning of its first attempt to its end. While it has one, the rest waits: sent in
/// a pause between two attempts, a later notification would overtake an earlier one.
#[derive(Debug, Default)]
enum Lane {
    #[default]
    Free,
    /// The group is kept here while the delivery has a copy: what is handed back at a stop must not depend on a task
    /// that was aborted.
    OnItsWay {
        group: Group,
        /// Attempts that have failed.
        failed: u32,
    },
    BetweenAttempts {
        group: Group,
        failed: u32,
        due: Due,
    },
}

/// A notification that is in no lane yet.
#[derive(Debug)]
struct Waiting {
    item: Item,
    due: Due,
}

/// What one attempt led to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The channels that have delivered.
    pub via: Vec<ChannelKind>,
    pub failures: Vec<(ChannelKind, ChannelFailure)>,
}

/// How a group has ended.
#[derive(Debug)]
pub(super) enum End {
    Sent(Group, Vec<ChannelKind>),
    Failed { group: Group, attempts: u32, last: Vec<(ChannelKind, ChannelFailure)> },
}

/// What waits for one user, and what is under way.
#[derive(Debug, Default)]
pub(super) struct User {
    /// In the order of acceptance, which is the order within a delivery. Not by due time: that changes with quiet hours
    /// and preferences.
    waiting: VecDeque<Waiting>,
    /// The end of the window that was opened last. It may have passed: the next notification then opens another one.
    window: Option<Instant>,
    urgent: Lane,
    rest: Lane,
}

impl User {
    /// Whether nothing of this user is left.
    pub fn is_done(&self) -> bool {
        let free = |lane: &Lane| matches!(lane, Lane::Free);
        self.waiting.is_empty() && free(&self.urgent) && free(&self.rest)
    }

    /// Adds a notification, and returns when it needs attention.
    pub fn accept(
        &mut self,
        item: Item,
        preferences: &Preferences,
        window: Duration,
        now: Now,
    ) -> Wake {
        let plan = preferences.plan(item.notification.priority, now.wall);
        let due = self.due(plan, window, now);
        self.accept_at(item, due, now)
    }

    /// Adds a notification that is due at a known moment, and returns when it needs attention.
    pub fn accept_at(&mut self, item: Item, due: Due, now: Now) -> Wake {
        // Its expiry needs attention too: the fate is due at that moment, and not when it would have been sent.
        let mut wake = Wake::default();
        wake.by(due, now);
        wake.by_expiry(&item, now);
        self.waiting.push_back(Waiting { item, due });
        wake
    }

    /// Plans all that waits as if it were accepted now.
    pub fn replan(&mut self, preferences: &Preferences, window: Duration, now: Now) {
        // As if accepted now, and so in a new window: the one that is open would send them earlier than that.
        self.window = None;
        for index in 0..self.waiting.len() {
            let plan = preferences.plan(self.waiting[index].item.notification.priority, now.wall);
            self.waiting[index].due = self.due(plan, window, now);
        }
    }

    fn due(&mut self, plan: Plan, window: Duration, now: Now) -> Due {
        match plan {
            Plan::Now => Due::Now,
            Plan::Digest(date) => Due::Date(date),
            Plan::Window => match self.window.filter(|&end| end > now.at) {
                Some(end) => Due::At(end),
                // A window without an end: the end of the calendar.
                None => match now.at.checked_add(window) {
                    Some(end) => {
                        self.window = Some(end);
                        Due::At(end)
                    }
                    None => Due::Date(Timestamp::MAX),
                },
            },
        }
    }

    /// Removes what has expired. What is under way is not stopped.
    pub fn expire(&mut self, now: Now) -> Group {
        let is_over = |item: &Item| item.notification.is_expired(now.wall);
        let mut expired = Group::new();
        // A look first: mostly nothing has expired, and the queue stays where it is.
        if self.waiting.iter().any(|waiting| is_over(&waiting.item)) {
            let (over, rest) = self
                .waiting
                .drain(..)
                .partition::<VecDeque<_>, _>(|waiting| is_over(&waiting.item));
            self.waiting = rest;
            expired.extend(over.into_iter().map(|waiting| waiting.item));
        }
        for lane in [&mut self.urgent, &mut self.rest] {
            if let Lane::BetweenAttempts { group, .. } = lane {
                expired.extend(group.extract_if(.., |item| is_over(item)));
                // An attempt without notifications must not begin, nor hold up what waits for the lane.
                if group.is_empty() {
                    *lane = Lane::Free;
                }
            }
        }
        expired
    }

    /// The group that the lane delivers now, if there is one. It is under way then, until [`ended`](Self::ended).
    pub fn begin(
        &mut self,
        name: LaneName,
        quiet_until: Option<Timestamp>,
        now: Now,
    ) -> Option<Group> {
        // Only here quiet hours decide: at the moment at which something would be sent. Decided at acceptance, a window
        // that ends in them, or an attempt that falls into them, would wake the user.
        let held = quiet_until.filter(|_| name == LaneName::Rest).map(Due::Date);
        match self.lane(name) {
            Lane::OnItsWay { .. } => None,
            Lane::BetweenAttempts { due, .. } if !due.is_reached(now) => None,
            Lane::BetweenAttempts { due, group, failed } => match held {
                // The attempt keeps its number: being held is no failure.
                Some(end) => {
                    *due = end;
                    None
                }
                None => {
                    let (group, failed) = (std::mem::take(group), *failed);
                    *self.lane(name) = Lane::OnItsWay { group: group.clone(), failed };
                    Some(group)
                }
            },
            Lane::Free => self.begin_waiting(name, held, now),
        }
    }

    fn begin_waiting(&mut self, name: LaneName, held: Option<Due>, now: Now) -> Option<Group> {
        let is_ripe =
            |waiting: &Waiting| lane_of(&waiting.item) == name && waiting.due.is_reached(now);
        // Only what would go now is moved. The digest of next week stays where it is. A new due time, and not a mark:
        // the agenda then wakes the driver at the end of the quiet hours.
        if let Some(end) = held {
            self.waiting.iter_mut().filter(|it| is_ripe(it)).for_each(|it| it.due = end);
            return None;
        }
        // An empty group would keep the lane busy, without an end that frees it.
        if !self.waiting.iter().any(is_ripe) {
            return None;
        }
        // `partition` keeps the order of acceptance on both sides.
        let (ripe, rest) = self.waiting.drain(..).partition::<VecDeque<_>, _>(is_ripe);
        self.waiting = rest;
        let group: Group = ripe.into_iter().map(|waiting| waiting.item).collect();
        *self.lane(name) = Lane::OnItsWay { group: group.clone(), failed: 0 };
        Some(group)
    }

    /// Frees the lane of a group that has no channel.
    pub fn nowhere(&mut self, name: LaneName) {
        *self.lane(name) = Lane::Free;
    }

    /// Applies the outcome of an attempt. `wait` returns the pause after a number of failed attempts, or `None` if
    /// there is no further one.
    pub fn ended(
        &mut self,
        name: LaneName,
        outcome: Outcome,
        wait: impl FnOnce(u32) -> Option<Duration>,
        now: Now,
    ) -> Option<End> {
        let lane = self.lane(name);
        // Taken, so the lane is free unless the group returns to it below.
        let Lane::OnItsWay { group, failed } = std::mem::take(lane) else { return None };
        if !outcome.via.is_empty() {
            return Some(End::Sent(group, outcome.via));
        }
        let failed = failed.saturating_add(1);
        match wait(failed) {
            Some(wait) => {
                // From the end of the attempt, so that a channel that hangs has a pause too.
                let due = now.at.checked_add(wait).map_or(Due::Date(Timestamp::MAX), Due::At);
                *lane = Lane::BetweenAttempts { group, failed, due };
                None
            }
            None => Some(End::Failed { group, attempts: failed, last: outcome.failures }),
        }
    }

    /// When this user needs attention next. A delivery that is under way needs none: its end is attention.
    pub fn wake(&self, now: Now) -> Wake {
        let mut wake = Wake::default();
        for Waiting { item, due } in &self.waiting {
            wake.by_expiry(item, now);
            // While the lane is busy, the due time is left out: reached and not begun, it would wake the driver again
            // and again. The end of the delivery brings the user back.
            let lane = if lane_of(item) == LaneName::Urgent { &self.urgent } else { &self.rest };
            if matches!(lane, Lane::Free) {
                wake.by(*due, now);
            }
        }
        for lane in [&self.urgent, &self.rest] {
            if let Lane::BetweenAttempts { group, due, .. } = lane {
                wake.by(*due, now);
                group.iter().for_each(|item| wake.by_expiry(item, now));
            }
        }
        wake
    }

    /// All that has not ended, with the moment at which it is due.
    pub fn hand_back(self, now: Now) -> Vec<(Item, Timestamp)> {
        let waiting = self.waiting.into_iter().map(|waiting| (waiting.item, waiting.due));
        let lanes = [self.urgent, self.rest].into_iter().flat_map(|lane| {
            let (group, due) = match lane {
                Lane::Free => (Group::new(), Due::Now),
                // Its delivery was dropped. Whether it has arrived is unknown, so it is handed back: sent twice is
                // better than not at all.
                Lane::OnItsWay { group, .. } => (group, Due::Now),
                Lane::BetweenAttempts { group, due, .. } => (group, due),
            };
            group.into_iter().map(move |item| (item, due))
        });
        let all = waiting.chain(lanes);
        all.map(|(item, due)| (item, due.date(now).max(now.wall))).collect()
    }

    const fn lane(&mut self, name: LaneName) -> &mut Lane {
        match name {
            LaneName::Urgent => &mut self.urgent,
            LaneName::Rest => &mut self.rest,
        }
    }
}

fn lane_of(item: &Item) -> LaneName {
    match item.notification.priority {
        Priority::Urgent => LaneName::Urgent,
        _ => LaneName::Rest,
    }
}
