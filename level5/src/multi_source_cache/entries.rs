//! The entries of the cache. They have no lock and no clock: the time is passed in.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::conflict::{Latest, Offer, SourceId, Stamp, Versioned};

use super::config::Rule;

/// The newest value of one source for a key.
#[derive(Debug, Clone)]
pub(super) struct Kept<V> {
    pub(super) stamp: Stamp,
    /// In an `Arc`: entries are copied under the lock of the cache, and the `clone` of a value is the caller's code,
    /// which may use the cache.
    pub(super) value: Arc<V>,
    /// Its own or that of the configuration, fixed when it arrived.
    pub(super) ttl: Duration,
    /// By this machine's clock. The stamp is by the source's clock, which may be wrong: it decides between values, and
    /// this decides how old they are.
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

/// The choice of the rule, with the times from which its age follows later.
#[derive(Debug, Clone)]
pub(super) struct View<V> {
    /// The value of the newest part.
    pub(super) value: Arc<V>,
    pub(super) stamp: Stamp,
    pub(super) ttl: Duration,
    /// Its age counts from here: its arrival, or a load that confirmed it.
    pub(super) since: Instant,
    /// The value that was chosen, or for a merge all of them, the oldest first.
    pub(super) parts: Vec<Kept<V>>,
}

/// An entry has a value, or it is known to be missing.
struct Entry<V> {
    /// One value of each source: the rule may choose an older one, and a merge needs all.
    latest: Latest<Kept<V>>,
    /// When a load has last confirmed the values: it has found one, or every source has answered that it has none.
    confirmed: Option<Instant>,
    /// When every source had answered that it has no value. A load that asks only some of them says nothing about the
    /// others, so that this is not the same as `confirmed`; and a value ends it.
    missing: Option<Instant>,
    /// The key of this entry in `uses`.
    used: u64,
}

/// The entries of all keys, and the order in which they were used.
pub(super) struct Entries<K, V> {
    capacity: NonZeroUsize,
    map: HashMap<K, Entry<V>>,
    /// The keys by their last use, the oldest first. It is also the order of pulls: no order of a hash map shows.
    uses: BTreeMap<u64, K>,
    /// Numbers the uses: two uses in the same moment have an order too.
    count: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Entries<K, V> {
    pub(super) fn new(capacity: NonZeroUsize) -> Self {
        Self { capacity, map: HashMap::new(), uses: BTreeMap::new(), count: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// The keys that have a value.
    pub(super) fn known(&self) -> Vec<K> {
        let has = |key: &&K| self.map.get(*key).is_some_and(|entry| !entry.latest.is_empty());
        self.uses.values().filter(has).cloned().collect()
    }

    /// A caller has asked for the key or set it. Pulls and updates are no uses: they would keep every key alive.
    pub(super) fn used(&mut self, key: &K) {
        // A key without an entry gets its number when its entry is made.
        let Some(entry) = self.map.get_mut(key) else { return };
        self.count += 1;
        if let Some(key) = self.uses.remove(&entry.used) {
            self.uses.insert(self.count, key);
        }
        entry.used = self.count;
    }

    /// The moment since which it is known that no source has the key.
    pub(super) fn missing(&self, key: &K) -> Option<Instant> {
        self.map.get(key).and_then(|entry| entry.missing)
    }

    /// Keeps a value, if it is newer than the one of its source. One with an equal stamp is a confirmation of it.
    /// Returns the values that are not kept: the given one or the one that it replaces, and those of a key that had to
    /// make room. They are to be dropped outside of the lock.
    pub(super) fn offer(&mut self, key: K, kept: Kept<V>) -> Vec<Kept<V>> {
        let (source, arrived, ttl) = (kept.stamp.source.clone(), kept.arrived, kept.ttl);
        let (entry, mut gone) = self.entry(key);
        // A source has a value, whether or not it is newer than the one that is known.
        entry.missing = None;
        // Compared before the offer, which drops what it does not keep, and here that would be under the lock.
        match entry.latest.get_mut(&source) {
            Some(known) if kept.stamp <= known.stamp => {
                if kept.stamp == known.stamp {
                    // The source has it still, so its age begins again. The value is not replaced: equal stamps mean
                    // equal values.
                    (known.arrived, known.ttl) = (arrived, ttl);
                }
                gone.push(kept);
            }
            _ => {
                if let Offer::Replaces(older) = entry.latest.offer(kept) {
                    gone.push(older);
                }
            }
        }
        gone
    }

    /// Takes out the value of a source that has none any more, unless it arrived after `asked`.
    pub(super) fn withdraw(&mut self, key: &K, source: &SourceId, asked: Instant) -> Vec<Kept<V>> {
        let Some(entry) = self.map.get_mut(key) else { return Vec::new() };
        // The source may have answered before it wrote what was set or pushed since the question.
        if entry.latest.get(source).is_none_or(|kept| kept.arrived > asked) {
            return Vec::new();
        }
        let gone = entry.latest.remove(source);
        // The whole entry: this source has no value, which says nothing about the others. Only a load that asks all of
        // them makes the key a missing one.
        if entry.latest.is_empty() {
            self.remove(key);
        }
        gone.into_iter().collect()
    }

    /// Notes that a load has ended without a failure that matters. It confirms the values of the key. If there are
    /// none and `all` sources have answered that they have no value, the key is missing from now on.
    pub(super) fn loaded(&mut self, key: K, all: bool, now: Instant) -> Vec<Kept<V>> {
        if let Some(entry) = self.map.get_mut(&key).filter(|entry| !entry.latest.is_empty()) {
            entry.confirmed = Some(now);
            return Vec::new();
        }
        if !all {
            return Vec::new();
        }
        // A missing key takes a place of the capacity: keys that do not exist are without number, and a caller that
        // asks for one after the other would fill the memory.
        let (entry, gone) = self.entry(key);
        entry.missing = Some(now);
        gone
    }

    /// Takes out all values of a source.
    pub(super) fn forget_source(&mut self, source: &SourceId) -> Vec<Kept<V>> {
        let gone = self.map.values_mut().filter_map(|entry| entry.latest.remove(source)).collect();
        // The keys of this source alone have no value any more, and their places are free for others.
        self.forget_missing();
        gone
    }

    /// Takes out the keys without a value.
    pub(super) fn forget_missing(&mut self) {
        let empty = |(key, entry): (&K, &Entry<V>)| entry.latest.is_empty().then(|| key.clone());
        let keys: Vec<K> = self.map.iter().filter_map(empty).collect();
        for key in keys {
            self.remove(&key);
        }
    }

    /// The choice of `rule` at `now`; `None` if the key has no value.
    pub(super) fn view(
        &self,
        key: &K,
        rule: &Rule<V>,
        now: Instant,
        priority: impl Fn(&SourceId) -> Option<u8>,
    ) -> Option<View<V>> {
        let entry = self.map.get(key)?;
        // `true` is greater than `false`, so a fresh value of any priority comes before one that is past its ttl.
        let rank = |kept: &Kept<V>| (kept.is_fresh(now), priority(&kept.stamp.source));
        let chosen = match rule {
            Rule::Priority => entry.latest.highest(rank)?,
            Rule::Newest | Rule::Merge(_) => entry.latest.newest()?,
        };
        let parts = match rule {
            Rule::Merge(_) => entry.latest.in_order(),
            Rule::Newest | Rule::Priority => vec![chosen],
        };
        // Of a merge the newest arrival: the merged value has changed with it.
        let arrived = parts.iter().map(|part| part.arrived).max()?;
        // A load that found nothing newer has confirmed what there is: without this, a key whose newest value is from
        // a source that is not asked first would be loaded at every call. Under `Priority` a value stands for its
        // own source alone, and the answer of another one confirms nothing.
        let since = match (rule, entry.confirmed) {
            (Rule::Newest | Rule::Merge(_), Some(confirmed)) => arrived.max(confirmed),
            _ => arrived,
        };
        let (value, stamp) = (Arc::clone(&chosen.value), chosen.stamp.clone());
        let parts = parts.into_iter().cloned().collect();
        Some(View { value, stamp, ttl: chosen.ttl, since, parts })
    }

    /// The entry of a key, made if there is none, and the values of the key that had to make room for it.
    fn entry(&mut self, key: K) -> (&mut Entry<V>, Vec<Kept<V>>) {
        let mut gone = Vec::new();
        // Makes room before it inserts, so that the map never holds more than the capacity.
        if !self.map.contains_key(&key) {
            if self.map.len() >= self.capacity.get()
                && let Some((_, oldest)) = self.uses.pop_first()
                && let Some(entry) = self.map.remove(&oldest)
            {
                gone.extend(entry.latest.in_order().into_iter().cloned());
            }
            self.count += 1;
            self.uses.insert(self.count, key.clone());
        }
        // For a new entry this is the number that was just given; an old one keeps its own.
        let used = self.count;
        let new = || Entry { latest: Latest::new(), confirmed: None, missing: None, used };
        (self.map.entry(key).or_insert_with(new), gone)
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.map.remove(key) {
            self.uses.remove(&entry.used);
        }
    }
}
