//! Which processes are alive: a decision about what was seen and when.
//!
//! The owner of a lane renews its entry. Another process that sees the same revision for the time of the lease, by its own
//! clock and with a server that answers, treats the owner as dead. No clocks are compared, and a server that is down for
//! an hour costs no owner its lane.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::server::Owner;

/// What is known of the owners of lanes.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: HashMap<u32, Seen>,
}

#[derive(Debug)]
struct Seen {
    revision: u64,
    since: Instant,
    /// It has changed while it was watched.
    has_changed: bool,
}

/// What an owner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// There is none.
    Free,
    /// It renews its entry.
    Alive,
    /// It was not watched for long enough.
    Unknown,
    /// It has not renewed its entry for the time of the lease.
    Dead,
}

impl Watch {
    /// Notes what was seen of a lane, and tells what it means.
    pub(crate) fn see(&mut self, lane: u32, owner: &Owner, now: Instant, lease: Duration) -> Life {
        if owner.is_free() {
            self.seen.remove(&lane);
            return Life::Free;
        }
        let revision = owner.revision;
        let first = Seen { revision, since: now, has_changed: false };
        let seen = self.seen.entry(lane).or_insert(first);
        if seen.revision != revision {
            *seen = Seen { revision, since: now, has_changed: true };
        }
        if now.saturating_duration_since(seen.since) >= lease {
            Life::Dead
        } else if seen.has_changed {
            Life::Alive
        } else {
            Life::Unknown
        }
    }

    /// The server has not answered: owners could not renew anything either, so the watch begins again.
    pub(crate) fn forget(&mut self) {
        self.seen.clear();
    }

    /// Forgets lanes that need no watch.
    pub(crate) fn keep(&mut self, is_watched: impl Fn(u32) -> bool) {
        self.seen.retain(|lane, _| is_watched(*lane));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn owned(revision: u64) -> Owner {
        let mut owner = Owner::none(revision);
        owner.entry.session = "someone".to_owned();
        owner
    }

    #[test]
    fn an_owner_is_dead_when_it_does_not_renew() {
        let mut watch = Watch::default();
        let at = |second| Instant::now() + Duration::from_secs(second);
        let begin = at(0);
        let mut see =
            |second, owner: &Owner| watch.see(3, owner, begin + Duration::from_secs(second), LEASE);
        assert_eq!(see(0, &owned(5)), Life::Unknown);
        assert_eq!(see(9, &owned(5)), Life::Unknown);
        assert_eq!(see(9, &owned(6)), Life::Alive);
        assert_eq!(see(18, &owned(6)), Life::Alive);
        assert_eq!(see(19, &owned(6)), Life::Dead);
        assert_eq!(see(19, &owned(7)), Life::Alive);
        assert_eq!(see(20, &Owner::none(8)), Life::Free);
        assert_eq!(see(21, &Owner::none(0)), Life::Free);
    }

    #[test]
    fn a_server_that_was_away_makes_no_owner_dead() {
        let mut watch = Watch::default();
        let begin = Instant::now();
        watch.see(3, &owned(5), begin, LEASE);
        watch.forget();
        assert_eq!(watch.see(3, &owned(5), begin + LEASE, LEASE), Life::Unknown);
        watch.keep(|lane| lane != 3);
        assert_eq!(watch.see(3, &owned(5), begin + LEASE * 2, LEASE), Life::Unknown);
    }
}
