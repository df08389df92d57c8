//! A concurrency limiter.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::oneshot;

/// How many operations a default limiter runs at once.
pub const DEFAULT_LIMIT: NonZeroUsize = NonZeroUsize::new(3).expect("3 is not 0");

/// Why an operation of [`Limiter::run_all`] has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure<E> {
    /// The operation returned this error.
    #[error("{0}")]
    Error(E),
    /// The operation panicked, in its closure or in its future. What the panic said, or `no message` where it
    /// carried no text.
    #[error("the operation panicked: {0}")]
    Panicked(String),
}

/// Runs operations, but never more than a fixed number at once.
#[derive(Debug, Clone)]
pub struct Limiter {
    line: Arc<Mutex<Line>>,
}

#[derive(Debug)]
struct Line {
    free: usize,
    waiting: VecDeque<oneshot::Sender<Slot>>,
}

/// A slot. Dropped, it goes to the first in the line that is still there.
#[derive(Debug)]
struct Slot(Option<Arc<Mutex<Line>>>);

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        loop {
            let next = {
                let mut line = lock(&shared);
                let next = line.waiting.pop_front();
                if next.is_none() {
                    line.free += 1;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Slot(Some(Arc::clone(&shared)))) {
                Ok(()) => return,
                // That caller has gone. The slot is taken apart, so that its destructor has nothing to do.
                Err(mut slot) => drop(slot.0.take()),
            }
        }
    }
}

impl Default for Limiter {
    /// A limiter that runs [`DEFAULT_LIMIT`] operations at once.
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

impl Limiter {
    /// A limiter that runs `max` operations at once. Any number is allowed.
    #[must_use]
    pub fn new(max: NonZeroUsize) -> Self {
        Self { line: Arc::new(Mutex::new(Line { free: max.get(), waiting: VecDeque::new() })) }
    }

    async fn slot(&self) -> Slot {
        let turn = {
            let mut line = lock(&self.line);
            if line.free > 0 {
                line.free -= 1;
                return Slot(Some(Arc::clone(&self.line)));
            }
            let (sender, turn) = oneshot::channel();
            line.waiting.push_back(sender);
            turn
        };
        match turn.await {
            Ok(slot) => slot,
            Err(_) => unreachable!("the line keeps the sender until it hands over a slot"),
        }
    }

    /// Waits for a slot, then calls `op` and runs its future to the end.
    pub async fn run<T, F>(&self, op: impl FnOnce() -> F) -> T
    where
        F: Future<Output = T>,
    {
        let slot = self.slot().await;
        let output = op().await;
        drop(slot);
        output
    }

    /// Runs a batch and returns one result for each operation, in the order of `ops`.
    pub async fn run_all<T, E, F, Op>(&self, ops: Vec<Op>) -> Vec<Result<T, Failure<E>>>
    where
        Op: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        let mut results: Vec<_> = ops.iter().map(|_| None).collect();
        let mut calls: FuturesUnordered<_> = ops
            .into_iter()
            .enumerate()
            .map(|(place, op)| async move {
                let _slot = self.slot().await;
                let future = match catch_unwind(AssertUnwindSafe(op)) {
                    Ok(future) => future,
                    Err(panic) => return (place, Err(Failure::Panicked(said(panic)))),
                };
                let result = match AssertUnwindSafe(future).catch_unwind().await {
                    Ok(result) => result.map_err(Failure::Error),
                    Err(panic) => Err(Failure::Panicked(said(panic))),
                };
                (place, result)
            })
            .collect();
        while let Some((place, result)) = calls.next().await {
            results[place] = Some(result);
        }
        results.into_iter().flatten().collect()
    }
}

fn said(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => {
            other.downcast_ref::<&str>().map_or("no message".to_owned(), |it| (*it).to_owned())
        }
    }
}
