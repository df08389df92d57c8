//! Finding the course's workspace.
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
