//! What could not be delivered, kept until it can be.
//!
//! A receipt that the mail server refuses, or a refund that will not go through, must neither be lost
//! nor tried without end. It becomes a dead letter: kept with its cause and its attempts, tried again on
//! request ([`DeadLetters::redrive`]), and parked for an operator after too many failures.

use std::fmt::{self, Debug, Display};
use std::num::{NonZeroU32, NonZeroUsize};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use tokio::sync::Mutex as Turns;
use tokio::time::Instant;

/// Names a dead letter within its queue. Numbers are given out in the order of arrival, never twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId(u64);

impl Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

/// Something that could not be delivered.
#[derive(Debug, PartialEq, Eq)]
pub struct DeadLetter<T> {
    /// Its name.
    pub id: LetterId,
    /// What is to be delivered.
    pub item: Arc<T>,
    /// Why the last attempt failed.
    pub cause: String,
    /// How many attempts failed, those before it came here included.
    pub attempts: u32,
    /// How many of them were redrives.
    pub redrives: u32,
    /// When it came here.
    pub first: Instant,
    /// When the last attempt failed.
    pub last: Instant,
    /// Whether it is set aside: too many redrives failed, so [`DeadLetters::redrive`] passes it by.
    pub parked: bool,
}

// Written by hand: a derive would ask `T` for the same trait, although the item is shared.
impl<T> Clone for DeadLetter<T> {
    fn clone(&self) -> Self {
        Self { item: Arc::clone(&self.item), cause: self.cause.clone(), ..*self }
    }
}

/// The queue is full. Nothing was kept: the caller still has the item and must do something about it.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("the dead letter queue holds {capacity} items, its limit")]
pub struct Full<T> {
    /// What was not taken.
    pub item: T,
    /// How many items the queue holds.
    pub capacity: usize,
}

impl<T> Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the item: an error ends up in logs, and the item may hold what must not.
        f.debug_struct("Full").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

/// What a [redrive](DeadLetters::redrive) came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Redriven {
    /// Delivered, and removed.
    pub delivered: usize,
    /// Failed again, and kept for the next redrive.
    pub failed: usize,
    /// Failed for the last time, and set aside.
    pub parked: usize,
}

/// A bounded queue of dead letters.
pub struct DeadLetters<T> {
    capacity: usize,
    park_after: u32,
    next: std::sync::atomic::AtomicU64,
    letters: Mutex<Vec<DeadLetter<T>>>,
    turns: Turns<()>,
    // Which letter the redrive is at that has the turn.
    delivering: Mutex<Option<LetterId>>,
}

impl<T> Debug for DeadLetters<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeadLetters({})", self.len())
    }
}

impl<T> DeadLetters<T> {
    /// An empty queue.
    #[must_use]
    pub const fn new(capacity: NonZeroUsize, park_after: NonZeroU32) -> Self {
        Self {
            capacity: capacity.get(),
            park_after: park_after.get(),
            next: std::sync::atomic::AtomicU64::new(0),
            letters: Mutex::new(Vec::new()),
            turns: Turns::const_new(()),
            delivering: Mutex::new(None),
        }
    }

    /// Keeps an item.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn push(&self, item: T, cause: impl Display, attempts: u32) -> Result<LetterId, Full<T>> {
        let cause = cause.to_string();
        let mut letters = self.lock();
        if letters.len() == self.capacity {
            return Err(Full { item, capacity: self.capacity });
        }
        let id = LetterId(self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let (item, now) = (Arc::new(item), Instant::now());
        letters.push(DeadLetter {
            id,
            item,
            cause,
            attempts,
            redrives: 0,
            first: now,
            last: now,
            parked: false,
        });
        Ok(id)
    }

    /// Redrives every letter that is not parked.
    pub async fn redrive<E, H, Fut>(&self, mut handler: H) -> Redriven
    where
        E: Display,
        H: FnMut(DeadLetter<T>) -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        let _turn = self.turns.lock().await;
        let mut outcome = Redriven::default();
        let ids: Vec<LetterId> = self.lock().iter().map(|letter| letter.id).collect();
        for id in ids {
            let here = self.lock().iter().find(|letter| letter.id == id && !letter.parked).cloned();
            let Some(letter) = here else { continue };
            *self.delivering.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
            let attempt = async { handler(letter).await.map_err(|error| error.to_string()) };
            let delivery = AssertUnwindSafe(attempt).catch_unwind().await;
            let mut letters = self.lock();
            let Some(index) = letters.iter().position(|letter| letter.id == id) else { continue };
            let cause = match delivery {
                Ok(Ok(())) => {
                    letters.remove(index);
                    outcome.delivered += 1;
                    continue;
                }
                Ok(Err(cause)) => cause,
                Err(_) => "panicked".to_owned(),
            };
            let letter = &mut letters[index];
            letter.cause = cause;
            letter.attempts = letter.attempts.saturating_add(1);
            letter.redrives += 1;
            letter.last = Instant::now();
            letter.parked = letter.redrives == self.park_after;
            if letter.parked {
                outcome.parked += 1;
            } else {
                outcome.failed += 1;
            }
        }
        outcome
    }

    /// Gives a parked letter a new set of redrives.
    pub fn unpark(&self, id: LetterId) -> bool {
        let mut letters = self.lock();
        let parked = letters.iter_mut().find(|letter| letter.id == id && letter.parked);
        parked.is_some_and(|letter| {
            letter.parked = false;
            letter.redrives = 0;
            true
        })
    }

    /// Takes a letter out.
    pub fn remove(&self, id: LetterId) -> Option<DeadLetter<T>> {
        let mut letters = self.lock();
        let at = *self.delivering.lock().unwrap_or_else(PoisonError::into_inner);
        if at == Some(id) && self.turns.try_lock().is_err() {
            return None;
        }
        let index = letters.iter().position(|letter| letter.id == id)?;
        Some(letters.remove(index))
    }

    /// All letters.
    #[must_use]
    pub fn letters(&self) -> Vec<DeadLetter<T>> {
        self.lock().clone()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// None?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Vec<DeadLetter<T>>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
