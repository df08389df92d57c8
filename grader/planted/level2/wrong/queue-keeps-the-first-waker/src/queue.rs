//! Bounded concurrency, by hand.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// How many jobs a default queue runs at once: as many as a page has sections.
pub const DEFAULT_CONCURRENCY: NonZeroUsize = NonZeroUsize::new(5).expect("5 is not 0");

#[derive(Debug, Default)]
struct State {
    free: usize,
    next: u64,
    /// Who waits, by ticket; `None` has been given a place.
    line: BTreeMap<u64, Option<Waker>>,
}

/// Runs jobs as they come, but never more than a fixed number at once.
#[derive(Debug)]
pub struct AsyncQueue {
    state: Mutex<State>,
}

impl Default for AsyncQueue {
    fn default() -> Self {
        Self::new(DEFAULT_CONCURRENCY)
    }
}

/// A ticket in the line; once `placed`, the place itself.
struct Ticket<'a> {
    queue: &'a AsyncQueue,
    id: u64,
    placed: bool,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        let waited = state.line.remove(&self.id);
        let has_place = self.placed || matches!(waited, Some(None));
        if !has_place {
            return;
        }
        let Some(waiter) = state.line.values_mut().find(|waiter| waiter.is_some()) else {
            state.free += 1;
            return;
        };
        let wakers = waiter.take();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl AsyncQueue {
    /// A queue that runs `concurrency` jobs at once. Any number is allowed.
    #[must_use]
    pub fn new(concurrency: NonZeroUsize) -> Self {
        Self { state: Mutex::new(State { free: concurrency.get(), ..State::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its turn, then calls `job` and runs the future it returns to its end.
    pub async fn add<F, Fut>(&self, job: F) -> Fut::Output
    where
        F: FnOnce() -> Fut,
        Fut: Future,
    {
        let mut ticket: Option<Ticket<'_>> = None;
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            match &mut ticket {
                None => {
                    let id = state.next;
                    state.next += 1;
                    let placed = state.free > 0;
                    if placed {
                        state.free -= 1;
                    } else {
                        state.line.insert(id, Some(cx.waker().clone()));
                    }
                    ticket = Some(Ticket { queue: self, id, placed });
                    if placed { Poll::Ready(()) } else { Poll::Pending }
                }
                Some(ticket) => match state.line.get_mut(&ticket.id) {
                    Some(Some(known)) => {
                        let _ = known;
                        Poll::Pending
                    }
                    _ => {
                        state.line.remove(&ticket.id);
                        ticket.placed = true;
                        Poll::Ready(())
                    }
                },
            }
        })
        .await;
        job().await
    }
}
