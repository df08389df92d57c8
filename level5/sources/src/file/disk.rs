//! A look at the file, without waiting for another state of it.

use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;
use std::{fs, io};

use jiff::{SignedDuration, Timestamp};

/// Longer than a tick of any disk's clock that is in use: FAT counts in steps of 2 s.
const TICK: SignedDuration = SignedDuration::from_secs(2);

/// How a state of the file is recognised. Two looks with equal prints have seen the same content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Print {
    /// How many notices of the system there were. It tells changes apart that the clock of the disk is too coarse for.
    notices: u64,
    file: Option<Stat>,
    folder: Timestamp,
    /// Whether the file was written so shortly before that a second write may have the same time.
    is_young: bool,
}

/// What the system says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stat {
    modified: Timestamp,
    len: u64,
    /// Another file of the same time and length that was renamed has another number.
    number: u64,
}

impl Print {
    /// When the content was written: the time of the file, and without one that of the last change of its folder.
    pub(super) fn written(&self) -> Timestamp {
        self.file.as_ref().map_or(self.folder, |file| file.modified)
    }
}

/// What was seen.
#[derive(Debug)]
pub(super) enum Look {
    /// The same as before.
    Same,
    /// A content.
    File(Print, Vec<u8>),
    /// No file.
    Missing(Print),
    /// A file that has changed while it was read.
    Changing(Print),
    /// A file that cannot be read, and why.
    Failed(Print, String),
}

pub(super) fn look(
    path: &Path,
    folder: &Path,
    most: u64,
    notices: u64,
    before: Option<&Print>,
) -> Look {
    let folder_changed = fs::metadata(folder).and_then(|folder| modified(&folder));
    let folder = folder_changed.unwrap_or(Timestamp::UNIX_EPOCH);
    let print = |file: Option<Stat>| {
        let is_young = file.as_ref().is_some_and(|file| is_young(file.modified));
        Print { notices, file, folder, is_young }
    };
    let stat = match stat(path) {
        Ok(stat) => stat,
        Err(error) => {
            let print = print(None);
            if before == Some(&print) {
                return Look::Same;
            }
            return match error.kind() {
                ErrorKind::NotFound => Look::Missing(print),
                _ => Look::Failed(print, error.to_string()),
            };
        }
    };
    // Of a file that is there the folder says nothing: other files come and go.
    let is_same = before
        .is_some_and(|before| before.notices == notices && before.file.as_ref() == Some(&stat));
    if is_same {
        return Look::Same;
    }
    let len = stat.len;
    let seen = print(Some(stat));
    if len > most {
        return Look::Failed(seen, format!("it has {len} bytes; {most} are accepted"));
    }
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Look::Missing(print(None)),
        Err(error) => Look::Failed(seen, error.to_string()),
        // A writer was between the two: the content may be of neither.
        Ok(_) if self::stat(path).ok() != seen.file => Look::Changing(seen),
        Ok(text) => Look::File(seen, text),
    }
}

/// A time of the future counts as young: it is that of another machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "compared with the time that the system gave the file"
)]
fn is_young(modified: Timestamp) -> bool {
    let now = Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH);
    now.duration_since(modified) < TICK
}

fn stat(path: &Path) -> io::Result<Stat> {
    let file = fs::metadata(path)?;
    if file.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    Ok(Stat { modified: modified(&file)?, len: file.len(), number: number(&file) })
}

fn modified(file: &fs::Metadata) -> io::Result<Timestamp> {
    // A time beyond the calendar of jiff counts as its begin: no content is newer for it.
    Ok(Timestamp::try_from(file.modified()?).unwrap_or(Timestamp::UNIX_EPOCH))
}

#[cfg(unix)]
fn number(file: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(file)
}

#[cfg(not(unix))]
const fn number(_: &fs::Metadata) -> u64 {
    0
}
