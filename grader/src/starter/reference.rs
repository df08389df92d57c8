//! Where the reference of a level is: in the working tree, in a commit, or in a copy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::files::{self, FileError};
use super::git::{Git, GitError};
use super::level::Source;
use crate::catalog::Level;

/// The folder of what the course remembers about a learner's workspace.
pub(super) const FOLDER: &str = ".course";

const RECORD: &str = ".course/starters.json";
const SCHEMA: u32 = 1;

/// Why the reference of a level cannot be read.
#[derive(Debug, Error)]
pub enum ReferenceError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Git did not answer.
    #[error("{level} was started from commit {commit}, which only git can show: {cause}")]
    Git {
        /// The level.
        level: String,
        /// The recorded commit.
        commit: String,
        /// What git said.
        cause: GitError,
    },
    /// The recorded commit is not in this clone.
    #[error(
        "the reference of {level} is in commit {commit}, which this clone does not have: a clone made \
         with --depth gets it by `git fetch --unshallow`, any other by `git fetch origin {commit}`"
    )]
    CommitMissing {
        /// The level.
        level: String,
        /// The recorded commit.
        commit: String,
    },
    /// There is no such level in the commit or the copy.
    #[error("{level} has no source file in {place}")]
    Empty {
        /// The level.
        level: String,
        /// Where was looked.
        place: String,
    },
    /// The record of the started levels is not one.
    #[error(
        "{} is damaged: {message}; take it back from git (`git checkout -- {RECORD}`)", .path.display()
    )]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

/// Where the reference of a started level is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Origin {
    /// In this commit.
    Commit(String),
    /// Below `.course/reference/LEVEL`.
    Copy,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    schema: u32,
    #[serde(default)]
    levels: BTreeMap<String, Origin>,
}

/// The names of the levels that were started in the workspace at `root`.
///
/// # Errors
///
/// [`ReferenceError::File`] and [`ReferenceError::Record`].
pub fn started(root: &Path) -> Result<BTreeSet<String>, ReferenceError> {
    Ok(record(root)?.levels.into_keys().collect())
}

/// Where the reference of a level is kept, or `None` when the level was never started.
pub(super) fn recorded(root: &Path, level: &str) -> Result<Option<Origin>, ReferenceError> {
    Ok(record(root)?.levels.remove(level))
}

/// Remembers where the reference of a level is kept.
pub(super) fn remember(root: &Path, level: &str, origin: &Origin) -> Result<(), ReferenceError> {
    let mut record = record(root)?;
    record.levels.insert(level.to_owned(), origin.clone());
    let path = root.join(RECORD);
    let text = serde_json::to_string_pretty(&record).map_err(|cause| ReferenceError::Record {
        path: path.clone(),
        message: cause.to_string(),
    })?;
    Ok(files::write(&path, &(text + "\n"))?)
}

fn record(root: &Path) -> Result<Record, ReferenceError> {
    let path = root.join(RECORD);
    let Some(text) = files::read(&path)? else {
        return Ok(Record { schema: SCHEMA, levels: BTreeMap::new() });
    };
    let damaged = |message| ReferenceError::Record { path: path.clone(), message };
    let record: Record = serde_json::from_str(&text).map_err(|cause| damaged(cause.to_string()))?;
    if record.schema == SCHEMA {
        Ok(record)
    } else {
        Err(damaged(format!("schema {} instead of {SCHEMA}", record.schema)))
    }
}

/// The modules of a level's reference, given ones too, sorted by path.
pub(super) fn read(
    root: &Path,
    level: &Level,
    origin: Option<&Origin>,
) -> Result<Vec<Source>, ReferenceError> {
    let folder = format!("{}/src", level.name);
    let (texts, place) = match origin {
        None => (from_folder(root, &folder)?, folder),
        Some(Origin::Copy) => {
            let copy = copy(root);
            (from_folder(&copy, &folder)?, format!("{FOLDER}/reference/{folder}"))
        }
        Some(Origin::Commit(commit)) => {
            (from_commit(root, level.name, &folder, commit)?, format!("commit {commit}"))
        }
    };
    if texts.is_empty() {
        return Err(ReferenceError::Empty { level: level.name.to_owned(), place });
    }
    let source = |(path, text): (String, String)| {
        let path = path[level.name.len() + 1..].to_owned();
        Source { given: level.provides(&path), path, text }
    };
    Ok(texts.into_iter().map(source).collect())
}

/// The root of the copied references.
fn copy(root: &Path) -> PathBuf {
    root.join(FOLDER).join("reference")
}

/// Copies the reference of a level.
pub(super) fn save(root: &Path, level: &str, sources: &[Source]) -> Result<(), FileError> {
    let folder = copy(root).join(level);
    sources.iter().try_for_each(|source| files::write(&folder.join(&source.path), &source.text))
}

fn from_folder(root: &Path, folder: &str) -> Result<Vec<(String, String)>, FileError> {
    let mut texts = Vec::new();
    for path in files::rust_files(root, folder)? {
        if let Some(text) = files::read(&root.join(&path))? {
            texts.push((path, text));
        }
    }
    Ok(texts)
}

fn from_commit(
    root: &Path,
    level: &str,
    folder: &str,
    commit: &str,
) -> Result<Vec<(String, String)>, ReferenceError> {
    let failed =
        |cause| ReferenceError::Git { level: level.to_owned(), commit: commit.to_owned(), cause };
    let git = Git::open(root).map_err(failed)?;
    if !git.has(commit) {
        return Err(ReferenceError::CommitMissing {
            level: level.to_owned(),
            commit: commit.to_owned(),
        });
    }
    let mut texts = Vec::new();
    for path in git.files(commit, folder).map_err(failed)? {
        if path.ends_with(".rs") {
            let text = git.show(commit, &path).map_err(failed)?;
            texts.push((path, text));
        }
    }
    Ok(texts)
}
