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
