//! When pending notifications are due after a restart. There is no clock and no store here.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use level5::notifications::{Frequency, Preferences, Priority};

use crate::entry::Entry;

/// The preferences of a user, and since when they hold.
#[derive(Debug, Clone)]
pub struct Since {
    /// The preferences.
    pub preferences: Preferences,
    /// What waited at this moment was planned again.
    pub since: Timestamp,
}

/// The moments at which entries are due that an earlier process has accepted, in their order.
///
/// They are those of that process: a window or digest counts from the acceptance, or from the last change of the user's
/// preferences. So a restart neither skips nor repeats a digest. Quiet hours decide later, when something is due.
///
/// What was due while no process ran is due at `now` if it goes alone, in the order of acceptance, and at `soon` if it goes
/// with others: all of them are resumed by then. `preferences` has the users; the others have `defaults`.
#[must_use]
pub fn dues(
    entries: &[Entry],
    preferences: &HashMap<&str, Since>,
    defaults: &Preferences,
    window: Duration,
    (now, soon): (Timestamp, Timestamp),
) -> Vec<Timestamp> {
    // By user: the end of the window that was opened last.
    let mut windows = HashMap::new();
    let due = |entry: &Entry| {
        let user = entry.request.user.as_str();
        let known = preferences.get(user);
        let preferences = known.map_or(defaults, |known| &known.preferences);
        // As the notifier does when preferences change: as if it were accepted at that moment.
        let from = known.map_or(entry.accepted_at, |known| known.since.max(entry.accepted_at));
        match (entry.request.priority.into(), preferences.frequency) {
            (Priority::Urgent, _) | (Priority::High, Frequency::Immediate) => from.max(now),
            (_, Frequency::Immediate | Frequency::Batched) => {
                let end = windows.get(user).copied().filter(|end| *end > from);
                let end = end.unwrap_or_else(|| from.checked_add(window).unwrap_or(Timestamp::MAX));
                windows.insert(user.to_owned(), end);
                end.max(soon)
            }
            (_, digests) => {
                digests.next_digest(from, &preferences.zone).unwrap_or(Timestamp::MAX).max(soon)
            }
        }
    };
    entries.iter().map(due).collect()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use level5::notifications::ChannelKind;
    use serde_json::Map;

    use super::*;
    use crate::entry::{Request, Urgency};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn entry(user: &str, priority: Urgency, accepted: &str) -> Entry {
        let (id, topic) = (accepted.to_owned(), "it".to_owned());
        let data = Map::new();
        let request =
            Request { id, user: user.to_owned(), topic, priority, data, expires_at: None };
        Entry { request, accepted_at: at(accepted) }
    }

    fn since(frequency: Frequency, since: &str) -> Since {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let preferences = Preferences { zone, frequency, ..Preferences::new([ChannelKind::InApp]) };
        Since { preferences, since: at(since) }
    }

    #[test]
    fn what_waits_is_due_when_it_was() {
        let long_ago = "2026-01-01T00:00:00Z";
        let users = HashMap::from([
            ("daily", since(Frequency::DAILY, long_ago)),
            ("batched", since(Frequency::Batched, long_ago)),
            ("moved", since(Frequency::Batched, "2026-03-29T05:00:30Z")),
        ]);
        let cases = [
            // 09:00 in Berlin on the day on which the clock was put forward.
            ("daily", Urgency::Low, "2026-03-28T20:00:00Z", "2026-03-29T07:00:00Z"),
            ("daily", Urgency::Urgent, "2026-03-29T05:00:00Z", "2026-03-29T05:00:00Z"),
            // One window for two, and another one for the third.
            ("batched", Urgency::High, "2026-03-29T05:00:00Z", "2026-03-29T05:01:00Z"),
            ("batched", Urgency::Low, "2026-03-29T05:00:59Z", "2026-03-29T05:01:00Z"),
            ("batched", Urgency::Low, "2026-03-29T05:01:00Z", "2026-03-29T05:02:00Z"),
            // Planned again when the preferences changed.
            ("moved", Urgency::Low, "2026-03-29T04:59:00Z", "2026-03-29T05:01:30Z"),
            ("unknown", Urgency::High, "2026-03-29T05:00:00Z", "2026-03-29T05:00:00Z"),
            ("unknown", Urgency::Low, "2026-03-29T05:00:00Z", "2026-03-29T05:01:00Z"),
        ];
        let entries: Vec<_> =
            cases.iter().map(|(user, priority, when, _)| entry(user, *priority, when)).collect();
        let defaults = Preferences::new([ChannelKind::InApp]);
        let minute = Duration::from_secs(60);
        let expected: Vec<_> = cases.iter().map(|(.., due)| at(due)).collect();
        let long_ago = (at(long_ago), at(long_ago));
        assert_eq!(dues(&entries, &users, &defaults, minute, long_ago), expected);
        let later = at("2026-03-29T05:01:10Z");
        let soon = later + Duration::from_secs(1);
        let due = dues(&entries, &users, &defaults, minute, (later, soon));
        let goes_alone = [false, true, false, false, false, false, true, false];
        let expected = expected.into_iter().zip(goes_alone);
        let expected = expected.map(|(due, alone)| due.max(if alone { later } else { soon }));
        assert_eq!(due, expected.collect::<Vec<_>>());
    }
}
