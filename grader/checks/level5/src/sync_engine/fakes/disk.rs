//! A store that fails.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use grader_kit::{Cx, Timeline, list, lock, ms};
use level5::sync_engine::{RecordId, Saved, Store, StoreError};
use tokio::time::sleep;

use crate::sync_engine::content;

/// Where a save panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Panics {
    InFuture,
    /// Before there is a future.
    AtOnce,
}

/// A store that fails as often as a script says. A clone is the same store.
#[derive(Clone)]
pub struct Disk {
    timeline: Timeline,
    state: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    failures: usize,
    panics: Vec<Panics>,
    saves: Vec<u64>,
    running: usize,
    most: usize,
    saved: BTreeMap<RecordId, Saved>,
}

impl Disk {
    pub fn new(cx: &Cx) -> Self {
        Self { timeline: cx.timeline().clone(), state: Arc::default() }
    }

    /// So many saves fail from now on.
    pub fn fails(&self, times: usize) {
        lock(&self.state).failures = times;
    }

    /// The next save panics.
    pub fn panics(&self, where_: Panics) {
        lock(&self.state).panics.push(where_);
    }

    /// The moments of the saves since the last look.
    pub fn take_saves(&self) -> Vec<u64> {
        std::mem::take(&mut lock(&self.state).saves)
    }

    /// The most saves that ran at once.
    pub fn most(&self) -> usize {
        lock(&self.state).most
    }

    /// The last version of each record that is saved: `x v=1`.
    pub fn saved(&self) -> String {
        let state = lock(&self.state);
        let last =
            |saved: &Saved| saved.history.last().map_or_else(|| "nothing".to_owned(), content);
        list(state.saved.values().map(|saved| format!("{} {}", saved.id, last(saved))))
    }
}

impl Store for Disk {
    async fn load(&self) -> Result<Vec<Saved>, StoreError> {
        Ok(lock(&self.state).saved.values().cloned().collect())
    }

    fn save(&self, batch: Vec<Saved>) -> impl Future<Output = Result<(), StoreError>> + Send {
        let panics = lock(&self.state).panics.pop();
        if panics == Some(Panics::AtOnce) {
            // Without a report: the grader shows no panic of its own.
            std::panic::resume_unwind(Box::new("a bug of the store"));
        }
        let disk = self.clone();
        async move {
            if panics == Some(Panics::InFuture) {
                std::panic::resume_unwind(Box::new("a bug of the store"));
            }
            disk.saves(batch).await
        }
    }
}

impl Disk {
    async fn saves(&self, batch: Vec<Saved>) -> Result<(), StoreError> {
        let fails = {
            let mut state = lock(&self.state);
            state.saves.push(self.timeline.now_ms());
            state.running += 1;
            state.most = state.most.max(state.running);
            let fails = state.failures > 0;
            state.failures = state.failures.saturating_sub(1);
            fails
        };
        self.timeline.record("the store", "is asked to save");
        sleep(ms(10)).await;
        let mut state = lock(&self.state);
        state.running -= 1;
        if fails {
            return Err(StoreError("the disk is full".to_owned()));
        }
        state.saved.extend(batch.into_iter().map(|saved| (saved.id.clone(), saved)));
        Ok(())
    }
}
