//! Builds the check binaries with a nested cargo. A level that does not compile costs only itself.

mod folder;
mod freshness;
mod limits;
mod messages;
mod part;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::interrupt::Guarded;
use folder::Folder;
use messages::Messages;
pub use part::Part;

/// What cargo made of each level.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Built {
    /// By the level's name.
    pub levels: BTreeMap<String, LevelBuild>,
    /// Real time that cargo took.
    pub took: Duration,
}

/// What cargo made of one level.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum LevelBuild {
    /// It compiles.
    Ready {
        /// The check binary.
        binary: PathBuf,
        /// rustc's warnings about the level, as rustc prints them.
        warnings: Vec<String>,
    },
    /// It does not.
    Broken {
        /// The package that rustc refuses: the level, or the checks that call it.
        package: String,
        /// rustc's words.
        errors: String,
    },
}

/// The nested cargo could not do its work at all.
#[derive(Debug, Error)]
pub enum BuildError {
    /// There is no cargo to start.
    #[error(
        "cannot start `{cargo}`: {source}. Is Rust installed (https://rustup.rs) and on the PATH?"
    )]
    NoCargo {
        /// The program that was tried.
        cargo: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// Cargo gave up before it compiled anything, over a broken manifest for instance.
    #[error("cargo could not build the checks:\n{}", .stderr.trim_end())]
    Cargo {
        /// Cargo's words.
        stderr: String,
    },
}

/// How a build is done.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where cargo puts what it builds; its own choice if `None`.
    pub target_dir: Option<PathBuf>,
    /// Whether rustc's words are coloured.
    pub color: bool,
    /// Values that stand above those of the workspace's manifest, as `cargo --config` takes them:
    /// `profile.dev.debug=0`.
    pub config: Vec<String>,
    /// Whether one exercise of a level is judged by the binary for all its criteria. A series of builds
    /// that judge now this exercise, now that one, then shares one incremental build.
    pub whole_levels: bool,
}

/// Builds the check binaries of `parts` in the workspace at `root`. `progress` hears the name of
/// each package as it is done.
///
/// # Errors
///
/// [`BuildError`] when cargo could not even try. A level that does not compile is no error: it is
/// [`LevelBuild::Broken`].
pub fn build(
    root: &Path,
    parts: &[Part],
    options: &Options,
    progress: &mut dyn FnMut(&str),
) -> Result<Built, BuildError> {
    let start = Instant::now();
    if parts.is_empty() {
        // A cargo that is told no package builds them all.
        return Ok(Built { levels: BTreeMap::new(), took: Duration::ZERO });
    }
    let folder = Folder::open(root, options.target_dir.as_deref());
    for part in parts {
        freshness::ensure(&root.join(part.level.name), folder.path());
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(&cargo);
    command.current_dir(root).args(["build", "--quiet", "--keep-going", "--message-format"]);
    command.arg(if options.color { "json-diagnostic-rendered-ansi" } else { "json" });
    command.args(part::all_packages().flat_map(|package| ["--package".to_owned(), package]));
    command.arg("--no-default-features");
    // The place of a panic stands in the code itself, and nobody sees a backtrace of a check.
    command.args(["--config", "profile.dev.debug=0"]);
    for part in parts {
        command.args(["--bin", &part.package(), "--features", &part.feature()]);
    }
    if let Some(folder) = &options.target_dir {
        command.arg("--target-dir").arg(folder);
    }
    command.args(options.config.iter().flat_map(|value| ["--config", value]));
    // What an outer `cargo run` or `cargo test` set for this process; a nested cargo that inherits
    // it builds everything anew.
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST") {
            command.env_remove(&key);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);

    let mut child = command.spawn().map_err(|source| BuildError::NoCargo { cargo, source })?;
    let group = Guarded::new(child.id());
    limits::set(&child);
    let stderr = child.stderr.take().map(|mut stderr| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes); // what could be read is what there is
            String::from_utf8_lossy(&bytes).into_owned()
        })
    });
    let mut messages = Messages::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            if let Some(package) = messages.read(&line) {
                progress(&package);
            }
        }
    }
    let _ = child.wait(); // what was built tells more than the exit code
    drop(group);
    let stderr = stderr.and_then(|thread| thread.join().ok()).unwrap_or_default();

    if messages.is_empty() {
        return Err(BuildError::Cargo { stderr });
    }
    let levels = parts.iter().map(|part| {
        let mut level = messages.level(part, &stderr);
        if let LevelBuild::Ready { binary, .. } = &mut level {
            *binary = folder.keep(part, binary);
        }
        (part.level.name.to_owned(), level)
    });
    let levels = levels.collect();
    Ok(Built { levels, took: start.elapsed() })
}
