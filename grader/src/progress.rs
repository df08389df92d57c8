//! What the grader remembers of a learner's way: `.course/progress.json`.
//!
//! For each criterion of a started level, when it first passed; and the criterion that was shown last, which
//! `show` and `hint` mean when no id is given. A file that cannot be read is reported, never replaced.
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::report::{Report, Status};
use crate::starter::started;

const FILE: &str = ".course/progress.json";
const SCHEMA: u32 = 1;

/// The record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    schema: u32,
    /// By the criterion's id: when it first passed, in seconds since 1970.
    pub passed: BTreeMap<String, u64>,
    /// The criterion that was shown last.
    pub last: Option<String>,
}

/// A record that cannot be read or written.
#[derive(Debug, Error)]
pub enum ProgressError {
    /// The system's answer.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Not a record, or one of a newer grader.
    #[error("{} cannot be read ({what}): move it away to begin a new record", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// Reads the record; an empty one where there is none.
///
/// # Errors
///
/// [`ProgressError`].
pub fn read(root: &Path) -> Result<Record, ProgressError> {
    let path = root.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Record { schema: SCHEMA, ..Record::default() });
        }
        Err(source) => return Err(ProgressError::Io { path, source }),
    };
    let record: Record = serde_json::from_str(&text)
        .map_err(|why| ProgressError::Format { path: path.clone(), what: why.to_string() })?;
    if record.schema > SCHEMA {
        let what = format!("a newer grader wrote it: its schema is {}", record.schema);
        return Err(ProgressError::Format { path, what });
    }
    Ok(record)
}

/// Adds the criteria of started levels that pass for the first time. Writes nothing where there are none.
///
/// # Errors
///
/// [`ProgressError`].
pub fn passed(root: &Path, report: &Report) -> Result<(), ProgressError> {
    let started = started(root).unwrap_or_default();
    let own = report.levels.iter().filter(|level| started.contains(level.name));
    let criteria = own.flat_map(|level| &level.exercises).flat_map(|exercise| &exercise.criteria);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut record = read(root)?;
    let before = record.clone();
    for criterion in criteria.filter(|criterion| criterion.status == Status::Passed) {
        record.passed.entry(criterion.id.to_owned()).or_insert(now);
    }
    if record == before { Ok(()) } else { write(root, &record) }
}

/// Remembers the criterion that was shown last, where a level is started.
///
/// # Errors
///
/// [`ProgressError`].
pub fn showing(root: &Path, id: &str) -> Result<(), ProgressError> {
    if started(root).unwrap_or_default().is_empty() {
        return Ok(());
    }
    let mut record = read(root)?;
    if record.last.as_deref() == Some(id) {
        return Ok(());
    }
    record.last = Some(id.to_owned());
    write(root, &record)
}

/// A new file takes the place of the old one in one step.
fn write(root: &Path, record: &Record) -> Result<(), ProgressError> {
    let path = root.join(FILE);
    let written = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(root);
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(serde_json::to_string_pretty(record)?.as_bytes())?;
        file.write_all(b"\n")?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    };
    written().map_err(|source| ProgressError::Io { path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_kept() {
        let root = tempfile::tempdir().expect("a folder");
        assert_eq!(read(root.path()).expect("none yet").last, None);
        let record = Record {
            schema: SCHEMA,
            passed: [("level1/a/b".to_owned(), 7)].into(),
            last: Some("level1/a/c".to_owned()),
        };
        write(root.path(), &record).expect("written");
        assert_eq!(read(root.path()).expect("read"), record);
    }

    #[test]
    fn what_is_no_record_is_reported_and_stays() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join(".course")).expect("a folder");
        for (text, says) in [("{", "EOF"), ("{\"schema\": 2, \"passed\": {}}", "newer grader")] {
            fs::write(root.path().join(FILE), text).expect("written");
            let why = read(root.path()).expect_err("no record").to_string();
            assert!(why.contains(says) && why.contains("move it away"), "{why}");
            assert_eq!(fs::read_to_string(root.path().join(FILE)).expect("read"), text);
        }
    }

    #[test]
    fn nothing_is_remembered_where_no_level_is_started() {
        let root = tempfile::tempdir().expect("a folder");
        showing(root.path(), "level1/a/b").expect("nothing to do");
        assert!(!root.path().join(FILE).exists());
    }
}
