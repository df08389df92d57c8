//! The priority of a run that several callers wait for.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch;

use super::key::RunKey;
use super::lock;

/// How many callers of each priority wait for one run. Without a caller there is no run.
type Callers = BTreeMap<u8, usize>;

/// The callers of all runs under way. A run has the highest priority of its callers, as they come and leave: one that
/// joins a run of a lower priority would otherwise wait behind requests that are less important than its own.
#[derive(Default)]
pub(super) struct Ranks {
    /// Weak: the callers keep their entry. A std lock, under which no waker runs: the channels notify outside of it.
    runs: Mutex<HashMap<RunKey, Weak<watch::Sender<Callers>>>>,
}

/// One caller of a run, until it is dropped.
pub(super) struct Caller<'a> {
    ranks: &'a Ranks,
    key: RunKey,
    priority: u8,
    /// Taken by the destructor only.
    callers: Option<Arc<watch::Sender<Callers>>>,
}

/// A priority that may change while its request waits.
#[derive(Clone)]
pub(super) struct Priority(watch::Receiver<Callers>);

impl Ranks {
    /// Joins the callers of the run of this key.
    pub(super) fn join(&self, key: &RunKey, priority: u8) -> Caller<'_> {
        let callers = {
            let mut runs = lock(&self.runs);
            let known = runs.get(key).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let callers = Arc::new(watch::Sender::new(Callers::new()));
                runs.insert(key.clone(), Arc::downgrade(&callers));
                callers
            })
        };
        change(&callers, |callers| *callers.entry(priority).or_default() += 1);
        Caller { ranks: self, key: key.clone(), priority, callers: Some(callers) }
    }
}

impl Caller<'_> {
    /// The priority of the run that this caller waits for.
    pub(super) fn run(&self) -> Priority {
        self.callers.as_ref().map_or_else(|| Priority::fixed(0), |it| Priority(it.subscribe()))
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        let Some(callers) = self.callers.take() else { return };
        change(&callers, |callers| {
            let left = callers.get(&self.priority).map_or(0, |count| count - 1);
            if left == 0 {
                callers.remove(&self.priority);
            } else {
                callers.insert(self.priority, left);
            }
        });
        // Before the look at the entry: it is dead when this was the last caller. One that has joined meanwhile keeps
        // it alive.
        drop(callers);
        let mut runs = lock(&self.ranks.runs);
        if runs.get(&self.key).is_some_and(|callers| callers.strong_count() == 0) {
            runs.remove(&self.key);
        }
    }
}

impl Priority {
    /// The priority of a request that is not shared.
    pub(super) fn fixed(priority: u8) -> Self {
        Self(watch::channel(Callers::from([(priority, 1)])).1)
    }

    /// The priority now.
    pub(super) fn now(&mut self) -> u8 {
        highest(&self.0.borrow_and_update())
    }

    /// Waits until the priority differs from the one that [`now`](Self::now) has returned. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        // An error means that it changes no more.
        if self.0.changed().await.is_err() {
            pending().await
        }
    }
}

/// Changes the callers of a run. The run is woken only if its priority differs then.
fn change(callers: &watch::Sender<Callers>, change: impl FnOnce(&mut Callers)) {
    callers.send_if_modified(|callers| {
        let before = highest(callers);
        change(callers);
        highest(callers) != before
    });
}

fn highest(callers: &Callers) -> u8 {
    callers.last_key_value().map_or(0, |(priority, _)| *priority)
}
