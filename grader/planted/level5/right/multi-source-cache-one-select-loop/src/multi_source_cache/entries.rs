//! What is kept of each key, without a lock and with the time passed in.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::conflict::{Latest, Offer, SourceId, Stamp, Versioned};

use super::config::Rule;

/// The newest value of one source.
#[derive(Debug, Clone)]
pub(super) struct Kept<V> {
    pub(super) stamp: Stamp,
    pub(super) value: Arc<V>,
    pub(super) ttl: Duration,
    pub(super) arrived: Instant,
}

impl<V> Versioned for Kept<V> {
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

impl<V> Kept<V> {
    fn is_fresh(&self, now: Instant) -> bool {
        now.duration_since(self.arrived) < self.ttl
    }
}

/// What the rule has chosen, with what is needed to tell its age later.
#[derive(Debug, Clone)]
pub(super) struct View<V> {
    /// The value of the newest part.
    pub(super) value: Arc<V>,
    pub(super) stamp: Stamp,
    pub(super) ttl: Duration,
    /// From when on its age counts.
    pub(super) since: Instant,
    /// The value that was chosen, or for a merge all of them, the oldest first.
    pub(super) parts: Vec<Kept<V>>,
}

struct Entry<V> {
    latest: Latest<Kept<V>>,
    /// When a load has last found a value, or that there is none.
    confirmed: Option<Instant>,
    /// Whether that load has found that no source has a value.
    missing: bool,
}

pub(super) struct Entries<K, V> {
    capacity: NonZeroUsize,
    /// The key that was used last is the last one.
    list: Vec<(K, Entry<V>)>,
}

impl<K: Eq + Clone, V: Clone> Entries<K, V> {
    pub(super) const fn new(capacity: NonZeroUsize) -> Self {
        Self { capacity, list: Vec::new() }
    }

    pub(super) const fn len(&self) -> usize {
        self.list.len()
    }

    fn find(&self, key: &K) -> Option<&Entry<V>> {
        self.list.iter().find(|(known, _)| known == key).map(|(_, entry)| entry)
    }

    fn position(&self, key: &K) -> Option<usize> {
        self.list.iter().position(|(known, _)| known == key)
    }

    pub(super) fn known(&self) -> Vec<K> {
        let has = self.list.iter().filter(|(_, entry)| !entry.latest.is_empty());
        has.map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn used(&mut self, key: &K) {
        if let Some(at) = self.position(key) {
            self.list[at..].rotate_left(1);
        }
    }

    pub(super) fn missing(&self, key: &K) -> Option<Instant> {
        self.find(key).filter(|entry| entry.missing).and_then(|entry| entry.confirmed)
    }

    pub(super) fn offer(&mut self, key: K, kept: Kept<V>) -> Vec<Kept<V>> {
        let (source, arrived, ttl) = (kept.stamp.source.clone(), kept.arrived, kept.ttl);
        let (at, mut gone) = self.place(key);
        let entry = &mut self.list[at].1;
        entry.missing = false;
        let latest = &mut entry.latest;
        // A handle, so that a value that is not kept goes with the caller's list.
        let handle = kept.clone();
        match latest.offer(kept) {
            Offer::Replaces(older) => {
                gone.push(older);
                return gone;
            }
            Offer::Known => {
                if let Some(known) = latest.get_mut(&source) {
                    (known.arrived, known.ttl) = (arrived, ttl);
                }
            }
            Offer::First | Offer::Older => {}
        }
        gone.push(handle);
        gone
    }

    pub(super) fn withdraw(&mut self, key: &K, source: &SourceId, asked: Instant) -> Vec<Kept<V>> {
        let Some(at) = self.position(key) else { return Vec::new() };
        let latest = &mut self.list[at].1.latest;
        match latest.get(source) {
            Some(kept) if kept.arrived <= asked => latest.remove(source).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn loaded(&mut self, key: K, all: bool, now: Instant) -> Vec<Kept<V>> {
        let (at, gone) = self.place(key);
        let entry = &mut self.list[at].1;
        entry.confirmed = Some(now);
        entry.missing = all && entry.latest.is_empty();
        gone
    }

    pub(super) fn forget_source(&mut self, source: &SourceId) -> Vec<Kept<V>> {
        let gone =
            self.list.iter_mut().filter_map(|(_, entry)| entry.latest.remove(source)).collect();
        self.forget_missing();
        gone
    }

    pub(super) fn forget_missing(&mut self) {
        self.list.retain(|(_, entry)| !entry.latest.is_empty());
    }

    /// What `rule` chooses at `now`.
    pub(super) fn view(
        &self,
        key: &K,
        rule: &Rule<V>,
        now: Instant,
        priority: impl Fn(&SourceId) -> Option<u8>,
    ) -> Option<View<V>> {
        let entry = self.find(key)?;
        let rank = |kept: &Kept<V>| (kept.is_fresh(now), priority(&kept.stamp.source));
        let chosen = match rule {
            Rule::Priority => entry.latest.highest(rank)?,
            Rule::Newest | Rule::Merge(_) => entry.latest.newest()?,
        };
        let parts = match rule {
            Rule::Merge(_) => entry.latest.in_order(),
            Rule::Newest | Rule::Priority => vec![chosen],
        };
        let arrived = parts.iter().map(|part| part.arrived).max()?;
        // A load that found nothing newer has confirmed what there is: without this, a key whose newest value is from
        // a source that is not asked first would be loaded at every call. Under `Priority` a value stands for its
        // own source alone, and the answer of another one confirms nothing.
        let since = match (rule, entry.confirmed) {
            (Rule::Newest | Rule::Merge(_), Some(confirmed)) => arrived.max(confirmed),
            _ => arrived,
        };
        let (value, stamp) = (chosen.value.clone(), chosen.stamp.clone());
        let parts = parts.into_iter().cloned().collect();
        Some(View { value, stamp, ttl: chosen.ttl, since, parts })
    }

    /// The place of a key, and the values of the key that had to make room for it.
    fn place(&mut self, key: K) -> (usize, Vec<Kept<V>>) {
        if let Some(at) = self.position(&key) {
            return (at, Vec::new());
        }
        let mut gone = Vec::new();
        if self.list.len() == self.capacity.get() {
            gone.extend(self.list.remove(0).1.latest.in_order().into_iter().cloned());
        }
        self.list.push((key, Entry { latest: Latest::new(), confirmed: None, missing: false }));
        (self.list.len() - 1, gone)
    }
}
