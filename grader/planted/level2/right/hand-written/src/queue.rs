//! Bounded concurrency: the assignment's `AsyncQueue`, first come, first served.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// How many jobs run at once by default: 5, as in the assignment.
pub const DEFAULT_CONCURRENCY: NonZeroUsize = NonZeroUsize::new(5).expect("5 is not 0");

/// Runs jobs as they come, but never more than a fixed number at once. Jobs that have to wait start
/// in the order in which [`add`](Self::add) was first polled.
#[derive(Debug)]
pub struct AsyncQueue {
    state: Arc<Mutex<State>>,
}

/// How many places are free, and the line of those who wait for one.
#[derive(Debug)]
struct State {
    free: usize,
    line: VecDeque<oneshot::Sender<Place>>,
}

/// A place to run at. Dropped, it goes to the first in the line, or is free.
#[derive(Debug)]
struct Place {
    state: Arc<Mutex<State>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // A place that cannot be handed over comes back with the error; its own destructor then
        // tries the next in the line. So the lock must not be held meanwhile.
        let next = {
            let mut state = lock(&self.state);
            let next = state.line.pop_front();
            if next.is_none() {
                state.free += 1;
            }
            next
        };
        if let Some(next) = next {
            drop(next.send(Place { state: Arc::clone(&self.state) }));
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for AsyncQueue {
    /// A queue that runs [`DEFAULT_CONCURRENCY`] jobs at once.
    fn default() -> Self {
        Self::new(DEFAULT_CONCURRENCY)
    }
}

impl AsyncQueue {
    /// A queue that runs `concurrency` jobs at once.
    #[must_use]
    pub fn new(concurrency: NonZeroUsize) -> Self {
        let state = State { free: concurrency.get(), line: VecDeque::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Waits for its turn, then calls `job` and runs the future it returns to its end.
    pub async fn add<F, Fut>(&self, job: F) -> Fut::Output
    where
        F: FnOnce() -> Fut,
        Fut: Future,
    {
        let _place = self.place().await;
        job().await
    }

    async fn place(&self) -> Place {
        let turn = {
            let mut state = lock(&self.state);
            if state.free > 0 {
                state.free -= 1;
                None
            } else {
                // Callers that have been dropped leave the line before it grows.
                if state.line.len() == state.line.capacity() {
                    state.line.retain(|turn| !turn.is_closed());
                }
                let (sender, turn) = oneshot::channel();
                state.line.push_back(sender);
                Some(turn)
            }
        };
        match turn {
            None => Place { state: Arc::clone(&self.state) },
            Some(turn) => turn.await.expect("the line is as long-lived as the queue"),
        }
    }
}
