//! The arithmetic of a sliding window: no clock, no lock, no line.
//!
//! Instants are nanoseconds since the limiter was made: half the size of an `Instant`, of which a
//! limiter of a million calls keeps a million.

use std::collections::VecDeque;

/// Nanoseconds since the limiter was made: enough for 584 years.
pub(super) type Nanos = u64;

/// The last calls, and the slots that are held for calls about to be made.
///
/// Never are more slots held than `limit` less the calls of the last window. That is the whole promise.
#[derive(Debug)]
pub(super) struct Window {
    limit: usize,
    length: Nanos,
    // In order of time, at most `limit`. Calls that are a window old stay until their place is needed:
    // that way nothing ever has to be swept.
    calls: VecDeque<Nanos>,
    held: usize,
    paused_until: Nanos,
}

impl Window {
    pub(super) fn new(limit: usize, length: Nanos) -> Self {
        Self { limit, length, calls: VecDeque::new(), held: 0, paused_until: 0 }
    }

    /// When the next slot is free; none as long as every slot is held, since nobody knows when the calls
    /// will be made.
    pub(super) fn free_at(&self) -> Option<Nanos> {
        let open = self.limit - self.held;
        if open == 0 {
            return None;
        }
        // A slot is free when fewer than `open` calls are younger than a window, so when the call
        // that is `open`-th from the end is old enough.
        let free = match self.calls.len().checked_sub(open) {
            Some(index) => self.calls[index].saturating_add(self.length),
            None => 0,
        };
        Some(free.max(self.paused_until))
    }

    /// The least time at which there can be a slot for somebody who has `ahead` others before him, given
    /// that held slots may come back at any moment.
    pub(super) fn earliest(&self, now: Nanos, ahead: usize) -> Nanos {
        // Each of the `limit` slots comes free once in a window: those without a call now, the others
        // in the order of their calls. Whoever has more than `limit` before him waits for a whole
        // further round.
        let (rounds, slot) = (ahead / self.limit, ahead % self.limit);
        let unused = self.limit - self.calls.len();
        let free = match slot.checked_sub(unused) {
            Some(index) => self.calls[index].saturating_add(self.length),
            None => 0,
        };
        let rounds = Nanos::try_from(rounds).unwrap_or(Nanos::MAX);
        free.max(self.paused_until).max(now).saturating_add(rounds.saturating_mul(self.length))
    }

    /// Holds a slot if one is free.
    pub(super) fn hold(&mut self, now: Nanos) -> bool {
        let free = self.free_at().is_some_and(|at| at <= now);
        if free {
            self.held += 1;
        }
        free
    }

    /// A held slot is used for a call, now.
    pub(super) fn make_use(&mut self, now: Nanos) {
        self.held -= 1;
        if self.calls.len() == self.limit {
            // Older than a window: its place is the one that was held.
            self.calls.pop_front();
        }
        self.calls.push_back(now);
    }

    /// A held slot is not needed.
    pub(super) fn give_back(&mut self) {
        self.held -= 1;
    }

    pub(super) fn pause_until(&mut self, until: Nanos) {
        self.paused_until = self.paused_until.max(until);
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Whether every slot is held.
    pub(super) fn is_held(&self) -> bool {
        self.held == self.limit
    }

    /// The calls of the last window.
    pub(super) fn in_window(&self, now: Nanos) -> usize {
        let old = |&call: &Nanos| now.saturating_sub(call) >= self.length;
        self.calls.len() - self.calls.partition_point(old)
    }
}

#[cfg(test)]
mod tests;
