//! The slots that all requests share, and the line in front of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::ranks::Priority;

/// A clone is a handle to the same slots.
#[derive(Clone)]
pub(super) struct Slots(Arc<Mutex<State>>);

struct State {
    limit: usize,
    running: usize,
    most_wait: Duration,
    last: u64,
    /// In the order of arrival.
    line: Vec<Waiter>,
}

struct Waiter {
    number: u64,
    priority: u8,
    since: Instant,
    called: Arc<Notify>,
}

/// The right to send one request. Its destructor passes it on, on every way out.
pub(super) struct Slot(Slots);

impl Slots {
    pub(super) fn new(limit: usize, most_wait: Duration) -> Self {
        let state = State { limit, running: 0, most_wait, last: 0, line: Vec::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Waits for a slot. Dropping the future leaves the line.
    pub(super) async fn acquire(&self, mut rank: Priority) -> Slot {
        let called = Arc::new(Notify::new());
        let number = {
            let mut state = self.lock();
            state.last += 1;
            let (number, since, priority) = (state.last, Instant::now(), rank.now());
            state.line.push(Waiter { number, priority, since, called: Arc::clone(&called) });
            state.call();
            number
        };
        let mut place = Place { slots: self.clone(), number, served: false };
        loop {
            tokio::select! {
                biased;
                () = called.notified() => break,
                () = rank.changed() => {
                    let priority = rank.now();
                    let mut state = self.lock();
                    let mut line = state.line.iter_mut();
                    if let Some(waiter) = line.find(|waiter| waiter.number == number) {
                        waiter.priority = priority;
                    }
                }
            }
        }
        place.served = true;
        Slot(self.clone())
    }

    /// Changes how many requests may run. Requests that run already go on.
    pub(super) fn set_limit(&self, limit: usize) {
        let mut state = self.lock();
        state.limit = limit;
        state.call();
    }

    /// No foreign code runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self) {
        let mut state = self.lock();
        state.running -= 1;
        state.call();
    }
}

impl State {
    /// Calls those whose turn it is. Who is called has a slot and is not in the line.
    fn call(&mut self) {
        while self.running < self.limit
            && let Some(next) = self.next()
        {
            self.running += 1;
            self.line.remove(next).called.notify_one();
        }
    }

    fn next(&self) -> Option<usize> {
        let oldest = self.line.first()?;
        if oldest.since.elapsed() >= self.most_wait {
            return Some(0);
        }
        // Of several with the highest priority `max_by_key` takes the last, so they are looked at in reverse.
        let line = self.line.iter().enumerate().rev();
        line.max_by_key(|(_, waiter)| waiter.priority).map(|(index, _)| index)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// A place in the line, or a slot that was given and not taken yet.
struct Place {
    slots: Slots,
    number: u64,
    served: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.served {
            return;
        }
        let mut state = self.slots.lock();
        if let Some(index) = state.line.iter().position(|waiter| waiter.number == self.number) {
            state.line.remove(index);
        } else {
            state.running -= 1;
            state.call();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn age_goes_before_rank() {
        let slots = Slots::new(1, Duration::from_secs(10));
        let first = slots.acquire(Priority::fixed(0)).await;
        let order = Mutex::new(Vec::new());
        let wait = async |name, priority| {
            let _slot = slots.acquire(Priority::fixed(priority)).await;
            order.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        };
        let free = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            drop(first);
        };
        let late = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            futures::join!(wait("nine", 9), wait("ten", 10));
        };
        futures::join!(wait("low", 1), late, free);
        assert_eq!(*order.lock().unwrap(), ["low", "ten", "nine"]);
    }
}
