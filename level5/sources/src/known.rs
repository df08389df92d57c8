//! What a source was last known to have, and what another list of its records changes. There is no I/O here.
//!
//! The engine orders the records of a source by their stamps. A document often has none, and it does not list what was
//! deleted. Both follow from the comparison with the list before: a record that is listed with another content was
//! written when the document was, and one that is missing was deleted then.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use level5::conflict::{SourceId, Stamp};
use level5::sync_engine::{Incoming, RecordId, Store, StoreError};

use crate::layout::Listed;

/// The most deletions that a source remembers; an older one gives way. An engine that has had a deletion keeps it.
const MOST_DELETED: usize = 100_000;
/// The most records of lists of changes, which bound no record by themselves. An older one gives way.
const MOST_RECORDS: usize = 1_000_000;

/// What it means that a list has a record no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// The list has all records of the source: the record was deleted.
    Deleted,
    /// The list has changes: the record is as before. Deletions are listed as such.
    Unchanged,
}

/// Reads from a store what a source has delivered in earlier runs.
///
/// A source that gets this at its start finds what was deleted while no process ran, and does not give a new stamp to
/// what is as before.
///
/// # Errors
///
/// The [`StoreError`] of the store.
///
/// # Cancellation
///
/// A dropped future has changed nothing.
pub async fn known(store: &impl Store, source: &SourceId) -> Result<Vec<Incoming>, StoreError> {
    let mut known = Vec::new();
    for saved in store.load().await? {
        let own = saved.records.into_iter().find(|record| record.stamp.source == *source);
        let Some(record) = own else { continue };
        // A stamp that was held is not the source's. The comparison with the next list needs that of the source.
        let written = saved.held.into_iter().find(|stamp| stamp.source == *source);
        let Stamp { at, version, .. } = written.unwrap_or(record.stamp);
        known.push(Incoming { id: saved.id, at, version, content: record.content });
    }
    Ok(known)
}

/// The records of one source, deletions included, each as it was delivered last.
#[derive(Debug)]
pub(crate) struct Known {
    records: BTreeMap<RecordId, Incoming>,
    most_deleted: usize,
    most_records: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Known {
    pub(crate) fn new(known: Vec<Incoming>) -> Self {
        let by_id = |record: Incoming| (record.id.clone(), record);
        let records = known.into_iter().map(by_id).collect();
        Self { records, most_deleted: MOST_DELETED, most_records: MOST_RECORDS }
    }

    /// Takes a list of the records, written at `written` by the source's clock. Returns the ids whose contents have
    /// changed.
    pub(crate) fn take(
        &mut self,
        listed: Vec<Listed>,
        written: Timestamp,
        absent: Absent,
    ) -> Vec<RecordId> {
        let mut changed = Vec::new();
        for listed in unique(listed) {
            let before = self.records.get(&listed.id);
            let Some(now) = newer(before, listed, written, absent) else { continue };
            if before.is_none_or(|before| before.content != now.content) {
                changed.push(now.id.clone());
            }
            self.records.insert(now.id.clone(), now);
        }
        self.forget(self.most_deleted, |record| record.content.is_none());
        if absent == Absent::Unchanged {
            self.forget(self.most_records, |_| true);
        }
        changed
    }

    /// As [`take`](Self::take) for a list of all records: those that it does not have were deleted.
    pub(crate) fn take_all(&mut self, listed: Vec<Listed>, written: Timestamp) -> Vec<RecordId> {
        let there: BTreeSet<_> = listed.iter().map(|listed| listed.id.clone()).collect();
        let gone: Vec<_> = self
            .records
            .values()
            .filter(|record| record.content.is_some() && !there.contains(&record.id))
            .map(|record| Listed { id: record.id.clone(), at: None, version: None, content: None })
            .collect();
        let mut changed = self.take(listed, written, Absent::Deleted);
        changed.extend(self.take(gone, written, Absent::Deleted));
        changed
    }

    /// All records, deletions included.
    pub(crate) fn all(&self) -> Vec<Incoming> {
        self.records.values().cloned().collect()
    }

    /// Those of the records with these ids that the source has or has deleted.
    pub(crate) fn some(&self, ids: &[RecordId]) -> Vec<Incoming> {
        ids.iter().filter_map(|id| self.records.get(id)).cloned().collect()
    }

    /// Forgets the oldest of some records beyond a bound.
    fn forget(&mut self, most: usize, is_one: impl Fn(&Incoming) -> bool) {
        let count = self.records.values().filter(|record| is_one(record)).count();
        let Some(beyond) = count.checked_sub(most).filter(|beyond| *beyond > 0) else { return };
        let some = self.records.values().filter(|record| is_one(record));
        let mut some: Vec<_> = some.map(|record| (record.at, record.id.clone())).collect();
        some.sort();
        for (_, id) in some.into_iter().take(beyond) {
            self.records.remove(&id);
        }
    }
}

/// One of each id: the last one, unless its own stamp says that it is older than another one.
fn unique(listed: Vec<Listed>) -> Vec<Listed> {
    let mut unique: BTreeMap<RecordId, Listed> = BTreeMap::new();
    for listed in listed {
        let is_older = unique.get(&listed.id).is_some_and(|other| match (listed.at, other.at) {
            (Some(at), Some(other_at)) => (at, listed.version) < (other_at, other.version),
            _ => false,
        });
        if !is_older {
            unique.insert(listed.id.clone(), listed);
        }
    }
    unique.into_values().collect()
}

/// The record with its whole stamp. `None`: it is older than what is known, and its source says so itself.
fn newer(
    before: Option<&Incoming>,
    listed: Listed,
    written: Timestamp,
    absent: Absent,
) -> Option<Incoming> {
    let Listed { id, at, version, content } = listed;
    let Some(before) = before else {
        return Some(Incoming {
            id,
            at: at.unwrap_or(written),
            version: version.unwrap_or(0),
            content,
        });
    };
    let is_same = before.content == content;
    let known = (before.at, before.version);
    // The time of the document says nothing about a record that is as before.
    let own_at = if is_same { before.at } else { before.at.max(written) };
    let at = at.unwrap_or(own_at);
    // Within one tick of the source's clock the number orders the writes.
    let own_version = match at == before.at {
        true if is_same => before.version,
        true => before.version.saturating_add(1),
        false => 0,
    };
    let version = version.unwrap_or(own_version);
    if (at, version) >= known {
        return Some(Incoming { id, at, version, content });
    }
    // A list of all records has it, so it is there, whatever its own stamp says: the deletion was concluded from a list
    // that did not have it.
    let is_back = absent == Absent::Deleted && before.content.is_none() && content.is_some();
    is_back.then(|| Incoming {
        id,
        at: before.at,
        version: before.version.saturating_add(1),
        content,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use level5::conflict::Fields;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a second of this century")
    }

    fn listed(id: &str, value: Option<&str>) -> Listed {
        let content = value.map(|value| Fields::from([("v".to_owned(), value.into())]));
        Listed { id: id.into(), at: None, version: None, content }
    }

    fn stamped(id: &str, value: Option<&str>, at: i64, version: u64) -> Listed {
        Listed { at: Some(second(at)), version: Some(version), ..listed(id, value) }
    }

    /// Each record as `id value at/version`.
    fn shown(known: &Known) -> Vec<String> {
        let show = |record: Incoming| {
            let value = record.content.map_or("-".to_owned(), |fields| {
                fields["v"].as_str().unwrap_or_default().to_owned()
            });
            format!("{} {value} {}/{}", record.id, record.at.as_second(), record.version)
        };
        known.all().into_iter().map(show).collect()
    }

    fn ids(changed: &[RecordId]) -> Vec<&str> {
        changed.iter().map(RecordId::as_str).collect()
    }

    #[test]
    fn stamps_follow_from_the_lists() {
        let mut known = Known::default();
        let both = vec![listed("a", Some("1")), listed("b", Some("1"))];
        assert_eq!(ids(&known.take_all(both.clone(), second(10))), ["a", "b"]);
        assert!(known.take_all(both, second(20)).is_empty());
        assert_eq!(shown(&known), ["a 1 10/0", "b 1 10/0"], "unchanged since");
        // Twice within one tick.
        known.take_all(vec![listed("a", Some("2")), listed("b", Some("1"))], second(20));
        known.take_all(vec![listed("a", Some("3")), listed("b", Some("1"))], second(20));
        assert_eq!(shown(&known), ["a 3 20/1", "b 1 10/0"]);
        // A clock that was set back.
        known.take_all(vec![listed("a", Some("4")), listed("b", Some("1"))], second(15));
        assert_eq!(shown(&known), ["a 4 20/2", "b 1 10/0"]);
    }

    #[test]
    fn what_is_missing_was_deleted_and_may_come_back() {
        let mut known = Known::default();
        known.take_all(vec![stamped("a", Some("1"), 5, 7), listed("b", Some("1"))], second(10));
        assert_eq!(ids(&known.take_all(vec![listed("b", Some("1"))], second(20))), ["a"]);
        assert!(known.take_all(vec![listed("b", Some("1"))], second(30)).is_empty());
        assert_eq!(shown(&known), ["a - 20/0", "b 1 10/0"]);
        // With its old stamp: it is listed, so it is there.
        known.take_all(vec![stamped("a", Some("1"), 5, 7)], second(40));
        known.take_all(vec![stamped("a", Some("1"), 5, 7)], second(40));
        assert_eq!(shown(&known), ["a 1 20/1", "b - 40/0"]);
        known.take_all(vec![], second(40));
        assert_eq!(shown(&known), ["a - 40/0", "b - 40/0"]);
    }

    #[test]
    fn a_list_of_changes_deletes_nothing_by_silence() {
        let mut known = Known::default();
        let absent = Absent::Unchanged;
        known.take(vec![listed("a", Some("1")), listed("a", Some("2"))], second(10), absent);
        known.take(vec![], second(20), absent);
        assert_eq!(shown(&known), ["a 2 10/0"]);
        known.take(vec![stamped("a", None, 30, 2)], second(30), absent);
        // An older line, once more: the deletion stays.
        let again = vec![stamped("a", Some("1"), 10, 0)];
        assert!(known.take(again, second(40), absent).is_empty());
        assert_eq!(shown(&known), ["a - 30/2"]);
        let order = vec![stamped("b", Some("new"), 9, 2), stamped("b", Some("old"), 9, 1)];
        known.take(order, second(40), absent);
        assert_eq!(shown(&known), ["a - 30/2", "b new 9/2"]);
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut known = Known { most_deleted: 2, ..Known::default() };
        let all = |ids: &[&str]| ids.iter().map(|id| listed(id, Some("1"))).collect();
        known.take_all(all(&["a", "b", "c", "d", "e"]), second(1));
        known.take_all(all(&["a", "b", "c", "e"]), second(2));
        known.take_all(all(&["a", "c", "e"]), second(3));
        known.take_all(all(&["c", "e"]), second(4));
        assert_eq!(shown(&known), ["a - 4/0", "b - 3/0", "c 1 1/0", "e 1 1/0"]);
        let mut known = Known { most_records: 2, ..Known::default() };
        for (id, at) in [("a", 3), ("b", 1), ("c", 2)] {
            known.take(vec![stamped(id, Some("1"), at, 0)], second(9), Absent::Unchanged);
        }
        assert_eq!(shown(&known), ["a 1 3/0", "c 1 2/0"]);
    }
}
