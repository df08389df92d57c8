//! What a lesson's "What to write" table promises: after each row the criteria of that row, and of those before it,
//! are met.
//!
//! `grader/planted/LEVEL/steps/EXERCISE-N.toml` makes of the reference what a learner has after row N: what later rows
//! write is `todo!()` or left out.

use std::fs;
use std::path::{Path, PathBuf};

use grader::catalog::{Exercise, Level};

use crate::planted::{Planted, PlantedError};

/// The reference as far as a row of a lesson's table goes.
#[derive(Debug)]
pub struct Step {
    /// The exercise of the lesson.
    pub exercise: &'static Exercise,
    /// How many rows of the table are written.
    pub rows: usize,
    /// The edits that take the later rows away.
    pub planted: Planted,
}

/// A step that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Its file cannot be read.
    #[error(transparent)]
    Planted(#[from] PlantedError),
    /// Its name is not that of an exercise and a row.
    #[error("{}: not named EXERCISE-N.toml after an exercise of {level}", .path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The level.
        level: &'static str,
    },
    /// The lesson has no such row.
    #[error("{}: the table in the lesson has {rows} rows", .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The rows of the table.
        rows: usize,
    },
    /// The lesson cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Lesson {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
}

/// The steps of a level, sorted by name.
///
/// # Errors
///
/// [`StepError`] for the first one that cannot be used.
pub fn of_level(root: &Path, level: &'static Level) -> Result<Vec<Step>, StepError> {
    let folder = root.join("grader/planted").join(level.name).join("steps");
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter().map(|path| Step::read(path, level)).collect()
}

impl Step {
    fn read(path: PathBuf, level: &'static Level) -> Result<Self, StepError> {
        let named = path.file_stem().and_then(|name| name.to_str()?.rsplit_once('-'));
        let found = named.and_then(|(exercise, rows)| {
            let exercise = level.exercises.iter().find(|known| known.name == exercise)?;
            Some((exercise, rows.parse().ok()?))
        });
        let Some((exercise, rows)) = found else {
            return Err(StepError::Name { path, level: level.name });
        };
        Ok(Self { exercise, rows, planted: Planted::step(path, level)? })
    }

    /// The names of the criteria that the written rows win, by the lesson of the exercise.
    ///
    /// # Errors
    ///
    /// [`StepError`] when the lesson cannot be read or has fewer rows.
    pub fn wins(&self, root: &Path, level: &Level) -> Result<Vec<String>, StepError> {
        let file = format!("{}.md", self.exercise.name.replace('-', "_"));
        let path = root.join(level.name).join("lessons").join(file);
        let text = fs::read_to_string(&path)
            .map_err(|source| StepError::Lesson { path: path.clone(), source })?;
        let rows = grader_criteria::lesson::rows(&text);
        if self.rows > rows.len() {
            return Err(StepError::Row { path, rows: rows.len() });
        }
        Ok(rows.into_iter().take(self.rows).flat_map(|row| row.wins).collect())
    }
}
