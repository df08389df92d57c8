//! What starting a level would do, before anything is done.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::blank::BlankError;
use super::files::{self, FileError};
use super::git::GitError;
use super::level::{self, Source};
use super::reference::{self, Origin, ReferenceError};
use crate::catalog::Level;

/// Why a level cannot be started.
#[derive(Debug, Error)]
pub enum StarterError {
    /// The reference cannot be read, or where it is cannot be remembered.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The reference cannot be blanked.
    #[error("cannot make a blank of {}: {cause}", .path.display())]
    Blank {
        /// The file, relative to the workspace.
        path: PathBuf,
        /// Why it cannot become a blank.
        cause: BlankError,
    },
    /// Git did not say what is committed.
    #[error("cannot tell whether {level} has uncommitted work: {cause}")]
    Git {
        /// The level.
        level: String,
        /// The error of git.
        cause: GitError,
    },
    /// The level has work in it that no commit has.
    #[error(
        "{level} has changes that are not committed:\n{}commit them and start again: \
         `git add {level} && git commit -m \"{level} as it was\"`",
        list(.files)
    )]
    Uncommitted {
        /// The level.
        level: String,
        /// The files, relative to the workspace.
        files: Vec<PathBuf>,
    },
    /// The level was started before, and there is work in it.
    #[error(
        "{level} was started before and these files are yours now:\n{}to put them aside in .course/backup \
         and begin again: `cargo grade start {level} --restart`",
        list(.files)
    )]
    Edited {
        /// The level.
        level: String,
        /// The files, relative to the workspace.
        files: Vec<PathBuf>,
    },
    /// The level is blank, and there is no record of a reference.
    #[error(
        "{level} is blank already, and .course/starters.json does not say where its reference is; \
         if you removed that file, take it back: `git checkout HEAD -- .course`"
    )]
    NothingToBlank {
        /// The level.
        level: String,
    },
    /// Another process wrote to a file between the plan and its execution.
    #[error("{} has just been changed by something else; nothing was done: start again", .path.display())]
    Changed {
        /// The file, relative to the workspace.
        path: PathBuf,
    },
    /// A file could not be read or written. No file of the level was changed.
    #[error("{0}; no file of the level was changed")]
    File(#[from] FileError),
    /// A file could not be written, and those written before it could not all be put back.
    #[error("{cause}; and these could not be put back as they were ({back}):\n{}", list(.files))]
    HalfDone {
        /// The first error.
        cause: FileError,
        /// What failed when putting back.
        back: FileError,
        /// The files, relative to the workspace. Their old text is in the reference.
        files: Vec<PathBuf>,
    },
}

/// A line for each path, as an error lists them.
pub(crate) fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("  {}\n", path.display())).collect()
}

/// What stands in the working tree where a blank belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// The reference: it can be blanked.
    Reference,
    /// The blank, already.
    Blank,
    /// Something else: the learner's work.
    Edited,
    /// Nothing.
    Missing,
}

/// One file of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Relative to the workspace: `level2/src/race.rs`.
    pub path: PathBuf,
    /// What it is to be; `None` for a private module of the reference of which nothing is left, which
    /// is to go.
    pub blank: Option<String>,
    /// The state of the file now.
    pub state: FileState,
    /// The text of the file now.
    pub(super) now: Option<String>,
}

/// What starting a level would do. Nothing has been done yet.
#[derive(Debug)]
pub struct Plan {
    pub(super) root: PathBuf,
    pub(super) level: String,
    pub(super) files: Vec<PlannedFile>,
    /// Where the reference is recorded to be; `None` before the first start.
    pub(super) origin: Option<Origin>,
    pub(super) reference: Vec<Source>,
}

impl Plan {
    /// The level.
    #[must_use]
    pub fn level(&self) -> &str {
        &self.level
    }

    /// The learner's files, sorted by path.
    #[must_use]
    pub fn files(&self) -> &[PlannedFile] {
        &self.files
    }

    /// Whether the level was started before.
    #[must_use]
    pub const fn started(&self) -> bool {
        self.origin.is_some()
    }

    /// Writes the blanks into another copy of the workspace, over whatever is there.
    ///
    /// For scratch copies: it asks nothing, records nothing and keeps nothing.
    ///
    /// # Errors
    ///
    /// [`FileError`] at the first file that cannot be written or removed.
    pub fn write_onto(&self, root: &Path) -> Result<(), FileError> {
        self.files.iter().try_for_each(|file| match &file.blank {
            Some(text) => files::write(&root.join(&file.path), text),
            None => files::remove(&root.join(&file.path)),
        })?;
        self.remove_empty_folders(root)
    }

    /// Removes the folders of which nothing is left.
    pub(super) fn remove_empty_folders(&self, root: &Path) -> Result<(), FileError> {
        let top = root.join(&self.level).join("src");
        let gone = self.files.iter().filter(|file| file.blank.is_none());
        gone.map(|file| root.join(&file.path))
            .try_for_each(|path| files::remove_empty_folders(&path, &top))
    }

    pub(super) fn in_state(&self, state: FileState) -> Vec<PathBuf> {
        let files = self.files.iter().filter(|file| file.state == state);
        files.map(|file| file.path.clone()).collect()
    }
}

/// What starting `level` in the workspace at `root` would do. Reads files and, once the level was
/// started, asks git; changes nothing.
///
/// # Errors
///
/// [`StarterError::Reference`] when the reference is not where the record says, or cannot be read;
/// [`StarterError::Blank`] when it cannot be blanked.
pub fn plan(root: &Path, level: &Level) -> Result<Plan, StarterError> {
    let origin = reference::recorded(root, level.name)?;
    let reference = reference::read(root, level, origin.as_ref())?;
    let inside = |path: &str| Path::new(level.name).join(path);
    let blanks = level::blank(&reference)
        .map_err(|it| StarterError::Blank { path: inside(&it.path), cause: it.cause })?;
    let mut files = Vec::new();
    for (path, blank) in blanks {
        let now = files::read(&root.join(inside(path)))?;
        let source = reference.iter().find(|source| source.path == path);
        let is = |text: Option<&str>| match (now.as_deref(), text) {
            (Some(now), Some(text)) => files::same_text(now, text),
            (now, text) => now.is_none() && text.is_none(),
        };
        let state = if is(blank.as_deref()) {
            FileState::Blank
        } else if is(source.map(|source| source.text.as_str())) {
            FileState::Reference
        } else if now.is_none() {
            FileState::Missing
        } else {
            FileState::Edited
        };
        files.push(PlannedFile { path: inside(path), blank, state, now });
    }
    Ok(Plan { root: root.to_path_buf(), level: level.name.to_owned(), files, origin, reference })
}
