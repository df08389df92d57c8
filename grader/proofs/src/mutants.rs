//! Mutants of the exercises, made by cargo-mutants and judged by the grader alone.
//!
//! What the grader lets live, it would let a learner get wrong. The course's own files are left out; they
//! have tests of their own. Mutants share builds as planted solutions do (see [`schemata`](crate::schemata)). A mutant is judged first by the criteria of its own module, then by all others
//! that can see it, the trials last: each step begins only if the mutant lives.
use std::collections::BTreeSet;

use grader::catalog::{Level, module_of};
use grader::report::{Report, Status};
use grader::select::{Entry, select};
use grader::submission::Files;
use serde::Deserialize;
use thiserror::Error;

use crate::changed::Changed;
use crate::influence::Influence;
use crate::prove::{Bench, Failure};
use crate::schemata::Schema;

/// One change of a level's source.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// The file and what is changed, without the line, which moves with every edit.
    pub name: String,
    /// The line and column as cargo-mutants prints them: `level3/src/deadline.rs:20:9`.
    pub place: String,
    /// The file, relative to the level's folder.
    file: String,
    span: Span,
    replacement: String,
}

/// What the grader says of a mutant.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// A criterion fails: its id.
    Caught(String),
    /// The mutant does not compile.
    Unviable,
    /// Every criterion passes.
    Lives,
}

/// A list of mutants that does not fit the sources.
#[derive(Debug, Error)]
pub enum MutantError {
    /// What cargo-mutants printed is not the list that its version 27 prints.
    #[error("cannot read what cargo-mutants lists: {0}")]
    List(#[from] serde_json::Error),
    /// The sources have changed since the list was made.
    #[error("{0} is not where cargo-mutants has found it: list the mutants again")]
    Moved(String),
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Span {
    start: Position,
    end: Position,
}

/// Line and column, both counted from 1; a column is a character.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Position {
    line: usize,
    column: usize,
}

/// A mutant as `cargo mutants --list --json` prints it.
#[derive(Debug, Deserialize)]
struct Listed {
    file: String,
    name: String,
    replacement: String,
    span: Span,
}

impl Mutant {
    /// Reads the output of `cargo mutants --list --json` for a level.
    ///
    /// # Errors
    ///
    /// [`MutantError::List`].
    pub fn read(json: &[u8], level: &Level) -> Result<Vec<Mutant>, MutantError> {
        let listed: Vec<Listed> = serde_json::from_slice(json)?;
        let own = format!("{}/", level.name);
        let mutants = listed.into_iter().filter_map(|Listed { file, name, replacement, span }| {
            let (place, what) = name.split_once(": ").unwrap_or(("", &name));
            let (name, place) = (format!("{file}: {what}"), place.to_owned());
            let file = file.strip_prefix(&own)?.to_owned();
            Some(Mutant { name, place, file, span, replacement })
        });
        Ok(mutants.collect())
    }

    /// The level's files with the change in them.
    ///
    /// # Errors
    ///
    /// [`MutantError::Moved`].
    pub fn lay(&self, reference: &Files) -> Result<Files, MutantError> {
        let moved = || MutantError::Moved(self.place.clone());
        let text = reference.get(&self.file).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let text = text.ok_or_else(moved)?;
        let start = offset(text, self.span.start).ok_or_else(moved)?;
        let end = offset(text, self.span.end).filter(|end| *end >= start).ok_or_else(moved)?;
        let changed = format!("{}{}{}", &text[..start], self.replacement, &text[end..]);
        let mut files = reference.clone();
        files.insert(self.file.clone(), changed.into_bytes());
        Ok(files)
    }

    /// Judges the mutant alone.
    ///
    /// # Errors
    ///
    /// When it cannot be laid out or cargo cannot run.
    pub fn judge(
        &self,
        bench: &Bench,
        level: &Level,
        influence: &Influence,
    ) -> Result<Fate, Failure> {
        let files = self.lay(&bench.reference(level)?)?;
        self.fate(level, influence, |entries| bench.grade_by(entries, level, &files))
    }

    /// Judges the mutant at a place of a schema, which holds it.
    ///
    /// # Errors
    ///
    /// When the schema does not hold it, or the system refuses a file.
    pub fn judge_in(
        &self,
        schema: &mut Schema<'_>,
        at: usize,
        changed: &Changed,
        level: &Level,
        influence: &Influence,
    ) -> Result<Fate, Failure> {
        self.fate(level, influence, |entries| schema.judge(at, changed, entries))
    }

    fn fate(
        &self,
        level: &Level,
        influence: &Influence,
        mut grade: impl FnMut(&[Entry]) -> Result<Report, Failure>,
    ) -> Result<Fate, Failure> {
        for entries in steps(module_of(&self.file), level, influence)? {
            if entries.is_empty() {
                continue;
            }
            let report = grade(&entries)?;
            if report.levels.iter().any(|level| level.broken.is_some()) {
                return Ok(Fate::Unviable);
            }
            if let Some(first) = report.criteria().find(|it| it.status != Status::Passed) {
                return Ok(Fate::Caught(first.id.to_owned()));
            }
        }
        Ok(Fate::Lives)
    }
}

/// The criteria that can see a module, in the order in which they judge its mutants.
fn steps(module: &str, level: &Level, influence: &Influence) -> Result<[Vec<Entry>; 3], Failure> {
    let mut all = select(&[level.name.to_owned()])?;
    all.retain(|entry| influence.sees(entry.exercise.name, module));
    let (trials, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.exercise.trial);
    let of_module: BTreeSet<&str> = rest
        .iter()
        .filter(|entry| module_of(entry.criterion.file) == module)
        .map(|entry| entry.exercise.name)
        .collect();
    let (own, others) = rest.into_iter().partition(|it| of_module.contains(it.exercise.name));
    Ok([own, others, trials])
}

fn offset(text: &str, position: Position) -> Option<usize> {
    let line = position.line.checked_sub(1)?;
    let mut start = 0;
    for skipped in text.split_inclusive('\n').take(line) {
        start += skipped.len();
    }
    let column = position.column.checked_sub(1)?;
    let rest = text.get(start..)?;
    let within = rest.char_indices().map(|(at, _)| at).chain([rest.len()]).nth(column)?;
    Some(start + within)
}

#[cfg(test)]
mod tests {
    use grader::catalog::LEVELS;

    use super::*;

    const LISTED: &str = r#"[{"file": "level1/src/a.rs", "name": "level1/src/a.rs:2:5: replace + with -",
        "replacement": "-", "span": {"start": {"line": 2, "column": 7}, "end": {"line": 2, "column": 8}}}]"#;

    fn files(text: &str) -> Files {
        let mut files = Files::default();
        files.insert("src/a.rs".to_owned(), text.as_bytes().to_vec());
        files
    }

    #[test]
    fn a_mutant_changes_its_span() {
        let [mutant] = &Mutant::read(LISTED.as_bytes(), LEVELS[0]).expect("a list")[..] else {
            panic!("one mutant")
        };
        assert_eq!(mutant.name, "level1/src/a.rs: replace + with -");
        let changed = mutant.lay(&files("fn f() {\n    ä + b\n}\n")).expect("it fits");
        assert_eq!(changed, files("fn f() {\n    ä - b\n}\n"));
    }

    #[test]
    fn a_mutant_of_other_sources_is_refused() {
        let mutants = Mutant::read(LISTED.as_bytes(), LEVELS[0]).expect("a list");
        let why = mutants[0].lay(&files("fn f() {}")).expect_err("there is no second line");
        assert!(why.to_string().contains("level1/src/a.rs:2:5"), "{why}");
    }
}
