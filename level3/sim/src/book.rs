//! The log of the simulated services, which outlives a killed process.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::marker::PhantomData;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file of lines, one for each thing that was done: written before the request is answered, read again by
/// the next process. Any number of processes may share it, one at a time.
///
/// Nothing is flushed to the disk. What is written belongs to the kernel and outlives the process, and
/// a simulated service need not outlive the machine.
#[derive(Debug)]
pub(super) struct AppendLog<L> {
    #[expect(clippy::disallowed_types, reason = "the other side of a simulated wire")]
    file: std::fs::File,
    /// The position up to which the file was read.
    read_to: u64,
    lines: PhantomData<fn() -> L>,
}

impl<L: Serialize + DeserializeOwned> AppendLog<L> {
    /// Opens or creates the file, readable by its owner only: it holds addresses.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self { file: options.open(path)?, read_to: 0, lines: PhantomData })
    }

    /// Waits until no other process holds the file. Blocks for as long as another one writes a line.
    pub(super) fn turn(&mut self) -> io::Result<LogGuard<'_, L>> {
        self.file.lock()?;
        Ok(LogGuard { book: self })
    }
}

/// The right to read and write, until it is dropped.
pub(super) struct LogGuard<'a, L> {
    book: &'a mut AppendLog<L>,
}

impl<L: Serialize + DeserializeOwned> LogGuard<'_, L> {
    /// Passes on every line that was written since the last call.
    pub(super) fn read(&mut self, mut line: impl FnMut(L)) -> io::Result<()> {
        let AppendLog { file, read_to, .. } = &mut *self.book;
        file.seek(SeekFrom::Start(*read_to))?;
        let mut new = Vec::new();
        file.read_to_end(&mut new)?;
        let mut rest = new.as_slice();
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let read = serde_json::from_slice(&rest[..end]).map_err(|why| {
                let why = format!("at byte {read_to}, something else stands there: {why}");
                io::Error::new(io::ErrorKind::InvalidData, why)
            });
            line(read?);
            rest = &rest[end + 1..];
            *read_to += end as u64 + 1;
        }
        if !rest.is_empty() {
            // The process that began this line died before it was complete, and so before it answered.
            file.set_len(*read_to)?;
        }
        Ok(())
    }

    /// Adds a line, after everything was read. The file has the whole line or nothing of it.
    pub(super) fn write(&mut self, line: &L) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let AppendLog { file, read_to, .. } = &mut *self.book;
        file.seek(SeekFrom::Start(*read_to))?;
        if let Err(error) = file.write_all(&text) {
            // If this fails too, the next turn removes the incomplete line.
            let _ = file.set_len(*read_to);
            return Err(error);
        }
        *read_to += text.len() as u64;
        Ok(())
    }
}

impl<L> Drop for LogGuard<'_, L> {
    fn drop(&mut self) {
        // A lock that cannot be released ends with the process.
        let _ = self.book.file.unlock();
    }
}

#[cfg(test)]
mod tests;
