//! Where the program keeps what must outlive it.
//!
//! | store | what it is |
//! |---|---|
//! | [`Disk`] | a file over redb, the default of `serve` |
//! | [`Memory`] | for simulations and tests |
//!
//! One suite of promises runs on both: `tests/it/store.rs`.

mod disk;
mod error;
mod memory;

pub use disk::Disk;
pub use error::StoreError;
pub use memory::Memory;

use std::num::NonZeroUsize;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::profile::{Known, Way};

/// How much a store keeps of what has ended. Of a full list the oldest one goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The ids of notifications that were sent or have expired. While an id is kept, it is not accepted again.
    pub ended: NonZeroUsize,
    /// The dead letters.
    pub dead: NonZeroUsize,
    /// The messages in the list of a user.
    pub inbox: NonZeroUsize,
}

impl Default for Limits {
    /// 100 000 ids, 1000 dead letters, and 100 messages for each user.
    fn default() -> Self {
        let count = |count: usize| NonZeroUsize::MIN.saturating_add(count - 1);
        Self { ended: count(100_000), dead: count(1000), inbox: count(100) }
    }
}

/// What is known of a parcel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParcelState {
    /// It is on its way, or its outcome is unknown: it may have arrived.
    Begun,
    /// The provider did not take it. It may later.
    Failed,
    /// The provider has it.
    Delivered,
    /// The provider does not take it, whenever it is sent.
    Refused(String),
}

/// Notifications that a channel delivers as one message, with one id for all attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// The id of the message. A receiver that has seen it ignores a repeat.
    pub key: String,
    /// The channel.
    pub way: Way,
    /// The ids of the notifications, in the order of acceptance.
    pub ids: Vec<String>,
    /// What is known of it.
    pub state: ParcelState,
}

/// A message in the list of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxItem {
    /// Its number: higher than those of all earlier messages of the store.
    pub number: u64,
    /// The notification.
    pub id: String,
    /// What has happened.
    pub topic: String,
    /// The text.
    pub text: String,
    /// When the notification was accepted.
    #[serde(with = "crate::as_text")]
    pub at: Timestamp,
}

/// How a notification has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Channels have delivered it.
    Sent {
        /// Which ones.
        via: Vec<Way>,
    },
    /// Its `expires_at` was reached before it was sent.
    Expired,
    /// It could not be delivered. It is a dead letter, and its id may be used again.
    Dead {
        /// Why.
        why: String,
    },
}

/// A notification that could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The notification.
    pub entry: Entry,
    /// Why.
    pub why: String,
}

/// What is known of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It has not ended.
    Pending,
    /// It was sent, or has expired.
    Ended(End),
    /// It is a dead letter.
    Dead(Letter),
}

/// A step from one content of the store to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Keeps a notification that has not ended, behind all others, unless its id is known. It replaces the dead letter
    /// with its id.
    Accept(Entry),
    /// Forgets a notification that was not accepted after all.
    Forget(String),
    /// Keeps what is known of a user.
    Profile(String, Known),
    /// Keeps a parcel, or its new state.
    Parcel(Parcel),
    /// Forgets the parcel with this key: all its notifications have ended.
    DropParcel(String),
    /// Puts a message into the list of a user, unless the notification is in it. The store gives it its number.
    Inbox(String, InboxItem),
    /// Records how a notification has ended. One that has ended, or is not known, stays as it is.
    End(String, End),
}

/// What a change has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// What it says.
    Done,
    /// Nothing: the store had it, or knew nothing of it.
    Nothing,
}

/// All that must be known at the start of a program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// The notifications that have not ended, in the order of acceptance.
    pub pending: Vec<Entry>,
    /// The users, by name.
    pub profiles: Vec<(String, Known)>,
    /// The parcels of notifications that have not ended.
    pub parcels: Vec<Parcel>,
}

/// Keeps notifications from their acceptance to their end, with what is needed to send them.
///
/// Several tasks call it at the same time.
pub trait Store: Send + Sync + 'static {
    /// Makes changes, all or none, and in this order. They are safe when the future is ready. Returns an answer for each
    /// change.
    ///
    /// # Errors
    ///
    /// [`StoreError`], and nothing was changed.
    ///
    /// # Cancellation
    ///
    /// A call that is dropped may be made or not. Callers that must know make it in a task of its own.
    fn apply(&self, changes: Vec<Change>) -> BoxFuture<'_, Result<Vec<Applied>, StoreError>>;

    /// Reads what a program needs at its start.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn load(&self) -> Result<Loaded, StoreError>;

    /// The messages of a user with numbers above `after`, the oldest ones first, `most` at most.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn inbox(&self, user: &str, after: u64, most: usize) -> Result<Vec<InboxItem>, StoreError>;

    /// What is known of an id.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn status(&self, id: &str) -> Result<Option<Status>, StoreError>;

    /// The dead letters, the oldest one first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn letters(&self) -> Result<Vec<Letter>, StoreError>;

    /// Ends when the store can keep nothing any more, with the reason.
    fn broken(&self) -> BoxFuture<'_, StoreError>;
}
