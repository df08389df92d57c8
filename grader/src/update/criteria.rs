//! Which criteria a course has, read from its files: the newer course is not compiled yet.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use crate::starter::files::{self, FileError};

/// What is needed of `grader/criteria/LEVEL/EXERCISE.toml`; a newer format may have more.
#[derive(Debug, Default, Deserialize)]
struct Exercise {
    #[serde(default, rename = "criterion")]
    criteria: Vec<Criterion>,
}

#[derive(Debug, Deserialize)]
struct Criterion {
    name: String,
}

/// The ids of the criteria of the course at `root`. A file that cannot be understood has none.
pub(super) fn ids(root: &Path) -> Result<BTreeSet<String>, FileError> {
    let mut ids = BTreeSet::new();
    let all = root.join("grader/criteria");
    for level in folder(&all)?.iter().filter(|name| name.starts_with("level")) {
        for file in folder(&all.join(level))? {
            let Some(exercise) = file.strip_suffix(".toml") else { continue };
            let text = files::read(&all.join(level).join(&file))?.unwrap_or_default();
            let read: Exercise = toml::from_str(&text).unwrap_or_default();
            ids.extend(read.criteria.iter().map(|it| format!("{level}/{exercise}/{}", it.name)));
        }
    }
    Ok(ids)
}

/// What is needed of `grader/criteria/renamed.toml`.
#[derive(Debug, Default, Deserialize)]
struct Table {
    #[serde(default)]
    renamed: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    from: String,
    to: String,
}

/// The criteria that the course at `root` has renamed, the old id and the new one. A table that cannot be understood
/// has no row.
pub(super) fn renamed(root: &Path) -> Result<Vec<(String, String)>, FileError> {
    let text = files::read(&root.join("grader/criteria/renamed.toml"))?.unwrap_or_default();
    let table: Table = toml::from_str(&text).unwrap_or_default();
    Ok(table.renamed.into_iter().map(|row| (row.from, row.to)).collect())
}

/// How the criteria of one version differ from those of another one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Ids that are new.
    pub new: Vec<String>,
    /// Ids that are gone.
    pub gone: Vec<String>,
    /// The old id and the new one of each criterion that was renamed. Its progress is kept.
    pub renamed: Vec<(String, String)>,
}

/// Compares the ids of two versions; `table` is the newer one's.
pub(super) fn compare(
    old: &BTreeSet<String>,
    new: &BTreeSet<String>,
    table: Vec<(String, String)>,
) -> Changed {
    let mut renamed = table;
    renamed.retain(|(from, to)| old.contains(from) && !new.contains(from) && new.contains(to));
    let was = |id: &&String| !renamed.iter().any(|(from, _)| from == *id);
    // Two criteria may have become one, which the older version may have had already.
    let is = |id: &&String| !renamed.iter().any(|(_, to)| to == *id);
    Changed {
        new: new.difference(old).filter(is).cloned().collect(),
        gone: old.difference(new).filter(was).cloned().collect(),
        renamed,
    }
}

/// The names in a folder; none where there is no folder.
fn folder(path: &Path) -> Result<Vec<String>, FileError> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(FileError::new("read", path, cause)),
    };
    let names = entries.map(|entry| {
        let entry = entry.map_err(|cause| FileError::new("read", path, cause))?;
        Ok(entry.file_name().into_string().unwrap_or_default())
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_renamed_is_neither_new_nor_gone() {
        let ids = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let table = vec![pair("a/a/old", "a/a/new"), pair("a/a/older", "a/a/new"), pair("x", "y")];
        let found = compare(
            &ids(&["a/a/old", "a/a/stays", "a/a/goes"]),
            &ids(&["a/a/new", "a/a/stays", "a/a/comes"]),
            table,
        );
        let expected = Changed {
            new: vec!["a/a/comes".to_owned()],
            gone: vec!["a/a/goes".to_owned()],
            renamed: vec![pair("a/a/old", "a/a/new")],
        };
        assert_eq!(found, expected);
    }
}
