//! The folder of a journal: its lock, and its segments as files.
#![expect(clippy::disallowed_types, reason = "a journal on disk is files")]

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::error::OpenError;
use crate::segment::{HEADER, Header};

const LOCK: &str = "lock";
/// A segment that is being made. It gets its name when its header is on the disk, so that each segment has a header.
const UNFINISHED: &str = "unfinished";
const EXTENSION: &str = "segment";

/// The folder, locked. Dropping it, or the end of the process, unlocks it.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    // The kernel releases it with the process, however that ends. A file with a process id would stay.
    _lock: File,
}

impl Folder {
    /// Makes the folder if there is none, and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self, OpenError> {
        let is_new = !path.exists();
        fs::create_dir_all(path).map_err(OpenError::io(path))?;
        let file = path.join(LOCK);
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&file);
        let lock = opened.map_err(OpenError::io(&file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { folder: path.to_owned() });
            }
            Err(TryLockError::Error(why)) => return Err(OpenError::io(&file)(why)),
        }
        let folder = Self { path: path.to_owned(), _lock: lock };
        if is_new
            && let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
        {
            // The name of a new folder is on the disk when its parent is. Not every file system can do that, and on
            // those that cannot there is nothing to do.
            let _ = sync(parent);
        }
        // Left by a process that was killed: it has no record.
        match fs::remove_file(path.join(UNFINISHED)) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(OpenError::io(path)(why)),
            _ => Ok(folder),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, segment: u64) -> PathBuf {
        self.path.join(format!("{segment:020}.{EXTENSION}"))
    }

    /// The numbers of the segments, in order. Other files are left alone.
    pub(crate) fn segments(&self) -> Result<Vec<u64>, OpenError> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(OpenError::io(&self.path))? {
            let path = entry.map_err(OpenError::io(&self.path))?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
                let what = "its name has no number";
                numbers.push(number.ok_or(OpenError::NotASegment { file: path, what })?);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Makes a segment. It is on the disk when this returns.
    pub(crate) fn make(&self, header: Header) -> io::Result<Segment> {
        let unfinished = self.path.join(UNFINISHED);
        let made = (|| {
            let mut file = File::create(&unfinished)?;
            file.write_all(&header.write())?;
            file.sync_all()?;
            fs::rename(&unfinished, self.file(header.segment))?;
            sync(&self.path)?;
            Ok(Segment { number: header.segment, file, length: HEADER as u64 })
        })();
        if made.is_err() {
            // A file that is full of nothing should not fill the disk.
            let _ = fs::remove_file(&unfinished);
        }
        made
    }

    /// Opens the last segment to go on at `length`, and cuts off what is behind it.
    pub(crate) fn resume(&self, number: u64, length: u64) -> io::Result<Segment> {
        let mut file = OpenOptions::new().write(true).open(self.file(number))?;
        if file.metadata()?.len() != length {
            file.set_len(length)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::Start(length))?;
        Ok(Segment { number, file, length })
    }

    /// Removes a segment. The removal is on the disk when this returns: so segments go in their order, whatever
    /// happens, and an end never goes before the record of its event.
    pub(crate) fn remove(&self, segment: u64) -> io::Result<()> {
        fs::remove_file(self.file(segment))?;
        sync(&self.path)
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A segment that is written to.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    file: File,
    /// Where the last complete group ends.
    pub(crate) length: u64,
}

/// Why a group was not written.
#[derive(Debug)]
pub(crate) struct WriteFailed {
    pub(crate) error: io::Error,
    /// Whether the file is as it was before. If not, nothing may be written behind it.
    pub(crate) is_restored: bool,
}

impl Segment {
    /// Writes a group. It is on the disk when this returns.
    pub(crate) fn write(&mut self, parts: &[&[u8]]) -> Result<(), WriteFailed> {
        let written = parts.iter().try_for_each(|part| self.file.write_all(part));
        // Only the data and the length: the times of the file need not be there after a crash.
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            // What the kernel has of a group whose sync failed is unknown, and another sync would not say. So the group
            // is cut off, and the next one is written and synced in its place.
            return Err(WriteFailed { is_restored: self.restore().is_ok(), error });
        }
        self.length += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        Ok(())
    }

    fn restore(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.sync_all()
    }
}
