//! Single flight for groups: readers of a record share the fetch that is under way, and a reader of many records
//! begins one for all that have none.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};

use tokio::time::Instant;

use super::lock;
use super::record::{NotFetched, RecordId};

/// How a fetch has ended.
#[derive(Debug)]
pub(super) struct Fetched {
    /// When the sources were asked. A record that was confirmed since is fresh for every reader of this fetch.
    pub(super) began: Instant,
    /// The ids that at least one source has delivered, kept by the engine or not.
    pub(super) delivered: BTreeSet<RecordId>,
    /// Why a record that was not delivered may exist nevertheless. `None`: every source has answered. In an `Arc`,
    /// because each reader of each record gets it.
    pub(super) why: Option<Arc<NotFetched>>,
}

/// Boxed, so that the map can name its type. The result is in an `Arc`, because `Shared` clones it for each reader.
type Work = BoxFuture<'static, Arc<Fetched>>;

/// A fetch that its readers drive.
pub(super) type Run = Shared<Work>;

/// The fetches that are under way, by record.
///
/// The map holds no fetch alive, its readers do: a fetch is dropped with its last reader.
#[derive(Clone, Default)]
pub(super) struct Fetches {
    /// In an `Arc` for the guard within each fetch, which outlives the call that began it.
    runs: Arc<Mutex<Runs>>,
}

#[derive(Default)]
struct Runs {
    /// Weak: a strong handle in here would be a reader that never leaves, and no fetch would ever be dropped.
    current: HashMap<RecordId, (u64, WeakShared<Work>)>,
    /// The number of the next fetch.
    next: u64,
}

impl fmt::Debug for Fetches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetches").finish_non_exhaustive()
    }
}

impl Fetches {
    /// Returns for each record its fetch: one that is under way, or the one that `begin` makes for all that have none.
    pub(super) fn join<F>(
        &self,
        ids: BTreeSet<RecordId>,
        begin: impl FnOnce(Vec<RecordId>) -> F + Send + 'static,
    ) -> Vec<(RecordId, Run)>
    where
        F: Future<Output = Fetched> + Send + 'static,
    {
        // One lock for the search and the entry: two readers must not both find none.
        let mut runs = lock(&self.runs);
        let mut joined = Vec::with_capacity(ids.len());
        let mut without = Vec::new();
        for id in ids {
            // A fetch whose last reader is just being dropped is none any more: `upgrade` says so.
            match runs.current.get(&id).and_then(|(_, run)| run.upgrade()) {
                Some(run) => joined.push((id, run)),
                None => without.push(id),
            }
        }
        if without.is_empty() {
            return joined;
        }
        let number = runs.next;
        runs.next += 1;
        let ends = Ends { runs: Arc::clone(&self.runs), ids: without.clone(), number };
        let asks = without.clone();
        // `begin` is called at the first poll, outside of the lock.
        let run = async move {
            // Inside the future, so that it is dropped with it: when the fetch ends, panics, or loses its last reader.
            let _ends = ends;
            Arc::new(begin(asks).await)
        };
        let run = run.boxed().shared();
        for id in without {
            // `Some`, since the run has not ended: it was not polled yet.
            if let Some(weak) = run.downgrade() {
                runs.current.insert(id.clone(), (number, weak));
            }
            joined.push((id, run.clone()));
        }
        joined
    }
}

/// Removes its fetch from the map when the fetch ends, also by a drop. Without it the map would keep an entry for each
/// record that was ever fetched.
struct Ends {
    runs: Arc<Mutex<Runs>>,
    ids: Vec<RecordId>,
    number: u64,
}

impl Drop for Ends {
    fn drop(&mut self) {
        let mut runs = lock(&self.runs);
        for id in &self.ids {
            // By its number: a reader that came when this fetch had lost its last reader, and before this destructor
            // has the lock, has put another fetch in its place.
            if runs.current.get(id).is_some_and(|(number, _)| *number == self.number) {
                runs.current.remove(id);
            }
        }
    }
}
