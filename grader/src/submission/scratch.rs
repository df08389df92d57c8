//! The pristine copy that submissions are laid over, one after the other.
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{Files, ReadError};
use crate::build;
use crate::catalog::Level;

/// What is not part of the workspace, although it lies in its folder.
const SKIPPED: &[&str] = &["target", ".git", ".course"];

/// A copy of the workspace with a target folder of its own, so that nothing in it can meet what the
/// learner's own cargo builds.
#[derive(Debug)]
pub struct Scratch {
    root: PathBuf,
    target: PathBuf,
}

/// The copy could not be made.
#[derive(Debug, Error)]
pub enum ScratchError {
    /// The system said no.
    #[error("cannot copy to {}: {source}; is there room, and may it be written?", .path.display())]
    Io {
        /// What was to be written, or read.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The pristine level could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Scratch {
    /// Copies the workspace at `pristine` to `folder`; only what has changed since the last copy, so
    /// that cargo does not build the rest again.
    ///
    /// # Errors
    ///
    /// [`ScratchError::Io`].
    pub fn create(pristine: &Path, folder: &Path) -> Result<Scratch, ScratchError> {
        let (root, target) = (folder.join("workspace"), folder.join("target"));
        copy_tree(pristine, &root)?;
        Ok(Scratch { root, target })
    }

    /// The copy's root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How to build in it.
    #[must_use]
    pub fn options(&self) -> build::Options {
        build::Options { target_dir: Some(self.target.clone()), ..build::Options::default() }
    }

    /// Makes `files` the level's files. What is equal stays untouched.
    ///
    /// # Errors
    ///
    /// [`ScratchError`].
    pub fn lay(&self, level: &Level, files: &Files) -> Result<(), ScratchError> {
        let folder = self.root.join(level.name);
        let (there, _) = Files::read(&self.root, level)?;
        for (path, _) in there.iter().filter(|(path, _)| files.get(path).is_none()) {
            let path = folder.join(path);
            fs::remove_file(&path).map_err(|source| ScratchError::Io { path, source })?;
        }
        for (path, bytes) in files.iter() {
            write(&folder.join(path), bytes)?;
        }
        Ok(())
    }
}

/// Makes `to` a copy of `from`: writes what differs, removes what is too much. Links are left out.
fn copy_tree(from: &Path, to: &Path) -> Result<(), ScratchError> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ScratchError::Io { path, source }
    };
    fs::create_dir_all(to).map_err(at(to))?;
    let mut kept = BTreeSet::new();
    for entry in fs::read_dir(from).map_err(at(from))? {
        let entry = entry.map_err(at(from))?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if SKIPPED.contains(&text.as_ref()) || text.starts_with("mutants.out") {
            continue;
        }
        let kind = entry.file_type().map_err(at(&entry.path()))?;
        if kind.is_dir() {
            copy_tree(&entry.path(), &to.join(&name))?;
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).map_err(at(&entry.path()))?;
            write(&to.join(&name), &bytes)?;
        } else {
            continue;
        }
        kept.insert(name);
    }
    for entry in fs::read_dir(to).map_err(at(to))? {
        let entry = entry.map_err(at(to))?;
        if kept.contains(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        let removed = match entry.file_type() {
            Ok(kind) if kind.is_dir() => fs::remove_dir_all(&path),
            _ => fs::remove_file(&path),
        };
        removed.map_err(at(&path))?;
    }
    Ok(())
}

/// Writes a file unless it holds the bytes already. Always as a new file: a modification time that
/// cargo has not seen, and no link is followed.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ScratchError> {
    let at = |source| ScratchError::Io { path: path.to_path_buf(), source };
    if fs::symlink_metadata(path).is_ok() {
        if fs::read(path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        fs::remove_file(path).map_err(at)?;
    } else if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(at)?;
    }
    fs::write(path, bytes).map_err(at)
}
