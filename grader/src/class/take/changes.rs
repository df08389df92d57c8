//! What a fork changed beside the learner's own files.
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Kind, TakeError, Tree, is_source};
use crate::catalog::LEVELS;
use crate::submission::files::{MOST_BYTES, same_text};

/// Names of one kind that a report lists; beyond them only their number.
const MOST_NAMED: usize = 12;

/// The course's files, by their path in the workspace.
#[derive(Debug, Default)]
pub struct Pristine(BTreeMap<String, Vec<u8>>);

/// What differs from the course and was left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Files of the course that the fork has otherwise. The course's were used.
    pub changed: Names,
    /// Files that the course does not have.
    pub added: Names,
    /// Files of the course that the fork does not have.
    pub missing: Names,
    /// Links, devices and names that are not UTF-8.
    pub no_files: Names,
    /// The version of the course that the fork's manifest names, where it is another one.
    pub version: Option<String>,
}

/// Paths, the first of them named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// How many there are.
    pub count: usize,
    /// The first ones.
    pub first: Vec<String>,
}

impl Names {
    fn add(&mut self, path: &str) {
        self.count += 1;
        if self.first.len() < MOST_NAMED {
            self.first.push(path.to_owned());
        }
    }
}

impl Changes {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }
}

impl Pristine {
    /// The files of the workspace at `root`, but for what is built or kept there.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn read(root: &Path) -> io::Result<Pristine> {
        let mut files = BTreeMap::new();
        walk(root, "", &mut files)?;
        Ok(Pristine(files))
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Pristine {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), text.as_bytes().to_vec());
        Pristine(files.iter().map(owned).collect())
    }
}

fn walk(folder: &Path, name: &str, files: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(file_name) = entry.file_name().into_string() else { continue };
        let path = if name.is_empty() { file_name.clone() } else { format!("{name}/{file_name}") };
        let kind = entry.file_type()?;
        let built = matches!(file_name.as_str(), ".git" | ".course" | "target");
        if kind.is_dir() && !built && !file_name.starts_with("mutants.out") {
            walk(&entry.path(), &path, files)?;
        } else if kind.is_file() && !built && entry.metadata()?.len() <= MOST_BYTES {
            files.insert(path, fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// Whether a path is the learner's to write.
fn is_the_learners(path: &str) -> bool {
    LEVELS.iter().any(|level| {
        let below = path.strip_prefix(level.name).and_then(|rest| rest.strip_prefix('/'));
        below.is_some_and(|path| {
            path.starts_with("src/") && is_source(path) && !level.provides(path)
        })
    })
}

/// Compares a fork with the course.
pub(super) fn find(
    tree: &mut dyn Tree,
    top: &str,
    listed: &BTreeMap<&str, Kind>,
    pristine: &Pristine,
) -> Result<Changes, TakeError> {
    let mut changes = Changes::default();
    for (path, kind) in listed {
        match (kind, pristine.0.get(*path)) {
            (Kind::Other, _) => changes.no_files.add(path),
            (Kind::File(_), _) if is_the_learners(path) => {}
            (Kind::File(_), None) => changes.added.add(path),
            (Kind::File(size), Some(original)) => {
                let found = if *size <= MOST_BYTES {
                    tree.read(&format!("{top}{path}"))?
                } else {
                    Vec::new()
                };
                if same_text(&found, original) {
                    continue;
                }
                changes.changed.add(path);
                if *path == "Cargo.toml" {
                    changes.version =
                        version(&found).filter(|found| Some(found) != version(original).as_ref());
                }
            }
        }
    }
    for path in pristine.0.keys().filter(|path| !listed.contains_key(path.as_str())) {
        // A level that is missing as a whole is its own result.
        if !is_the_learners(path) {
            changes.missing.add(path);
        }
    }
    Ok(changes)
}

/// The version that a workspace's manifest names.
fn version(manifest: &[u8]) -> Option<String> {
    let manifest: toml::Table = std::str::from_utf8(manifest).ok()?.parse().ok()?;
    let version = manifest.get("workspace")?.get("package")?.get("version")?.as_str()?;
    Some(version.chars().filter(|letter| !letter.is_control()).take(40).collect())
}
