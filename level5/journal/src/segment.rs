//! A segment as bytes: its header, and what its groups say, whatever has happened to them.
//!
//! ```text
//!  header │ record record record seal │ record seal │ record record ...
//!           ───────── group ────────    ─ group ──    no seal: was being written
//! ```
//!
//! A group is written and synced before the next one is begun. So a group that another one follows was acknowledged: what
//! cannot be read of it is damage. Only the last group of the last segment may be incomplete.

use level5::event_processor::EventId;

use crate::record::{Read, Record, Seal, find_seal, read};

/// The version of the format that is written. All versions up to it can be read.
pub(crate) const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"evjournl";

/// The bytes of a header: mark, version, three numbers, checksum.
pub(crate) const HEADER: usize = 8 + 4 + 3 * 8 + 4;

/// The first bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The number of the segment. It is also in the name of the file.
    pub(crate) segment: u64,
    /// The number of its first group.
    pub(crate) first_group: u64,
    /// The first number of a record that no earlier segment has.
    pub(crate) next_number: u64,
}

/// Why there is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoHeader {
    Newer(u32),
    Other(&'static str),
}

impl Header {
    pub(crate) fn write(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.segment.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.first_group.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.next_number.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..36]);
        bytes[36..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, NoHeader> {
        let number = |at: usize| {
            let number = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
            number.map_or(0, |number| u64::from_le_bytes(*number))
        };
        let short = |at: usize| (number(at) & u64::from(u32::MAX)) as u32;
        if !bytes.starts_with(&MAGIC) {
            return Err(NoHeader::Other("it does not begin as a segment does"));
        }
        // The version before all else: a newer one may have another header.
        if bytes.len() >= 12 && short(8) > VERSION {
            return Err(NoHeader::Newer(short(8)));
        }
        let sum = bytes.get(36..HEADER).and_then(|rest| rest.first_chunk::<4>());
        let sum = sum.map(|sum| u32::from_le_bytes(*sum));
        if sum.is_none_or(|sum| sum != crc32fast::hash(&bytes[..36])) {
            return Err(NoHeader::Other("its header is damaged"));
        }
        Ok(Self { segment: number(12), first_group: number(20), next_number: number(28) })
    }
}

/// A part of a segment that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) offset: usize,
    pub(crate) what: &'static str,
    /// The events that are lost in it.
    pub(crate) events: Vec<EventId>,
    /// Whether `events` has all of them.
    pub(crate) complete: bool,
}

/// What was found behind the last group that is known to be complete.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tail {
    /// Bytes of a group without a seal. It was being written, and no call about it was acknowledged.
    pub(crate) torn: Option<usize>,
    /// The last group has its seal, and records of it cannot be read. Either the machine lost power before the group was
    /// synced, or an acknowledged record is damaged.
    pub(crate) doubtful: Option<Hole>,
}

/// What a segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The records that can be read, in order, with their bytes.
    pub(crate) records: Vec<(Record, u32)>,
    /// What was acknowledged and cannot be read.
    pub(crate) holes: Vec<Hole>,
    pub(crate) tail: Tail,
    /// Where the last complete group ends.
    pub(crate) end: usize,
    /// The number of the group that would be next.
    pub(crate) next_group: u64,
}

/// Reads a segment behind its header. `followed_by`: the number of the first group of the next segment, if there is one;
/// then every group of this one was acknowledged.
pub(crate) fn scan(bytes: &[u8], header: Header, followed_by: Option<u64>) -> Scan {
    let mut scan = Scan {
        records: Vec::new(),
        holes: Vec::new(),
        tail: Tail::default(),
        end: HEADER.min(bytes.len()),
        next_group: header.first_group,
    };
    // The records of the group that is being read.
    let mut group = Vec::new();
    let mut at = scan.end;
    while at < bytes.len() {
        match read(&bytes[at..]) {
            Some((Read::Record(record), length)) => {
                group.push((record, length));
                at += length as usize;
            }
            Some((Read::Seal(seal), length)) if scan.expects(&seal) => {
                scan.records.append(&mut group);
                at += length as usize;
                scan.end = at;
                scan.next_group += 1;
            }
            _ => match scan.find_seal(bytes, at) {
                Some((position, seal, length)) => {
                    at = scan.pass(
                        bytes,
                        at,
                        std::mem::take(&mut group),
                        (position, seal, length),
                        followed_by,
                    );
                }
                None => break,
            },
        }
    }
    scan.finish(bytes.len(), at, group, followed_by);
    scan
}

impl Scan {
    fn expects(&self, seal: &Seal) -> bool {
        seal.group == self.next_group && seal.start == self.end as u64
    }

    /// The next seal that can be one of this segment.
    fn find_seal(&self, bytes: &[u8], from: usize) -> Option<(usize, Seal, u32)> {
        let mut from = from;
        loop {
            let (position, seal, length) = find_seal(bytes, from)?;
            let starts_here = (self.end as u64..=position as u64).contains(&seal.start);
            if seal.group >= self.next_group && starts_here {
                return Some((position, seal, length));
            }
            from = position + 1;
        }
    }

    /// Goes past what cannot be read at `at`, to the end of the group whose seal was found. Returns where that is.
    fn pass(
        &mut self,
        bytes: &[u8],
        at: usize,
        group: Vec<(Record, u32)>,
        (position, seal, length): (usize, Seal, u32),
        followed_by: Option<u64>,
    ) -> usize {
        let is_own = self.expects(&seal);
        let next = position + length as usize;
        let (start, number) = (seal.start as usize, seal.group);
        if !is_own {
            // A later group was begun, so these records were acknowledged. Their seal, at least, cannot be read.
            self.records.extend(group);
            let what = "the end of a group is damaged";
            // Nothing but one seal is missing if the next group begins there.
            let complete = number == self.next_group + 1
                && at < start
                && !bytes[at..start].is_empty()
                && self.only_a_seal(bytes, at, start);
            self.holes.push(Hole { offset: at, what, events: Vec::new(), complete });
        }
        let offset = if is_own { at } else { start };
        let (records, lost, complete) = salvage(bytes, start, position, seal);
        self.records.extend(records);
        let hole = Hole { offset, what: "records of a group are damaged", events: lost, complete };
        self.end = next;
        self.next_group = number + 1;
        // A group after this one, in this segment or the next, proves that this one was acknowledged.
        let is_proven = followed_by.is_some() || self.find_seal(bytes, next).is_some();
        if !is_own && hole.events.is_empty() && complete {
            // The group whose seal was found is whole.
        } else if is_proven {
            self.holes.push(hole);
        } else {
            self.tail.doubtful = Some(hole);
        }
        next
    }

    /// Whether what lies between `at` and `start` has the length that it names: then it is one record, a seal.
    fn only_a_seal(&self, bytes: &[u8], at: usize, start: usize) -> bool {
        let length = bytes[at..start].first_chunk::<4>().map(|length| u32::from_le_bytes(*length));
        length.is_some_and(|length| length as usize + crate::record::PREFIX == start - at)
    }

    /// Judges what is behind the last seal.
    fn finish(
        &mut self,
        length: usize,
        at: usize,
        group: Vec<(Record, u32)>,
        followed_by: Option<u64>,
    ) {
        match followed_by {
            None => self.tail.torn = (self.end < length).then(|| length - self.end),
            Some(first_group) => {
                if self.end < length || first_group != self.next_group {
                    // All of it was acknowledged, since the next segment was begun.
                    self.records.extend(group);
                    let what = "the segment ends before its last group does";
                    self.holes.push(Hole { offset: at, what, events: Vec::new(), complete: false });
                    self.end = length;
                }
                self.next_group = first_group;
            }
        }
    }
}

/// Reads what can be read of a group by the table of its seal. Returns the records, the events that cannot be read, and
/// whether the table covers the whole group.
fn salvage(
    bytes: &[u8],
    start: usize,
    position: usize,
    seal: Seal,
) -> (Vec<(Record, u32)>, Vec<EventId>, bool) {
    let (mut records, mut lost, mut at) = (Vec::new(), Vec::new(), start);
    for (length, id) in seal.table {
        let end = at.saturating_add(length as usize).min(position);
        match read(&bytes[at..end]) {
            Some((Read::Record(record), _)) => records.push((record, length)),
            _ => lost.extend(id),
        }
        at = end;
    }
    (records, lost, at == position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::event;

    fn header() -> Header {
        Header { segment: 1, first_group: 5, next_number: 1 }
    }

    /// A segment with these groups of events, and where each group ends.
    fn segment(groups: &[&[&str]]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = header().write().to_vec();
        let (mut ends, mut number) = (Vec::new(), 0);
        for (group, ids) in groups.iter().enumerate() {
            let (start, mut table) = (bytes.len() as u64, Vec::new());
            for id in *ids {
                number += 1;
                let record = Record::Pending { number, event: event(id) };
                let length = record.write(&mut bytes).expect("small");
                table.push((length, record.keeps().cloned()));
            }
            Seal { group: 5 + group as u64, start, table }.write(&mut bytes).expect("small");
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn ids(scan: &Scan) -> Vec<&str> {
        scan.records.iter().filter_map(|(record, _)| Some(record.keeps()?.as_str())).collect()
    }

    const GROUPS: &[&[&str]] = &[&["a", "bb"], &["ccc"], &["dddd", "eeeee", "ffffff"]];
    const ALL: [&str; 6] = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff"];

    #[test]
    fn a_whole_segment_has_all() {
        let (bytes, _) = segment(GROUPS);
        for followed_by in [None, Some(8)] {
            let scan = scan(&bytes, header(), followed_by);
            assert_eq!(ids(&scan), ALL);
            assert!(scan.holes.is_empty() && scan.tail == Tail::default());
            assert_eq!((scan.end, scan.next_group), (bytes.len(), 8));
        }
    }

    #[test]
    fn a_group_without_its_end_is_cut_off() {
        let (bytes, ends) = segment(GROUPS);
        for length in HEADER..bytes.len() {
            let scan = scan(&bytes[..length], header(), None);
            let whole = ends.iter().filter(|end| **end <= length).count();
            let end = ends[..whole].last().copied().unwrap_or(HEADER);
            assert_eq!(ids(&scan), GROUPS[..whole].concat());
            assert!(scan.holes.is_empty() && scan.tail.doubtful.is_none());
            assert_eq!(scan.end, end);
            assert_eq!(scan.tail.torn, (end < length).then(|| length - end));
        }
    }

    #[test]
    fn no_damage_loses_an_event_in_silence() {
        let (whole, ends) = segment(GROUPS);
        for at in HEADER..whole.len() {
            for followed_by in [None, Some(8)] {
                let mut bytes = whole.clone();
                bytes[at] ^= 0x41;
                let scan = scan(&bytes, header(), followed_by);
                let found = ids(&scan);
                let holes = scan.holes.iter().chain(&scan.tail.doubtful);
                let holes: Vec<_> = holes.collect();
                let named: Vec<_> =
                    holes.iter().flat_map(|hole| &hole.events).map(EventId::as_str).collect();
                let is_cut = scan.tail.torn.is_some() && at >= ends[1];
                let all_named = holes.iter().all(|hole| hole.complete);
                for id in ALL {
                    let is_there = found.contains(&id);
                    assert!(
                        is_there
                            || named.contains(&id)
                            || is_cut
                            || !holes.is_empty() && !all_named,
                        "byte {at}: {id} is gone: {scan:?}"
                    );
                    assert!(!(is_there && named.contains(&id)), "byte {at}: {id} is there");
                }
                assert!(!holes.is_empty() || is_cut, "byte {at} was not noticed");
                // At most one event is in a byte, and nearly every byte has its name.
                assert!(found.len() >= 5 || is_cut || !all_named, "byte {at}: {found:?}");
                if at < ends[1] || followed_by.is_some() {
                    assert!(scan.tail == Tail::default(), "byte {at} was acknowledged");
                }
            }
        }
    }

    #[test]
    fn a_missing_end_of_a_segment_is_damage_when_another_follows() {
        let (bytes, ends) = segment(GROUPS);
        let scan = scan(&bytes[..ends[1]], header(), Some(8));
        assert_eq!(ids(&scan), ["a", "bb", "ccc"]);
        assert!(scan.holes.len() == 1 && !scan.holes[0].complete);
    }

    #[test]
    fn headers() {
        let bytes = header().write();
        assert_eq!(Header::read(&bytes), Ok(header()));
        let newer = [&MAGIC[..], &2_u32.to_le_bytes(), b"whatever it has"].concat();
        assert_eq!(Header::read(&newer), Err(NoHeader::Newer(2)));
        for length in 0..HEADER {
            assert!(matches!(Header::read(&bytes[..length]), Err(NoHeader::Other(_))));
        }
        for at in 12..HEADER {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            assert!(matches!(Header::read(&bytes), Err(NoHeader::Other(_))));
        }
    }
}
