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

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use futures::future::BoxFuture;

/// Runs work once for all callers of a key who ask while it runs.
///
/// Nothing is kept of a run that has ended: it is no cache. A clone is a handle to the same runs.
pub struct SingleFlight<K, V, E> {
    runs: Arc<Mutex<Runs<K, V, E>>>,
}

struct Runs<K, V, E> {
    /// The run that callers of a key join. The map holds no run alive: its callers do.
    current: HashMap<K, (u64, Weak<Run<V, E>>)>,
    next: u64,
}

/// A run with its callers.
struct Run<V, E> {
    work: Mutex<Work<V, E>>,
    callers: Arc<Callers>,
}

enum Work<V, E> {
    Running(BoxFuture<'static, Result<V, E>>),
    Ended(Result<V, E>),
    Panicked,
}

impl<V, E> Run<V, E> {
    /// The work, unless another caller drives it at this moment.
    fn look(&self) -> Option<MutexGuard<'_, Work<V, E>>> {
        match self.work.try_lock() {
            Ok(work) => Some(work),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// The wakers of the callers that wait, each under the number of its caller.
#[derive(Default)]
struct Callers {
    wakers: Mutex<(u64, BTreeMap<u64, Waker>)>,
    /// A caller has found the work driven by another one, which may not be polled again.
    was_busy: AtomicBool,
}

impl Callers {
    fn wake_all(&self) {
        let wakers = std::mem::take(&mut lock(&self.wakers).1);
        wakers.into_values().for_each(Waker::wake);
    }
}

/// The waker of the work.
impl Wake for Callers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
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
    /// One without runs.
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
        Caller { run: self.join(key, work), number: None }.await
    }

    /// Lets the next caller of `key` begin another run. The callers of a run that is on its way keep it.
    pub fn forget(&self, key: &K) {
        // A statement of its own: the lock is free before the run's parts are dropped.
        let forgotten = lock(&self.runs).current.remove(key);
        drop(forgotten);
    }

    /// How many keys have a run that callers join.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.runs).current.len()
    }

    /// Whether no key has a run that callers join.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn join<F>(&self, key: K, work: impl FnOnce() -> F + Send + 'static) -> Arc<Run<V, E>>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let mut runs = lock(&self.runs);
        if let Some(run) = runs.current.get(&key).and_then(|(_, run)| run.upgrade()) {
            return run;
        }
        let number = runs.next;
        runs.next += 1;
        let ends = Ends { runs: Arc::clone(&self.runs), key: key.clone(), number };
        let work: BoxFuture<'static, Result<V, E>> = Box::pin(async move {
            let _ends = ends;
            work().await
        });
        let callers = Arc::default();
        let run = Arc::new(Run { work: Mutex::new(Work::Running(work)), callers });
        runs.current.insert(key, (number, Arc::downgrade(&run)));
        run
    }
}

/// One caller of a run, while it waits.
struct Caller<V, E> {
    run: Arc<Run<V, E>>,
    /// `None` before the first poll.
    number: Option<u64>,
}

impl<V: Clone, E: Clone> Future for Caller<V, E> {
    type Output = Result<V, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let run = Arc::clone(&self.run);
        // Before the look at the work: a caller that drives it at this moment on another thread wakes this one at the end.
        let older = {
            let mut wakers = lock(&run.callers.wakers);
            let number = *self.number.get_or_insert_with(|| {
                wakers.0 += 1;
                wakers.0
            });
            wakers.1.insert(number, cx.waker().clone())
        };
        drop(older);
        let Some(mut work) = run.look().or_else(|| {
            run.callers.was_busy.store(true, Ordering::SeqCst);
            // Once more: the caller that drove it may just have looked at `was_busy`.
            run.look()
        }) else {
            return Poll::Pending;
        };
        let running = match &mut *work {
            Work::Running(running) => running,
            Work::Ended(result) => return Poll::Ready(result.clone()),
            Work::Panicked => panic!("the work of this run has panicked"),
        };
        let waker = Waker::from(Arc::clone(&run.callers));
        let mut inner = Context::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut inner)));
        let ended = match polled {
            Ok(Poll::Pending) => {
                drop(work);
                if run.callers.was_busy.swap(false, Ordering::SeqCst) {
                    run.callers.wake_all();
                }
                return Poll::Pending;
            }
            Ok(Poll::Ready(result)) => Ok(result),
            Err(panic) => Err(panic),
        };
        let kept = ended.as_ref().map_or(Work::Panicked, |result| Work::Ended(result.clone()));
        let over = std::mem::replace(&mut *work, kept);
        drop(work);
        // The future goes before any caller learns of its end.
        drop(over);
        run.callers.wake_all();
        match ended {
            Ok(result) => Poll::Ready(result),
            Err(panic) => resume_unwind(panic),
        }
    }
}

impl<V, E> Drop for Caller<V, E> {
    fn drop(&mut self) {
        let gone = self.number.and_then(|number| lock(&self.run.callers.wakers).1.remove(&number));
        drop(gone);
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
        if runs.current.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            runs.current.remove(&self.key);
        }
    }
}

/// No foreign code runs under the lock but that of the key. A panic there leaves the map whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
