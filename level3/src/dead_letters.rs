//! A dead letter queue: keeps items that could not be delivered until they can be.
//!
//! A receipt that the mail server refuses, or a refund that keeps failing, must neither be lost nor
//! retried without end. It becomes a dead letter: kept with its cause and its attempts, tried again when
//! an operator or a schedule asks for it ([`DeadLetters::redrive`]), and *parked* for a human after too
//! many failures.
//!
//! Lesson: `level3/lessons/dead_letters.md`.
//!
//! [`DeadLetters::redrive`]: crate::dead_letters::DeadLetters::redrive

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display};
use std::num::{NonZeroU32, NonZeroUsize};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use tokio::time::Instant;

/// Identifies a dead letter within its queue. Numbers rise in the order of arrival and are never reused.
///
/// ```
/// use std::num::{NonZeroU32, NonZeroUsize};
/// use level3::dead_letters::DeadLetters;
///
/// let letters = DeadLetters::new(NonZeroUsize::new(100).unwrap(), NonZeroU32::MIN);
/// let id = letters.push("receipt for ann", "mailbox full", 3).unwrap();
/// // An operator has settled the letter.
/// let removed = letters.remove(id).unwrap();
/// assert_eq!((removed.id, *removed.item), (id, "receipt for ann"));
/// assert_eq!(letters.remove(id), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId(u64);

impl Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

/// An item that could not be delivered.
///
/// ```
/// use std::num::{NonZeroU32, NonZeroUsize};
/// use level3::dead_letters::DeadLetters;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let park_after = NonZeroU32::new(3).unwrap();
/// let letters = DeadLetters::new(NonZeroUsize::new(100).unwrap(), park_after);
/// letters.push("receipt for ann", "mailbox full", 3).unwrap();
/// letters.redrive(|_| async { Err::<(), _>("no such mailbox") }).await;
///
/// let letter = &letters.letters()[0];
/// assert_eq!((*letter.item, letter.cause.as_str()), ("receipt for ann", "no such mailbox"));
/// assert_eq!((letter.attempts, letter.redrives, letter.parked), (4, 1, false));
/// # }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct DeadLetter<T> {
    /// Identifies the letter in calls such as [`DeadLetters::remove`].
    pub id: LetterId,
    /// The item to deliver. Shared, since a copy of the letter is handed to each redrive.
    pub item: Arc<T>,
    /// Why the last attempt failed.
    pub cause: String,
    /// The number of failed attempts, those from before the item entered the queue included.
    pub attempts: u32,
    /// How many of these attempts were redrives since the letter entered the queue or was unparked.
    pub redrives: u32,
    /// When the item entered the queue.
    pub first: Instant,
    /// When the last attempt failed.
    pub last: Instant,
    /// Whether the letter waits for a human: too many redrives failed, so [`DeadLetters::redrive`] skips it.
    pub parked: bool,
}

// Written by hand: a derive would ask `T` for the same trait, although the item is shared.
impl<T> Clone for DeadLetter<T> {
    fn clone(&self) -> Self {
        Self { item: Arc::clone(&self.item), cause: self.cause.clone(), ..*self }
    }
}

/// The queue is full. It did not keep the item: the caller has it back and is responsible for it.
///
/// ```
/// use std::num::{NonZeroU32, NonZeroUsize};
/// use level3::dead_letters::{DeadLetters, Full};
///
/// let letters = DeadLetters::new(NonZeroUsize::MIN, NonZeroU32::MIN);
/// letters.push("receipt for ann", "mailbox full", 3).unwrap();
/// let Full { item, capacity } = letters.push("receipt for ben", "mailbox full", 3).unwrap_err();
/// assert_eq!((item, capacity), ("receipt for ben", 1));
/// ```
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("the dead letter queue holds {capacity} items, its limit")]
pub struct Full<T> {
    /// The item that was refused.
    pub item: T,
    /// The number of items that the queue holds, its limit.
    pub capacity: usize,
}

impl<T> Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the item: an error ends up in logs, and the item may hold a secret.
        f.debug_struct("Full").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

/// The result of one [redrive](DeadLetters::redrive): how many letters ended in which way.
///
/// ```
/// use std::num::{NonZeroU32, NonZeroUsize};
/// use level3::dead_letters::{DeadLetters, Redriven};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// // The first redrive that fails parks a letter.
/// let letters = DeadLetters::new(NonZeroUsize::new(100).unwrap(), NonZeroU32::MIN);
/// letters.push("ann", "mailbox full", 3).unwrap();
/// letters.push("ben", "mailbox full", 3).unwrap();
/// let redriven = letters
///     .redrive(|letter| async move { if *letter.item == "ann" { Ok(()) } else { Err("full") } })
///     .await;
/// assert_eq!(redriven, Redriven { delivered: 1, failed: 0, parked: 1 });
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Redriven {
    /// Delivered, and removed.
    pub delivered: usize,
    /// Failed again, and kept for the next redrive.
    pub failed: usize,
    /// Failed for the last time, and parked.
    pub parked: usize,
}

/// A bounded queue of dead letters in order of arrival. Share it in an [`Arc`].
///
/// ```
/// use std::num::{NonZeroU32, NonZeroUsize};
/// use level3::dead_letters::DeadLetters;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let park_after = NonZeroU32::new(3).unwrap();
/// let letters = DeadLetters::new(NonZeroUsize::new(100).unwrap(), park_after);
/// letters.push("receipt for ann", "mailbox full", 3).unwrap();
/// letters.push("receipt for ben", "mailbox full", 3).unwrap();
///
/// let redriven = letters
///     .redrive(|letter| async move {
///         if *letter.item == "receipt for ann" { Ok(()) } else { Err("mailbox full") }
///     })
///     .await;
/// assert_eq!((redriven.delivered, redriven.failed), (1, 1));
/// assert_eq!(letters.letters()[0].attempts, 4);
/// # }
/// ```
pub struct DeadLetters<T> {
    /// Bounds the memory of an outage that lasts: without it the queue grows as long as items fail.
    capacity: NonZeroUsize,
    /// How many failed redrives park a letter. Without a limit, an item that no attempt can deliver would be
    /// tried at every redrive, before the letters behind it.
    park_after: NonZeroU32,
    /// A `std` mutex: it is held for one look at the letters, never while a handler runs, and the drop
    /// of a delivery takes it.
    queue: Mutex<Queue<T>>,
}

impl<T> Debug for DeadLetters<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// The data that the lock guards.
struct Queue<T> {
    /// The number of the next letter. It only rises, so that an id is never reused: an operator that
    /// removes letter 7 cannot hit a later one.
    next: u64,
    /// Ordered by id, which is the order of arrival, and found by id in logarithmic time.
    letters: BTreeMap<LetterId, Entry<T>>,
}

/// A letter, and what the queue alone knows about it.
struct Entry<T> {
    /// What `letters` returns and a redrive delivers, each as a copy: no caller holds a reference into the queue.
    letter: DeadLetter<T>,
    /// Whether a redrive is delivering the letter now. Another redrive at the same time skips it, or the
    /// letter would be delivered twice; so does `remove`.
    busy: bool,
}

impl<T> DeadLetters<T> {
    /// Makes an empty queue of at most `capacity` items, parked ones included. It parks an item when
    /// `park_after` redrives of it have failed.
    #[must_use]
    pub const fn new(capacity: NonZeroUsize, park_after: NonZeroU32) -> Self {
        let queue = Queue { next: 1, letters: BTreeMap::new() };
        Self { capacity, park_after, queue: Mutex::new(queue) }
    }

    /// Keeps `item` after `attempts` failed attempts, the last of which failed because of `cause`.
    ///
    /// # Errors
    ///
    /// [`Full`] with the item when the queue is at its capacity. The queue evicts no older letter to make room:
    /// it has to be delivered as much as the new one.
    ///
    /// # Panics
    ///
    /// If the `Display` of `cause` panics. The queue has not kept the item then, and stays usable.
    pub fn push(&self, item: T, cause: impl Display, attempts: u32) -> Result<LetterId, Full<T>> {
        // Foreign code, and so before the lock: it may panic, or look at this queue.
        let cause = cause.to_string();
        let mut queue = self.lock();
        // Checked before the item moves into an `Arc`, so that the error can return it.
        if queue.letters.len() >= self.capacity.get() {
            return Err(Full { item, capacity: self.capacity.get() });
        }
        let id = LetterId(queue.next);
        queue.next += 1;
        // Read once, so that `first` and `last` of a letter that was not redriven are equal.
        let now = Instant::now();
        let letter = DeadLetter {
            id,
            item: Arc::new(item),
            cause,
            attempts,
            redrives: 0,
            first: now,
            last: now,
            parked: false,
        };
        queue.letters.insert(id, Entry { letter, busy: false });
        Ok(id)
    }

    /// Passes every letter that is in the queue now, and not parked, to `handler`, one after another in order
    /// of arrival.
    ///
    /// The queue removes a letter after the handler has returned `Ok`, and not before. When the handler returns
    /// an error or panics, or the error's `Display` panics, the letter stays in the queue with the new cause
    /// and one more attempt. If that was its last redrive, the letter is parked. The redrive goes on with the
    /// next letter. It skips a letter that another redrive is delivering, and one that was removed or parked
    /// before its turn. Letters that arrive during the redrive, and letters that have failed, wait for the
    /// next redrive.
    ///
    /// # Cancellation
    ///
    /// Dropping the future drops the handler's future. The letter that was being delivered stays in the queue
    /// unchanged. Whether it was delivered is unknown, so a handler must be safe to repeat.
    pub async fn redrive<E, H, Fut>(&self, mut handler: H) -> Redriven
    where
        E: Display,
        H: FnMut(DeadLetter<T>) -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        // Ids and not letters: by the time its turn comes, a letter may be gone, parked or busy. The list
        // also ends the loop when letters arrive faster than they are delivered.
        let waiting: Vec<LetterId> = self.lock().letters.keys().copied().collect();
        let mut outcome = Redriven::default();
        for id in waiting {
            // The lock is released when `claim` returns: the handler runs without it, so other callers can push
            // and look while a delivery takes its time. The mark `busy` replaces the lock for this letter.
            let Some(delivery) = self.claim(id) else { continue };
            let letter = delivery.letter.clone();
            // One bad letter must not keep the ones behind it from being delivered, so a panic is caught
            // and counts as a failure. The handler is called inside of the `async` block, since it may
            // panic before it returns a future, and so is its error's `Display`. `AssertUnwindSafe`: the
            // handler's own state may be half-changed by its panic; this queue's is not, because no lock
            // is held while foreign code runs.
            let attempt = async { handler(letter).await.map_err(|error| error.to_string()) };
            match AssertUnwindSafe(attempt).catch_unwind().await {
                // Removed only now: if the redrive were dropped during the delivery, a letter that was removed
                // before it would be lost.
                Ok(Ok(())) => {
                    delivery.succeeded();
                    outcome.delivered += 1;
                }
                Ok(Err(cause)) => outcome.count(delivery.failed(cause)),
                Err(_) => outcome.count(delivery.failed("the handler panicked".to_owned())),
            }
        }
        outcome
    }

    /// Makes a parked letter eligible for redrives again, with its full number of them. Returns false if no
    /// parked letter has this id.
    pub fn unpark(&self, id: LetterId) -> bool {
        match self.lock().letters.get_mut(&id) {
            // A letter that is not parked keeps its count: otherwise an operator who unparks the wrong one would
            // give it redrives that it had used.
            Some(entry) if entry.letter.parked => {
                entry.letter.parked = false;
                entry.letter.redrives = 0;
                true
            }
            _ => false,
        }
    }

    /// Removes a letter for good, because a human has settled it, and returns it. Returns `None` if no letter
    /// has this id, or if a redrive is delivering it.
    pub fn remove(&self, id: LetterId) -> Option<DeadLetter<T>> {
        // One lock for the look and the removal, or a redrive could claim the letter in between.
        let mut queue = self.lock();
        if queue.letters.get(&id)?.busy {
            // The operator who gets the letter may deliver it by hand, while the redrive delivers it as well.
            return None;
        }
        queue.letters.remove(&id).map(|entry| entry.letter)
    }

    /// Returns all letters in order of arrival, parked ones included.
    #[must_use]
    pub fn letters(&self) -> Vec<DeadLetter<T>> {
        self.lock().letters.values().map(|entry| entry.letter.clone()).collect()
    }

    /// Returns the number of letters, parked ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().letters.len()
    }

    /// Returns whether there is no letter at all, not even a parked one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Marks a letter as being delivered, unless it is gone, parked or being delivered already. Looking
    /// and marking are one step under one lock, so of two redrives only one gets the letter.
    fn claim(&self, id: LetterId) -> Option<Delivery<'_, T>> {
        let mut queue = self.lock();
        let entry = queue.letters.get_mut(&id)?;
        if entry.busy || entry.letter.parked {
            return None;
        }
        entry.busy = true;
        Some(Delivery { letters: self, letter: entry.letter.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        // No foreign code runs under the lock, so a panic elsewhere cannot leave it half written.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The delivery of one letter. Its drop makes the letter available to the next redrive, also when the
/// redrive's future is dropped in the middle: a flag alone would then stay set, and the letter would
/// never be tried again.
struct Delivery<'a, T> {
    /// The queue that the drop returns the letter to.
    letters: &'a DeadLetters<T>,
    /// A copy from the time of the claim, for the handler. The one in the queue is found by its id.
    letter: DeadLetter<T>,
}

impl<T> Delivery<'_, T> {
    /// Removes the letter.
    fn succeeded(self) {
        self.letters.lock().letters.remove(&self.letter.id);
    }

    /// Records the failure. Returns true if it was the letter's last redrive, so that it is parked now.
    fn failed(self, cause: String) -> bool {
        let mut queue = self.letters.lock();
        // Present, since `remove` skips a busy letter. Without it there is nothing to record.
        let Some(entry) = queue.letters.get_mut(&self.letter.id) else { return false };
        let letter = &mut entry.letter;
        letter.cause = cause;
        letter.attempts = letter.attempts.saturating_add(1);
        letter.redrives = letter.redrives.saturating_add(1);
        letter.last = Instant::now();
        letter.parked = letter.redrives >= self.letters.park_after.get();
        letter.parked
    }
}

impl<T> Drop for Delivery<'_, T> {
    fn drop(&mut self) {
        // Runs after `succeeded` and `failed` too, which take `self`: they release their guard first, since
        // it is declared later than `self`.
        if let Some(entry) = self.letters.lock().letters.get_mut(&self.letter.id) {
            entry.busy = false;
        }
    }
}

#[cfg(test)]
mod tests;
