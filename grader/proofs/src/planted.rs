//! A planted solution: what differs from the reference, and what the grader must say of it.
//!
//! A planted solution is a patch (`NAME.patch`, a unified diff against the reference below a header)
//! or a folder (`NAME/`, files that take the place of the reference's, with the header in
//! `about.txt`). The header:
//!
//! ```text
//! Fails: level2/race/returns-at-the-third
//! Says: returned at 600 ms
//! Why: waits for all five; the assignment's own race.js does.
//! ```
//!
//! `Fails` is the exact set of criteria that must fail (ids or whole prefixes, separated by commas);
//! `Says` must stand in what the learner is told for the first of them. A right solution has only a
//! `Why`.
//!
//! Exact over which criteria? Trials ([`Exercise::trial`](grader::catalog::Exercise::trial)) fail for a
//! fault of any part, beside the criterion that is about it; which of them do, and at which seed,
//! says nothing about the grader. So a wrong solution that names no trial is judged by all criteria
//! but the trials. One that names a trial is judged by every criterion: it has a fault that the
//! others cannot see. A right solution is judged by every criterion.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use grader::catalog::Level;
use grader::select::{Entry, SelectError, select};
use grader::submission::{Files, Finding, ReadError};
use thiserror::Error;

/// A planted solution.
#[derive(Debug, Clone)]
pub struct Planted {
    /// `level2/wrong/race-waits-for-all`.
    pub name: String,
    /// Criteria that must fail: exactly these.
    pub fails: Vec<&'static str>,
    /// What the learner must be told, in the first of them.
    pub says: Option<String>,
    /// What is wrong with it, or what is different.
    pub why: String,
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
    /// The header is not as described above.
    #[error("{}: {what}", .path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The patch does not fit the reference.
    #[error("{}: {what}; make it anew with `git diff`", .path.display())]
    Patch {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// A name in `Fails`.
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

impl Planted {
    fn read(path: PathBuf, prefix: &str, wrong: bool) -> Result<Planted, PlantedError> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let header = if path.is_dir() { path.join("about.txt") } else { path.clone() };
        let text = fs::read_to_string(&header)
            .map_err(|source| PlantedError::Io { path: header.clone(), source })?;
        let malformed =
            |what: &str| PlantedError::Header { path: header.clone(), what: what.to_owned() };
        let mut fields: Vec<(&str, String)> = Vec::new();
        for line in text.lines().take_while(|line| !is_diff(line)) {
            match line.split_once(": ") {
                Some((key @ ("Fails" | "Says" | "Why"), value)) => {
                    fields.push((key, value.trim().to_owned()));
                }
                // a text that goes on
                _ => match fields.last_mut() {
                    Some((_, value)) => {
                        *value = format!("{value} {}", line.trim()).trim().to_owned()
                    }
                    None if line.trim().is_empty() => {}
                    None => return Err(malformed("begins with neither Fails, Says nor Why")),
                },
            }
        }
        let field = |wanted: &str| {
            fields.iter().find(|(key, _)| *key == wanted).map(|(_, value)| value.clone())
        };
        let why = field("Why").ok_or_else(|| malformed("has no `Why: `"))?;
        let (fails, says) = (field("Fails"), field("Says"));
        if wrong != fails.is_some() || wrong != says.is_some() {
            return Err(malformed(if wrong {
                "a wrong solution needs `Fails: ` and `Says: `"
            } else {
                "a right solution has neither `Fails: ` nor `Says: `"
            }));
        }
        let names: Vec<String> = fails
            .iter()
            .flat_map(|names| names.split(','))
            .map(|name| name.trim().trim_end_matches("/*").to_owned())
            .collect();
        let fails = if names.is_empty() {
            Vec::new()
        } else {
            let first = names.first().cloned().unwrap_or_default();
            let mut ids: Vec<&'static str> = select(&names)
                .map_err(|source| PlantedError::Fails { path: path.clone(), source })?
                .iter()
                .map(|entry| entry.criterion.id)
                .collect();
            // The first that is named is the one that `Says` is about.
            ids.sort_by_key(|id| !id.starts_with(first.as_str()));
            ids
        };
        Ok(Planted { name: format!("{prefix}/{name}"), fails, says, why, path })
    }

    /// The criteria that judge this solution, by the rule above.
    ///
    /// # Errors
    ///
    /// [`SelectError`] when the catalog does not have the level.
    pub fn judges(&self, level: &Level) -> Result<Vec<Entry>, SelectError> {
        let mut entries = select(&[level.name.to_owned()])?;
        let named = |entry: &Entry| self.fails.contains(&entry.criterion.id);
        let by_trials = self.fails.is_empty()
            || entries.iter().any(|entry| entry.exercise.trial && named(entry));
        entries.retain(|entry| by_trials || !entry.exercise.trial);
        Ok(entries)
    }

    /// The level's files with this solution in them.
    ///
    /// # Errors
    ///
    /// [`PlantedError`] when it does not fit the reference, or touches the course's own files.
    pub fn files(&self, reference: &Files, level: &Level) -> Result<Files, PlantedError> {
        let mut files = reference.clone();
        if self.path.is_dir() {
            let folder = PlantedFolder { path: &self.path };
            folder.lay(&mut files)?;
        } else {
            let text = fs::read_to_string(&self.path)
                .map_err(|source| PlantedError::Io { path: self.path.clone(), source })?;
            self.patch(&text, level, &mut files)?;
        }
        let (files, findings) = files.over(reference, level);
        match findings.into_iter().next() {
            Some(Finding::GivenChanged(file) | Finding::GivenMissing(file)) => {
                Err(self.misfit(format!("{file} is the course's own file")))
            }
            _ => Ok(files),
        }
    }

    fn misfit(&self, what: String) -> PlantedError {
        PlantedError::Patch { path: self.path.clone(), what }
    }

    /// Applies the patch file by file.
    fn patch(&self, text: &str, level: &Level, files: &mut Files) -> Result<(), PlantedError> {
        let prefix = format!("{}/", level.name);
        for part in parts(text) {
            let patch = diffy::Patch::from_str(&part).map_err(|e| self.misfit(e.to_string()))?;
            let name = |side: Option<&str>| {
                let name = side?.split_once('/')?.1;
                name.strip_prefix(&prefix).map(str::to_owned)
            };
            let (old, new) = (name(patch.original()), name(patch.modified()));
            let base = match &old {
                Some(path) => {
                    let bytes = files.get(path);
                    let bytes = bytes.ok_or_else(|| self.misfit(format!("there is no {path}")))?;
                    String::from_utf8_lossy(bytes).into_owned()
                }
                None => String::new(),
            };
            let patched = diffy::apply(&base, &patch)
                .map_err(|e| self.misfit(format!("{}: {e}", old.as_deref().unwrap_or("?"))))?;
            if let Some(old) = &old {
                files.remove(old);
            }
            match (new, old) {
                (Some(new), _) => files.insert(new, patched),
                (None, Some(_)) => {} // the patch removes it
                (None, None) => {
                    return Err(self.misfit(format!("a part touches no file of {prefix}")));
                }
            }
        }
        Ok(())
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

fn is_diff(line: &str) -> bool {
    line.starts_with("diff --git ") || line.starts_with("--- ")
}

/// The patch of each file, from its `---` line on.
fn parts(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut within = false;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for (nr, line) in lines.iter().enumerate() {
        let opens = line.starts_with("--- ")
            && lines.get(nr + 1).is_some_and(|next| next.starts_with("+++ "));
        if opens {
            parts.push(String::new());
            within = true;
        } else if line.starts_with("diff --git ") {
            within = false;
        }
        if let (true, Some(part)) = (within, parts.last_mut()) {
            part.push_str(line);
        }
    }
    parts
}
