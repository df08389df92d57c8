//! Where the reference of a level is: in the working tree, in a commit, or in a copy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::files::{self, FileError};
use super::git::{Git, GitError};
use super::level::Source;
use crate::catalog::{LEVELS, Level};

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
        /// The error of git.
        cause: GitError,
    },
    /// The recorded commit is not in this clone.
    #[error(
        "the reference of {level} is in commit {commit}, which this clone does not have; {}",
        if *.shallow {
            "it was made with --depth: `git fetch --unshallow` brings the rest of the history"
        } else {
            "a history that was squashed, or that began from a template, has lost it: fetch it from \
             the repository of the course (the one that yours was made from), `git remote add course \
             URL && git fetch course`, and try again"
        }
    )]
    CommitMissing {
        /// The level.
        level: String,
        /// The recorded commit.
        commit: String,
        /// Whether the clone has only the end of its history.
        shallow: bool,
    },
    /// There is no such level in the commit or the copy.
    #[error("{level} has no source file in {place}")]
    Empty {
        /// The level.
        level: String,
        /// The place that was searched.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The reference is in a git commit.
    Commit {
        /// The commit that was checked out.
        commit: String,
        /// What git calls the contents of the level's `src` in it. A history that was rewritten may
        /// have other commits with the same contents.
        tree: Option<String>,
    },
    /// Below `.course/reference/LEVEL`.
    Copy,
}

/// An [`Origin`] as the record has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Commit(String),
    Copy,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    schema: u32,
    #[serde(default)]
    levels: BTreeMap<String, Place>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    trees: BTreeMap<String, String>,
}

impl Record {
    /// A commit in which the course was complete, if one is recorded.
    fn commit(&self) -> Option<&str> {
        self.levels.values().find_map(|place| match place {
            Place::Commit(commit) => Some(commit.as_str()),
            Place::Copy => None,
        })
    }
}

const README: &str = "\
# What the course remembers

`cargo grade start` wrote this folder. Commit it together with your work.

- `starters.json` says in which commit the reference solution of each level that you started is. The
  reference is not lost when you blank a level: `cargo grade solution LEVEL` shows it from that commit.
- `reference/` is a copy of the reference. It is there if the workspace was in no git repository, or had no
  commit, when you started, and after `cargo grade update`.
- `update/` holds newer versions of files that you have changed: `cargo grade update` put them there, and it names
  them. `course.json` says which version of the course you have.
- `backup/LEVEL-1`, `-2` and so on hold your earlier work, copied there by
  `cargo grade start LEVEL --restart`. Delete them when you do not need them any more.

`cargo grade start LEVEL --restart` copies your edited files into `backup/` and blanks the level again. Files
that you added stay where they are.
";

/// The names of the levels that were started in the workspace at `root`.
///
/// # Errors
///
/// [`ReferenceError::File`] and [`ReferenceError::Record`].
pub fn started(root: &Path) -> Result<BTreeSet<String>, ReferenceError> {
    Ok(record(root)?.levels.into_keys().collect())
}

/// A commit in which the course was complete: the one that a level was started from. `None` where none is recorded.
///
/// # Errors
///
/// [`ReferenceError::File`] and [`ReferenceError::Record`].
pub fn commit_of_start(root: &Path) -> Result<Option<String>, ReferenceError> {
    Ok(record(root)?.commit().map(str::to_owned))
}

/// The levels that are still the course's: never started, and since another level was started no file of
/// theirs has changed. None where no level is started, or where git cannot say.
#[must_use]
pub fn untouched(root: &Path) -> BTreeSet<String> {
    let none = BTreeSet::new();
    let Ok(record) = record(root) else { return none };
    let (Some(commit), Ok(git)) = (record.commit(), Git::open(root)) else { return none };
    let unchanged = |level: &str| {
        let folder = format!("{level}/src");
        let then = git.tree(commit, &folder);
        then.is_some()
            && git.tree("HEAD", &folder) == then
            && git.uncommitted(&folder).is_ok_and(|changed| changed.is_empty())
    };
    let is_new = |name: &&str| !record.levels.contains_key(*name);
    let names = LEVELS.iter().map(|level| level.name).filter(is_new);
    names.filter(|name| unchanged(name)).map(str::to_owned).collect()
}

/// Where the reference of a level is kept, or `None` when the level was never started.
pub(super) fn recorded(root: &Path, level: &str) -> Result<Option<Origin>, ReferenceError> {
    let mut record = record(root)?;
    Ok(record.levels.remove(level).map(|place| match place {
        Place::Commit(commit) => Origin::Commit { commit, tree: record.trees.remove(level) },
        Place::Copy => Origin::Copy,
    }))
}

/// Remembers where the reference of a level is kept.
pub(super) fn remember(root: &Path, level: &str, origin: &Origin) -> Result<(), ReferenceError> {
    let mut record = record(root)?;
    let place = match origin {
        Origin::Copy => Place::Copy,
        Origin::Commit { commit, tree } => {
            if let Some(tree) = tree {
                record.trees.insert(level.to_owned(), tree.clone());
            }
            Place::Commit(commit.clone())
        }
    };
    record.levels.insert(level.to_owned(), place);
    let path = root.join(RECORD);
    let text = serde_json::to_string_pretty(&record).map_err(|cause| ReferenceError::Record {
        path: path.clone(),
        message: cause.to_string(),
    })?;
    Ok(files::write(&path, &(text + "\n"))?)
}

/// Writes down what the folder of the course is for, unless it says so already.
pub(super) fn explain(root: &Path) -> Result<(), FileError> {
    let path = root.join(FOLDER).join("README.md");
    match files::read(&path)? {
        Some(_) => Ok(()),
        None => files::write(&path, README),
    }
}

fn record(root: &Path) -> Result<Record, ReferenceError> {
    let path = root.join(RECORD);
    let Some(text) = files::read(&path)? else {
        return Ok(Record { schema: SCHEMA, levels: BTreeMap::new(), trees: BTreeMap::new() });
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
        Some(Origin::Commit { commit, tree }) => (
            from_commit(root, level.name, &folder, commit, tree.as_deref())?,
            format!("commit {commit}"),
        ),
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
    tree: Option<&str>,
) -> Result<Vec<(String, String)>, ReferenceError> {
    let failed =
        |cause| ReferenceError::Git { level: level.to_owned(), commit: commit.to_owned(), cause };
    let git = Git::open(root).map_err(failed)?;
    // The contents first: they are the same in a history that was rewritten.
    let tree = match tree.filter(|tree| git.has_tree(tree)) {
        Some(tree) => Some(tree.to_owned()),
        None if git.has_commit(commit) => git.tree(commit, folder),
        None => {
            return Err(ReferenceError::CommitMissing {
                level: level.to_owned(),
                commit: commit.to_owned(),
                shallow: git.is_shallow(),
            });
        }
    };
    let Some(tree) = tree else { return Ok(Vec::new()) };
    let mut texts = Vec::new();
    for path in git.files(&tree).map_err(failed)? {
        if files::is_source(&path) {
            let text = git.show(&tree, &path).map_err(failed)?;
            texts.push((format!("{folder}/{path}"), text));
        }
    }
    Ok(texts)
}
