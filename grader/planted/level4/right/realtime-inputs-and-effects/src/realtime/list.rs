//! The state of a list, and what it becomes.

use std::time::Duration;

use tokio::time::Instant;

use super::{Keyed, Live, Snapshot, Status, Update};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Board<T> {
    pub(super) live: Live<T>,
    /// When the items were the server's last, and how old they were then.
    pub(super) last: Option<(Instant, Duration)>,
    /// How many runs have begun: the last one says what the status is.
    pub(super) runs: u64,
}

impl<T: Keyed> Board<T> {
    pub(super) fn new() -> Self {
        let live = Live { items: None, version: 0, status: Status::Connecting, unreadable: 0 };
        Self { live, last: None, runs: 0 }
    }

    pub(super) fn age(&self) -> Option<Duration> {
        let (at, age) = self.last?;
        Some(at.elapsed().saturating_add(age))
    }

    /// Leaves the live state for another one.
    pub(super) fn leave(&mut self, status: Status) {
        if let Status::Live = std::mem::replace(&mut self.live.status, status) {
            self.last = Some((Instant::now(), Duration::ZERO));
        }
    }

    pub(super) fn put(&mut self, list: Snapshot<T>) {
        self.live.version = list.version;
        self.live.items = Some(list.items.into_boxed_slice().into());
    }

    pub(super) fn list(&self) -> Option<Snapshot<T>> {
        Some(Snapshot { items: self.live.items.as_deref()?.to_vec(), version: self.live.version })
    }
}

/// The list after those of the updates that are newer, one after the other.
pub(super) fn fold<'a, T: Keyed>(
    list: Snapshot<T>,
    updates: impl IntoIterator<Item = &'a (u64, Update<T>)>,
) -> Snapshot<T> {
    updates.into_iter().fold(list, |list, (version, update)| {
        if *version <= list.version {
            return list;
        }
        Snapshot { items: after(list.items, update.clone()), version: *version }
    })
}

fn after<T: Keyed>(items: Vec<T>, update: Update<T>) -> Vec<T> {
    match update {
        Update::Replace(items) => items,
        Update::Delete(key) => items.into_iter().filter(|item| item.key() != key).collect(),
        Update::Update { key, patch } => {
            let changed = |mut item: T| {
                if item.key() == key {
                    item.patch(patch.clone());
                }
                item
            };
            items.into_iter().map(changed).collect()
        }
        Update::Insert(new) => {
            let mut new = Some(new);
            let key = new.as_ref().map(Keyed::key);
            let mut items: Vec<T> = items
                .into_iter()
                .map(|item| if Some(item.key()) == key { new.take().unwrap_or(item) } else { item })
                .collect();
            items.extend(new);
            items
        }
    }
}
