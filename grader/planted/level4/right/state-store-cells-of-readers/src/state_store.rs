//! A state store whose runs belong to a period between two resets.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::watch;

/// What a store holds at one moment.
#[derive(Debug, Clone)]
pub struct View<S> {
    /// The state.
    pub state: S,
    running: HashMap<&'static str, usize>,
    errors: HashMap<&'static str, Arc<str>>,
    period: Arc<()>,
}

impl<S> View<S> {
    /// Whether a run of this operation is on its way.
    #[must_use]
    pub fn loading(&self, operation: &str) -> bool {
        self.running.contains_key(operation)
    }

    /// The error of this operation's last failed run.
    #[must_use]
    pub fn error(&self, operation: &str) -> Option<&str> {
        self.errors.get(operation).map(|text| &**text)
    }
}

/// A state that many parts of a program read and change.
#[derive(Clone)]
pub struct Store<S> {
    cell: Arc<Cell<S>>,
}

struct Cell<S> {
    initial: S,
    writers: Mutex<()>,
    views: watch::Sender<Arc<View<S>>>,
}

impl<S> fmt::Debug for Store<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("readers", &self.cell.views.receiver_count()).finish()
    }
}

impl<S: Clone + PartialEq + Send + Sync + 'static> Store<S> {
    /// A store with this state.
    #[must_use]
    pub fn new(initial: S) -> Self {
        let view = View {
            state: initial.clone(),
            running: HashMap::new(),
            errors: HashMap::new(),
            period: Arc::new(()),
        };
        let views = watch::Sender::new(Arc::new(view));
        Self { cell: Arc::new(Cell { initial, writers: Mutex::new(()), views }) }
    }

    /// What the store holds now.
    #[must_use]
    pub fn view(&self) -> Arc<View<S>> {
        self.cell.views.borrow().clone()
    }

    /// Changes the state in one step.
    pub fn update(&self, change: impl FnOnce(&mut S)) {
        let turn = self.cell.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut view = View::clone(&self.view());
        change(&mut view.state);
        // An update that leaves the state as it was is no change: it wakes no reader.
        let gone = if view.state == self.view().state {
            Arc::new(view)
        } else {
            self.cell.views.send_replace(Arc::new(view))
        };
        drop(turn);
        drop(gone);
    }

    /// A part of what the store holds, as a stream.
    pub fn select<T, F>(&self, part: F) -> impl Stream<Item = T> + Send + Unpin + use<S, T, F>
    where
        T: Clone + PartialEq + Send + 'static,
        F: Fn(&View<S>) -> T + Send + 'static,
    {
        let views = self.cell.views.subscribe();
        let first = futures::stream::once(futures::future::ready(views)).flat_map(|mut views| {
            views.mark_changed();
            futures::stream::unfold(views, |mut views| {
                async move {
                    views.changed().await.ok()?;
                    let view = views.borrow_and_update().clone();
                    Some((view, views))
                }
                .boxed()
            })
        });
        let mut last = None;
        first
            .filter_map(move |view| {
                let value = part(&view);
                let changed = last.as_ref() != Some(&value);
                if changed {
                    last = Some(value.clone());
                }
                futures::future::ready(changed.then_some(value))
            })
            .boxed()
    }

    /// Runs `work` as a run of `operation`.
    pub async fn track<T, E: fmt::Display>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut period = None;
        self.publish(|view| {
            *view.running.entry(operation).or_insert(0) += 1;
            view.errors.remove(operation);
            period = Some(Arc::clone(&view.period));
        });
        let mut left = Left { store: self, operation, period, error: None };
        let result = work.await;
        left.error = result.as_ref().map_or_else(|error| Some(error.to_string()), |_| None);
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
        self.view().error(operation).map(String::from)
    }

    /// Returns to the state from the beginning.
    pub fn reset(&self) {
        self.publish(|view| {
            *view = View {
                state: self.cell.initial.clone(),
                running: HashMap::new(),
                errors: HashMap::new(),
                period: Arc::new(()),
            };
        });
    }

    /// How many streams there are.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.cell.views.receiver_count()
    }

    fn publish(&self, change: impl FnOnce(&mut View<S>)) {
        let old = {
            let _turn = self.cell.writers.lock().unwrap_or_else(PoisonError::into_inner);
            let mut view = View::clone(&self.view());
            change(&mut view);
            self.cell.views.send_replace(Arc::new(view))
        };
        drop(old);
    }
}

struct Left<'a, S: Clone + PartialEq + Send + Sync + 'static> {
    store: &'a Store<S>,
    operation: &'static str,
    period: Option<Arc<()>>,
    error: Option<String>,
}

impl<S: Clone + PartialEq + Send + Sync + 'static> Drop for Left<'_, S> {
    fn drop(&mut self) {
        let (error, period) = (self.error.take(), self.period.take());
        self.store.publish(|view| {
            if !period.is_some_and(|period| Arc::ptr_eq(&period, &view.period)) {
                return;
            }
            if let Some(count) = view.running.get_mut(self.operation) {
                *count -= 1;
                if *count == 0 {
                    view.running.remove(self.operation);
                }
            }
            if let Some(error) = error {
                view.errors.insert(self.operation, error.into());
            }
        });
    }
}
