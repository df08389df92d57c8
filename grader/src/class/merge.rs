//! Joins the output folders of several machines.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::conditions::Conditions;
use super::formats::{self, Row};
use super::overview;
use super::result::ForkResult;
use super::run::{ClassError, write_fork};
use super::settings::Settings;
use super::store::{self, Store, StoreError};
use crate::starter::FileError;

/// What was joined.
#[derive(Debug, Default)]
pub struct Merged {
    /// The rows of the gradebook, by their place in it.
    pub rows: BTreeMap<usize, Row>,
    /// What the marks of the parts do not have in common.
    pub notes: Vec<String>,
}

/// The parts cannot be joined.
#[derive(Debug, Error)]
pub enum MergeError {
    /// A part that cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// What cannot be written.
    #[error(transparent)]
    Class(#[from] ClassError),
    /// A part without results.
    #[error("{} has no results of a class: name the folder that --out named", .0.display())]
    Empty(PathBuf),
    /// Two results of one fork.
    #[error("`{name}` has a result in {} and another one in {}: remove the wrong one", .one.display(), .two.display())]
    Twice {
        /// The fork.
        name: String,
        /// A part.
        one: PathBuf,
        /// Another one.
        two: PathBuf,
    },
    /// Marks that cannot be compared.
    #[error("{} was graded by another version of the course or its criteria than {}: grade it again", .two.display(), .one.display())]
    OtherJudge {
        /// A part.
        one: PathBuf,
        /// Another one.
        two: PathBuf,
    },
}

/// Joins `parts` into the folder of `store`.
///
/// # Errors
///
/// [`MergeError`]; the parts stay as they are.
pub fn merge(parts: &[PathBuf], store: &Store, settings: &Settings) -> Result<Merged, MergeError> {
    let mut found: BTreeMap<String, (PathBuf, PathBuf)> = BTreeMap::new();
    let mut first: Option<(PathBuf, Conditions)> = None;
    let mut merged = Merged::default();
    for part in parts {
        let results = if part.join("forks").is_dir() {
            Store::reading(part).results()?
        } else {
            BTreeMap::new()
        };
        if results.is_empty() {
            return Err(MergeError::Empty(part.clone()));
        }
        for path in results.into_values() {
            let Some(result) = store::read(&path)? else { continue };
            let (one, conditions) =
                first.get_or_insert_with(|| (part.clone(), result.conditions.clone()));
            let comparable =
                |all: &Conditions| (all.judge.clone(), all.course.clone(), all.lock.clone());
            if comparable(conditions) != comparable(&result.conditions) {
                return Err(MergeError::OtherJudge { one: one.clone(), two: part.clone() });
            }
            for note in conditions.differences(&result.conditions) {
                let note = format!("{}: {note}", part.display());
                if !merged.notes.contains(&note) {
                    merged.notes.push(note);
                }
            }
            if let Some((_, before)) = found.get(&result.name) {
                if is_same(before, &result)? {
                    continue;
                }
                return Err(MergeError::Twice {
                    name: result.name,
                    one: before.clone(),
                    two: path,
                });
            }
            found.insert(result.name.clone(), (part.clone(), path));
        }
    }
    let mut rows = BTreeMap::new();
    for (at, (name, (_, path))) in found.iter().enumerate() {
        let Some(result) = store::read(path)? else { continue };
        let (from, to) = (path.with_file_name("files"), store.folder(name).join("files"));
        copy(&from, &to).map_err(|cause| FileError::new("copy", &from, cause))?;
        write_fork(store, &result, settings)?;
        rows.insert(at, Row::of(&result, settings));
    }
    formats::gradebook::write(store, &rows, settings)?;
    if let Some((_, conditions)) = first {
        let text = overview::render(store, rows.values(), settings, &conditions);
        store.write(&store.path("class.md"), &text)?;
    }
    merged.rows = rows;
    Ok(merged)
}

fn is_same(before: &Path, result: &ForkResult) -> Result<bool, StoreError> {
    let before = store::read(before)?;
    Ok(before
        .is_some_and(|before| before.files() == result.files() && before.status == result.status))
}

/// Copies the plain files below a folder.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::formats::tests::example;

    fn part(folder: &Path, forks: &[ForkResult]) -> PathBuf {
        let store = Store::open(folder).expect("a store");
        for fork in forks {
            write_fork(&store, fork, &Settings::default()).expect("a result");
        }
        folder.to_path_buf()
    }

    #[test]
    fn shards_become_one_gradebook() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let one = part(&at("one"), &[example("anna"), example("carl")]);
        let two = part(&at("two"), &[example("бета"), example("anna")]);
        let store = Store::open(&at("all")).expect("a store");
        let merged = merge(&[one, two], &store, &Settings::default()).expect("merged");
        assert_eq!((merged.rows.len(), merged.notes), (3, Vec::new()));
        let book = fs::read_to_string(at("all").join("gradebook.csv")).expect("a gradebook");
        let names: Vec<&str> =
            book.lines().skip(2).filter_map(|line| line.split(',').next()).collect();
        assert_eq!(names, ["anna", "carl", "бета"]);
        assert!(store.result("carl").expect("readable").is_some());
    }

    #[test]
    fn results_that_contradict_each_other_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let one = part(&at("one"), &[example("anna")]);
        let mut other = example("anna");
        other.levels[0].files = "0".repeat(64);
        let two = part(&at("two"), &[other]);
        let mut judged = example("carl");
        judged.conditions.judge = "another".to_owned();
        let three = part(&at("three"), &[judged]);
        let store = Store::open(&at("all")).expect("a store");
        let refused = |parts: &[PathBuf]| {
            merge(parts, &store, &Settings::default()).expect_err("refused").to_string()
        };
        assert!(refused(&[one.clone(), two]).contains("`anna` has a result in"));
        assert!(refused(&[one.clone(), three]).contains("another version of the course"));
        assert!(refused(&[one, at("none")]).contains("has no results of a class"));
    }
}
