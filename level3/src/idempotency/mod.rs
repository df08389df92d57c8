//! The same request twice is one request.
//!
//! A client that got no answer asks again, with the key it asked with before. The store makes sure that
//! the work behind a key is done once: a repeat gets the stored answer, a repeat that comes while the
//! work still runs joins it.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::time::Duration;

/// The longest key, in characters: the limit of Stripe's API.
pub const LONGEST_KEY: usize = 255;

/// Why a text is no idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is empty.
    #[error("an idempotency key must not be empty")]
    Empty,
    /// It has more than [`LONGEST_KEY`] characters.
    #[error("an idempotency key has at most {LONGEST_KEY} characters, not {characters}")]
    TooLong {
        /// How many it has.
        characters: usize,
    },
}

/// An idempotency key of 1 to [`LONGEST_KEY`] characters. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(std::sync::Arc<str>);

impl Key {
    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when it is empty or too long.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        let characters = text.chars().count();
        if characters > LONGEST_KEY {
            return Err(KeyError::TooLong { characters });
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a store behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreConfig {
    /// How long an answer is kept: a key is forgotten at exactly this age of its answer.
    pub retention: Duration,
    /// How many keys are kept at once.
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

/// An answer, and whether it was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<V> {
    /// The answer.
    pub value: V,
    /// True unless this very call started the work.
    pub replayed: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdempotencyError<E> {
    /// The key was used before, with other parameters. Nothing was done.
    #[error("the idempotency key was used before with other parameters")]
    Mismatch,
    /// The store keeps as many keys as it may, and none of them is old enough to go. Nothing was done.
    #[error("the idempotency store holds {capacity} keys, its limit")]
    Full {
        /// How many.
        capacity: usize,
    },
    /// The work failed in a way that may pass. The key is free again.
    #[error(transparent)]
    Failed(E),
    /// The work ended without a result, because it panicked or its runtime shut down. The key is free
    /// again.
    #[error("the work behind the idempotency key ended without a result")]
    Lost,
}

/// Remembers what was answered to which key. `P` are the parameters of a request, `V` is an answer, `E`
/// a failure that may pass. Cheap to clone; clones share one store.
pub struct Store<P, V, E> {
    _todo: PhantomData<fn() -> (P, V, E)>,
}

impl<P, V, E> Clone for Store<P, V, E> {
    fn clone(&self) -> Self {
        Self { _todo: PhantomData }
    }
}

impl<P, V, E> Debug for Store<P, V, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the contents, which may hold what must not be logged.
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl<P, V, E> Store<P, V, E>
where
    P: PartialEq + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// An empty store.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        let _ = config;
        Self { _todo: PhantomData }
    }

    /// Answers the request with this key and these parameters, doing `work` if nobody has yet.
    ///
    /// * A new key: `work` is called and runs in a task of its own, so that it comes to its end even if
    ///   this caller goes away. What it returns as `Ok` is final (a decline is an answer too) and is
    ///   stored; what it returns as `Err` may pass, so the key is free again.
    /// * A key whose work is running: waits for that work and returns its result, the error included.
    /// * A key with a stored answer: returns it.
    ///
    /// # Errors
    ///
    /// [`IdempotencyError`]. Unless it is `Failed` or `Lost`, `work` was not called.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves the work running; a repeat with the same key joins it.
    pub async fn run<W, Fut>(
        &self,
        key: &Key,
        params: P,
        work: W,
    ) -> Result<Answer<V>, IdempotencyError<E>>
    where
        W: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let _ = (key, params, work);
        todo!()
    }

    /// Puts an answer into the store that was given before, for instance by the process that ran
    /// before this one. Does nothing if the key is known already.
    ///
    /// # Errors
    ///
    /// [`IdempotencyError::Full`], or [`IdempotencyError::Mismatch`] when the key is known with other
    /// parameters.
    pub fn restore(&self, key: &Key, params: P, value: V) -> Result<(), IdempotencyError<E>> {
        let _ = (key, params, value);
        todo!()
    }

    /// How many keys are kept, those whose work is running included.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
