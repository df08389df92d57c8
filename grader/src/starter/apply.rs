//! Starting a level.

use std::path::{Path, PathBuf};

use super::files::{self, FileError};
use super::git::{Git, GitError};
use super::plan::{FileState, Plan, PlannedFile, StarterError};
use super::reference::{self, FOLDER, Origin};

/// What to do about files that the learner has worked on since an earlier start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edited {
    /// Change nothing and name them.
    Refuse,
    /// Copy them to `.course/backup` first.
    BackUp,
}

/// The changes that were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The files that are blank now and were not, relative to the workspace.
    pub blanked: Vec<PathBuf>,
    /// The files that are gone, relative to the workspace.
    pub removed: Vec<PathBuf>,
    /// The files that were blank before, relative to the workspace.
    pub unchanged: Vec<PathBuf>,
    /// Where the learner's files were put aside, relative to the workspace.
    pub backup: Option<PathBuf>,
}

impl Plan {
    /// Starts the level: writes the blanks into the working tree and records where the reference is.
    ///
    /// All blanks are written out beside their files before the first one takes its place. When one
    /// cannot, the files are as they were.
    ///
    /// # Errors
    ///
    /// [`StarterError::Uncommitted`] and [`StarterError::NothingToBlank`] at the first start,
    /// [`StarterError::Edited`] at later ones; [`StarterError::Changed`] when a file is not what it was
    /// when the plan was made; [`StarterError::File`] and [`StarterError::HalfDone`] when the disk
    /// refuses.
    pub fn apply(&self, edited: Edited) -> Result<Applied, StarterError> {
        let new_origin = match self.origin {
            Some(_) => None,
            None => Some(self.reference_of_first_start()?),
        };
        let yours = self.in_state(FileState::Edited);
        if !yours.is_empty() && edited == Edited::Refuse {
            return Err(StarterError::Edited { level: self.level.clone(), files: yours });
        }
        self.check_unchanged()?;
        if let Some(origin) = new_origin {
            if origin == Origin::Copy {
                reference::save(&self.root, &self.level, &self.reference)?;
            }
            // Before the blanks: a record without blanks does no harm, the reverse loses the way.
            reference::remember(&self.root, &self.level, &origin)?;
        }
        reference::explain(&self.root)?;
        let backup = (!yours.is_empty()).then(|| self.back_up()).transpose()?;
        self.write()?;
        self.remove_empty_folders(&self.root)?;
        let changed = |file: &&PlannedFile| file.state != FileState::Blank;
        let paths = |gone: bool| {
            let files =
                self.files.iter().filter(changed).filter(|file| file.blank.is_none() == gone);
            files.map(|file| file.path.clone()).collect()
        };
        Ok(Applied {
            blanked: paths(false),
            removed: paths(true),
            unchanged: self.in_state(FileState::Blank),
            backup,
        })
    }

    /// Where the reference will be found once the working tree does not have it any more.
    fn reference_of_first_start(&self) -> Result<Origin, StarterError> {
        if self.files.iter().all(|file| file.state == FileState::Blank) {
            return Err(StarterError::NothingToBlank { level: self.level.clone() });
        }
        let failed = |cause| StarterError::Git { level: self.level.clone(), cause };
        let git = match Git::open(&self.root) {
            Ok(git) => git,
            Err(GitError::NoRepository { .. } | GitError::NotInstalled { .. }) => {
                return Ok(Origin::Copy);
            }
            Err(cause) => return Err(failed(cause)),
        };
        let folder = format!("{}/src", self.level);
        let Some(head) = git.head_with(&folder) else { return Ok(Origin::Copy) };
        let mut files = git.uncommitted(&folder).map_err(failed)?;
        files.retain(|path| files::is_source(&path.to_string_lossy()));
        if files.is_empty() {
            Ok(Origin::Commit { tree: git.tree(&head, &folder), commit: head })
        } else {
            Err(StarterError::Uncommitted { level: self.level.clone(), files })
        }
    }

    fn check_unchanged(&self) -> Result<(), StarterError> {
        for file in &self.files {
            if files::read(&self.root.join(&file.path))? != file.now {
                return Err(StarterError::Changed { path: file.path.clone() });
            }
        }
        Ok(())
    }

    /// Copies the learner's files to a new folder.
    fn back_up(&self) -> Result<PathBuf, FileError> {
        let all = Path::new(FOLDER).join("backup");
        std::fs::create_dir_all(self.root.join(&all))
            .map_err(|cause| FileError::new("write", &self.root.join(&all), cause))?;
        let mut number = 1;
        let folder = loop {
            let folder = all.join(format!("{}-{number}", self.level));
            let path = self.root.join(&folder);
            match std::fs::create_dir(&path) {
                Ok(()) => break folder,
                Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(cause) => return Err(FileError::new("write", &path, cause)),
            }
        };
        for file in self.files.iter().filter(|file| file.state == FileState::Edited) {
            let Some(text) = &file.now else { continue };
            files::write(&self.root.join(&folder).join(&file.path), text)?;
        }
        Ok(folder)
    }

    fn write(&self) -> Result<(), StarterError> {
        let changing = self.files.iter().filter(|file| file.state != FileState::Blank);
        let mut staged = Vec::new();
        for file in changing {
            let path = self.root.join(&file.path);
            let text =
                file.blank.as_ref().map(|text| files::stage(&path, &with_line_ends(file, text)));
            staged.push((file, text.transpose()?));
        }
        let mut done: Vec<&PlannedFile> = Vec::new();
        for (file, text) in staged {
            let put = match text {
                Some(staged) => staged.put(),
                None => files::remove(&self.root.join(&file.path)),
            };
            if let Err(cause) = put {
                return Err(self.put_back(&done, cause));
            }
            done.push(file);
        }
        Ok(())
    }

    fn put_back(&self, done: &[&PlannedFile], cause: FileError) -> StarterError {
        let mut failure = None;
        let mut files = Vec::new();
        for file in done {
            let path = self.root.join(&file.path);
            let back = match &file.now {
                Some(text) => files::write(&path, text),
                None => files::remove(&path),
            };
            if let Err(back) = back {
                failure = Some(back);
                files.push(file.path.clone());
            }
        }
        match failure {
            None => StarterError::File(cause),
            Some(back) => StarterError::HalfDone { cause, back, files },
        }
    }
}

/// The blank with the line ends that the file has now.
fn with_line_ends(file: &PlannedFile, text: &str) -> String {
    let now = file.now.as_deref().unwrap_or_default();
    if now.contains("\r\n") && !text.contains('\r') {
        text.replace('\n', "\r\n")
    } else {
        text.to_owned()
    }
}
