//! Notifications, how they end, and the receipts by which a caller learns it.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::channel::{ChannelFailure, ChannelKind};

/// Identifies a notification. A notifier accepts an id once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotificationId(pub Arc<str>);

// starter: keep
impl From<&str> for NotificationId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

// starter: keep
impl fmt::Display for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub Arc<str>);

// starter: keep
impl From<&str> for UserId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

// starter: keep
impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How urgent a notification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// May wait: for the window or the digest of its user.
    Low,
    /// The usual case.
    Medium,
    /// Goes at once to a user who gets notifications immediately. Quiet hours hold it.
    High,
    /// Goes at once, also in quiet hours, and to all channels of the user.
    Urgent,
}

/// A message for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its id. Not empty.
    pub id: NotificationId,
    /// The user who gets it. Not empty.
    pub user: UserId,
    /// What has happened, in a word, such as `invoice`. Not empty.
    pub topic: String,
    /// How urgent it is.
    pub priority: Priority,
    /// The text. Without one, the text is `New TOPIC notification`.
    pub message: Option<String>,
    /// The moment from which on it is not sent any more. `None`: it does not expire.
    pub expires_at: Option<Timestamp>,
}

impl Notification {
    /// A notification with a text, which does not expire.
    // starter: keep
    #[must_use]
    pub fn new(id: &str, user: &str, priority: Priority, message: &str) -> Self {
        Self {
            id: id.into(),
            user: user.into(),
            topic: "message".to_owned(),
            priority,
            message: Some(message.to_owned()),
            expires_at: None,
        }
    }

    /// Whether it is too late to send it: `expires_at` is reached.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }
}

/// How a notification has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It was delivered.
    Sent {
        /// The channels that have delivered it, in the order of the user's preferences.
        via: Vec<ChannelKind>,
    },
    /// Its `expires_at` was reached before it was sent.
    Expired,
    /// It could not be delivered. It is among the dead letters, unless there was no room.
    Dead(DeadReason),
    /// The notifier was stopped before. Whether a delivery that was under way has arrived is unknown.
    Pending {
        /// When it is due.
        due: Timestamp,
    },
}

/// Why a notification could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeadReason {
    /// The user has no channel that is enabled and that the notifier has. It was not tried.
    #[error("the user has no channel that is enabled and registered")]
    NoChannel,
    /// Every channel failed in every attempt.
    #[error("all channels failed in {attempts} attempts; the last one: {}", Listed(last))]
    Failed {
        /// The attempts that were made. An attempt tries each channel of the user.
        attempts: u32,
        /// The failure of each channel in the last attempt, in the order of the user's preferences.
        last: Vec<(ChannelKind, ChannelFailure)>,
    },
}

/// Failures for a message: `Email: 503, Sms: it timed out`.
// starter: keep
struct Listed<'a>(&'a [(ChannelKind, ChannelFailure)]);

// starter: keep
impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (kind, failure)) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { ", " };
            write!(f, "{separator}{kind:?}: {failure}")?;
        }
        Ok(())
    }
}

/// Why a notification was not accepted. Nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A field that names something is empty.
    #[error("the field `{0}` of the notification is empty")]
    Empty(&'static str),
    /// The id was accepted before.
    #[error("a notification with this id was accepted before")]
    Duplicate,
    /// As many notifications wait as `Config::max_pending` allows.
    #[error("{capacity} notifications wait, the limit")]
    Full {
        /// The most notifications that may wait.
        capacity: usize,
    },
    /// The notifier is stopped or is being stopped.
    #[error("the notifier accepts nothing more: it is being stopped")]
    Closed,
}

/// A notification that a notifier has not sent, for another notifier: see `Notifier::resume`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The notification.
    pub notification: Notification,
    /// When it is due: the end of its window, the digest, the end of the quiet hours, or the next attempt. If that has
    /// passed, the moment at which the notifier was stopped.
    pub due: Timestamp,
}

/// The promise that a notification has exactly one [`Fate`].
#[derive(Debug)]
pub struct Receipt {
    /// The id of the notification.
    pub id: NotificationId,
    /// A oneshot channel: it carries one value, which is the promise. The sender is in the state of the notifier.
    pub(super) fate: oneshot::Receiver<Fate>,
}

impl Receipt {
    /// Waits for the end of the notification.
    ///
    /// # Cancellation
    ///
    /// Dropping the future or the receipt changes nothing for the notification.
    pub async fn fate(self) -> Fate {
        // The sender is not dropped without a fate: the notifier owns it, and its destructor settles all that is left.
        self.fate.await.unwrap_or(Fate::Pending { due: Timestamp::MAX })
    }
}
