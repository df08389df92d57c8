//! Events that the program makes.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use level5::event_processor::{Event, EventId};
use level5::priority_queue::Priority;

use crate::chance::mix;

/// Kinds of events. The part before the dot is the service.
const KINDS: [&str; 4] =
    ["analytics.click", "analytics.view", "monitoring.alarm", "accounting.order"];
/// How many keys there are.
const KEYS: u64 = 4096;

/// Makes every `step`th of a number of events. The same number is the same event.
#[derive(Debug)]
pub struct Generator {
    prefix: Arc<str>,
    data: Bytes,
    at: Timestamp,
    next: u64,
    last: u64,
    step: u64,
}

impl Generator {
    /// Divides the events 1 to `events` into `lanes` generators. Each event has `bytes` bytes of data and the time `at`.
    #[must_use]
    pub fn lanes(prefix: &str, events: u64, bytes: u32, at: Timestamp, lanes: u64) -> Vec<Self> {
        let data = Bytes::from(vec![b'x'; bytes as usize]);
        let lane = |first| Self {
            prefix: prefix.into(),
            data: data.clone(),
            at,
            next: first,
            last: events,
            step: lanes,
        };
        (1..=lanes).map(lane).collect()
    }

    fn event(&self, number: u64) -> Event {
        let chance = mix(number);
        // Of 16 events one is critical, three are high, eight medium and four low.
        let priority = match chance % 16 {
            0 => Priority::Critical,
            1..=3 => Priority::High,
            4..=11 => Priority::Medium,
            _ => Priority::Low,
        };
        // Every eighth event has a key. All numbers of a key are in one lane, whose number of steps divides that of keys.
        let key = (chance >> 8).is_multiple_of(8).then(|| format!("user-{}", number % KEYS));
        Event {
            id: EventId::new(format!("{}-{number}", self.prefix)),
            kind: KINDS[(chance >> 16) as usize % KINDS.len()].to_owned(),
            key,
            priority,
            at: self.at,
            data: self.data.clone(),
        }
    }
}

impl Iterator for Generator {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let number = self.next;
        if number > self.last {
            return None;
        }
        self.next = number.checked_add(self.step)?;
        Some(self.event(number))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn lanes_share_the_events_and_no_key() {
        let lanes = Generator::lanes("run", 10_000, 3, Timestamp::UNIX_EPOCH, 2);
        let (mut ids, mut keys) = (HashSet::new(), HashMap::new());
        for (lane, events) in lanes.into_iter().enumerate() {
            for event in events {
                assert!(event.check().is_ok() && event.data.len() == 3);
                assert!(ids.insert(event.id));
                if let Some(key) = event.key {
                    assert_eq!(*keys.entry(key).or_insert(lane), lane);
                }
            }
        }
        assert_eq!(ids.len(), 10_000);
        assert!(ids.contains(&EventId::new("run-1")) && ids.contains(&EventId::new("run-10000")));
        assert!(keys.len() > 500);
    }
}
