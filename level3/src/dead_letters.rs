//! What could not be delivered, kept until it can be.
//!
//! A receipt that the mail server refuses, or a refund that will not go through, must neither be lost
//! nor tried for ever. It becomes a dead letter: kept with its cause and its attempts, tried again when
//! somebody asks for it ([`DeadLetters::redrive`]), and set aside for a human after too many failures.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display};
use std::num::{NonZeroU32, NonZeroUsize};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
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

/// A bounded queue of dead letters in order of arrival. Share it in an [`Arc`].
pub struct DeadLetters<T> {
    capacity: NonZeroUsize,
    park_after: NonZeroU32,
    state: Mutex<State<T>>,
}

impl<T> Debug for DeadLetters<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

struct State<T> {
    next: u64,
    // By name, which is by arrival.
    letters: BTreeMap<LetterId, Entry<T>>,
}

struct Entry<T> {
    letter: DeadLetter<T>,
    // A redrive is at it: a second one at the same time must leave it alone, or it is delivered twice.
    busy: bool,
}

impl<T> DeadLetters<T> {
    /// An empty queue of at most `capacity` items, parked ones included, which sets an item aside when
    /// `park_after` redrives of it have failed.
    #[must_use]
    pub const fn new(capacity: NonZeroUsize, park_after: NonZeroU32) -> Self {
        let state = State { next: 1, letters: BTreeMap::new() };
        Self { capacity, park_after, state: Mutex::new(state) }
    }

    /// Keeps `item`, which `attempts` attempts failed to deliver, the last one because of `cause`.
    ///
    /// # Errors
    ///
    /// [`Full`] with the item when the queue holds its capacity. Nothing is thrown out to make room: an
    /// older letter is as much owed as a new one.
    pub fn push(&self, item: T, cause: impl Display, attempts: u32) -> Result<LetterId, Full<T>> {
        let mut state = self.lock();
        if state.letters.len() >= self.capacity.get() {
            return Err(Full { item, capacity: self.capacity.get() });
        }
        let id = LetterId(state.next);
        state.next += 1;
        let now = Instant::now();
        let letter = DeadLetter {
            id,
            item: Arc::new(item),
            cause: cause.to_string(),
            attempts,
            redrives: 0,
            first: now,
            last: now,
            parked: false,
        };
        state.letters.insert(id, Entry { letter, busy: false });
        Ok(id)
    }

    /// Hands every letter that is here now, and not parked, to `handler`, one after another in order of
    /// arrival.
    ///
    /// A letter is removed when the handler has returned `Ok`, and not before. When it returns an error,
    /// or panics, the letter stays with the new cause and one more attempt, and is parked if that was
    /// the last redrive it had; the next letter is tried all the same. A letter that another redrive is
    /// at is left to that one. Letters that arrive meanwhile wait for the next redrive.
    ///
    /// # Cancellation
    ///
    /// Dropping the future drops the handler's future. The letter it was at stays as it was: whether it
    /// was delivered is unknown, so a handler must be safe to repeat.
    pub async fn redrive<E, H, Fut>(&self, mut handler: H) -> Redriven
    where
        E: Display,
        H: FnMut(DeadLetter<T>) -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        let waiting: Vec<LetterId> = self.lock().letters.keys().copied().collect();
        let mut outcome = Redriven::default();
        for id in waiting {
            let Some(work) = self.take_up(id) else { continue };
            let letter = work.letter.clone();
            // The call of the handler is inside: it may panic before it returns a future.
            let delivery = AssertUnwindSafe(async { handler(letter).await }).catch_unwind().await;
            match delivery {
                Ok(Ok(())) => {
                    work.delivered();
                    outcome.delivered += 1;
                }
                Ok(Err(error)) => outcome.count(work.failed(error.to_string())),
                Err(_) => outcome.count(work.failed("the handler panicked".to_owned())),
            }
        }
        outcome
    }

    /// Gives a parked letter a new set of redrives. False if there is no such parked letter.
    pub fn unpark(&self, id: LetterId) -> bool {
        match self.lock().letters.get_mut(&id) {
            Some(entry) if entry.letter.parked => {
                entry.letter.parked = false;
                entry.letter.redrives = 0;
                true
            }
            _ => false,
        }
    }

    /// Takes a letter out for good, because a human has settled it. None if there is no such letter, or
    /// if a redrive is at it.
    pub fn remove(&self, id: LetterId) -> Option<DeadLetter<T>> {
        let mut state = self.lock();
        if state.letters.get(&id)?.busy {
            return None;
        }
        state.letters.remove(&id).map(|entry| entry.letter)
    }

    /// All letters in order of arrival, parked ones included.
    #[must_use]
    pub fn letters(&self) -> Vec<DeadLetter<T>> {
        self.lock().letters.values().map(|entry| entry.letter.clone()).collect()
    }

    /// How many letters there are, parked ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().letters.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Marks a letter as being worked on, unless it is gone, parked or taken.
    fn take_up(&self, id: LetterId) -> Option<Work<'_, T>> {
        let mut state = self.lock();
        let entry = state.letters.get_mut(&id)?;
        if entry.busy || entry.letter.parked {
            return None;
        }
        entry.busy = true;
        Some(Work { queue: self, letter: entry.letter.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing here runs foreign code under the lock, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Redriven {
    fn count(&mut self, parked: bool) {
        if parked {
            self.parked += 1;
        } else {
            self.failed += 1;
        }
    }
}

/// A letter that a redrive is at. Dropping it leaves the letter to the next redrive.
struct Work<'a, T> {
    queue: &'a DeadLetters<T>,
    letter: DeadLetter<T>,
}

impl<T> Work<'_, T> {
    fn delivered(self) {
        self.queue.lock().letters.remove(&self.letter.id);
    }

    /// Whether that was the letter's last redrive.
    fn failed(self, cause: String) -> bool {
        let mut state = self.queue.lock();
        let Some(entry) = state.letters.get_mut(&self.letter.id) else { return false };
        let letter = &mut entry.letter;
        letter.cause = cause;
        letter.attempts = letter.attempts.saturating_add(1);
        letter.redrives = letter.redrives.saturating_add(1);
        letter.last = Instant::now();
        letter.parked = letter.redrives >= self.queue.park_after.get();
        letter.parked
    }
}

impl<T> Drop for Work<'_, T> {
    fn drop(&mut self) {
        if let Some(entry) = self.queue.lock().letters.get_mut(&self.letter.id) {
            entry.busy = false;
        }
    }
}

#[cfg(test)]
mod tests;
