//! The newest record of each source.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::record::{Fingerprint, Record};
use super::stamp::{SourceId, Stamp};

/// Something that has a stamp.
pub trait Versioned {
    /// When it was written, and by which source.
    fn stamp(&self) -> &Stamp;

    /// Decides between two that have the same stamp. `Equal`, unless it is overridden: they are the same.
    // starter: keep
    fn tie(&self, _other: &Self) -> Ordering {
        Ordering::Equal
    }
}

/// What has become of a record that was offered to a [`Latest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer<R> {
    /// The source had none before.
    First,
    /// It replaces this older one of its source.
    Replaces(R),
    /// It is the one that is known already.
    Known,
    /// It is older than what its source has delivered, and is not kept.
    Older,
}

/// Of each source the newest record.
///
/// Two of them that were offered the same records are equal, whatever the order, however often, and in however many
/// groups they were [joined](Self::join).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest<R> {
    /// Sorted by source: what is seen of a set does not depend on the order in which it was filled.
    by_source: BTreeMap<SourceId, R>,
}

impl<R> Default for Latest<R> {
    fn default() -> Self {
        Self { by_source: BTreeMap::new() }
    }
}

impl<R: Versioned> Latest<R> {
    /// One without records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps `record` if it is newer than what is known of its source.
    ///
    /// A source may answer late: its stamps decide, and the order of arrival does not.
    pub fn offer(&mut self, record: R) -> Offer<R> {
        let source = &record.stamp().source;
        let Some(known) = self.by_source.get_mut(source) else {
            self.by_source.insert(source.clone(), record);
            return Offer::First;
        };
        match order(&record, known) {
            Ordering::Greater => Offer::Replaces(std::mem::replace(known, record)),
            Ordering::Equal => Offer::Known,
            Ordering::Less => Offer::Older,
        }
    }

    /// Offers all records of `other`.
    pub fn join(&mut self, other: Self) {
        for record in other.by_source.into_values() {
            self.offer(record);
        }
    }

    /// The record of a source.
    #[must_use]
    pub fn get(&self, source: &SourceId) -> Option<&R> {
        self.by_source.get(source)
    }

    /// The record of a source, to change what is not part of its order.
    pub fn get_mut(&mut self, source: &SourceId) -> Option<&mut R> {
        self.by_source.get_mut(source)
    }

    /// Forgets a source.
    pub fn remove(&mut self, source: &SourceId) -> Option<R> {
        self.by_source.remove(source)
    }

    /// The records, the oldest first.
    #[must_use]
    pub fn in_order(&self) -> Vec<&R> {
        let mut all: Vec<_> = self.by_source.values().collect();
        all.sort_by(|a, b| order(*a, *b));
        all
    }

    /// The newest record of all sources.
    #[must_use]
    pub fn newest(&self) -> Option<&R> {
        self.highest(|_| ())
    }

    /// The record with the highest rank, and of those with equal ranks the newest.
    #[must_use]
    pub fn highest<Rank: Ord>(&self, rank: impl Fn(&R) -> Rank) -> Option<&R> {
        let ranks = |a: &&R, b: &&R| rank(a).cmp(&rank(b)).then_with(|| order(*a, *b));
        self.by_source.values().max_by(ranks)
    }

    /// How many sources have a record.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_source.len()
    }

    /// Whether no source has a record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_source.is_empty()
    }
}

impl Latest<Record> {
    /// Whether two sources differ in their newest content. Their stamps do not matter.
    #[must_use]
    pub fn in_conflict(&self) -> bool {
        let mut prints =
            self.by_source.values().map(|record| Fingerprint::of(record.content.as_ref()));
        let first = prints.next();
        prints.any(|print| Some(print) != first)
    }
}

/// The total order of records: by stamp, then by what the type says of equal stamps.
fn order<R: Versioned>(a: &R, b: &R) -> Ordering {
    a.stamp().cmp(b.stamp()).then_with(|| a.tie(b))
}
