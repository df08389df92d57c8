//! The slots that all requests share, and the line of callers that wait for one.
//!
//! ```text
//!   acquire ──▶ a free slot, and no caller waits? ── yes ──▶ Slot ── drop ──▶ the next in the line
//!                     │ no                                ▲
//!                     ▼                                   │
//!                  the line ──────────────────────────────┘
//!                     └── dropped: leaves the line
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ranks::Priority;

/// The slots of an orchestrator. A clone is a handle to the same slots: each slot and each place in the line has one,
/// to return what it holds.
#[derive(Clone)]
pub(super) struct Slots(Arc<Mutex<State>>);

/// A std lock guards it: it is held for a few map operations and never across an await point. A semaphore does not fit,
/// since it serves its waiters in the order of arrival.
struct State {
    limit: usize,
    /// The slots that are held, those included that are sent and not yet received. More than `limit` after it was
    /// lowered.
    running: usize,
    /// Decides who is next. It has the same numbers as `waiting`.
    line: Line,
    /// How each member of the line gets its slot.
    waiting: BTreeMap<u64, oneshot::Sender<Slot>>,
}

/// The right to send one request. Its destructor passes it on, whether the attempt ends with an answer, an error, a
/// panic or a drop.
pub(super) struct Slot(Slots);

impl Slots {
    pub(super) fn new(limit: usize, most_wait: Duration) -> Self {
        let (line, waiting) = (Line::new(most_wait), BTreeMap::new());
        Self(Arc::new(Mutex::new(State { limit, running: 0, line, waiting })))
    }

    /// Waits for a slot. A priority that changes meanwhile changes the place in the line. Dropping the future leaves the
    /// line.
    pub(super) async fn acquire(&self, mut priority: Priority) -> Slot {
        let (place, mut receiver) = {
            let mut state = self.lock();
            // A free slot alone is not enough: after the limit has risen, and before the line is served, a caller that
            // has just arrived would go ahead of those that wait.
            if state.running < state.limit && state.waiting.is_empty() {
                state.running += 1;
                return Slot(self.clone());
            }
            // The slot itself travels through the channel, and no mere wake-up: a caller that is dropped after it was
            // served and before it is polled drops the slot with its receiver, which passes it on. A wake-up would be
            // lost.
            let (sender, receiver) = oneshot::channel();
            let number = state.line.join(priority.now(), Instant::now());
            state.waiting.insert(number, sender);
            (Place { slots: self.clone(), number }, receiver)
        };
        loop {
            tokio::select! {
                // First the slot: with one, the priority is of no use any more.
                biased;
                slot = &mut receiver => {
                    // A sender leaves the map only with a slot, or with its `Place`, which this future owns. So the
                    // channel is not closed while this future waits.
                    let slot = slot.expect("a place in the line ends with a slot");
                    drop(place);
                    return slot;
                }
                () = priority.changed() => {
                    let priority = priority.now();
                    self.lock().line.rank(place.number, priority);
                }
            }
        }
    }

    /// Changes how many requests may run. Requests that run already go on.
    pub(super) fn set_limit(&self, limit: usize) {
        // The lock ends with this statement: `serve` takes it again. It serves here because no slot may be returned
        // for a long time, and a waiting caller would not see the new limit until then.
        self.lock().limit = limit;
        self.serve();
    }

    /// Hands free slots to the callers that wait, one after the other.
    fn serve(&self) {
        loop {
            let next = {
                let mut state = self.lock();
                if state.running >= state.limit {
                    return;
                }
                let Some(number) = state.line.pop(Instant::now()) else { return };
                let sender = state.waiting.remove(&number);
                // Counted before it is sent: until the caller is polled, no other may have this slot.
                state.running += usize::from(sender.is_some());
                sender
            };
            // Outside of the lock: sending runs the waker of the caller, and a receiver that is gone returns the slot,
            // whose destructor locks. A std mutex that its own thread locks again is a deadlock.
            if let Some(sender) = next {
                drop(sender.send(Slot(self.clone())));
            }
        }
    }

    /// Locks, also after a panic: no foreign code runs under the lock, so what it guards is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Two steps: the guard of this statement is gone before `serve` locks. In between another caller may take the
        // free slot, but only if the line is empty.
        self.0.lock().running -= 1;
        self.0.serve();
    }
}

/// A place in the line. Its destructor leaves the line: without it a caller that gave up would be served, and its
/// sender would stay in the map while the slots are busy.
struct Place {
    slots: Slots,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.slots.lock();
        // Without effect if the caller was served: `pop` has taken both out.
        state.line.leave(self.number);
        let sender = state.waiting.remove(&self.number);
        // The lock first. The sender may be the last owner of the channel, with the waker of the caller in it, and a
        // waker's destructor is foreign code.
        drop(state);
        drop(sender);
    }
}

/// Decides which member is next: the highest priority, and within it the first to arrive. A member that has waited for
/// `most_wait` goes ahead of every priority. Time is passed in.
struct Line {
    most_wait: Duration,
    /// The number of the last member. Numbers rise, so they are the order of arrival.
    last: u64,
    /// All members. The first one is the oldest, the only one whose age has to be looked at.
    by_arrival: BTreeMap<u64, (u8, Instant)>,
    /// The same members by rank. Two sorted maps make every operation logarithmic: with one, either the oldest or the
    /// most important member would have to be searched for at each slot.
    by_rank: BTreeSet<(Reverse<u8>, u64)>,
}

impl Line {
    fn new(most_wait: Duration) -> Self {
        Self { most_wait, last: 0, by_arrival: BTreeMap::new(), by_rank: BTreeSet::new() }
    }

    fn join(&mut self, priority: u8, now: Instant) -> u64 {
        self.last += 1;
        self.by_arrival.insert(self.last, (priority, now));
        self.by_rank.insert((Reverse(priority), self.last));
        self.last
    }

    fn leave(&mut self, number: u64) {
        if let Some((priority, _)) = self.by_arrival.remove(&number) {
            self.by_rank.remove(&(Reverse(priority), number));
        }
    }

    /// Changes the priority of a member. It keeps its arrival, and so its age. Without effect if it has left.
    fn rank(&mut self, number: u64, priority: u8) {
        if let Some((held, _)) = self.by_arrival.get_mut(&number) {
            self.by_rank.remove(&(Reverse(*held), number));
            *held = priority;
            self.by_rank.insert((Reverse(priority), number));
        }
    }

    fn pop(&mut self, now: Instant) -> Option<u64> {
        let (oldest, (_, since)) = self.by_arrival.first_key_value()?;
        // Age is compared here and not when a timer fires: it matters only in the moment in which a slot is free.
        let number = if now.duration_since(*since) >= self.most_wait {
            *oldest
        } else {
            self.by_rank.first()?.1
        };
        self.leave(number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_goes_before_rank() {
        let start = Instant::now();
        let mut line = Line::new(Duration::from_secs(10));
        let low = line.join(1, start);
        let first = line.join(9, start + Duration::from_secs(1));
        let second = line.join(9, start + Duration::from_secs(1));
        assert_eq!(line.pop(start + Duration::from_millis(9999)), Some(first));
        assert_eq!(line.pop(start + Duration::from_secs(10)), Some(low));
        assert_eq!(line.pop(start + Duration::from_secs(10)), Some(second));
        assert_eq!(line.pop(start), None);
    }

    #[test]
    fn a_member_that_is_ranked_anew_keeps_its_age() {
        let start = Instant::now();
        let mut line = Line::new(Duration::from_secs(10));
        let (low, high) = (line.join(1, start), line.join(5, start));
        line.rank(low, 9);
        line.rank(high, 2);
        assert_eq!(line.pop(start), Some(low));
        // One that has left stays away.
        line.rank(low, 7);
        assert_eq!((line.pop(start), line.pop(start)), (Some(high), None));
    }
}
