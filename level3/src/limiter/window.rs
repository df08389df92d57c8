//! The arithmetic of a sliding window: no clock, no lock, no queue.

use std::collections::VecDeque;

/// Nanoseconds since the limiter was made: enough for 584 years.
///
/// An `Instant` takes 16 bytes and this takes 8, of which a limiter of a million calls keeps a million.
/// Saturating arithmetic on it cannot overflow, where `Instant + Duration` panics.
pub(super) type Nanos = u64;

/// The last calls, and the slots that are reserved for calls about to be made.
///
/// Invariant: `held + calls in the last window <= limit`.
#[derive(Debug)]
pub(super) struct Window {
    /// Not zero: `earliest` divides by it.
    limit: usize,
    /// A call counts while its age is below this.
    length: Nanos,
    /// When the last calls were made, oldest first. Calls that are a window old stay until the next
    /// call is made, so no task has to sweep them out. `limit` is not enough of a bound: it may be
    /// larger than the memory of the machine.
    calls: VecDeque<Nanos>,
    /// Slots that are reserved for calls that have not been made yet. A call is recorded when it is made and
    /// not when it was admitted: the provider counts from the arrival of the request, and a call that was
    /// recorded too early would leave the window too early.
    held: usize,
    /// No slot is free before this time; the server asked for the pause.
    paused_until: Nanos,
}

impl Window {
    pub(super) fn new(limit: usize, length: Nanos) -> Self {
        Self { limit, length, calls: VecDeque::new(), held: 0, paused_until: 0 }
    }

    /// Returns when the next slot is free. `None` while every slot is reserved: then it depends on when the
    /// reserved calls are made, which no clock knows.
    pub(super) fn free_at(&self) -> Option<Nanos> {
        // Cannot underflow, by the invariant.
        let open = self.limit - self.held;
        if open == 0 {
            return None;
        }
        // A slot is free when fewer than `open` calls are younger than a window: when the call that is
        // `open`-th from the end is old enough. One look at one call, however many there are.
        let free = match self.calls.len().checked_sub(open) {
            Some(index) => self.calls[index].saturating_add(self.length),
            None => 0,
        };
        // The later of the two: a pause does not free a slot, and a free slot does not end a pause.
        Some(free.max(self.paused_until))
    }

    /// Returns the earliest time at which a caller with `ahead` others before it can get a slot. It is a lower
    /// bound: reserved slots count as free now, since they may be released at any moment.
    pub(super) fn earliest(&self, now: Nanos, ahead: usize) -> Nanos {
        // Each of the `limit` slots becomes free once in a window: those without a call now, the others
        // in the order of their calls. More than `limit` callers ahead take a whole further window.
        let (rounds, slot) = (ahead / self.limit, ahead % self.limit);
        // `calls` never has more than `limit` entries: `commit` drops the old ones before it adds one. Here
        // old ones may still be listed. Their slots are free in the past, and `max(now)` below says now.
        let unused = self.limit - self.calls.len();
        let free = match slot.checked_sub(unused) {
            Some(index) => self.calls[index].saturating_add(self.length),
            None => 0,
        };
        // Saturated, the time is later than every deadline, so the caller is refused and does not wait.
        let rounds = Nanos::try_from(rounds).unwrap_or(Nanos::MAX);
        free.max(self.paused_until).max(now).saturating_add(rounds.saturating_mul(self.length))
    }

    /// Reserves a slot for a call that is about to be made. False if none is free.
    pub(super) fn reserve(&mut self, now: Nanos) -> bool {
        // `<=`: a call that is exactly a window old counts no longer.
        let free = self.free_at().is_some_and(|at| at <= now);
        if free {
            self.held += 1;
        }
        free
    }

    /// The call of a reserved slot is made now. From here on the call counts, not the reservation.
    pub(super) fn commit(&mut self, now: Nanos) {
        self.held -= 1;
        // Old calls go before the new one is added, so the list stays within `limit`. Each call is removed
        // once, so this takes constant time on average, whatever the limit is.
        while self.calls.front().is_some_and(|&call| now.saturating_sub(call) >= self.length) {
            self.calls.pop_front();
        }
        self.calls.push_back(now);
    }

    /// The call of a reserved slot is not made.
    pub(super) fn release(&mut self) {
        self.held -= 1;
    }

    /// Keeps every slot from being free before `until`. Of several pauses the one that ends last holds.
    pub(super) fn pause_until(&mut self, until: Nanos) {
        // Answers to concurrent calls arrive in any order: a short pause that is reported later must not cut
        // a longer one.
        self.paused_until = self.paused_until.max(until);
    }

    /// Returns the number of reserved slots.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Returns whether every slot is reserved.
    pub(super) fn is_fully_reserved(&self) -> bool {
        self.held == self.limit
    }

    /// Returns the number of calls in the last window.
    pub(super) fn in_window(&self, now: Nanos) -> usize {
        // The calls are in order of time, so the old ones end at a point that a binary search finds.
        let old = |&call: &Nanos| now.saturating_sub(call) >= self.length;
        self.calls.len() - self.calls.partition_point(old)
    }
}

#[cfg(test)]
mod tests;
