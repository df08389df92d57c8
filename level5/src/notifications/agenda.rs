//! Who needs attention next. A user has one entry on each clock at most, so that ten thousand digests cost one timer.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use tokio::time::Instant;

use super::notification::UserId;
use super::user::{Now, Wake};

#[derive(Debug, Default)]
pub(super) struct Agenda {
    by_instant: BTreeSet<(Instant, UserId)>,
    by_date: BTreeSet<(Timestamp, UserId)>,
    /// The entries of each user in the two sets.
    entries: HashMap<UserId, Wake>,
}

impl Agenda {
    /// The user needs attention at these moments, and at no others.
    pub fn set(&mut self, user: &UserId, wake: Wake) {
        self.remove(user);
        if wake == Wake::default() {
            return;
        }
        self.by_instant.extend(wake.at.map(|at| (at, user.clone())));
        self.by_date.extend(wake.date.map(|date| (date, user.clone())));
        self.entries.insert(user.clone(), wake);
    }

    /// The user needs attention at these moments too.
    pub fn add(&mut self, user: &UserId, wake: Wake) {
        fn first<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
            one.into_iter().chain(other).min()
        }
        let known = self.entries.get(user).copied().unwrap_or_default();
        let wake = Wake { at: first(known.at, wake.at), date: first(known.date, wake.date) };
        if wake != known {
            self.set(user, wake);
        }
    }

    pub fn remove(&mut self, user: &UserId) {
        let Some(wake) = self.entries.remove(user) else { return };
        if let Some(at) = wake.at {
            self.by_instant.remove(&(at, user.clone()));
        }
        if let Some(date) = wake.date {
            self.by_date.remove(&(date, user.clone()));
        }
    }

    /// A user that needs attention now.
    pub fn due(&self, now: Now) -> Option<UserId> {
        let by_instant = self.by_instant.first().filter(|(at, _)| *at <= now.at);
        let by_date = self.by_date.first().filter(|(date, _)| *date <= now.wall);
        by_instant.map(|(_, user)| user).or(by_date.map(|(_, user)| user)).cloned()
    }

    /// When the next user needs attention. A date is as far away as the wall clock says now.
    pub fn next(&self, now: Now) -> Option<Instant> {
        let by_instant = self.by_instant.first().map(|(at, _)| *at);
        let by_date = self.by_date.first().and_then(|(date, _)| {
            let wait = now.wall.duration_until(*date).try_into().unwrap_or_default();
            now.at.checked_add(wait)
        });
        by_instant.into_iter().chain(by_date).min()
    }
}
