//! Idempotency: the same request sent twice is executed once.
//!
//! A client that got no answer sends its request again, with the same key. The store makes sure that the
//! work behind a key is done once: a repeat gets the stored answer, and a repeat that arrives while the
//! work is running waits for the same result.
//!
//! Lesson: `level3/lessons/idempotency.md`.

mod store;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

pub use store::Store;

/// The longest key, in characters: the limit of Stripe's API.
pub const LONGEST_KEY: usize = 255;

/// Why [`Key::new`] refuses a text.
///
/// ```
/// use level3::idempotency::{Key, KeyError, LONGEST_KEY};
///
/// let long = "k".repeat(LONGEST_KEY + 1);
/// assert_eq!(Key::new(&long), Err(KeyError::TooLong { characters: 256 }));
/// assert_eq!(Key::new(""), Err(KeyError::Empty));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is empty.
    #[error("an idempotency key must not be empty")]
    Empty,
    /// It has more than [`LONGEST_KEY`] characters.
    #[error("an idempotency key has at most {LONGEST_KEY} characters, not {characters}")]
    TooLong {
        /// The number of characters in the text.
        characters: usize,
    },
}

/// An idempotency key of 1 to [`LONGEST_KEY`] characters, for a caller that has no key type of its own:
/// a [`Store`] takes any. Cheap to clone.
///
/// ```
/// use level3::idempotency::{Key, KeyError};
///
/// assert_eq!(Key::new("order-1").unwrap().as_str(), "order-1");
/// assert_eq!(Key::new(""), Err(KeyError::Empty));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Makes a key of `text`.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the text is empty or too long.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        // Characters and not bytes: the limit is the same for a text in any script.
        let characters = text.chars().count();
        if characters > LONGEST_KEY {
            return Err(KeyError::TooLong { characters });
        }
        // An `Arc<str>`: the store keeps each key twice, in the entries and in their order, and the second time is
        // a count and no copy of the text.
        Ok(Self(text.into()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The limits of a store.
///
/// ```
/// use std::time::Duration;
/// use level3::idempotency::{Completion, Store, StoreConfig};
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let retention = Duration::from_secs(60);
/// let store = Store::new(StoreConfig { retention, ..StoreConfig::default() });
/// store.run(&"order-1", 10, || async { Completion::Stored("paid") }).await.unwrap();
/// sleep(Duration::from_secs(59)).await;
/// assert!(store.contains(&"order-1"));
/// sleep(Duration::from_secs(1)).await;
/// assert!(!store.contains(&"order-1"));
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreConfig {
    /// How long an answer is kept: its key expires at exactly this age of the answer.
    pub retention: Duration,
    /// The most keys that are kept at the same time, those whose work is running included.
    pub capacity: NonZeroUsize,
}

impl Default for StoreConfig {
    /// 24 h, as Stripe keeps its keys, and a million of them.
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(24 * 60 * 60),
            capacity: NonZeroUsize::MIN.saturating_add(999_999),
        }
    }
}

/// What the work behind a key returned, and whether the store keeps it.
///
/// ```
/// use level3::idempotency::{Completion, Store, StoreConfig};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let store = Store::new(StoreConfig::default());
/// let down = || async { Completion::Released("provider down") };
/// let first = store.run(&"order-1", 10, down).await.unwrap();
/// assert_eq!(first.completion, Completion::Released("provider down"));
///
/// // The key is free, so the next request runs its own work.
/// let second = store.run(&"order-1", 10, || async { Completion::Stored("paid") }).await.unwrap();
/// assert_eq!(second.completion, Completion::Stored("paid"));
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion<V> {
    /// Final: the store keeps it, and every later request with the key gets it.
    Stored(V),
    /// Not final: the requests that wait for this work get it, and the key is free for a new request.
    Released(V),
}

/// The answer to a request.
///
/// ```
/// use level3::idempotency::{Answered, Completion, Store, StoreConfig};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let store = Store::new(StoreConfig::default());
/// let pay = || async { Completion::Stored("paid") };
/// let completion = Completion::Stored("paid");
/// let first = store.run(&"order-1", 10, pay).await.unwrap();
/// assert_eq!(first, Answered { completion, replayed: false });
/// let repeat = store.run(&"order-1", 10, pay).await.unwrap();
/// assert_eq!(repeat, Answered { completion, replayed: true });
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered<V> {
    /// What the work behind the key returned.
    pub completion: Completion<V>,
    /// True unless this very call started the work.
    pub replayed: bool,
}

/// Why a request gets no answer.
///
/// ```
/// use std::num::NonZeroUsize;
/// use level3::idempotency::{Completion, IdempotencyError, Store, StoreConfig};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let capacity = NonZeroUsize::MIN;
/// let store = Store::new(StoreConfig { capacity, ..StoreConfig::default() });
/// let pay = || async { Completion::Stored("paid") };
/// store.run(&"order-1", 10, pay).await.unwrap();
/// // The same key with another amount, and a second key.
/// assert_eq!(store.run(&"order-1", 20, pay).await, Err(IdempotencyError::Mismatch));
/// assert_eq!(store.run(&"order-2", 10, pay).await, Err(IdempotencyError::Full { capacity: 1 }));
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdempotencyError {
    /// The key was used before, with other parameters. The store has not called `work`.
    #[error("the idempotency key was used before with other parameters")]
    Mismatch,
    /// The store holds as many keys as its capacity allows, and none of them has expired. It has not called
    /// `work`.
    #[error("the idempotency store holds {capacity} keys, its limit")]
    Full {
        /// The limit of the store.
        capacity: usize,
    },
    /// The work ended without a result, because it panicked or its runtime shut down. The key is free for a
    /// new request.
    #[error("the work behind the idempotency key ended without a result")]
    Lost,
}
