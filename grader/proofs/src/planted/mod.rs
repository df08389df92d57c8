//! A planted solution: what differs from the reference, and what the grader must say of it.
//!
//! A planted solution is a file (`NAME.toml`) or a folder (`NAME/`, with `about.toml` and files that take
//! the place of the reference's):
//!
//! ```toml
//! fails = ["level3/breaker/opens-at-the-fifth-failure"]
//! says = "after 4 failures in a row"
//! why = "Compares before it counts, with one less."
//!
//! [[edit]]
//! file = "src/breaker/core.rs"
//! item = "impl Failures / fn count"
//! find = "*count >= most.get()"
//! replace = "*count + 1 >= most.get()"
//! ```
//!
//! `fails` is the exact set of criteria that must fail (ids, exercises or levels); `says` must stand in what
//! the learner's message must contain for the first of them. A right solution has neither. [`edit`] says what an edit is,
//! [`items`] how an item is named; `remove` lists files to take away.
//!
//! Exact over which criteria? Over those about the modules that the solution changes
//! ([`criteria_of`](crate::batch::criteria_of)): what stands on a wrong module may fail with it. Trials ([`Exercise::trial`](grader::catalog::Exercise::trial)) fail for a
//! fault of any part, beside the criterion that is about it; which of them do, and at which seed,
//! says nothing about the grader. So a trial judges only the wrong solutions that name it: they have a fault
//! that the other criteria cannot see. A right solution is judged by every criterion.
//!
//! The same holds for a criterion that looks for races ([`Criterion::races`](grader::catalog::Criterion::races)):
//! it meets most faults at some interleavings only. It judges the wrong solutions that name nothing else, and
//! up to ten times, until it has met the fault.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use grader::catalog::{Kind, Level};
use grader::select::{SelectError, select};
use grader::submission::{Files, Finding, ReadError};
use thiserror::Error;

pub mod edit;
mod header;
pub mod items;
#[cfg(test)]
mod tests;
pub mod tokens;

use edit::{EditError, Reference};
use header::Header;

/// A planted solution.
#[derive(Debug, Clone)]
pub struct Planted {
    /// `level2/wrong/race-waits-for-all`.
    pub name: String,
    /// Criteria that must fail: exactly these.
    pub fails: Vec<&'static str>,
    /// Whether only criteria that look for races can find its fault.
    pub is_race: bool,
    /// Words that the message of the first of them must contain.
    pub says: Option<String>,
    /// What is wrong with it, or what is different.
    pub why: String,
    /// Of a solution of a round: whether a core or a bonus criterion has to catch it, by the clause that it breaks.
    pub breaks: Option<Kind>,
    header: Header,
    path: PathBuf,
}

/// A planted solution that cannot be used.
#[derive(Debug, Error)]
pub enum PlantedError {
    /// The system said no.
    #[error("cannot read {}: {source}", .path.display())]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The description is not as described above.
    #[error("{}: {what}", .path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// An edit does not fit the reference.
    #[error("{}: {source}", .path.display())]
    Edit {
        /// The file or folder of the planted solution.
        path: PathBuf,
        /// Why the edit does not fit.
        source: EditError,
    },
    /// It changes what it may not, or nothing.
    #[error("{}: {what}", .path.display())]
    Change {
        /// The file or folder of the planted solution.
        path: PathBuf,
        /// What is wrong with the change.
        what: String,
    },
    /// A name in `fails`.
    #[error("{}: {source}", .path.display())]
    Fails {
        /// The file.
        path: PathBuf,
        /// What is wrong with the name.
        source: SelectError,
    },
    /// A file of the folder, or of the reference.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// All planted solutions of a level, sorted by name, wrong ones first.
///
/// # Errors
///
/// [`PlantedError`] for the first one that cannot be used.
pub fn of_level(root: &Path, level: &Level) -> Result<Vec<Planted>, PlantedError> {
    let mut found = Vec::new();
    for kind in ["wrong", "right"] {
        let folder = root.join("grader/planted").join(level.name).join(kind);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            found.push(Planted::read(path, &format!("{}/{kind}", level.name), kind == "wrong")?);
        }
    }
    Ok(found)
}

/// Solutions that the proofs do not know yet, of `DIR/wrong` and `DIR/right`: none says what must fail.
///
/// # Errors
///
/// [`PlantedError`] for the first one that cannot be used, or when neither folder is there.
pub fn unknown(dir: &Path) -> Result<Vec<Planted>, PlantedError> {
    let mut found = Vec::new();
    for kind in ["wrong", "right"] {
        let folder = dir.join(kind);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            found.push(Planted::read(path, kind, false)?);
        }
    }
    if found.is_empty() {
        let what = "there are no solutions in `wrong` or `right` below it".to_owned();
        return Err(PlantedError::Header { path: dir.to_path_buf(), what });
    }
    Ok(found)
}

impl Planted {
    /// The reference as far as a row of a lesson goes: edits alone, and nothing that has to fail.
    ///
    /// # Errors
    ///
    /// [`PlantedError`] when it cannot be used.
    pub fn step(path: PathBuf, level: &Level) -> Result<Planted, PlantedError> {
        Planted::read(path, &format!("{}/steps", level.name), false)
    }

    fn read(path: PathBuf, prefix: &str, wrong: bool) -> Result<Planted, PlantedError> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let about = if path.is_dir() { path.join("about.toml") } else { path.clone() };
        let text = fs::read_to_string(&about)
            .map_err(|source| PlantedError::Io { path: about.clone(), source })?;
        let header = Header::read(&text, wrong)
            .map_err(|what| PlantedError::Header { path: about, what })?;
        let mut is_race = false;
        let fails = match header.fails.first() {
            None => Vec::new(),
            Some(first) => {
                let mut entries = select(&header.fails)
                    .map_err(|source| PlantedError::Fails { path: path.clone(), source })?;
                is_race = entries.iter().all(|entry| entry.criterion.races);
                // Beside others, a race proves nothing.
                entries.retain(|entry| is_race || !entry.criterion.races);
                let mut ids: Vec<&'static str> =
                    entries.iter().map(|entry| entry.criterion.id).collect();
                // The first that is named is the one that `says` is about.
                ids.sort_by_key(|id| !id.starts_with(first.as_str()));
                ids
            }
        };
        let name = format!("{prefix}/{name}");
        let (says, why, breaks) = (header.says.clone(), header.why.clone(), header.breaks);
        Ok(Planted { name, fails, is_race, says, why, breaks, header, path })
    }

    /// Whether it loses a whole level: it does not compile, or is refused before.
    #[must_use]
    pub fn loses_all(&self, level: &Level) -> bool {
        let criteria = level.exercises.iter().flat_map(|exercise| exercise.criteria);
        self.fails.len() >= criteria.filter(|criterion| !criterion.races).count()
    }

    /// The level's files with this solution in them.
    ///
    /// # Errors
    ///
    /// [`PlantedError`] when it does not fit the reference, touches the course's own files or changes
    /// nothing.
    pub fn files(&self, reference: &Reference, level: &Level) -> Result<Files, PlantedError> {
        let mut files = reference
            .edited(&self.header.edits)
            .map_err(|source| PlantedError::Edit { path: self.path.clone(), source })?;
        if self.path.is_dir() {
            PlantedFolder { path: &self.path }.lay(&mut files)?;
        }
        let wrong = |what| PlantedError::Change { path: self.path.clone(), what };
        for file in &self.header.remove {
            if files.get(file).is_none() {
                return Err(wrong(format!("there is no {file} to remove")));
            }
            files.remove(file);
        }
        let (files, findings) = files.over(reference.files(), level);
        match findings.into_iter().next() {
            Some(Finding::GivenChanged(file) | Finding::GivenMissing(file)) => {
                Err(wrong(format!("{file} is the course's own file")))
            }
            _ if files == *reference.files() => Err(wrong("it changes nothing".to_owned())),
            _ => Ok(files),
        }
    }
}

/// Replacement files in a folder.
struct PlantedFolder<'a> {
    path: &'a Path,
}

impl PlantedFolder<'_> {
    fn lay(&self, files: &mut Files) -> Result<(), PlantedError> {
        let mut open = vec![self.path.join("src")];
        while let Some(folder) = open.pop() {
            let io = |source| PlantedError::Io { path: folder.clone(), source };
            for entry in fs::read_dir(&folder).map_err(io)? {
                let path = entry.map_err(io)?.path();
                if path.is_dir() {
                    open.push(path);
                    continue;
                }
                let bytes = fs::read(&path).map_err(io)?;
                let relative = path.strip_prefix(self.path).unwrap_or(&path);
                let name: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
                files.insert(name.join("/"), bytes);
            }
        }
        Ok(())
    }
}
