//! Builds the check binaries with a nested cargo. A level that does not compile costs only itself.

mod cargo;
mod folder;
pub(crate) mod limits;
mod messages;
mod part;
mod sources;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::catalog;
use crate::inspect::{Finding, outside_files, refused};
use folder::Folder;
pub use part::{Breadth, Part};
use sources::Sources;

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
    /// The level compiles.
    Ready {
        /// The check binary.
        binary: PathBuf,
        /// rustc's warnings about the level, as rustc prints them.
        warnings: Vec<String>,
    },
    /// It does not compile, or is not compiled.
    Broken {
        /// The package that rustc refuses: the level, or the checks that call it.
        package: String,
        /// rustc's words, or the grader's.
        errors: String,
        /// Whether the grader refused it: its code would not be the level's own, or would answer for its values.
        refused: bool,
    },
}

impl LevelBuild {
    /// A level that is not built because of what was found in its sources.
    fn refused(level: &str, findings: &[Finding]) -> Self {
        let lines: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
        LevelBuild::Broken { package: level.to_owned(), errors: lines, refused: true }
    }

    /// A level that was built from files outside of its folder.
    fn outside(level: &str, files: &[PathBuf]) -> Self {
        let line = |file: &PathBuf| {
            format!(
                "{}: the compiler read it for {level}, and it is not in {level}/\n",
                file.display()
            )
        };
        let lines: String = files.iter().map(line).collect();
        LevelBuild::Broken { package: level.to_owned(), errors: lines, refused: true }
    }
}

/// What goes on in a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// A target is done.
    Built(&'a str),
    /// Nothing is done for a while, and why.
    Waiting(&'a str),
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
    /// The build was stopped before it had compiled anything.
    #[error(
        "the build was stopped: {why} and nothing was done. Does another program hold the target folder, or the network?"
    )]
    Stuck {
        /// The evidence for it.
        why: String,
    },
    /// There is no room for what is built.
    #[error("no room is left on the disk of {}: free some, then grade again", .folder.display())]
    Full {
        /// A folder on that disk.
        folder: PathBuf,
    },
    /// The grader that runs is not the one whose sources lie in the workspace.
    #[error(
        "this grader was built from other files than those in {}: they were replaced and cargo did not \
         notice (old modification times, a target folder that several clones share). Run `cargo clean \
         -p grader`, then grade again",
        .root.display()
    )]
    OtherGrader {
        /// The workspace.
        root: PathBuf,
    },
    /// Cargo took a check binary for new that was built from other files.
    #[error(
        "cargo kept a {package} that was built from other files ({differing}). Run `cargo clean -p \
         {package}`, then grade again; without that, a verdict would be about code that is not there"
    )]
    OtherSources {
        /// The package.
        package: String,
        /// The sources that differ.
        differing: String,
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
    /// How much of a level is built for the criteria of some of its exercises.
    pub breadth: Breadth,
}

/// Whether this grader was built from the files in the workspace at `root`.
#[must_use]
pub fn is_current(root: &Path) -> bool {
    sources::grader_is_current(root)
}

/// Builds the check binaries of `parts` in the workspace at `root`. `progress` hears of each package that
/// is done, and why nothing is done for a while.
///
/// # Errors
///
/// [`BuildError`] when cargo could not even try. A level that does not compile is no error: it is
/// [`LevelBuild::Broken`].
pub fn build(
    root: &Path,
    parts: &[Part],
    options: &Options,
    progress: &mut dyn FnMut(Step<'_>),
) -> Result<Built, BuildError> {
    let start = Instant::now();
    if parts.is_empty() {
        // A cargo that is told no package builds them all.
        return Ok(Built { levels: BTreeMap::new(), took: Duration::ZERO });
    }
    let folder = Folder::open(root, options.target_dir.as_deref());
    if !sources::grader_is_current(root) {
        return Err(BuildError::OtherGrader { root: root.to_path_buf() });
    }
    let sources: BTreeMap<&str, Sources> = parts
        .iter()
        .map(|part| (part.level.name, sources::of_level(root, part.level.name)))
        .collect();
    let mut levels = BTreeMap::new();
    let mut built_parts = Vec::new();
    for part in parts {
        // What a level uses of the levels below is compiled with it.
        let below = part.level.below().into_iter().filter_map(catalog::level);
        let findings: Vec<_> =
            below.chain([part.level]).flat_map(|level| refused(root, level)).collect();
        if findings.is_empty() {
            built_parts.push(part);
        } else {
            levels.insert(
                part.level.name.to_owned(),
                LevelBuild::refused(part.level.name, &findings),
            );
        }
    }
    if built_parts.is_empty() {
        return Ok(Built { levels, took: start.elapsed() });
    }
    let name = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let command = || {
        let mut command = cargo::pinned(&name);
        command.current_dir(root).args(["--keep-going", "--message-format"]);
        command.arg(if options.color { "json-diagnostic-rendered-ansi" } else { "json" });
        command.args(part::all_packages().flat_map(|package| ["--package".to_owned(), package]));
        command.arg("--no-default-features");
        for part in &built_parts {
            command.args(["--bin", &part.package(), "--features", &part.features()]);
        }
        if let Some(folder) = &options.target_dir {
            command.arg("--target-dir").arg(folder);
        }
        command.args(options.config.iter().flat_map(|value| ["--config", value]));
        command.envs(sources.values().flatten());
        command
    };
    let mut ran = cargo::run(command(), name.clone(), progress)?;
    let confused: Vec<&str> = ran.messages.confused_by_cache().collect();
    if !confused.is_empty() {
        progress(Step::Waiting(
            "the compiler's cache of an earlier build is damaged: building without it",
        ));
        folder.forget(&confused);
        let mut without = command();
        without.env("CARGO_INCREMENTAL", "0");
        ran = cargo::run(without, name, progress)?;
    }
    if ran.messages.is_empty() {
        return Err(match ran.stuck {
            Some(stuck) => BuildError::Stuck { why: stuck.why },
            None => BuildError::Cargo { stderr: ran.stderr },
        });
    }
    for part in &built_parts {
        let name = part.level.name;
        let mut level = ran.messages.level(part, &ran.stderr, ran.stuck.as_ref());
        if let LevelBuild::Broken { errors, .. } = &level
            && folder.is_full(errors)
        {
            return Err(BuildError::Full { folder: folder.path().to_path_buf() });
        }
        if let LevelBuild::Ready { .. } = &level {
            let outside = outside_files(root, part.level, &ran.messages.read_files(name));
            if !outside.is_empty() {
                level = LevelBuild::outside(name, &outside);
            }
        }
        if let LevelBuild::Ready { binary, .. } = &mut level {
            *binary = folder.keep(part, binary);
            let differing = sources.get(name).and_then(|all| sources::differing(binary, name, all));
            if let Some(differing) = differing {
                let package = part.package();
                return Err(BuildError::OtherSources { package, differing });
            }
        }
        levels.insert(name.to_owned(), level);
    }
    Ok(Built { levels, took: start.elapsed() })
}
