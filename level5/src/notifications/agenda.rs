//! Which user needs attention next. A user has at most one entry on each clock, so ten thousand digests cost one timer.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use tokio::time::Instant;

use super::notification::UserId;
use super::user::{Now, Wake};

/// The moments at which users need attention.
///
/// There are two clocks, and so two orders: a window or a pause is a length of time, a digest is a date. A date that is
/// turned into an instant when it is entered would be wrong as soon as an operator sets the clock.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// Sets and not heaps: an entry in the middle can be removed. The user keeps two of the same moment apart.
    by_instant: BTreeSet<(Instant, UserId)>,
    by_date: BTreeSet<(Timestamp, UserId)>,
    /// The entries of each user in the two sets, by which they are found to be removed.
    entries: HashMap<UserId, Wake>,
}

impl Agenda {
    /// Enters these moments for the user, instead of all others.
    pub fn set(&mut self, user: &UserId, wake: Wake) {
        self.remove(user);
        // A user with deliveries under way and nothing else: their ends bring the user back.
        if wake == Wake::default() {
            return;
        }
        self.by_instant.extend(wake.at.map(|at| (at, user.clone())));
        self.by_date.extend(wake.date.map(|date| (date, user.clone())));
        self.entries.insert(user.clone(), wake);
    }

    /// Enters these moments for the user, if they are earlier than those that are entered.
    ///
    /// For a notification that was just accepted. [`set`](Self::set) would need the moments of all that waits, and a
    /// user with ten thousand notifications would cost as many steps for each further one.
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
            // A date that has passed gives a negative length, which is no `Duration`: it is due now. One beyond the
            // range of an `Instant` needs no timer.
            let wait = now.wall.duration_until(*date).try_into().unwrap_or_default();
            now.at.checked_add(wait)
        });
        by_instant.into_iter().chain(by_date).min()
    }
}
