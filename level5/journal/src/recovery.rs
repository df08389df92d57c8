//! Reads the folder when a journal is opened. Nothing is written before all of it is read and judged.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use level5::event_processor::EventId;

use crate::config::{Damaged, JournalConfig};
use crate::error::{Damage, OpenError};
use crate::folder::{Folder, Segment};
use crate::index::Index;
use crate::segment::{HEADER, Header, Hole, NoHeader, VERSION, scan};

/// What [`FileJournal::open`](crate::FileJournal::open) has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The events that have not ended.
    pub pending: u64,
    /// The dead letters.
    pub dead: u64,
    /// The end of the journal that was cut off: the process before this one ended while it wrote it.
    pub torn: Option<Torn>,
    /// What could not be read, and was accepted as lost by [`Damaged::Accept`].
    pub damages: Vec<Damage>,
}

/// The last group of a journal, which was not complete. No call about it was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub file: PathBuf,
    /// Where the group begins.
    pub offset: u64,
    /// How many bytes of it there were.
    pub bytes: u64,
    /// Not empty only when the group has its end and records before it cannot be read: after a power failure, or when an
    /// acknowledged record of the last group is damaged. The two look the same. Readable records of such a group are
    /// kept, and these are the events of the others.
    pub events: Vec<EventId>,
}

/// A folder that was read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) folder: Folder,
    pub(crate) index: Index,
    /// The segments before the one that is written to, oldest first, with their bytes.
    pub(crate) closed: Vec<(u64, u64)>,
    pub(crate) active: Segment,
    pub(crate) next_group: u64,
    pub(crate) next_number: u64,
    /// Whether segments before the active one must be rewritten, since parts of them cannot be read.
    pub(crate) rewrite: bool,
    pub(crate) recovered: Recovered,
}

/// What is left to do when all segments are read.
#[derive(Default)]
struct State {
    index: Index,
    sizes: Vec<(u64, u64)>,
    damages: Vec<Damage>,
    torn: Option<Torn>,
    /// Where the last segment goes on. `None`: it must not, since a part of it cannot be read.
    end: Option<u64>,
    next_group: u64,
    next_number: u64,
}

pub(crate) fn open(folder: Folder, config: &JournalConfig) -> Result<Opened, OpenError> {
    let segments = folder.segments()?;
    let headers = headers(&folder, &segments)?;
    let mut state = State { next_group: 1, next_number: 1, ..State::default() };
    state.damages = missing(&folder, &segments);
    for (position, header) in headers.iter().enumerate() {
        let next = headers.get(position + 1).map(|next| next.first_group);
        state.read(&folder, *header, next)?;
    }
    if !state.damages.is_empty() && config.damaged == Damaged::Refuse {
        return Err(OpenError::Damaged { damages: state.damages });
    }
    state.resume(folder)
}

/// Reads all headers, so that a segment of a newer version is found before anything is read by the rules of this one.
fn headers(folder: &Folder, segments: &[u64]) -> Result<Vec<Header>, OpenError> {
    let mut headers = Vec::new();
    for segment in segments {
        let file = folder.file(*segment);
        let mut bytes = Vec::new();
        read(&file, HEADER as u64, &mut bytes)?;
        let header = Header::read(&bytes).map_err(|why| match why {
            NoHeader::Newer(found) => {
                OpenError::NewerVersion { file: file.clone(), found, known: VERSION }
            }
            NoHeader::Other(what) => OpenError::NotASegment { file: file.clone(), what },
        })?;
        if header.segment != *segment {
            let what = "it was made under another name";
            return Err(OpenError::NotASegment { file, what });
        }
        headers.push(header);
    }
    Ok(headers)
}

#[expect(clippy::disallowed_types, reason = "a journal on disk is files")]
fn read(file: &PathBuf, most: u64, bytes: &mut Vec<u8>) -> Result<(), OpenError> {
    let opened = fs::File::open(file).map_err(OpenError::io(file))?;
    opened.take(most).read_to_end(bytes).map_err(OpenError::io(file))?;
    Ok(())
}

/// Segments that are missing between two others.
fn missing(folder: &Folder, segments: &[u64]) -> Vec<Damage> {
    let gaps = segments.windows(2).filter(|pair| pair[1] - pair[0] > 1);
    gaps.map(|pair| Damage {
        file: folder.file(pair[0] + 1),
        offset: 0,
        what: "the file is missing",
        events: Vec::new(),
        complete: false,
    })
    .collect()
}

impl State {
    fn read(
        &mut self,
        folder: &Folder,
        header: Header,
        followed_by: Option<u64>,
    ) -> Result<(), OpenError> {
        let file = folder.file(header.segment);
        let mut bytes = Vec::new();
        read(&file, u64::MAX, &mut bytes)?;
        let scan = scan(&bytes, header, followed_by);
        for (record, length) in scan.records {
            self.index.apply(record, header.segment, length);
        }
        let damage = |hole: Hole| {
            let Hole { offset, what, events, complete } = hole;
            Damage { file: file.clone(), offset: offset as u64, what, events, complete }
        };
        let is_whole = scan.holes.is_empty() && scan.tail.doubtful.is_none();
        self.damages.extend(scan.holes.into_iter().map(damage));
        if let Some(bytes) = scan.tail.torn {
            let (file, offset, bytes) = (file.clone(), scan.end as u64, bytes as u64);
            self.torn = Some(Torn { file, offset, bytes, events: Vec::new() });
        }
        if let Some(hole) = scan.tail.doubtful {
            let bytes = (scan.end - hole.offset.min(scan.end)) as u64;
            let (offset, events) = (hole.offset as u64, hole.events);
            self.torn = Some(Torn { file, offset, bytes, events });
        }
        self.sizes.push((header.segment, bytes.len() as u64));
        self.end = is_whole.then_some(scan.end as u64);
        self.next_group = scan.next_group;
        self.next_number = self.next_number.max(header.next_number);
        Ok(())
    }

    /// From here on files are changed.
    fn resume(self, folder: Folder) -> Result<Opened, OpenError> {
        let Self { index, sizes: mut closed, damages, torn, end, next_group, next_number } = self;
        let next_number = next_number.max(index.next_number());
        let rewrite = !damages.is_empty() || !closed.is_empty() && end.is_none();
        let last = closed.last().map_or(0, |(number, _)| *number);
        let active = match end {
            Some(end) if !rewrite => {
                closed.pop();
                folder.resume(last, end)
            }
            _ => folder.make(Header { segment: last + 1, first_group: next_group, next_number }),
        };
        let active = active.map_err(OpenError::io(folder.path()))?;
        let (loaded, usage) = (index.loaded(), index.usage());
        let pending = loaded.pending.len() as u64;
        let recovered = Recovered { pending, dead: usage.records - pending, torn, damages };
        Ok(Opened { folder, index, closed, active, next_group, next_number, rewrite, recovered })
    }
}
