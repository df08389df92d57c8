//! Records as bytes.
//!
//! ```text
//!  length of the payload  4 bytes, little endian, as all numbers
//!  checksum               4 bytes: CRC-32 of the length and the payload
//!  payload                1 byte for the kind, then its fields; a text has its length in 4 bytes before it
//! ```
//!
//! The checksum covers the length, so that a file of zeros has no valid record.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use level5::event_processor::{DeadLetter, Event, EventId, Service};
use level5::priority_queue::Priority;

/// The bytes of a record before its payload.
pub(crate) const PREFIX: usize = 8;
/// The first bytes of the payload of a seal, after its kind. A search for a seal looks for them.
const SEAL: [u8; 8] = *b"\x00ev seal";

const PENDING: u8 = 1;
const ENDED: u8 = 2;
const DEAD: u8 = 3;
const SEALED: u8 = 4;

/// A change of what the journal holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// This event is pending, with this number.
    Pending { number: u64, event: Arc<Event> },
    /// The event has ended: delivered or withdrawn.
    Ended { id: EventId },
    /// The event is a dead letter, with this number. The record needs no earlier one: that may be gone with its segment.
    Dead { number: u64, letter: DeadLetter },
}

/// The last record of a group: the group is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seal {
    /// The number of the group. Numbers rise by one, across segments too.
    pub(crate) group: u64,
    /// Where the group begins in its file.
    pub(crate) start: u64,
    /// Every record of the group, in order: how many bytes it has, and which event is lost with it.
    pub(crate) table: Vec<(u32, Option<EventId>)>,
}

/// What a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    Record(Record),
    Seal(Seal),
}

impl Record {
    /// The event that would be lost with this record.
    pub(crate) fn keeps(&self) -> Option<&EventId> {
        match self {
            Self::Pending { event, .. } => Some(&event.id),
            Self::Ended { .. } => None,
            Self::Dead { letter, .. } => Some(&letter.event.id),
        }
    }

    /// Writes it to the end of `out`. Returns its bytes; `Err` with them when they do not fit into the length.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<u32, usize> {
        framed(out, |out| match self {
            Self::Pending { number, event } => pending(out, *number, event),
            Self::Ended { id } => ended(out, id),
            Self::Dead { number, letter } => dead(out, *number, letter),
        })
    }
}

impl Seal {
    /// Writes it to the end of `out`. Returns its bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<u32, usize> {
        framed(out, |out| {
            out.push(SEALED);
            out.extend_from_slice(&SEAL);
            out.extend_from_slice(&self.group.to_le_bytes());
            out.extend_from_slice(&self.start.to_le_bytes());
            out.extend_from_slice(&(self.table.len() as u64).to_le_bytes());
            for (bytes, id) in &self.table {
                out.extend_from_slice(&bytes.to_le_bytes());
                optional(out, id.as_ref().map(EventId::as_str));
            }
        })
    }
}

/// Writes a payload between its prefix and the end of `out`.
fn framed(out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) -> Result<u32, usize> {
    let begin = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    payload(out);
    let bytes = out.len() - begin;
    let Ok(record) = u32::try_from(bytes) else {
        out.truncate(begin);
        return Err(bytes);
    };
    let length = (record - PREFIX as u32).to_le_bytes();
    let sum = checksum(length, &out[begin + PREFIX..]);
    out[begin..begin + 4].copy_from_slice(&length);
    out[begin + 4..begin + PREFIX].copy_from_slice(&sum.to_le_bytes());
    Ok(record)
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&length);
    sum.update(payload);
    sum.finalize()
}

fn pending(out: &mut Vec<u8>, number: u64, event: &Event) {
    out.push(PENDING);
    out.extend_from_slice(&number.to_le_bytes());
    self::event(out, event);
}

fn ended(out: &mut Vec<u8>, id: &EventId) {
    out.push(ENDED);
    text(out, id.as_str().as_bytes());
}

fn dead(out: &mut Vec<u8>, number: u64, letter: &DeadLetter) {
    out.push(DEAD);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&letter.attempts.to_le_bytes());
    text(out, letter.service.as_str().as_bytes());
    text(out, letter.reason.as_bytes());
    event(out, &letter.event);
}

fn event(out: &mut Vec<u8>, event: &Event) {
    out.push(event.priority as u8);
    out.extend_from_slice(&event.at.as_second().to_le_bytes());
    out.extend_from_slice(&event.at.subsec_nanosecond().to_le_bytes());
    text(out, event.id.as_str().as_bytes());
    text(out, event.kind.as_bytes());
    optional(out, event.key.as_deref());
    text(out, &event.data);
}

fn optional(out: &mut Vec<u8>, value: Option<&str>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        text(out, value.as_bytes());
    }
}

/// A text of more than 4 GiB is cut here, and then `framed` refuses the record.
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Reads the first record of `bytes`. Returns it with its bytes; `None` when there is no valid one.
pub(crate) fn read(bytes: &[u8]) -> Option<(Read, u32)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let payload = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    if checksum(*length, payload) != u32::from_le_bytes(*sum) {
        return None;
    }
    let record = Fields(payload).record()?;
    Some((record, u32::try_from(PREFIX + payload.len()).ok()?))
}

/// Finds the first valid seal that begins at `from` or later. Returns where it begins, and its bytes.
pub(crate) fn find_seal(bytes: &[u8], from: usize) -> Option<(usize, Seal, u32)> {
    // Before its mark a seal has its prefix and its kind.
    const BEFORE: usize = PREFIX + 1;
    let mut at = from;
    loop {
        let rest = bytes.get(at + BEFORE..)?;
        at += rest.windows(SEAL.len()).position(|window| window == SEAL)?;
        if let Some((Read::Seal(seal), length)) = read(&bytes[at..]) {
            return Some((at, seal, length));
        }
        at += 1;
    }
}

/// The fields of a payload that are left to read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn record(&mut self) -> Option<Read> {
        let [kind] = self.array()?;
        let read = match kind {
            PENDING => {
                let number = self.u64()?;
                Read::Record(Record::Pending { number, event: Arc::new(self.event()?) })
            }
            ENDED => Read::Record(Record::Ended { id: EventId::new(self.text()?) }),
            DEAD => {
                let number = self.u64()?;
                let attempts = u32::from_le_bytes(self.array()?);
                let service = Service::new(self.text()?);
                let reason = self.text()?.to_owned();
                let event = Arc::new(self.event()?);
                let letter = DeadLetter { event, service, attempts, reason };
                Read::Record(Record::Dead { number, letter })
            }
            SEALED => {
                if self.array::<8>()? != SEAL {
                    return None;
                }
                let (group, start, count) = (self.u64()?, self.u64()?, self.u64()?);
                let mut table = Vec::new();
                for _ in 0..count {
                    let bytes = u32::from_le_bytes(self.array()?);
                    table.push((bytes, self.optional()?.map(EventId::new)));
                }
                Read::Seal(Seal { group, start, table })
            }
            _ => return None,
        };
        self.0.is_empty().then_some(read)
    }

    fn event(&mut self) -> Option<Event> {
        let [priority] = self.array()?;
        let priority = Priority::ALL.into_iter().find(|it| *it as u8 == priority)?;
        let second = i64::from_le_bytes(self.array()?);
        let nanosecond = i32::from_le_bytes(self.array()?);
        let at = Timestamp::new(second, nanosecond).ok()?;
        let (id, kind) = (EventId::new(self.text()?), self.text()?.to_owned());
        let key = self.optional()?.map(ToOwned::to_owned);
        let data = Bytes::copy_from_slice(self.bytes()?);
        Some(Event { id, kind, key, priority, at, data })
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?);
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn optional(&mut self) -> Option<Option<&'a str>> {
        match self.array()? {
            [0] => Some(None),
            [1] => Some(Some(self.text()?)),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An event whose fields are all different from those of another one.
    pub(crate) fn event(id: &str) -> Arc<Event> {
        let size = id.len();
        Arc::new(Event {
            id: EventId::new(id),
            kind: format!("kind of {id}"),
            key: size.is_multiple_of(2).then(|| format!("key of {id}")),
            priority: Priority::ALL[size % 4],
            at: Timestamp::new(-1_000_000_007, -5).expect("a time"),
            data: vec![size as u8; size * 10].into(),
        })
    }

    fn letter(id: &str) -> DeadLetter {
        let (event, service) = (event(id), Service::new("mail"));
        DeadLetter { event, service, attempts: 4, reason: "no: never".to_owned() }
    }

    fn all() -> Vec<Read> {
        vec![
            Read::Record(Record::Pending { number: 7, event: event("a") }),
            Read::Record(Record::Pending { number: u64::MAX, event: event("é\n") }),
            Read::Record(Record::Ended { id: EventId::new("a") }),
            Read::Record(Record::Dead { number: 8, letter: letter("ab") }),
            Read::Seal(Seal {
                group: 3,
                start: 40,
                table: vec![(17, None), (99, Some(EventId::new("a")))],
            }),
        ]
    }

    fn write(read: &Read, out: &mut Vec<u8>) -> u32 {
        match read {
            Read::Record(record) => record.write(out),
            Read::Seal(seal) => seal.write(out),
        }
        .expect("small")
    }

    #[test]
    fn what_was_written_is_read() {
        let (mut bytes, mut at) = (Vec::new(), 0);
        let written = all().iter().map(|it| write(it, &mut bytes)).collect::<Vec<_>>();
        for (expected, length) in all().into_iter().zip(written) {
            assert_eq!(read(&bytes[at..]), Some((expected, length)));
            at += length as usize;
        }
        assert_eq!(read(&bytes[at..]), None);
    }

    #[test]
    fn a_changed_bit_and_a_missing_byte_are_found() {
        for expected in all() {
            let mut bytes = Vec::new();
            write(&expected, &mut bytes);
            for length in 0..bytes.len() {
                assert_eq!(read(&bytes[..length]), None);
            }
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(read(&bytes), None, "bit {bit} of {expected:?}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        assert_eq!(read(&[0; 64]), None);
    }

    #[test]
    fn a_seal_is_found_behind_anything() {
        let seal = all().pop().expect("the seal");
        let mut bytes = b"\x00ev seal, and not one".to_vec();
        let at = bytes.len();
        write(&seal, &mut bytes);
        let found = find_seal(&bytes, 0).expect("a seal");
        assert_eq!((found.0, Read::Seal(found.1)), (at, seal));
        assert!(find_seal(&bytes, at + 1).is_none() && find_seal(&[], 0).is_none());
    }
}
