//! The newer course: a folder, or what git can clone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::UpdateError;
use crate::starter::files::FileError;
use crate::workspace;

/// What no course has under version control. In a linked checkout `.git` is a file.
const SKIPPED: [&str; 3] = [".git", ".course", "target"];

/// A course on this disk.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) root: PathBuf,
    /// The clone goes with the value.
    _clone: Option<TempDir>,
}

impl Course {
    /// The course in a folder, or a clone of what `from` names.
    pub(super) fn open(from: &str) -> Result<Self, UpdateError> {
        let path = Path::new(from);
        if path.is_dir() {
            let root = course_at(path, from)?;
            return Ok(Self { root, _clone: None });
        }
        let clone = tempfile::tempdir()
            .map_err(|cause| FileError::new("write", &std::env::temp_dir(), cause))?;
        let mut command = Command::new("git");
        // `--` before the name: one that begins with `-` is no option.
        command.args(["clone", "--quiet", "--depth", "1", "--", from]).arg(clone.path());
        command.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
        let refused = |message: String| UpdateError::Clone { from: from.to_owned(), message };
        let output = command.output().map_err(|cause| refused(cause.to_string()))?;
        if !output.status.success() {
            return Err(refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let root = course_at(clone.path(), from)?;
        Ok(Self { root, _clone: Some(clone) })
    }

    /// Its files, relative to the root, with `/`. Links and names that are not UTF-8 are left out.
    pub(super) fn files(&self) -> Result<BTreeSet<String>, FileError> {
        let mut found = BTreeSet::new();
        let mut open = vec![String::new()];
        while let Some(folder) = open.pop() {
            let path = self.root.join(&folder);
            let failed = |cause| FileError::new("read", &path, cause);
            for entry in std::fs::read_dir(&path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let kind = entry.file_type().map_err(failed)?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path =
                    if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                if SKIPPED.contains(&name.as_str()) {
                    continue;
                }
                if kind.is_dir() {
                    open.push(path);
                } else if kind.is_file() {
                    found.insert(path);
                }
            }
        }
        Ok(found)
    }
}

/// The version of the workspace at `root`, if its manifest has one.
pub(super) fn version(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(root.join("Cargo.toml")).ok()?;
    let manifest: toml::Table = toml::from_str(&text).ok()?;
    let version = manifest.get("workspace")?.get("package")?.get("version")?;
    version.as_str().map(str::to_owned)
}

fn course_at(path: &Path, from: &str) -> Result<PathBuf, UpdateError> {
    // Not `find`: a folder within a clone is not what was meant.
    match workspace::find(path) {
        Ok(root) if root == path => Ok(root),
        _ => Err(UpdateError::NoCourse { from: from.to_owned() }),
    }
}
