//! The thread that owns the files: group commit, new segments, compaction.
//!
//! While a group is being synced, the calls that come form the next one. So a sync serves as many calls as come in its
//! time, and a caller waits for two syncs at most.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::config::JournalConfig;
use crate::error::WriteError;
use crate::folder::{Folder, Segment, WriteFailed};
use crate::group::Group;
use crate::index::{Index, wants_compaction};
use crate::record::{Record, Seal};
use crate::recovery::Opened;
use crate::segment::Header;

/// The bytes that compaction adds to a group. More would make the calls of the group wait longer.
const MOVED_AT_ONCE: usize = 1 << 20;

/// What the callers and the thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: JournalConfig,
    // Held while a call is encoded into the group, and while the thread takes the group: never during I/O.
    state: Mutex<State>,
    /// Wakes the thread.
    wake: Condvar,
    // Changed by the thread alone, when a group is on the disk. Not held together with `state`.
    index: Mutex<Index>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) group: Group,
    pub(crate) next_number: u64,
    /// No call will come.
    pub(crate) closed: bool,
    /// Every call fails with this.
    pub(crate) broken: Option<WriteError>,
    pub(crate) figures: Figures,
}

/// What a journal has done since it was opened, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Groups that were written and synced.
    pub groups: u64,
    /// Records that callers have written.
    pub records: u64,
    /// Bytes that were written, compaction included.
    pub written_bytes: u64,
    /// Bytes of records that compaction has written again.
    pub moved_bytes: u64,
    /// Bytes of all segments.
    pub disk_bytes: u64,
    /// The files.
    pub segments: u64,
    /// Pending events and dead letters.
    pub live_records: u64,
    /// Their bytes.
    pub live_bytes: u64,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }
}

/// What compaction still has to move.
#[derive(Debug)]
struct Moves {
    /// Records of segments up to this one are moved.
    up_to: u64,
    numbers: VecDeque<u64>,
}

/// The owner of the files.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    folder: Folder,
    active: Segment,
    /// The segments before the active one, oldest first, with their bytes.
    closed: VecDeque<(u64, u64)>,
    next_group: u64,
    moves: Option<Moves>,
    /// Memory that is used for every group.
    moved: Vec<u8>,
    seal: Vec<u8>,
    spare: Vec<u8>,
}

impl Writer {
    /// The owner of a folder that was read. Segments of which a part cannot be read are rewritten now.
    pub(crate) fn new(opened: Opened, config: JournalConfig) -> Result<Self, WriteError> {
        let Opened { folder, index, closed, active, next_group, next_number, rewrite, .. } = opened;
        let state = State {
            group: Group::default(),
            next_number,
            closed: false,
            broken: None,
            figures: Figures::default(),
        };
        let up_to = closed.last().map_or(0, |(number, _)| *number);
        let numbers = if rewrite { index.numbers_in(|_| true) } else { Vec::new() };
        let shared = Shared {
            config,
            state: Mutex::new(state),
            wake: Condvar::new(),
            index: Mutex::new(index),
        };
        let mut writer = Self {
            shared: Arc::new(shared),
            folder,
            active,
            closed: closed.into(),
            next_group,
            moves: rewrite.then(|| Moves { up_to, numbers: numbers.into() }),
            moved: Vec::new(),
            seal: Vec::new(),
            spare: Vec::new(),
        };
        while writer.moves.is_some() {
            let group = Group::default();
            writer.commit(group)?;
        }
        writer.show(0, 0, 0);
        Ok(writer)
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Runs until the journal is closed.
    pub(crate) fn run(mut self) {
        let stopped = Stopped(self.shared());
        while let Some(group) = self.next() {
            // The calls of the group have the error.
            let _ = self.commit(group);
        }
        drop(self);
        drop(stopped);
    }

    /// Waits for calls, or for compaction. `None`: the journal is closed, and nothing waits.
    fn next(&mut self) -> Option<Group> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state();
        while state.group.records.is_empty() {
            if state.closed {
                return None;
            }
            if self.moves.is_some() {
                break;
            }
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let empty = Group::reusing(std::mem::take(&mut self.spare));
        Some(std::mem::replace(&mut state.group, empty))
    }

    /// Writes a group, and then wakes its calls.
    fn commit(&mut self, mut group: Group) -> Result<(), WriteError> {
        let unknown = self.shared.index().unknown_letters(&group.records);
        group.without(&unknown);
        let moved = self.take_moves();
        let mut result = self.rotate().and_then(|()| self.write(&moved, &group));
        if result.is_err() && !moved.is_empty() && !group.records.is_empty() && self.is_usable() {
            // Compaction needs room that there is not. Without it, the calls may fit.
            self.moved.clear();
            self.moves = None;
            result = self.write(&[], &group).map(|()| drop(moved));
        } else if result.is_ok() {
            self.apply(moved);
        }
        match &result {
            Ok(()) => {
                let records = std::mem::take(&mut group.records);
                let (count, moved) = (records.len() as u64, self.moved.len() as u64);
                let written = moved + (group.bytes.len() + self.seal.len()) as u64;
                self.apply(records);
                self.remove_outdated();
                self.plan();
                self.show(count, moved, written);
            }
            // It starts again after the next group that can be written.
            Err(_) => self.moves = None,
        }
        self.spare = group.end(result.clone());
        result
    }

    fn is_usable(&self) -> bool {
        self.shared.state().broken.is_none()
    }

    /// The next records that compaction writes again, encoded in `moved`.
    fn take_moves(&mut self) -> Vec<(Record, u32)> {
        self.moved.clear();
        let mut records = Vec::new();
        let Some(moves) = &mut self.moves else { return records };
        let index = self.shared.index();
        while self.moved.len() < MOVED_AT_ONCE
            && let Some(number) = moves.numbers.pop_front()
        {
            // It may have ended meanwhile.
            let Some(record) = index.copy(number, |segment| segment <= moves.up_to) else {
                continue;
            };
            // It was written before, so it fits.
            if let Ok(length) = record.write(&mut self.moved) {
                records.push((record, length));
            }
        }
        if moves.numbers.is_empty() {
            self.moves = None;
        }
        records
    }

    /// Begins a new segment if the active one is long enough.
    fn rotate(&mut self) -> Result<(), WriteError> {
        if self.active.length < self.shared.config.segment_bytes {
            return Ok(());
        }
        let header = Header {
            segment: self.active.number + 1,
            first_group: self.next_group,
            next_number: self.shared.state().next_number,
        };
        let made = self.folder.make(header);
        let made = made.map_err(|error| WriteError::of(&error, self.folder.path()))?;
        let full = std::mem::replace(&mut self.active, made);
        self.closed.push_back((full.number, full.length));
        Ok(())
    }

    /// Writes `moved` and the group. Moved records go first: a record of the group may end one of them.
    fn write(&mut self, moved: &[(Record, u32)], group: &Group) -> Result<(), WriteError> {
        let records = moved.iter().chain(&group.records);
        let table = records.map(|(record, length)| (*length, record.keeps().cloned())).collect();
        let seal = Seal { group: self.next_group, start: self.active.length, table };
        self.seal.clear();
        let folder = self.folder.path();
        if let Err(bytes) = seal.write(&mut self.seal) {
            let why = format!("the list of a group's records has {bytes} bytes");
            return Err(WriteError::Io { folder: folder.to_owned(), why });
        }
        match self.active.write(&[&self.moved, &group.bytes, &self.seal]) {
            Ok(()) => {
                self.next_group += 1;
                Ok(())
            }
            Err(WriteFailed { error, is_restored: true }) => Err(WriteError::of(&error, folder)),
            Err(WriteFailed { error, is_restored: false }) => {
                let (folder, why) = (folder.to_owned(), error.to_string());
                let broken = WriteError::Broken { folder, why };
                self.shared.state().broken = Some(broken.clone());
                Err(broken)
            }
        }
    }

    fn apply(&self, records: Vec<(Record, u32)>) {
        let mut index = self.shared.index();
        for (record, length) in records {
            index.apply(record, self.active.number, length);
        }
    }

    /// Removes the oldest segments as long as nothing of them is live.
    ///
    /// Only the oldest: a segment without live records may have the ends of events that older segments have.
    fn remove_outdated(&mut self) {
        while let Some((oldest, _)) = self.closed.front().copied()
            && self.shared.index().is_outdated(oldest)
        {
            if let Err(error) = self.folder.remove(oldest) {
                // It is tried again after the next group.
                tracing::warn!(segment = oldest, %error, "a segment cannot be removed");
                return;
            }
            self.closed.pop_front();
            self.shared.index().forget(oldest);
        }
    }

    /// Begins compaction of the oldest segment if it is worth it.
    fn plan(&mut self) {
        let Some((oldest, _)) = self.closed.front().copied() else { return };
        if self.moves.is_some() {
            return;
        }
        let index = self.shared.index();
        let segment_bytes = self.shared.config.segment_bytes;
        if wants_compaction(self.disk_bytes(), index.usage().bytes, segment_bytes) {
            let numbers = index.numbers_in(|segment| segment <= oldest).into();
            self.moves = Some(Moves { up_to: oldest, numbers });
        }
    }

    fn disk_bytes(&self) -> u64 {
        self.active.length + self.closed.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }

    fn show(&self, records: u64, moved: u64, written: u64) {
        let usage = self.shared.index().usage();
        let mut state = self.shared.state();
        let figures = &mut state.figures;
        figures.groups += u64::from(written > 0);
        figures.records += records;
        figures.moved_bytes += moved;
        figures.written_bytes += written;
        figures.disk_bytes = self.disk_bytes();
        figures.segments = self.closed.len() as u64 + 1;
        figures.live_records = usage.records;
        figures.live_bytes = usage.bytes;
    }
}

/// Fails the calls that wait when the thread ends, also by a panic.
struct Stopped(Arc<Shared>);

impl Drop for Stopped {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.broken.is_none() {
            let why = "its writer has ended".to_owned();
            state.broken = Some(WriteError::Broken { folder: std::path::PathBuf::new(), why });
        }
        drop(std::mem::take(&mut state.group));
    }
}
