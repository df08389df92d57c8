//! Single flight with counted callers.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::FutureExt as _;
use futures::future::BoxFuture;

/// Runs work once for all callers of a key who ask while it runs.
pub struct SingleFlight<K, V, E> {
    runs: Arc<Mutex<HashMap<K, Arc<Run<V, E>>>>>,
}

impl<K, V, E> Clone for SingleFlight<K, V, E> {
    fn clone(&self) -> Self {
        Self { runs: Arc::clone(&self.runs) }
    }
}

impl<K, V, E> Default for SingleFlight<K, V, E> {
    fn default() -> Self {
        Self { runs: Arc::default() }
    }
}

impl<K, V, E> fmt::Debug for SingleFlight<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SingleFlight")
    }
}

struct Run<V, E> {
    /// The work, while no caller polls it. Held only during a poll.
    work: Mutex<Option<BoxFuture<'static, Result<V, E>>>>,
    callers: Mutex<Callers<V, E>>,
}

struct Callers<V, E> {
    count: usize,
    /// `None` inside: the work has panicked.
    result: Option<Option<Result<V, E>>>,
    wakers: HashMap<u64, Waker>,
    next: u64,
}

impl<V: Send + 'static, E: Send + 'static> Wake for Run<V, E> {
    fn wake(self: Arc<Self>) {
        let wakers: Vec<_> = lock(&self.callers).wakers.drain().map(|(_, waker)| waker).collect();
        wakers.into_iter().for_each(Waker::wake);
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

    /// Joins the run of `key`, or begins one with `work`.
    pub async fn run<F>(&self, key: K, work: impl FnOnce() -> F + Send + 'static) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let (run, number) = {
            let mut runs = lock(&self.runs);
            let run = runs.entry(key.clone()).or_insert_with(|| {
                let callers =
                    Callers { count: 0, result: None, wakers: HashMap::new(), next: 0 };
                let work = async move { work().await }.boxed();
                Arc::new(Run { work: Mutex::new(Some(work)), callers: Mutex::new(callers) })
            });
            let mut callers = lock(&run.callers);
            callers.count += 1;
            callers.next += 1;
            (Arc::clone(run), callers.next)
        };
        Caller { runs: Arc::clone(&self.runs), key, run, number }.await
    }

    /// Lets the next caller of `key` begin another run.
    pub fn forget(&self, key: &K) {
        let gone = lock(&self.runs).remove(key);
        drop(gone);
    }

    /// How many keys have a run that callers join.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.runs).len()
    }

    /// Whether no key has a run that callers join.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

struct Caller<K: Hash + Eq, V, E> {
    runs: Arc<Mutex<HashMap<K, Arc<Run<V, E>>>>>,
    key: K,
    run: Arc<Run<V, E>>,
    number: u64,
}

impl<K: Hash + Eq, V, E> Caller<K, V, E> {
    fn leave_map(&self) {
        let mut runs = lock(&self.runs);
        let mine = runs.get(&self.key).is_some_and(|run| Arc::ptr_eq(run, &self.run));
        let gone = if mine { runs.remove(&self.key) } else { None };
        drop(runs);
        drop(gone);
    }
}

impl<K: Hash + Eq, V, E> Unpin for Caller<K, V, E> {}

impl<K, V, E> Future for Caller<K, V, E>
where
    K: Hash + Eq,
    V: Clone + Send + 'static,
    E: Clone + Send + 'static,
{
    type Output = Result<V, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<V, E>> {
        lock(&self.run.callers).wakers.insert(self.number, cx.waker().clone());
        {
            // One caller polls the work; another thread waits here for the moment of a poll.
            let mut work = lock(&self.run.work);
            if let Some(future) = work.as_mut() {
                let waker = Waker::from(Arc::clone(&self.run));
                let mut context = Context::from_waker(&waker);
                let polled =
                    std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
                let result = match polled {
                    Ok(Poll::Pending) => None,
                    Ok(Poll::Ready(result)) => Some(Some(result)),
                    Err(_) => Some(None),
                };
                if let Some(result) = result {
                    self.leave_map();
                    let done = work.take();
                    lock(&self.run.callers).result = Some(result);
                    drop(work);
                    drop(done);
                    Arc::clone(&self.run).wake();
                }
            }
        }
        let result = lock(&self.run.callers).result.clone();
        match result {
            None => Poll::Pending,
            Some(Some(result)) => Poll::Ready(result),
            Some(None) => panic!("the work has panicked"),
        }
    }
}

impl<K: Hash + Eq, V, E> Drop for Caller<K, V, E> {
    fn drop(&mut self) {
        // Under the lock of the map, so that no caller joins while the last one leaves.
        let mut runs = lock(&self.runs);
        let last = {
            let mut callers = lock(&self.run.callers);
            callers.wakers.remove(&self.number);
            callers.count -= 1;
            callers.count == 0
        };
        if last {
            let mine = runs.get(&self.key).is_some_and(|run| Arc::ptr_eq(run, &self.run));
            let gone = if mine { runs.remove(&self.key) } else { None };
            drop(runs);
            let work = lock(&self.run.work).take();
            drop(work);
            drop(gone);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
