//! What the journal holds: a map of the live records, without files.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use level5::event_processor::{DeadLetter, Event, EventId, Loaded};

use crate::record::Record;

/// A record that is not outdated.
#[derive(Debug, Clone)]
struct Live {
    content: Content,
    /// The segment that has its newest copy.
    segment: u64,
    bytes: u32,
}

#[derive(Debug, Clone)]
enum Content {
    Pending(Arc<Event>),
    Dead(DeadLetter),
}

/// How much of a segment is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// The live records by number. Numbers rise with time, and a record that is moved keeps its number: so the order of the
/// map is the order in which events were appended and letters died, wherever their records are.
#[derive(Debug, Default)]
pub(crate) struct Index {
    live: BTreeMap<u64, Live>,
    numbers: HashMap<EventId, u64>,
    segments: BTreeMap<u64, Usage>,
    usage: Usage,
    next: u64,
}

impl Index {
    /// Applies a record of this segment. Records must come in the order of the files.
    pub(crate) fn apply(&mut self, record: Record, segment: u64, bytes: u32) {
        match record {
            Record::Pending { number, event } => {
                self.remove(&event.id);
                let id = event.id.clone();
                self.insert(id, number, Live { content: Content::Pending(event), segment, bytes });
            }
            Record::Ended { id } => {
                self.remove(&id);
            }
            Record::Dead { number, letter } => {
                self.remove(&letter.event.id);
                let id = letter.event.id.clone();
                self.insert(id, number, Live { content: Content::Dead(letter), segment, bytes });
            }
        }
    }

    fn insert(&mut self, id: EventId, number: u64, live: Live) {
        for usage in [self.segments.entry(live.segment).or_default(), &mut self.usage] {
            usage.records += 1;
            usage.bytes += u64::from(live.bytes);
        }
        self.next = self.next.max(number.saturating_add(1));
        self.numbers.insert(id, number);
        self.live.insert(number, live);
    }

    /// Returns whether it was there.
    fn remove(&mut self, id: &EventId) -> bool {
        let live = self.numbers.remove(id).and_then(|number| self.live.remove(&number));
        let Some(live) = live else { return false };
        for usage in [self.segments.entry(live.segment).or_default(), &mut self.usage] {
            usage.records -= 1;
            usage.bytes -= u64::from(live.bytes);
        }
        true
    }

    /// The positions of letters whose events are not there when their turn comes. Such a letter is passed over; its record
    /// must not be written, since a record of a letter needs no earlier one.
    pub(crate) fn unknown_letters(&self, records: &[(Record, u32)]) -> Vec<usize> {
        if !records.iter().any(|(record, _)| matches!(record, Record::Dead { .. })) {
            return Vec::new();
        }
        // What the records before have changed.
        let mut changed = HashMap::new();
        let mut unknown = Vec::new();
        for (position, (record, _)) in records.iter().enumerate() {
            match record {
                Record::Pending { event, .. } => {
                    changed.insert(&event.id, true);
                }
                Record::Ended { id } => {
                    changed.insert(id, false);
                }
                Record::Dead { letter, .. } => {
                    let id = &letter.event.id;
                    let known = changed.get(id).copied();
                    if !known.unwrap_or_else(|| self.numbers.contains_key(id)) {
                        unknown.push(position);
                    }
                }
            }
        }
        unknown
    }

    /// The lowest number that is higher than all that were used.
    pub(crate) const fn next_number(&self) -> u64 {
        self.next
    }

    /// How much is live, in all segments.
    pub(crate) const fn usage(&self) -> Usage {
        self.usage
    }

    /// Whether nothing of a segment is live.
    pub(crate) fn is_outdated(&self, segment: u64) -> bool {
        self.segments.get(&segment).is_none_or(|usage| usage.records == 0)
    }

    /// A segment is gone.
    pub(crate) fn forget(&mut self, segment: u64) {
        self.segments.remove(&segment);
    }

    /// The numbers of the live records of these segments, in order.
    pub(crate) fn numbers_in(&self, is_one: impl Fn(u64) -> bool) -> Vec<u64> {
        let live = self.live.iter().filter(|(_, live)| is_one(live.segment));
        live.map(|(number, _)| *number).collect()
    }

    /// A record that makes another copy of this one, if it is still live and in one of these segments.
    pub(crate) fn copy(&self, number: u64, is_one: impl Fn(u64) -> bool) -> Option<Record> {
        let live = self.live.get(&number).filter(|live| is_one(live.segment))?;
        Some(match &live.content {
            Content::Pending(event) => Record::Pending { number, event: Arc::clone(event) },
            Content::Dead(letter) => Record::Dead { number, letter: letter.clone() },
        })
    }

    /// All of it, as a processor reads it.
    pub(crate) fn loaded(&self) -> Loaded {
        let mut loaded = Loaded::default();
        for live in self.live.values() {
            match &live.content {
                Content::Pending(event) => loaded.pending.push(Arc::clone(event)),
                Content::Dead(letter) => loaded.dead.push(letter.clone()),
            }
        }
        loaded
    }
}

/// Whether the oldest segments should be rewritten: more than a segment is outdated, and more than is live. So the files
/// have at most twice the bytes that are live and two segments, and a record is moved once, on average, for each byte that
/// is freed.
pub(crate) const fn wants_compaction(bytes: u64, live: u64, segment_bytes: u64) -> bool {
    let outdated = bytes.saturating_sub(live);
    outdated > segment_bytes && outdated > live
}

#[cfg(test)]
mod tests {
    use level5::event_processor::Service;

    use super::*;
    use crate::record::tests::event;

    fn pending(number: u64, id: &str) -> Record {
        Record::Pending { number, event: event(id) }
    }

    fn ended(id: &str) -> Record {
        Record::Ended { id: EventId::new(id) }
    }

    fn letter(id: &str) -> DeadLetter {
        let service = Service::new("s");
        DeadLetter { event: event(id), service, attempts: 1, reason: String::new() }
    }

    #[test]
    fn the_newest_record_of_an_id_counts() {
        let mut index = Index::default();
        for (record, segment) in [
            (pending(1, "a"), 1),
            (pending(2, "b"), 1),
            (pending(3, "c"), 1),
            (pending(4, "a"), 2),
            (ended("c"), 2),
            (ended("never there"), 2),
            (Record::Dead { number: 5, letter: letter("b") }, 2),
        ] {
            index.apply(record, segment, 10);
        }
        let expected = Loaded { pending: vec![event("a")], dead: vec![letter("b")] };
        assert_eq!(index.loaded(), expected);
        assert_eq!(index.usage(), Usage { records: 2, bytes: 20 });
        assert!(index.is_outdated(1) && !index.is_outdated(2) && index.is_outdated(3));
        assert_eq!(index.next_number(), 6);
    }

    #[test]
    fn a_copy_keeps_its_place() {
        let mut index = Index::default();
        index.apply(pending(1, "a"), 1, 10);
        index.apply(pending(2, "b"), 1, 10);
        index.apply(Record::Dead { number: 3, letter: letter("b") }, 1, 10);
        index.apply(pending(4, "c"), 1, 10);
        let before = index.loaded();
        for number in index.numbers_in(|segment| segment == 1) {
            let copy = index.copy(number, |segment| segment == 1).expect("live");
            index.apply(copy, 2, 10);
        }
        assert_eq!(index.loaded(), before);
        assert!(index.is_outdated(1) && index.copy(1, |segment| segment == 1).is_none());
        // The first copies are gone with their file: the second ones are enough.
        let mut later = Index::default();
        for number in index.numbers_in(|_| true) {
            later.apply(index.copy(number, |_| true).expect("live"), 2, 10);
        }
        assert_eq!(later.loaded(), before);
    }

    #[test]
    fn letters_of_unknown_events_are_found() {
        let mut index = Index::default();
        index.apply(pending(1, "a"), 1, 10);
        let dead = |id| Record::Dead { number: 9, letter: letter(id) };
        let group = [dead("a"), dead("b"), pending(2, "b"), dead("b"), ended("a"), dead("a")];
        let group = group.map(|record| (record, 10));
        assert_eq!(index.unknown_letters(&group), [1, 5]);
        assert!(index.unknown_letters(&group[2..3]).is_empty());
    }

    #[test]
    fn compaction_pays_for_itself() {
        assert!(!wants_compaction(1000, 1000, 100) && !wants_compaction(1100, 1000, 100));
        assert!(!wants_compaction(2000, 1000, 100) && wants_compaction(2001, 1000, 100));
        assert!(!wants_compaction(100, 0, 100) && wants_compaction(101, 0, 100));
    }
}
