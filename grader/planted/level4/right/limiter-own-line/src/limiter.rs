//! A concurrency limiter: at most so many operations at once, and the others wait in order.
//!
//! ```text
//!  first poll            a slot is free                 the operation ends, or its caller goes
//!  ──────────▶ waiting ────────────────▶ running ──────────────────────────────────────────▶ gone
//!              │    in a line, its        │                                    its slot passes to
//!              │    closure not called    │ panics: the panic passes on        the first in the line
//!              └── dropped: leaves the line
//! ```
//!
//! Lesson: `level4/lessons/limiter.md`.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};

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
///
/// A clone is a handle to the same slots.
#[derive(Debug, Clone)]
pub struct Limiter {
    line: Arc<Mutex<Line>>,
}

/// Free slots, and the callers that wait for one. While a caller waits none is free.
#[derive(Debug)]
struct Line {
    free: usize,
    waiting: BTreeMap<u64, Waker>,
    last_number: u64,
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
        let line = Line { free: max.get(), waiting: BTreeMap::new(), last_number: 0 };
        Self { line: Arc::new(Mutex::new(line)) }
    }

    /// Waits for a slot, then calls `op` and runs its future to the end.
    ///
    /// Callers that wait are served in the order in which this future was first polled. The operation runs
    /// inside the future and not in a task, so it may borrow, and needs to be neither `Send` nor `'static`.
    ///
    /// An operation that runs another one on the same limiter and awaits it keeps its slot meanwhile. When the
    /// operations in all slots do that, they wait for each other without end.
    ///
    /// # Panics
    ///
    /// A panic of the operation, in the closure or in its future, passes to the caller. Its slot becomes free.
    ///
    /// # Cancellation
    ///
    /// Dropping the future while it waits leaves the line; `op` is then never called. Dropping it while the
    /// operation runs stops the operation and frees its slot at once.
    pub async fn run<T, F>(&self, op: impl FnOnce() -> F) -> T
    where
        F: Future<Output = T>,
    {
        let mut ticket = Ticket { line: &self.line, number: None };
        let _slot = poll_fn(|cx| ticket.poll(cx)).await;
        op().await
    }

    /// Runs a batch and returns one result for each operation, in the order of `ops`.
    ///
    /// Each operation takes a slot as [`run`](Self::run) does, in the order of `ops`, and begins as soon as it
    /// has one. So a batch shares the limit with every other caller, and a slow operation holds up none but
    /// itself. An empty batch needs no slot.
    ///
    /// # Errors
    ///
    /// [`Failure`] instead of the value of an operation that returned an error or panicked. The others are not
    /// touched by it.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops the operations that run, frees their slots, and calls no others.
    pub async fn run_all<T, E, F, Op>(&self, ops: Vec<Op>) -> Vec<Result<T, Failure<E>>>
    where
        Op: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        let mut results: Vec<_> = ops.iter().map(|_| None).collect();
        let mut running: FuturesUnordered<_> = ops
            .into_iter()
            .enumerate()
            .map(|(at, op)| async move {
                // The unwinding has freed the slot when it arrives here.
                (at, AssertUnwindSafe(self.run(op)).catch_unwind().await)
            })
            .collect();
        while let Some((at, outcome)) = running.next().await {
            results[at] = Some(match outcome {
                Ok(result) => result.map_err(Failure::Error),
                Err(panic) => Err(Failure::Panicked(panic_text(panic.as_ref()))),
            });
        }
        results.into_iter().flatten().collect()
    }
}

/// A caller that has no slot yet. `None`: it does not stand in the line.
struct Ticket<'a> {
    line: &'a Mutex<Line>,
    number: Option<u64>,
}

impl<'a> Ticket<'a> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Slot<'a>> {
        let mut line = lock(self.line);
        let Some(number) = self.number else {
            if let Some(free) = line.free.checked_sub(1) {
                line.free = free;
                return Poll::Ready(Slot(self.line));
            }
            line.last_number += 1;
            let number = line.last_number;
            line.waiting.insert(number, cx.waker().clone());
            self.number = Some(number);
            return Poll::Pending;
        };
        if let Some(waker) = line.waiting.get_mut(&number) {
            let old = std::mem::replace(waker, cx.waker().clone());
            drop(line);
            drop(old);
            return Poll::Pending;
        }
        // Taken out of the line by the one whose slot it has now.
        self.number = None;
        Poll::Ready(Slot(self.line))
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let waited = lock(self.line).waiting.remove(&number);
        if waited.is_none() {
            drop(Slot(self.line));
        }
    }
}

struct Slot<'a>(&'a Mutex<Line>);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let next = {
            let mut line = lock(self.0);
            let next = line.waiting.pop_first();
            if next.is_none() {
                line.free += 1;
            }
            next
        };
        if let Some((_, waker)) = next {
            waker.wake();
        }
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `panic!("text")` carries a `&str`, `panic!("row {n}")` a `String`, and `panic_any` whatever it was given.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

