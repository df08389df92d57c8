//! What is processed: events, and the services that they are for.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use crate::priority_queue::Priority;

/// The id of an event. Two events with the same id are the same event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
// starter: keep
pub struct EventId(Arc<str>);

/// The name of a service that events are sent to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
// starter: keep
pub struct Service(Arc<str>);

// starter: keep
impl EventId {
    /// An id of this text.
    #[must_use]
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// starter: keep
impl Service {
    /// The service of this name.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// starter: keep
impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// starter: keep
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that has happened, and that a service has to learn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The id by which a repeated event is recognised. Not empty.
    pub id: EventId,
    /// What has happened, such as `user_action`. Not empty.
    pub kind: String,
    /// Events with the same key are delivered one after another, in the order in which they were accepted. `None`:
    /// the event has no order with others.
    pub key: Option<String>,
    /// The priority, which decides about its turns.
    pub priority: Priority,
    /// When it happened. The processor does not read it.
    pub at: Timestamp,
    /// Bytes that only the service reads. Empty is valid.
    pub data: Bytes,
}

/// Why an event is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// [`Event::id`] is empty.
    #[error("its id is empty")]
    EmptyId,
    /// [`Event::kind`] is empty.
    #[error("its kind is empty")]
    EmptyKind,
}

impl Event {
    /// Checks what can be wrong with an event.
    ///
    /// # Errors
    ///
    /// [`Invalid`].
    pub fn check(&self) -> Result<(), Invalid> {
        if self.id.as_str().is_empty() {
            Err(Invalid::EmptyId)
        } else if self.kind.is_empty() {
            Err(Invalid::EmptyKind)
        } else {
            Ok(())
        }
    }
}
