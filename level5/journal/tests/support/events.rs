//! Events, letters and chance for the tests of journals.

use std::sync::Arc;

use jiff::Timestamp;
use level5::event_processor::{DeadLetter, Event, EventId, Service};
use level5::priority_queue::Priority;

/// An event with this id, and with other fields than those of other ids.
pub fn event(id: &str) -> Arc<Event> {
    sized(id, id.len() * 7)
}

/// An event with so many bytes of data.
pub fn sized(id: &str, bytes: usize) -> Arc<Event> {
    let size = id.len();
    Arc::new(Event {
        id: EventId::new(id),
        kind: format!("kind of {id}"),
        key: size.is_multiple_of(2).then(|| format!("key of {id}")),
        priority: Priority::ALL[size % 4],
        at: Timestamp::new(-1_000_000_007, -5).expect("a time"),
        data: vec![size as u8; bytes].into(),
    })
}

/// A letter of an event with this id.
pub fn letter(id: &str) -> DeadLetter {
    let service = Service::new("mail");
    DeadLetter { event: event(id), service, attempts: 4, reason: format!("{id}: never") }
}

/// Numbers that look random, the same for the same seed: SplitMix64.
pub struct Chance(pub u64);

impl Chance {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}
