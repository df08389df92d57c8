//! A concurrency limiter: a fixed number of operations runs at once, and the others wait in order.
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
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::join_all;
use tokio::sync::Semaphore;

/// How many operations a default limiter runs at once.
pub const DEFAULT_LIMIT: NonZeroUsize = NonZeroUsize::new(3).expect("3 is not 0");

/// The reason why an operation of [`Limiter::run_all`] has no value.
///
/// ```
/// use level4::limiter::{Failure, Limiter};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let op = |number: u32| move || async move {
///     if number == 2 { Err("no connection") } else { Ok(number * 10) }
/// };
/// let results = Limiter::default().run_all((1..=3).map(op).collect()).await;
/// assert_eq!(results, [Ok(10), Err(Failure::Error("no connection")), Ok(30)]);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure<E> {
    /// The operation returned this error.
    #[error("{0}")]
    Error(E),
    /// The operation panicked, in its closure or in its future. The text is that of the panic, or `no message` for
    /// a panic without a text.
    #[error("the operation panicked: {0}")]
    Panicked(String),
}

/// Runs operations, but never more than a fixed number at once.
///
/// A clone is a handle to the same slots.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level4::limiter::Limiter;
/// use tokio::time::{Instant, sleep};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let limiter = Limiter::new(NonZeroUsize::new(2).unwrap());
/// let began = Instant::now();
/// let one_second = || limiter.run(|| sleep(Duration::from_secs(1)));
/// tokio::join!(one_second(), one_second(), one_second());
/// assert_eq!(began.elapsed(), Duration::from_secs(2)); // the third one has waited
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Limiter {
    // One permit for each slot. A semaphore hands a released permit to the first waiter itself, so no newcomer
    // can take it in between. A counter and a wake-up leave that gap.
    slots: Arc<Semaphore>,
}

impl Default for Limiter {
    /// Makes a limiter that runs [`DEFAULT_LIMIT`] operations at once.
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

impl Limiter {
    /// Makes a limiter that runs `max` operations at once. Any number is allowed.
    #[must_use]
    pub fn new(max: NonZeroUsize) -> Self {
        // A semaphore panics above its own limit, which no number of operations reaches.
        Self { slots: Arc::new(Semaphore::new(max.get().min(Semaphore::MAX_PERMITS))) }
    }

    /// Waits for a slot, then calls `op` and runs its future to the end.
    ///
    /// The slot is free again when the operation has ended and its future is dropped.
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
        // The permit returns its slot from its destructor, which runs on every way out: value, panic and drop.
        // With `let _ =` it would be dropped in this very line. `acquire` fails only on a closed semaphore,
        // and this one is never closed.
        let _slot = self.slots.acquire().await;
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
        // All of them stand in the line from the start, so none waits for a whole chunk to end. `join_all`
        // polls them in order at first, and returns their outputs in order at the end.
        join_all(ops.into_iter().map(|op| self.run(|| settle(op)))).await
    }
}

/// Runs one operation and makes a value of its panic.
async fn settle<T, E, F>(op: impl FnOnce() -> F) -> Result<T, Failure<E>>
where
    F: Future<Output = Result<T, E>>,
{
    // The closure is called inside of the watched future: it can panic before it has made one. Nothing of a
    // panicked operation is used afterwards, so what it may have left half done is never seen.
    match AssertUnwindSafe(async { op().await }).catch_unwind().await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure::Error(error)),
        Err(panic) => Err(Failure::Panicked(panic_text(panic.as_ref()))),
    }
}

/// `panic!("text")` carries a `&str`, `panic!("row {n}")` a `String`, and `panic_any` whatever it was given.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn a_batch_keeps_the_order_of_its_operations() {
        let limiter = Limiter::new(NonZeroUsize::new(2).expect("2 is not 0"));
        let began = Instant::now();
        let ops = [30, 10, 20].map(|length| {
            move || async move {
                sleep(Duration::from_millis(length)).await;
                if length == 10 { Err("too short") } else { Ok(length) }
            }
        });
        let results = limiter.run_all(ops.into()).await;
        assert_eq!(results, [Ok(30), Err(Failure::Error("too short")), Ok(20)]);
        assert_eq!(began.elapsed(), Duration::from_millis(30));
    }

    #[test]
    fn a_failure_says_what_happened() {
        assert_eq!(Failure::Error("not found").to_string(), "not found");
        let panicked: Failure<&str> = Failure::Panicked("row 7".to_owned());
        assert_eq!(panicked.to_string(), "the operation panicked: row 7");
    }
}
