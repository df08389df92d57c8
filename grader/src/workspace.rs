//! Finding the course's workspace.
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// There is no workspace of the course where the grader was started.
#[derive(Debug, Error)]
#[error(
    "no workspace of the course in {} or above it: cd into your clone, or name it with --root",
    .start.display()
)]
pub struct NoWorkspace {
    start: PathBuf,
}

/// The root of the workspace that holds `start`: the nearest folder at or above it that has both a
/// `Cargo.toml` and the grader's check binaries.
///
/// # Errors
///
/// [`NoWorkspace`] when there is none.
pub fn find(start: &Path) -> Result<PathBuf, NoWorkspace> {
    start
        .ancestors()
        .find(|folder| folder.join("Cargo.toml").is_file() && folder.join("grader/checks").is_dir())
        .map(Path::to_path_buf)
        .ok_or_else(|| NoWorkspace { start: start.to_path_buf() })
}

/// The workspace that a program started by cargo belongs to.
///
/// Cargo sets `CARGO_MANIFEST_DIR` when it *runs* a test or an example, and that value is the one that
/// counts. The value at compile time (`env!`) names the clone in which the binary was compiled: two clones
/// that share a target folder share the binary, and the grader would report the marks of the other clone.
/// Without the variable, the search begins in the current folder.
///
/// # Errors
///
/// [`NoWorkspace`] when neither folder lies in a workspace of the course.
pub fn of_this_run() -> Result<PathBuf, NoWorkspace> {
    find(&start_of(std::env::var_os("CARGO_MANIFEST_DIR"), std::env::current_dir().ok()))
}

/// Where the search begins: the folder that cargo named, else the current folder.
fn start_of(manifest_dir: Option<OsString>, current: Option<PathBuf>) -> PathBuf {
    manifest_dir.map(PathBuf::from).or(current).unwrap_or_else(|| PathBuf::from("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_named_at_run_time_is_searched_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let clone = folder.path().join("clone");
        std::fs::create_dir_all(clone.join("grader/checks")).expect("folders");
        std::fs::write(clone.join("Cargo.toml"), "[workspace]").expect("a manifest");
        let named = clone.join("grader");
        let elsewhere = folder.path().join("elsewhere");

        let start = start_of(Some(named.into()), Some(elsewhere.clone()));
        assert_eq!(find(&start).expect("the clone"), clone);
        assert_eq!(start_of(None, Some(elsewhere.clone())), elsewhere);
    }

    #[test]
    fn a_missing_workspace_is_reported_with_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = find(folder.path()).expect_err("no workspace");
        assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
    }
}
