//! Single flight: callers who ask for the same thing at the same time share one run of the work.
//!
//! ```text
//!                  first poll of the first caller
//!   no run of a key ─────────────────────────────▶ one run ◀──┐ more callers join:
//!        ▲                                          │ │ │     │ their closures are dropped
//!        │ the work ends: each caller gets a clone  │ │ └─────┘
//!        ├──────────────────────────────────────────┘ │
//!        │ the last caller is dropped: so is the work │
//!        ├────────────────────────────────────────────┤
//!        │ it panics: the callers panic               │ `forget`: its callers keep it,
//!        └────────────────────────────────────────────┘ later ones begin another
//! ```
//!
//! Lesson: `level4/lessons/single_flight.md`.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};

/// The work of a run: whichever of its callers is polled drives it.
type Work<V, E> = BoxFuture<'static, Result<V, E>>;

/// Runs work once for all concurrent callers of a key.
///
/// Nothing is kept of a run that has ended: it is no cache. A clone is a handle to the same runs.
///
/// ```
/// use std::time::Duration;
/// use level4::single_flight::SingleFlight;
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let flight = SingleFlight::<&str, u32, String>::new();
/// let first = flight.run("price", || async {
///     sleep(Duration::from_secs(1)).await;
///     Ok(42)
/// });
/// // This caller joins the run of the first one. Its own closure is dropped uncalled.
/// let second = flight.run("price", || async { Ok(0) });
/// assert_eq!(tokio::join!(first, second), (Ok(42), Ok(42)));
/// assert!(flight.is_empty());
/// # }
/// ```
pub struct SingleFlight<K, V, E> {
    runs: Arc<Mutex<Runs<K, V, E>>>,
}

struct Runs<K, V, E> {
    /// The run that callers of a key join. The map holds no run alive: its callers do.
    current: HashMap<K, Run<V, E>>,
    next: u64,
}

struct Run<V, E> {
    number: u64,
    work: WeakShared<Work<V, E>>,
}

impl<K, V, E> Clone for SingleFlight<K, V, E> {
    fn clone(&self) -> Self {
        Self { runs: Arc::clone(&self.runs) }
    }
}

impl<K, V, E> Default for SingleFlight<K, V, E> {
    fn default() -> Self {
        Self { runs: Arc::new(Mutex::new(Runs { current: HashMap::new(), next: 0 })) }
    }
}

impl<K, V, E> fmt::Debug for SingleFlight<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

impl<K, V, E> SingleFlight<K, V, E>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Makes a single flight without runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Joins the run of `key`, or begins one with `work`, and returns its result.
    ///
    /// `work` is called only if this caller's run is the one that is begun. It runs inside of the futures of its
    /// callers and not in a task: any of them drives it, and one that is not polled any more holds up none. Work
    /// that asks for its own key and awaits that waits without end.
    ///
    /// # Errors
    ///
    /// The error of the work. Every caller of the run gets it.
    ///
    /// # Panics
    ///
    /// A panic of the work ends the run, and all its callers panic. The next call begins another run.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has joined nothing. Dropping it leaves the run. The work goes on while the
    /// run has a caller, and is dropped with its last one.
    pub async fn run<F>(&self, key: K, work: impl FnOnce() -> F + Send + 'static) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        self.join(key, work).await
    }

    /// Lets the next caller of `key` begin another run. The callers of a run that is under way keep it.
    pub fn forget(&self, key: &K) {
        // A statement of its own: the lock is free before the run's parts are dropped.
        let forgotten = lock(&self.runs).current.remove(key);
        drop(forgotten);
    }

    /// Returns the number of keys with a run that callers join.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.runs).current.len()
    }

    /// Returns whether no key has a run that callers join.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn join<F>(&self, key: K, work: impl FnOnce() -> F + Send + 'static) -> Shared<Work<V, E>>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let mut runs = lock(&self.runs);
        // A run whose last caller is just being dropped is no run any more: `upgrade` says so.
        if let Some(shared) = runs.current.get(&key).and_then(|run| run.work.upgrade()) {
            return shared;
        }
        let number = runs.next;
        runs.next += 1;
        let ends = Ends { runs: Arc::clone(&self.runs), key: key.clone(), number };
        // `work` is called at the first poll, which is outside of the lock: it may panic, and it may use this
        // object. The guard is part of the future, so it runs on each of its ends: result, panic and drop. The end
        // comes before the result is seen: a caller that has the result and asks again begins another run.
        let shared = async move {
            let _ends = ends;
            work().await
        }
        .boxed()
        .shared();
        if let Some(work) = shared.downgrade() {
            runs.current.insert(key, Run { number, work });
        }
        shared
    }
}

/// Takes its run out of the map when the run ends.
struct Ends<K: Hash + Eq, V, E> {
    runs: Arc<Mutex<Runs<K, V, E>>>,
    key: K,
    number: u64,
}

impl<K: Hash + Eq, V, E> Drop for Ends<K, V, E> {
    fn drop(&mut self) {
        let mut runs = lock(&self.runs);
        // By its number, not by its key: a run that was forgotten must not end the one after it.
        if runs.current.get(&self.key).is_some_and(|run| run.number == self.number) {
            runs.current.remove(&self.key);
        }
    }
}

/// No foreign code runs under the lock but that of the key. A panic there leaves the map whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use std::time::Duration;

    use super::*;
    use futures::future::join_all;
    use tokio::time::{sleep, timeout};

    type Flight = SingleFlight<&'static str, u32, String>;

    async fn slow(runs: Arc<AtomicU32>) -> Result<u32, String> {
        sleep(Duration::from_millis(100)).await;
        Ok(runs.fetch_add(1, SeqCst) + 1)
    }

    #[tokio::test(start_paused = true)]
    async fn callers_of_a_key_share_a_run() {
        let (flight, runs) = (Flight::new(), Arc::new(AtomicU32::new(0)));
        let call = |key| {
            let runs = Arc::clone(&runs);
            flight.run(key, move || slow(runs))
        };
        assert_eq!(join_all([call("a"), call("a"), call("a")]).await, [Ok(1), Ok(1), Ok(1)]);
        assert_eq!(call("a").await, Ok(2));
        assert!(flight.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_work_goes_on_while_it_has_a_caller() {
        let (flight, runs) = (Flight::new(), Arc::new(AtomicU32::new(0)));
        let call = || {
            let runs = Arc::clone(&runs);
            flight.run("a", move || slow(runs))
        };
        let gone = timeout(Duration::from_millis(50), call());
        let (gone, stays) = futures::join!(gone, call());
        assert!(gone.is_err());
        assert_eq!(stays, Ok(1));
        assert!(timeout(Duration::from_millis(50), call()).await.is_err());
        assert!(flight.is_empty());
        assert_eq!(runs.load(SeqCst), 1);
    }
}
