//! The files of one level.
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::catalog::Level;

/// A source file larger than this, or a level with more files than [`MOST_FILES`], is refused.
pub(crate) const MOST_BYTES: u64 = 1 << 20;
pub(crate) const MOST_FILES: usize = 300;

/// The `.rs` files of a level, by their path relative to the level's folder: `src/race.rs`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<String, Vec<u8>>);

/// Something about a submission that its grade does not show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// A file of the course was changed; the original was used.
    GivenChanged(String),
    /// A file of the course is missing; the original was used.
    GivenMissing(String),
    /// A file of an exercise is missing, since the learner's course is older; the blank was used.
    NewerMissing(String),
    /// Not a plain file (a link, a device): left out.
    NotAFile(String),
}

/// A level's files could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The system said no.
    #[error("cannot read {}: {source}", .path.display())]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// There is no such level here.
    #[error("{} has no {level}/src: is it a fork of the course?", .folder.display())]
    NoLevel {
        /// The folder that should hold it.
        folder: PathBuf,
        /// The level.
        level: String,
    },
    /// More than any solution needs.
    #[error("{} is too much for source code: more than {MOST_FILES} files, or a file over 1 MiB", .path.display())]
    TooMuch {
        /// Where it became too much.
        path: PathBuf,
    },
}

impl Files {
    /// All files of a level in the workspace at `root`.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn read(root: &Path, level: &Level) -> Result<(Files, Vec<Finding>), ReadError> {
        let folder = root.join(level.name);
        if !folder.join("src").is_dir() {
            let (folder, level) = (root.to_path_buf(), level.name.to_owned());
            return Err(ReadError::NoLevel { folder, level });
        }
        let (mut files, mut findings) = (Files::default(), Vec::new());
        walk(&folder.join("src"), "src", &mut files, &mut findings)?;
        Ok((files, findings))
    }

    /// The learner's files of `self` with the course's own files of `pristine`.
    #[must_use]
    pub fn over(mut self, pristine: &Files, level: &Level) -> (Files, Vec<Finding>) {
        let mut findings = Vec::new();
        for (path, original) in &pristine.0 {
            if !level.provides(path) {
                continue;
            }
            match self.0.insert(path.clone(), original.clone()) {
                Some(found) if same_text(&found, original) => {}
                Some(_) => findings.push(Finding::GivenChanged(path.clone())),
                None => findings.push(Finding::GivenMissing(path.clone())),
            }
        }
        (self, findings)
    }

    /// The learner's files of `self` with the files of `blanks` that an older course did not have. A module that the
    /// learner has in its other place, `src/race/mod.rs` for `src/race.rs`, is there.
    #[must_use]
    pub fn with_newer(mut self, blanks: &Files) -> (Files, Vec<Finding>) {
        let mut findings = Vec::new();
        for (path, blank) in &blanks.0 {
            let other_place = match path.strip_suffix("/mod.rs") {
                Some(module) => format!("{module}.rs"),
                None => format!("{}/mod.rs", path.strip_suffix(".rs").unwrap_or(path)),
            };
            if !self.0.contains_key(path) && !self.0.contains_key(&other_place) {
                self.0.insert(path.clone(), blank.clone());
                findings.push(Finding::NewerMissing(path.clone()));
            }
        }
        (self, findings)
    }

    /// Whether both have the same files, apart from how their lines end.
    #[must_use]
    pub fn same_text(&self, other: &Files) -> bool {
        let pairs = || self.0.iter().zip(&other.0);
        self.0.len() == other.0.len()
            && pairs().all(|((path, one), (of, two))| path == of && same_text(one, two))
    }

    /// Replaces a file, or adds it.
    pub fn insert(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), bytes.into());
    }

    /// Removes a file.
    pub fn remove(&mut self, path: &str) {
        self.0.remove(path);
    }

    /// A file's bytes.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }

    /// All files, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }
}

/// Whether two files are the same apart from how their lines end: git may check out `\r\n` for what was
/// committed with `\n`.
pub(crate) fn same_text(one: &[u8], other: &[u8]) -> bool {
    let without =
        |bytes: &[u8]| bytes.iter().copied().filter(|byte| *byte != b'\r').collect::<Vec<_>>();
    one == other || without(one) == without(other)
}

fn walk(
    folder: &Path,
    name: &str,
    files: &mut Files,
    findings: &mut Vec<Finding>,
) -> Result<(), ReadError> {
    let io = |source| ReadError::Io { path: folder.to_path_buf(), source };
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let kind = entry.file_type().map_err(io)?;
        let path = format!("{name}/{}", entry.file_name().to_string_lossy());
        if kind.is_dir() {
            walk(&entry.path(), &path, files, findings)?;
        } else if !path.ends_with(".rs") {
            // no source: nothing that a level is built from
        } else if !kind.is_file() {
            findings.push(Finding::NotAFile(path));
        } else {
            if entry.metadata().map_err(io)?.len() > MOST_BYTES || files.0.len() >= MOST_FILES {
                return Err(ReadError::TooMuch { path: entry.path() });
            }
            let bytes = fs::read(entry.path())
                .map_err(|source| ReadError::Io { path: entry.path(), source })?;
            files.0.insert(path, bytes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_fork_gets_the_blanks_that_it_lacks() {
        let of = |paths: &[&str], text: &str| {
            let mut files = Files::default();
            paths.iter().for_each(|path| files.insert(*path, text));
            files
        };
        let blanks = of(&["src/any.rs", "src/queue.rs", "src/race/mod.rs"], "blank");
        let (files, findings) = of(&["src/any/mod.rs", "src/race.rs"], "own").with_newer(&blanks);
        assert_eq!(findings, [Finding::NewerMissing("src/queue.rs".to_owned())]);
        assert_eq!(files.get("src/queue.rs"), Some(b"blank".as_slice()));
        assert_eq!(files.iter().count(), 3);
    }
}
