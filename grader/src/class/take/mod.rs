//! Takes the learner's own files from a fork, and nothing else.
//!
//! Three kinds of source are read in the same way: a folder, a commit of a git repository, a zip file.
//! What counts is decided here, once: the `.rs` files below `levelN/src`. A
//! link, a device, a manifest, a build script or a configuration never comes along; [`Changes`] names
//! what of it differs from the course.

mod changes;
mod folder;
mod git;
#[cfg(test)]
mod tests;
mod zip;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::moment::Moment;
use crate::catalog::{LEVELS, Level};
use crate::submission::Files;
use crate::submission::files::{MOST_BYTES, MOST_FILES};

pub use changes::{Changes, Names, Pristine};

/// More files than any fork has. A listing ends here, however many there are.
const MOST_LISTED: usize = 200_000;

/// Folders in folders: deeper ones are not looked at.
const DEEPEST: usize = 40;

/// What a tree has at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A plain file of so many bytes.
    File(u64),
    /// A link, a device, a pipe, a submodule, a name that is not UTF-8.
    Other,
}

/// A source of files. Paths have `/` between their parts.
trait Tree {
    /// Names every file. `each` returns whether it wants more.
    fn list(&mut self, each: &mut dyn FnMut(String, Kind) -> bool) -> Result<(), TakeError>;

    /// The bytes of a file that was listed.
    fn read(&mut self, path: &str) -> Result<Vec<u8>, TakeError>;
}

/// What was taken from a fork.
#[derive(Debug, Default)]
pub struct Taken {
    /// The files of each level that the fork has, or why they cannot be graded.
    pub levels: BTreeMap<&'static str, Result<Files, String>>,
    /// What differs from the course beside the learner's own files.
    pub changes: Changes,
    /// The commit that was read, if it was one.
    pub commit: Option<Commit>,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Commit {
    /// Its full id.
    pub id: String,
    /// The time that the committer's machine gave it.
    pub time: Moment,
}

/// Which state of a git repository is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The files of the work tree; the newest commit where there is no work tree.
    Files,
    /// The newest commit that is not after this point in time, if there is one.
    Committed(Option<Moment>),
    /// This commit.
    Exactly(String),
}

/// Nothing can be taken from a fork. The text ends with what to do.
#[derive(Debug, Error)]
pub enum TakeError {
    /// It is not there.
    #[error("{} is not there", .0.display())]
    Missing(PathBuf),
    /// It is a URL.
    #[error("{} is an address: clone it first, and name the clone", .0.display())]
    Address(PathBuf),
    /// It is a link.
    #[error("{} is a link: name the folder that it leads to in a CSV list", .0.display())]
    Link(PathBuf),
    /// It is something else.
    #[error("{} is not a folder, a git repository or a zip file", .0.display())]
    Unknown(PathBuf),
    /// The system said no.
    #[error("cannot read {}: {source}", .path.display())]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// There is nothing of the course in it.
    #[error("it has no levelN/src: is it a fork of the course?")]
    NoLevel,
    /// Too many files.
    #[error("it has more than {MOST_LISTED} files: is a build folder in it?")]
    TooMany,
    /// The repository cannot be read.
    #[error("git cannot read it: {0}")]
    Git(String),
    /// There is no commit to take.
    #[error("it has no commit{}", .0.map(|moment| format!(" before {moment}")).unwrap_or_default())]
    NoCommit(Option<Moment>),
    /// The archive cannot be read.
    #[error("it is not a readable zip file: {0}")]
    Zip(String),
}

/// Takes the learner's files from the fork at `path`.
///
/// # Errors
///
/// [`TakeError`], which is the fork's result. A level that cannot be read costs only itself.
pub fn take(path: &Path, state: &State, pristine: &Pristine) -> Result<Taken, TakeError> {
    if path.to_string_lossy().contains("://") {
        return Err(TakeError::Address(path.to_path_buf()));
    }
    let kind = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(TakeError::Missing(path.to_path_buf()));
        }
        Err(source) => return Err(TakeError::Io { path: path.to_path_buf(), source }),
    };
    if kind.is_symlink() {
        Err(TakeError::Link(path.to_path_buf()))
    } else if kind.is_file() {
        from_tree(&mut zip::Zip::open(path)?, pristine)
    } else if !kind.is_dir() {
        Err(TakeError::Unknown(path.to_path_buf()))
    } else {
        let repository = git::find(path)?;
        match repository {
            Some(found) if found.is_bare || *state != State::Files => {
                let mut git = git::Git::open(&found, state)?;
                let mut taken = from_tree(&mut git, pristine)?;
                taken.commit = Some(git.commit().clone());
                Ok(taken)
            }
            _ => from_tree(&mut folder::Folder::new(path), pristine),
        }
    }
}

/// The same for every kind of source.
fn from_tree(tree: &mut dyn Tree, pristine: &Pristine) -> Result<Taken, TakeError> {
    let mut listed: BTreeMap<String, Kind> = BTreeMap::new();
    let mut complete = true;
    tree.list(&mut |path, kind| {
        complete = listed.len() < MOST_LISTED;
        if complete && !is_passed_over(&path) {
            listed.insert(path, kind);
        }
        complete
    })?;
    if !complete {
        return Err(TakeError::TooMany);
    }
    let top = top_of(&listed).ok_or(TakeError::NoLevel)?;
    let listed: BTreeMap<&str, Kind> =
        listed.iter().filter_map(|(path, kind)| Some((path.strip_prefix(&top)?, *kind))).collect();
    let mut taken = Taken::default();
    for level in LEVELS {
        if let Some(files) = take_level(tree, &top, &listed, level)? {
            taken.levels.insert(level.name, files);
        }
    }
    taken.changes = changes::find(tree, &top, &listed, pristine)?;
    Ok(taken)
}

/// What builds, git and the grader write, and hidden files of editors.
fn is_passed_over(path: &str) -> bool {
    let mut folders = path.split('/').rev().skip(1);
    let in_sources = path.split('/').any(|part| part == "src");
    path == ".git"
        || folders
            .any(|part| matches!(part, ".git" | ".course") || (part == "target" && !in_sources))
}

/// The folder in which the levels lie, with a slash at its end: none, or the only one at the top, as an
/// archive often has it.
fn top_of(listed: &BTreeMap<String, Kind>) -> Option<String> {
    let holds = |top: &str| {
        LEVELS.iter().any(|level| {
            let sources = format!("{top}{}/src/", level.name);
            let next = listed.range(sources.clone()..).next();
            next.is_some_and(|(path, _)| path.starts_with(&sources))
        })
    };
    if holds("") {
        return Some(String::new());
    }
    let mut tops: Vec<&str> =
        listed.keys().filter_map(|path| path.split_once('/')).map(|(top, _)| top).collect();
    tops.dedup();
    let mut holding = tops.iter().map(|top| format!("{top}/")).filter(|top| holds(top));
    // Of two copies of the course none is the one that is meant.
    holding.next().filter(|_| holding.next().is_none())
}

/// The source files of a level; `None` where the fork has none of it.
fn take_level(
    tree: &mut dyn Tree,
    top: &str,
    listed: &BTreeMap<&str, Kind>,
    level: &Level,
) -> Result<Option<Result<Files, String>>, TakeError> {
    let folder = format!("{}/", level.name);
    let sources = format!("{folder}src/");
    let found = listed.range(sources.as_str()..).take_while(|(path, _)| path.starts_with(&sources));
    let found: Vec<(&str, u64)> = found
        .filter_map(|(path, kind)| match kind {
            Kind::File(size) if is_source(path) => Some((*path, *size)),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Ok(None);
    }
    if found.len() > MOST_FILES {
        let why = format!(
            "{sources} has {} source files; more than {MOST_FILES} are not graded",
            found.len()
        );
        return Ok(Some(Err(why)));
    }
    if let Some((path, _)) = found.iter().find(|(_, size)| *size > MOST_BYTES) {
        return Ok(Some(Err(format!(
            "{path} is larger than 1 MiB, which is too much for source code"
        ))));
    }
    let mut files = Files::default();
    for (path, _) in found {
        let bytes = tree.read(&format!("{top}{path}"))?;
        files.insert(path.strip_prefix(&folder).unwrap_or(path), bytes);
    }
    Ok(Some(Ok(files)))
}

/// Whether a path names a source file: what editors leave beside one does not count.
fn is_source(path: &str) -> bool {
    path.ends_with(".rs") && !path.split('/').any(|name| name.starts_with('.') || name.is_empty())
}
