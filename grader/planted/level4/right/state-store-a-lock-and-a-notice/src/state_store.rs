//! A state store with a lock and wakers.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;

/// What a store holds at one moment.
#[derive(Debug, Clone)]
pub struct View<S> {
    /// The state.
    pub state: S,
    operations: BTreeMap<&'static str, Operation>,
}

#[derive(Debug, Clone, Default)]
struct Operation {
    /// The numbers of the runs that are on their way.
    runs: Vec<u64>,
    error: Option<String>,
}

impl<S> View<S> {
    /// Whether a run of this operation is on its way.
    #[must_use]
    pub fn loading(&self, operation: &str) -> bool {
        self.operations.get(operation).is_some_and(|operation| !operation.runs.is_empty())
    }

    /// The error of this operation's last failed run.
    #[must_use]
    pub fn error(&self, operation: &str) -> Option<&str> {
        self.operations.get(operation).and_then(|operation| operation.error.as_deref())
    }
}

/// A state that many parts of a program read and change.
pub struct Store<S> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    initial: S,
    /// Held by the change that is under way.
    turn: Mutex<()>,
    inner: Mutex<Inner<S>>,
}

struct Inner<S> {
    view: Arc<View<S>>,
    version: u64,
    next: u64,
    handles: usize,
    readers: HashMap<u64, Option<Waker>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S> Clone for Store<S> {
    fn clone(&self) -> Self {
        lock(&self.shared.inner).handles += 1;
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S> Drop for Store<S> {
    fn drop(&mut self) {
        let wakers: Vec<_> = {
            let mut inner = lock(&self.shared.inner);
            inner.handles -= 1;
            if inner.handles > 0 {
                return;
            }
            inner.readers.values_mut().filter_map(Option::take).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<S> fmt::Debug for Store<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl<S: Clone + PartialEq + Send + Sync + 'static> Store<S> {
    /// A store with this state.
    #[must_use]
    pub fn new(initial: S) -> Self {
        let view = Arc::new(View { state: initial.clone(), operations: BTreeMap::new() });
        let inner = Inner { view, version: 1, next: 0, handles: 1, readers: HashMap::new() };
        Self { shared: Arc::new(Shared { initial, turn: Mutex::new(()), inner: Mutex::new(inner) }) }
    }

    /// What the store holds now.
    #[must_use]
    pub fn view(&self) -> Arc<View<S>> {
        Arc::clone(&lock(&self.shared.inner).view)
    }

    /// Changes the state in one step.
    pub fn update(&self, change: impl FnOnce(&mut S)) {
        self.step_if(|old, new| old.state != new.state, |view, _| change(&mut view.state));
    }

    /// A part of what the store holds, as a stream.
    pub fn select<T, F>(&self, part: F) -> impl Stream<Item = T> + Send + Unpin + use<S, T, F>
    where
        T: Clone + PartialEq + Send + 'static,
        F: Fn(&View<S>) -> T + Send + 'static,
    {
        let mut inner = lock(&self.shared.inner);
        inner.next += 1;
        let id = inner.next;
        inner.readers.insert(id, None);
        Selected { shared: Arc::clone(&self.shared), id, seen: 0, last: None, part: Box::new(part) }
    }

    /// Runs `work` as a run of `operation`.
    pub async fn track<T, E: fmt::Display>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let number = self.step(|view, number| {
            let operation = view.operations.entry(operation).or_default();
            operation.runs.push(number);
            operation.error = None;
            number
        });
        let mut ends = Ends { store: self, operation, number, error: None };
        let result = work.await;
        if let Err(error) = &result {
            ends.error = Some(error.to_string());
        }
        drop(ends);
        result
    }

    /// Whether a run of this operation is on its way.
    #[must_use]
    pub fn loading(&self, operation: &str) -> bool {
        self.view().loading(operation)
    }

    /// The error of this operation's last failed run.
    #[must_use]
    pub fn error(&self, operation: &str) -> Option<String> {
        self.view().error(operation).map(ToOwned::to_owned)
    }

    /// Returns to the state from the beginning.
    pub fn reset(&self) {
        self.step(|view, _| {
            view.state = self.shared.initial.clone();
            view.operations.clear();
        });
    }

    /// How many streams there are.
    #[must_use]
    pub fn readers(&self) -> usize {
        lock(&self.shared.inner).readers.len()
    }

    /// Publishes a changed copy of the view. `change` gets a number that no other step has.
    fn step<R>(&self, change: impl FnOnce(&mut View<S>, u64) -> R) -> R {
        self.step_if(|_, _| true, change)
    }

    fn step_if<R>(
        &self,
        differs: impl FnOnce(&View<S>, &View<S>) -> bool,
        change: impl FnOnce(&mut View<S>, u64) -> R,
    ) -> R {
        let turn = lock(&self.shared.turn);
        let (before, number) = {
            let mut inner = lock(&self.shared.inner);
            inner.next += 1;
            (Arc::clone(&inner.view), inner.next)
        };
        // Without the lock of the readers: cloning and comparing is the state's own code.
        let mut next = View::clone(&before);
        let result = change(&mut next, number);
        let next = Arc::new(next);
        let (old, wakers) = if differs(&before, &next) {
            let mut inner = lock(&self.shared.inner);
            inner.version += 1;
            let old = std::mem::replace(&mut inner.view, next);
            let wakers: Vec<_> = inner.readers.values_mut().filter_map(Option::take).collect();
            (old, wakers)
        } else {
            (next, Vec::new())
        };
        drop(turn);
        wakers.into_iter().for_each(Waker::wake);
        drop(before);
        drop(old);
        result
    }
}

struct Ends<'a, S: Clone + PartialEq + Send + Sync + 'static> {
    store: &'a Store<S>,
    operation: &'static str,
    number: u64,
    error: Option<String>,
}

impl<S: Clone + PartialEq + Send + Sync + 'static> Drop for Ends<'_, S> {
    fn drop(&mut self) {
        let error = self.error.take();
        self.store.step(|view, _| {
            let Some(operation) = view.operations.get_mut(self.operation) else { return };
            // A run from before a reset is not in the list.
            let Some(place) = operation.runs.iter().position(|run| *run == self.number) else {
                return;
            };
            operation.runs.swap_remove(place);
            operation.error = error.or_else(|| operation.error.take());
            if operation.runs.is_empty() && operation.error.is_none() {
                view.operations.remove(self.operation);
            }
        });
    }
}

struct Selected<S, T> {
    shared: Arc<Shared<S>>,
    id: u64,
    seen: u64,
    last: Option<T>,
    part: Box<dyn Fn(&View<S>) -> T + Send>,
}

impl<S, T> Unpin for Selected<S, T> {}

impl<S, T: Clone + PartialEq> Stream for Selected<S, T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            let view = {
                let mut inner = lock(&self.shared.inner);
                if inner.version == self.seen {
                    if inner.handles == 0 {
                        return Poll::Ready(None);
                    }
                    inner.readers.insert(self.id, Some(cx.waker().clone()));
                    return Poll::Pending;
                }
                let seen = inner.version;
                let view = Arc::clone(&inner.view);
                drop(inner);
                self.seen = seen;
                view
            };
            let value = (self.part)(&view);
            if self.last.as_ref() != Some(&value) {
                self.last = Some(value.clone());
                return Poll::Ready(Some(value));
            }
        }
    }
}

impl<S, T> Drop for Selected<S, T> {
    fn drop(&mut self) {
        lock(&self.shared.inner).readers.remove(&self.id);
    }
}
