//! The reference of a level, built beside a learner's own.
//!
//! The figures of a machine compare with nothing but figures of the same machine, taken at the same
//! time. So the reference is measured in the same run: its files are laid over a copy of the workspace,
//! and the same benchmark is built there. Where the reference is, the grader knows
//! ([`grader::starter::solution`]); a learner's history keeps it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use grader::starter::{SolutionError, solution};
use grader::submission::{Scratch, ScratchError};

/// Why there is nothing to compare with.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// The reference cannot be read.
    #[error(transparent)]
    Solution(#[from] SolutionError),
    /// The workspace cannot be copied.
    #[error(transparent)]
    Copy(#[from] ScratchError),
    /// A file of the copy cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Cargo could not be started.
    #[error("cannot start cargo: {0}")]
    Cargo(io::Error),
    /// The reference does not build in the copy.
    #[error("the reference does not build:\n{0}")]
    Build(String),
}

/// The executable of the benchmark `bench` of a level, built with the level's reference; none when the
/// level in the workspace at `root` *is* the reference.
///
/// The copy and what is built of it lie below `target`. The first time takes as long as the level takes to
/// build.
///
/// # Errors
///
/// [`ReferenceError`].
pub fn benchmark(
    root: &Path,
    target: &Path,
    level: &str,
    bench: &str,
) -> Result<Option<PathBuf>, ReferenceError> {
    let files = solution(root, level)?;
    let same = |(path, text): &(PathBuf, String)| {
        // Git may check out other line ends than it was given.
        fs::read_to_string(root.join(path)).is_ok_and(|own| own.lines().eq(text.lines()))
    };
    if files.iter().all(same) {
        return Ok(None);
    }
    let copy = Scratch::create(root, &target.join("bench/reference"))?;
    for (path, text) in &files {
        let path = copy.root().join(path);
        let failed = |source| ReferenceError::File { path: path.clone(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        fs::write(&path, text).map_err(failed)?;
    }
    build(copy.root(), target, level, bench).map(Some)
}

fn build(root: &Path, target: &Path, level: &str, bench: &str) -> Result<PathBuf, ReferenceError> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["bench", "--no-run", "--quiet", "--message-format", "json-render-diagnostics"])
        // Without the level's default features no binary of its own is built, which would take the place
        // of the learner's. What it depends on is shared: same folder, same versions.
        .args(["--package", level, "--bench", bench, "--no-default-features"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .map_err(ReferenceError::Cargo)?;
    let failed = || ReferenceError::Build(String::from_utf8_lossy(&output.stderr).into_owned());
    if !output.status.success() {
        return Err(failed());
    }
    executable(&String::from_utf8_lossy(&output.stdout), bench).ok_or_else(failed)
}

/// What cargo's messages say that it built.
fn executable(messages: &str, bench: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let path = message.get("executable")?.as_str()?;
        (message.get("target")?.get("name")? == bench).then(|| path.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_executable_among_the_messages() {
        let messages = r#"
            {"reason":"compiler-artifact","target":{"name":"tokio"},"executable":null}
            {"reason":"compiler-artifact","target":{"name":"learner"},"executable":"/x/learner-1"}
            {"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "learner"), Some("/x/learner-1".into()));
        assert_eq!(executable(messages, "other"), None);
    }
}
