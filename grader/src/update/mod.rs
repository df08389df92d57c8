//! A newer course under a learner's work: `cargo grade update`.
//!
//! The learner's history and the course's may have no commit in common: a fork of a template, a history that was
//! squashed. So nothing is merged by git. Each file has three versions: the *base*, as the course was taken last,
//! the one in the workspace, and the newer course's. The function `decide` says what follows from them.
//!
//! # Whose file it is
//!
//! | file | both have changed it |
//! |---|---|
//! | below `src` of a started level, and not provided by the course | the learner's; only a file that is still the blank becomes the newer blank ([`crate::starter::renewal`]) |
//! | elsewhere in a started level: README, tests, manifest | the learner's version stays, the course's goes to `.course/update` |
//! | all others | the course's takes its place, since the workspace has to build |
//!
//! A file that the newer course does not have any more is removed in the grader and in levels that are not started.
//! Elsewhere it may be the learner's own.
//!
//! # What is never lost
//!
//! An update needs a git repository without uncommitted changes. So every version that it replaces is in the last
//! commit, the whole update is one change that `git diff` shows, and `git checkout . && git clean -d` takes it back.
//!
//! # The base
//!
//! The first update compares with the commit that a level was started from. An update writes
//! `.course/course.json`, and the learner commits it with the update: the last commit that changed that file is
//! the base of the next update.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use crate::catalog::{LEVELS, Level};
use crate::starter::files::{self, FileError};
use crate::starter::git::{Git, GitError};
use crate::starter::plan::list;
use crate::starter::{
    ReferenceError, Renewal, RenewedFile, StarterError, beside, commit_of_start, renewal, started,
};

mod course;
mod criteria;
mod decide;

use course::Course;
pub use criteria::Changed;
use decide::{Action, Base, Owner, decide};

const RECORD: &str = ".course/course.json";

/// Why the course cannot be updated. Unless it is [`UpdateError::HalfDone`], nothing was changed.
#[derive(Debug, Error)]
pub enum UpdateError {
    /// The workspace is in no repository, or git does not answer.
    #[error(
        "an update replaces files, so it needs their last versions in git: {0}; `git init`, then commit your work"
    )]
    Git(#[from] GitError),
    /// There is no commit yet.
    #[error("an update needs your work in a commit: `git add --all && git commit -m \"my work\"`")]
    NoCommit,
    /// There is work that no commit has.
    #[error("commit these first, so that the update is a change of its own:\n{}", list(.files))]
    Uncommitted {
        /// The files, relative to the workspace.
        files: Vec<PathBuf>,
    },
    /// What was named is no course.
    #[error("{from} is not the folder of a course: it has no Cargo.toml beside grader/checks")]
    NoCourse {
        /// What was named.
        from: String,
    },
    /// Git cannot clone what was named.
    #[error("{from} is no folder, and git cannot clone it: {message}")]
    Clone {
        /// What was named.
        from: String,
        /// The words of git.
        message: String,
    },
    /// The record of the started levels cannot be read.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The newer reference of a started level has no blank.
    #[error(transparent)]
    Starter(#[from] StarterError),
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file cannot be written.
    #[error(
        "{cause}; the update is half done: `git checkout . && git clean -d` takes it back, then update again"
    )]
    HalfDone {
        /// Why.
        cause: Box<UpdateError>,
    },
}

/// What an update has changed. Paths are relative to the workspace.
#[derive(Debug, Default)]
pub struct Updated {
    /// The version of the course before, and after.
    pub versions: (Option<String>, Option<String>),
    /// How many files of the course were added, replaced and removed.
    pub counts: (usize, usize, usize),
    /// Replaced although the learner had changed them. The last commit has the learner's versions.
    pub replaced_edited: Vec<String>,
    /// Kept as the learner has them. The newer versions are in `.course/update`.
    pub kept: Vec<String>,
    /// Files to write in started levels that are new, or whose blank is another one.
    pub renewed: Vec<RenewedFile>,
    /// How the criteria have changed.
    pub criteria: Changed,
}

/// One file of the course, and what to do with it.
struct Step {
    path: String,
    action: Action,
}

/// Brings the course in the workspace at `root` to the version in `from`: a folder, or what git can clone.
///
/// # Errors
///
/// [`UpdateError`].
pub fn update(root: &Path, from: &str) -> Result<Updated, UpdateError> {
    let git = Git::open(root)?;
    if git.head().is_none() {
        return Err(UpdateError::NoCommit);
    }
    let uncommitted = git.uncommitted(".")?;
    if !uncommitted.is_empty() {
        return Err(UpdateError::Uncommitted { files: uncommitted });
    }
    let course = Course::open(from)?;
    let names = started(root)?;
    let levels: Vec<&'static Level> = LEVELS
        .iter()
        .copied()
        .filter(|level| names.contains(level.name) && course.root.join(level.name).is_dir())
        .collect();
    // All decisions before the first deed.
    let renewals = levels
        .iter()
        .map(|level| renewal(root, &course.root, level))
        .collect::<Result<Vec<Renewal>, _>>()?;
    let steps = steps(root, &git, &course, &levels)?;
    let (old, new) = (criteria::ids(root)?, criteria::ids(&course.root)?);
    let mut updated = Updated {
        versions: (course::version(root), course::version(&course.root)),
        criteria: criteria::compare(&old, &new, criteria::renamed(&course.root)?),
        ..Updated::default()
    };
    let half = |cause: UpdateError| UpdateError::HalfDone { cause: Box::new(cause) };
    for step in steps {
        perform(root, &course, &step).map_err(|cause| half(cause.into()))?;
        updated.count(step);
    }
    for renewal in renewals {
        renewal.apply(root).map_err(|cause| half(cause.into()))?;
        updated.renewed.extend(renewal.files);
    }
    let record = Record { schema: 1, version: updated.versions.1.clone(), from: from.to_owned() };
    let text = serde_json::to_string_pretty(&record).unwrap_or_default();
    files::write(&root.join(RECORD), &(text + "\n")).map_err(|cause| half(cause.into()))?;
    Ok(updated)
}

/// `.course/course.json`.
#[derive(Debug, Serialize)]
struct Record {
    schema: u32,
    version: Option<String>,
    from: String,
}

impl Updated {
    fn count(&mut self, Step { path, action }: Step) {
        let (added, replaced, removed) = &mut self.counts;
        match action {
            Action::Leave => {}
            Action::Add => *added += 1,
            Action::Replace => *replaced += 1,
            Action::Remove => *removed += 1,
            Action::ReplaceEdited => self.replaced_edited.push(path),
            Action::KeepEdited => self.kept.push(path),
        }
    }
}

/// What to do with each file of the course that is not the learner's to write.
fn steps(
    root: &Path,
    git: &Git,
    course: &Course,
    levels: &[&Level],
) -> Result<Vec<Step>, UpdateError> {
    let base = match git.last_change(RECORD) {
        Some(commit) => Some(commit),
        None => commit_of_start(root)?,
    };
    let base = match base.and_then(|commit| git.tree(&commit, "")) {
        Some(tree) => Some((git.files(&tree)?.into_iter().collect::<BTreeSet<_>>(), tree)),
        None => None,
    };
    let mut paths: BTreeSet<String> = course.files()?;
    paths.extend(base.iter().flat_map(|(files, _)| files.clone()));
    paths.retain(|path| !path.starts_with(".course/") && !is_written_by_learner(path, levels));
    let mut steps = Vec::new();
    for path in paths {
        let (now, new) = (bytes(&root.join(&path))?, bytes(&course.root.join(&path))?);
        if now == new {
            continue;
        }
        let in_base = base.as_ref().filter(|(files, _)| files.contains(&path));
        let was = in_base.map(|(_, tree)| git.show(tree, &path));
        let was = match &was {
            Some(Ok(text)) => Base::Known(Some(text.as_bytes())),
            // A file that is not UTF-8.
            Some(Err(_)) => Base::Unknown,
            None if base.is_some() => Base::Known(None),
            None => Base::Unknown,
        };
        let owner = owner(&path, levels);
        let action = decide(was, now.as_deref(), new.as_deref(), owner);
        if action != Action::Leave {
            steps.push(Step { path, action });
        }
    }
    Ok(steps)
}

fn owner(path: &str, started: &[&Level]) -> Owner {
    let is_in = |level: &&Level| inside(path, level).is_some();
    if started.iter().any(is_in) {
        Owner::Learner
    } else if path.starts_with("grader/") || LEVELS.iter().any(is_in) {
        Owner::CourseAlone
    } else {
        Owner::Course
    }
}

/// The rest of a path that lies in the folder of a level.
fn inside<'a>(path: &'a str, level: &Level) -> Option<&'a str> {
    path.strip_prefix(level.name)?.strip_prefix('/')
}

fn is_written_by_learner(path: &str, levels: &[&Level]) -> bool {
    levels.iter().any(|level| {
        inside(path, level).is_some_and(|rest| rest.starts_with("src/") && !level.provides(rest))
    })
}

/// The bytes of a file; `None` where there is none.
fn bytes(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(FileError::new("read", path, cause)),
    }
}

fn perform(root: &Path, course: &Course, Step { path, action }: &Step) -> Result<(), FileError> {
    let new = course.root.join(path);
    let copy = |to: &Path| {
        let failed = |cause| FileError::new("write", to, cause);
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        // With its permissions: some files are programs.
        std::fs::copy(&new, to).map(drop).map_err(failed)
    };
    match action {
        Action::Leave => Ok(()),
        Action::Add | Action::Replace | Action::ReplaceEdited => copy(&root.join(path)),
        Action::KeepEdited => copy(&root.join(beside(Path::new(path)))),
        Action::Remove => {
            files::remove(&root.join(path))?;
            files::remove_empty_folders(&root.join(path), root)
        }
    }
}
