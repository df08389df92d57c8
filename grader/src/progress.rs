//! What the grader remembers of a learner's way: `.course/progress.json`.
//!
//! For each criterion of a started level, when it first passed; and the criterion that was shown last, which
//! `show` and `hint` mean when no id is given. A file that cannot be read is reported, never replaced. A record of an
//! older course may have ids that have changed: they are read as the newer ones ([`catalog::current_id`]).
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::catalog;
use crate::report::after::After;
use crate::report::{Report, Status};
use crate::starter::files::{self, FileError};
use crate::starter::started;

const FILE: &str = ".course/progress.json";
const SCHEMA: u32 = 1;

/// The record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    schema: u32,
    /// By the criterion's id: when it first passed, in seconds since 1970.
    pub passed: BTreeMap<String, u64>,
    /// Those of them that failed when they were judged last.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    failing: BTreeSet<String>,
    /// The criterion that was shown last.
    pub last: Option<String>,
}

/// A record that cannot be read or written.
#[derive(Debug, Error)]
pub enum ProgressError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not a record, or one of a newer grader.
    #[error("{} cannot be read ({what}): move it away to begin a new record", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl Record {
    /// Whether a criterion passed when it was judged last, as far as is known.
    fn is_met(&self, id: &str) -> bool {
        self.passed.contains_key(id) && !self.failing.contains(id)
    }

    /// The record with the ids that its criteria have now. Of two entries for one criterion the earlier pass counts.
    fn with_current_ids(self, current: impl Fn(&str) -> String) -> Self {
        let mut passed = BTreeMap::new();
        for (id, at) in self.passed {
            let first = passed.entry(current(&id)).or_insert(at);
            *first = at.min(*first);
        }
        let failing = self.failing.iter().map(|id| current(id)).collect();
        Record { passed, failing, last: self.last.map(|id| current(&id)), ..self }
    }

    /// Adds the outcome of a judged criterion.
    fn judged(&mut self, id: &str, status: Status, now: u64) {
        match status {
            Status::Passed => {
                self.passed.entry(id.to_owned()).or_insert(now);
                self.failing.remove(id);
            }
            Status::Failed | Status::NotStarted if self.passed.contains_key(id) => {
                self.failing.insert(id.to_owned());
            }
            // Nothing is known that was not known before.
            _ => {}
        }
    }
}

/// Reads the record; an empty one where there is none.
///
/// # Errors
///
/// [`ProgressError`].
pub fn read(root: &Path) -> Result<Record, ProgressError> {
    let path = root.join(FILE);
    let Some(text) = files::read(&path)? else {
        return Ok(Record { schema: SCHEMA, ..Record::default() });
    };
    let record: Record = serde_json::from_str(&text)
        .map_err(|why| ProgressError::Format { path: path.clone(), what: why.to_string() })?;
    if record.schema > SCHEMA {
        let what = format!("a newer grader wrote it: its schema is {}", record.schema);
        return Err(ProgressError::Format { path, what });
    }
    Ok(record.with_current_ids(|id| catalog::current_id(id).to_owned()))
}

/// Adds which criteria of started levels pass and, if there is one, the criterion that is shown. Writes nothing where no level is started.
///
/// # Errors
///
/// [`ProgressError`].
pub fn graded(root: &Path, report: &Report, shown: Option<&str>) -> Result<(), ProgressError> {
    update(root, |record, started| {
        let own = report.levels.iter().filter(|level| started.contains(level.name));
        let criteria = own.flat_map(|level| &level.exercises).flat_map(|it| &it.criteria);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        for criterion in criteria {
            record.judged(criterion.id, criterion.status, now);
        }
        if let Some(id) = shown {
            record.last = Some(id.to_owned());
        }
    })
}

/// Names at each criterion of `report` that is not met the exercises of levels below that it is built on and that
/// are not finished. Of a level that is not in the report, and that the learner has started, the record decides. A
/// level that is not started holds the reference.
pub fn name_unfinished(root: &Path, report: &mut Report) {
    let started = started(root).unwrap_or_default();
    let record = read(root).unwrap_or_default();
    report.name_unfinished(|id| {
        let level = id.split('/').next().unwrap_or_default();
        started.contains(level) && !record.is_met(id)
    });
}

/// Says what comes next where every criterion of a started level that was graded is met. The record knows those that
/// were not graded now.
pub fn name_next(root: &Path, report: &mut Report) {
    let started = started(root).unwrap_or_default();
    let record = read(root).unwrap_or_default();
    for level in &mut report.levels {
        level.started = started.contains(level.name);
    }
    let own = || report.levels.iter().filter(|level| level.started);
    let criteria = || own().flat_map(|level| &level.exercises).flat_map(|it| &it.criteria);
    if criteria().any(|criterion| criterion.status != Status::Passed) {
        return;
    }
    let met: BTreeSet<&str> = criteria().map(|criterion| criterion.id).collect();
    let last = own().next_back();
    let graded = last.and_then(|level| level.exercises.last()).map_or("", |exercise| exercise.name);
    let level = last.and_then(|level| catalog::level(level.name));
    let after =
        level.map(|level| After::of(level, graded, |id| met.contains(id) || record.is_met(id)));
    report.after = after;
}

/// Remembers the criterion that was shown last, where a level is started.
///
/// # Errors
///
/// [`ProgressError`].
pub fn showing(root: &Path, id: &str) -> Result<(), ProgressError> {
    update(root, |record, _| record.last = Some(id.to_owned()))
}

/// Changes the record of a workspace in which a level is started, in one step. Two updates at the same time
/// may lose one of them, so a program makes its updates on one thread.
fn update(
    root: &Path,
    change: impl FnOnce(&mut Record, &BTreeSet<String>),
) -> Result<(), ProgressError> {
    let started = started(root).unwrap_or_default();
    if started.is_empty() {
        return Ok(());
    }
    let before = read(root)?;
    let mut record = before.clone();
    change(&mut record, &started);
    if record == before { Ok(()) } else { write(root, &record) }
}

fn write(root: &Path, record: &Record) -> Result<(), ProgressError> {
    let path = root.join(FILE);
    let text = serde_json::to_string_pretty(record)
        .map_err(|why| ProgressError::Format { path: path.clone(), what: why.to_string() })?;
    Ok(files::write(&path, &(text + "\n"))?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_record_is_kept() {
        let root = tempfile::tempdir().expect("a folder");
        assert_eq!(read(root.path()).expect("none yet").last, None);
        let record = Record {
            schema: SCHEMA,
            passed: [("level1/a/b".to_owned(), 7)].into(),
            failing: BTreeSet::new(),
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
    fn what_passed_once_and_fails_now_is_open() {
        let (mut record, id) = (Record::default(), "level3/retry/a");
        record.judged(id, Status::Failed, 1);
        assert!(!record.is_met(id) && record == Record::default());
        record.judged(id, Status::Passed, 2);
        assert!(record.is_met(id));
        record.judged(id, Status::Failed, 3);
        assert!(!record.is_met(id) && record.passed[id] == 2, "what was won stays won");
        record.judged(id, Status::DoesNotCompile, 4);
        assert!(!record.is_met(id), "it was not judged");
        record.judged(id, Status::Passed, 5);
        assert!(record.is_met(id) && record.passed[id] == 2);
    }

    #[test]
    fn a_criterion_that_was_renamed_keeps_its_progress() {
        let (from, to) = catalog::RENAMED[0];
        let root = tempfile::tempdir().expect("a folder");
        let record = Record {
            schema: SCHEMA,
            passed: [(from.to_owned(), 7), ("level1/a/b".to_owned(), 8)].into(),
            failing: [from.to_owned()].into(),
            last: Some(from.to_owned()),
        };
        write(root.path(), &record).expect("written");
        let read = read(root.path()).expect("read");
        assert_eq!(read.passed, [(to.to_owned(), 7), ("level1/a/b".to_owned(), 8)].into());
        assert_eq!((read.failing, read.last.as_deref()), ([to.to_owned()].into(), Some(to)));
        // Judged under both ids: the first pass counts.
        let both = Record {
            passed: [("new".to_owned(), 9), ("old".to_owned(), 5)].into(),
            ..Record::default()
        };
        let current = |id: &str| if id == "old" { "new" } else { id }.to_owned();
        assert_eq!(both.with_current_ids(current).passed, [("new".to_owned(), 5)].into());
    }

    #[test]
    fn nothing_is_remembered_where_no_level_is_started() {
        let root = tempfile::tempdir().expect("a folder");
        showing(root.path(), "level1/a/b").expect("nothing to do");
        assert!(!root.path().join(FILE).exists());
    }
}
