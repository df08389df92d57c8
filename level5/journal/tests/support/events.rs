//! Events and letters for the tests of journals.

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
