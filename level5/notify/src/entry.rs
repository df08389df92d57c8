//! Notifications as facts: what has happened. The text is made when it is sent.

use std::time::Duration;

use jiff::Timestamp;
use level5::notifications::{Notification, NotificationId, Priority, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The most letters of a name: an id, a user, a topic.
pub const LONGEST_NAME: usize = 200;
/// The most bytes of the data, as JSON.
pub const MOST_DATA: usize = 16 << 10;

/// How urgent a notification is: level 5's [`Priority`], with names for JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// May wait for the window or the digest.
    Low,
    /// The usual case.
    #[default]
    Medium,
    /// At once for a user of `immediate`.
    High,
    /// At once, by all channels, also in quiet hours.
    Urgent,
}

impl From<Urgency> for Priority {
    fn from(urgency: Urgency) -> Self {
        match urgency {
            Urgency::Low => Self::Low,
            Urgency::Medium => Self::Medium,
            Urgency::High => Self::High,
            Urgency::Urgent => Self::Urgent,
        }
    }
}

/// A notification as a request has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Its id. A request that is repeated with the same id is accepted once.
    pub id: String,
    /// The user who gets it.
    pub user: String,
    /// What has happened, in a word, such as `invoice`. It chooses the template.
    pub topic: String,
    /// How urgent it is.
    #[serde(default)]
    pub priority: Urgency,
    /// What the template may name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    /// The moment from which on it is not sent any more.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::as_text::option")]
    pub expires_at: Option<Timestamp>,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A name is missing or too long.
    #[error("the field `{0}` needs 1 to {LONGEST_NAME} characters")]
    Name(&'static str),
    /// A topic chooses a template.
    #[error("the topic `{0}` needs small letters, digits, `-` and `_` only")]
    Topic(String),
    /// The data are too large.
    #[error("the data have {0} bytes as JSON, the limit is {MOST_DATA}")]
    Data(usize),
}

impl Request {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`RequestError`], the first one.
    pub fn check(&self) -> Result<(), RequestError> {
        let names = [("id", &self.id), ("user", &self.user), ("topic", &self.topic)];
        for (field, name) in names {
            if name.is_empty() || name.chars().count() > LONGEST_NAME {
                return Err(RequestError::Name(field));
            }
        }
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if !self.topic.chars().all(is_plain) {
            return Err(RequestError::Topic(self.topic.clone()));
        }
        let bytes = serde_json::to_vec(&self.data).map_or(usize::MAX, |json| json.len());
        if bytes > MOST_DATA { Err(RequestError::Data(bytes)) } else { Ok(()) }
    }
}

/// A notification that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What was asked for.
    pub request: Request,
    /// When it was accepted. Its window or digest counts from here.
    #[serde(with = "crate::as_text")]
    pub accepted_at: Timestamp,
}

impl Entry {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> NotificationId {
        self.request.id.as_str().into()
    }

    /// Its user.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.request.user.as_str().into()
    }

    /// What level 5's notifier gets. It has no text: channels make theirs from the facts.
    #[must_use]
    pub fn notification(&self) -> Notification {
        Notification {
            id: self.id(),
            user: self.user(),
            topic: self.request.topic.clone(),
            priority: self.request.priority.into(),
            message: None,
            expires_at: self.request.expires_at,
        }
    }

    /// A moment after the acceptance.
    #[must_use]
    pub fn after(&self, wait: Duration) -> Timestamp {
        self.accepted_at.checked_add(wait).unwrap_or(Timestamp::MAX)
    }
}
