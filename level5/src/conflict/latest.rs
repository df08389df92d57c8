//! The newest record of each source.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::record::{Fingerprint, Record};
use super::stamp::{SourceId, Stamp};

/// A record or a value that has a stamp.
///
/// ```
/// # use level5::conflict::{Fields, Record, SourceId, Stamp};
/// # fn record(second: i64, source: &str, fields: &[(&str, &str)]) -> Record {
/// #     let at = jiff::Timestamp::from_second(second).unwrap();
/// #     let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
/// #     let stamp = Stamp { at, version: 0, source: SourceId::new(source) };
/// #     Record { stamp, content: Some(fields.collect::<Fields>()) }
/// # }
/// use level5::conflict::Versioned as _;
///
/// let (older, newer) = (record(1, "shop", &[]), record(2, "shop", &[]));
/// assert!(newer.stamp() > older.stamp());
/// assert!(older.tie(&older).is_eq());
/// ```
pub trait Versioned {
    /// Returns when it was written, and by which source.
    fn stamp(&self) -> &Stamp;

    /// Decides between two that have the same stamp. The default is `Equal`: they are the same.
    // starter: keep
    fn tie(&self, _other: &Self) -> Ordering {
        Ordering::Equal
    }
}

/// The effect of a record that was offered to a [`Latest`].
///
/// ```
/// # use level5::conflict::{Fields, Record, SourceId, Stamp};
/// # fn record(second: i64, source: &str, fields: &[(&str, &str)]) -> Record {
/// #     let at = jiff::Timestamp::from_second(second).unwrap();
/// #     let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
/// #     let stamp = Stamp { at, version: 0, source: SourceId::new(source) };
/// #     Record { stamp, content: Some(fields.collect::<Fields>()) }
/// # }
/// use level5::conflict::{Latest, Offer};
///
/// // `record` makes the record of a source at a second.
/// let mut latest = Latest::new();
/// assert_eq!(latest.offer(record(5, "shop", &[])), Offer::First);
/// assert_eq!(latest.offer(record(5, "shop", &[])), Offer::Known);
/// assert_eq!(latest.offer(record(3, "shop", &[])), Offer::Older);
/// assert_eq!(latest.offer(record(7, "shop", &[])), Offer::Replaces(record(5, "shop", &[])));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer<R> {
    /// The source had no record before. It is kept.
    First,
    /// It replaces this older record of its source.
    Replaces(R),
    /// It is the record that is kept already.
    Known,
    /// It is older than the record of its source, and is not kept.
    Older,
}

/// The newest record of each source.
///
/// Two sets that were offered the same records are equal, in whichever order, however often, and in however many groups
/// that were [joined](Self::join).
///
/// ```
/// # use level5::conflict::{Fields, Record, SourceId, Stamp};
/// # fn record(second: i64, source: &str, fields: &[(&str, &str)]) -> Record {
/// #     let at = jiff::Timestamp::from_second(second).unwrap();
/// #     let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
/// #     let stamp = Stamp { at, version: 0, source: SourceId::new(source) };
/// #     Record { stamp, content: Some(fields.collect::<Fields>()) }
/// # }
/// use level5::conflict::Latest;
///
/// // `record` makes the record of a source at a second.
/// let (shop, crm) = (record(1, "shop", &[("name", "Ann")]), record(2, "crm", &[("name", "Anna")]));
/// let (mut one, mut other) = (Latest::new(), Latest::new());
/// one.offer(shop.clone());
/// one.offer(crm.clone());
/// other.offer(crm.clone());
/// other.offer(shop);
/// assert_eq!(one, other); // in whichever order
/// assert_eq!(one.newest(), Some(&crm));
/// assert!(one.in_conflict());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest<R> {
    /// Sorted by source, so that no reader sees the order in which the set was filled. A hash map would show its own
    /// order, which differs from run to run.
    by_source: BTreeMap<SourceId, R>,
}

impl<R> Default for Latest<R> {
    fn default() -> Self {
        Self { by_source: BTreeMap::new() }
    }
}

impl<R: Versioned> Latest<R> {
    /// Makes a set without records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps `record` if it is newer than the one of its source.
    ///
    /// The stamps decide and the order of arrival does not: an old answer may arrive late.
    pub fn offer(&mut self, record: R) -> Offer<R> {
        let source = &record.stamp().source;
        let Some(known) = self.by_source.get_mut(source) else {
            self.by_source.insert(source.clone(), record);
            return Offer::First;
        };
        // The maximum by a total order: `max` gives the same result in any order, in any grouping and with
        // repetitions, and that is all of the guarantee. "The last one wins" would give as many results as there are
        // orders.
        match order(&record, known) {
            Ordering::Greater => Offer::Replaces(std::mem::replace(known, record)),
            Ordering::Equal => Offer::Known,
            Ordering::Less => Offer::Older,
        }
    }

    /// Offers all records of `other`.
    pub fn join(&mut self, other: Self) {
        // The maximum of two maxima is that of all records, so nothing else of `other` is needed.
        for record in other.by_source.into_values() {
            self.offer(record);
        }
    }

    /// Returns the record of a source.
    #[must_use]
    pub fn get(&self, source: &SourceId) -> Option<&R> {
        self.by_source.get(source)
    }

    /// Returns the record of a source, to change what is not part of its order.
    pub fn get_mut(&mut self, source: &SourceId) -> Option<&mut R> {
        self.by_source.get_mut(source)
    }

    /// Removes a source, and returns its record.
    pub fn remove(&mut self, source: &SourceId) -> Option<R> {
        self.by_source.remove(source)
    }

    /// Returns the records, the oldest first.
    #[must_use]
    pub fn in_order(&self) -> Vec<&R> {
        let mut all: Vec<_> = self.by_source.values().collect();
        // By the order that also decides between records, so that equal sets have equal lists: stamps of two sources
        // are never equal.
        all.sort_by(|a, b| order(*a, *b));
        all
    }

    /// Returns the newest record of all sources.
    #[must_use]
    pub fn newest(&self) -> Option<&R> {
        self.highest(|_| ())
    }

    /// Returns the record with the highest rank, of equal ranks the newest.
    #[must_use]
    pub fn highest<Rank: Ord>(&self, rank: impl Fn(&R) -> Rank) -> Option<&R> {
        // The order of the records decides between equal ranks, and never the order of the map.
        let ranks = |a: &&R, b: &&R| rank(a).cmp(&rank(b)).then_with(|| order(*a, *b));
        self.by_source.values().max_by(ranks)
    }

    /// Returns how many sources have a record.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_source.len()
    }

    /// Returns whether no source has a record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_source.is_empty()
    }
}

impl Latest<Record> {
    /// Returns whether two sources differ in their newest content. Their stamps do not matter.
    #[must_use]
    pub fn in_conflict(&self) -> bool {
        // By fingerprints, so that the order in which a source wrote the members of an object makes no conflict. If
        // all are equal to the first one, they are equal to each other. Without a record there is no conflict.
        let mut prints =
            self.by_source.values().map(|record| Fingerprint::of(record.content.as_ref()));
        let first = prints.next();
        prints.any(|print| Some(print) != first)
    }
}

/// The total order of records: by stamp, then by the [`tie`](Versioned::tie) of the type.
fn order<R: Versioned>(a: &R, b: &R) -> Ordering {
    a.stamp().cmp(b.stamp()).then_with(|| a.tie(b))
}
