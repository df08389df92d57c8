//! The reference, to read.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::level::Source;
use super::reference::{self, ReferenceError};
use crate::catalog::{LEVELS, Level, level};

/// Why there is no solution to show.
#[derive(Debug, Error)]
pub enum SolutionError {
    /// There is no such level.
    #[error("there is no level `{name}`; there are {}", .known.join(", "))]
    UnknownLevel {
        /// The name that was asked for.
        name: String,
        /// The levels that there are.
        known: Vec<String>,
    },
    /// The level has no such module, or the course gives it.
    #[error("{level} has no module `{name}` to solve; it has {}", .known.join(", "))]
    UnknownModule {
        /// The level.
        level: String,
        /// The name that was asked for.
        name: String,
        /// The modules that are the learner's.
        known: Vec<String>,
    },
    /// The reference cannot be read.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

/// The reference of a level (`level2`) or of one module of it with what is below (`level2/race`,
/// `level2/src/race.rs`): paths relative to the workspace, and texts. What the course gives is left
/// out: the learner has it.
///
/// Before the level was started that is what the working tree has.
///
/// # Errors
///
/// [`SolutionError`]; the unknown names come with a list of the known ones.
pub fn solution(root: &Path, what: &str) -> Result<Vec<(PathBuf, String)>, SolutionError> {
    let what = what.trim_end_matches('/');
    let (name, module) = match what.split_once('/') {
        Some((name, module)) => (name, Some(module)),
        None => (what, None),
    };
    let level = level(name);
    let level = level.ok_or_else(|| SolutionError::UnknownLevel {
        name: name.to_owned(),
        known: LEVELS.iter().map(|level| level.name.to_owned()).collect(),
    })?;
    of_level(root, level, module)
}

/// The reference of a level or of one module of it.
pub(super) fn of_level(
    root: &Path,
    level: &Level,
    module: Option<&str>,
) -> Result<Vec<(PathBuf, String)>, SolutionError> {
    let origin = reference::recorded(root, level.name)?;
    let mut sources = reference::read(root, level, origin.as_ref())?;
    sources.retain(|source| !source.given);
    if let Some(module) = module {
        let wanted = module.strip_prefix("src/").unwrap_or(module);
        let wanted = wanted.trim_end_matches(".rs").trim_end_matches("/mod");
        let below =
            |name: &str| name.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'));
        let asked = |source: &Source| {
            let name = module_name(&source.path);
            name == wanted || below(&name)
        };
        if !sources.iter().any(asked) {
            return Err(SolutionError::UnknownModule {
                level: level.name.to_owned(),
                name: module.to_owned(),
                known: sources.iter().map(|source| module_name(&source.path)).collect(),
            });
        }
        sources.retain(asked);
    }
    let shown = sources.into_iter();
    Ok(shown.map(|source| (Path::new(level.name).join(source.path), source.text)).collect())
}

/// `race` for `src/race.rs`, `promise` for `src/promise/mod.rs`, `promise/chain` for what is below.
fn module_name(path: &str) -> String {
    let path = path.strip_prefix("src/").unwrap_or(path);
    path.trim_end_matches(".rs").trim_end_matches("/mod").to_owned()
}
