//! The newest record of each source, in a list.

use std::cmp::Ordering;

use super::record::{Fingerprint, Record};
use super::stamp::{SourceId, Stamp};

/// Something that has a stamp.
pub trait Versioned {
    /// When it was written, and by which source.
    fn stamp(&self) -> &Stamp;

    /// Decides between two that have the same stamp.
    fn tie(&self, _other: &Self) -> Ordering {
        Ordering::Equal
    }
}

/// The answer to an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer<R> {
    /// The source had none before.
    First,
    /// It replaces this one.
    Replaces(R),
    /// It is known.
    Known,
    /// It is older.
    Older,
}

/// Of each source the newest record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest<R> {
    records: Vec<R>,
}

impl<R> Default for Latest<R> {
    fn default() -> Self {
        Self { records: Vec::new() }
    }
}

impl<R: Versioned> Latest<R> {
    /// One without records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the newest.
    pub fn offer(&mut self, record: R) -> Offer<R> {
        for known in &mut self.records {
            if known.stamp().source != record.stamp().source {
                continue;
            }
            if newer(&record, known) {
                return Offer::Replaces(std::mem::replace(known, record));
            }
            return if newer(known, &record) { Offer::Older } else { Offer::Known };
        }
        self.records.push(record);
        Offer::First
    }

    /// Offers all.
    pub fn join(&mut self, other: Self) {
        other.records.into_iter().for_each(|record| drop(self.offer(record)));
    }

    fn position(&self, source: &SourceId) -> Option<usize> {
        self.records.iter().position(|record| record.stamp().source == *source)
    }

    /// The record of a source.
    #[must_use]
    pub fn get(&self, source: &SourceId) -> Option<&R> {
        self.position(source).map(|at| &self.records[at])
    }

    /// The record of a source.
    pub fn get_mut(&mut self, source: &SourceId) -> Option<&mut R> {
        self.position(source).map(|at| &mut self.records[at])
    }

    /// Forgets a source.
    pub fn remove(&mut self, source: &SourceId) -> Option<R> {
        self.position(source).map(|at| self.records.swap_remove(at))
    }

    /// The records, the oldest first.
    #[must_use]
    pub fn in_order(&self) -> Vec<&R> {
        let mut sorted: Vec<&R> = Vec::new();
        for record in &self.records {
            let at = sorted.partition_point(|other| newer(record, *other));
            sorted.insert(at, record);
        }
        sorted
    }

    /// The newest.
    #[must_use]
    pub fn newest(&self) -> Option<&R> {
        self.in_order().pop()
    }

    /// The highest.
    #[must_use]
    pub fn highest<Rank: Ord>(&self, rank: impl Fn(&R) -> Rank) -> Option<&R> {
        // The last of equal ranks in the order of the stamps.
        self.in_order().into_iter().fold(None, |best, record| match best {
            Some(best) if rank(best) > rank(record) => Some(best),
            _ => Some(record),
        })
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

impl Latest<Record> {
    /// Whether two differ.
    #[must_use]
    pub fn in_conflict(&self) -> bool {
        let print = |record: &Record| Fingerprint::of(record.content.as_ref());
        self.records.windows(2).any(|pair| print(&pair[0]) != print(&pair[1]))
    }
}

fn newer<R: Versioned>(a: &R, b: &R) -> bool {
    match a.stamp().cmp(b.stamp()) {
        Ordering::Equal => a.tie(b) == Ordering::Greater,
        other => other == Ordering::Greater,
    }
}
