//! What of a level is built.
use std::fmt;

use crate::catalog::{Exercise, LEVELS, Level};
use crate::select::Entry;

/// A level's check binary: for all its criteria, or for those of one exercise.
///
/// The smaller binary is what makes the way from an edit to its verdict short. Those of several
/// exercises share their fakes and the link, so a selection of more than one builds the level.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The level.
    pub level: &'static Level,
    /// The only exercise whose criteria are judged; `None` for all.
    pub exercise: Option<&'static Exercise>,
}

impl Part {
    /// What judging `entries` needs, in the order of the course.
    #[must_use]
    pub fn of(entries: &[Entry]) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for entry in entries {
            let (level, exercise) = (entry.level, entry.exercise);
            match parts.iter_mut().find(|part| part.level.name == level.name) {
                None => parts.push(Part { level, exercise: Some(exercise) }),
                Some(part) if part.exercise.is_some_and(|only| only.name == exercise.name) => {}
                Some(part) => part.exercise = None,
            }
        }
        parts
    }

    /// The level with all its criteria.
    #[must_use]
    pub fn whole(self) -> Part {
        Part { exercise: None, ..self }
    }

    /// The package, and the binary, that judges the level.
    pub(super) fn package(&self) -> String {
        package(self.level)
    }

    /// The package's feature that adds the part's criteria.
    pub(super) fn feature(&self) -> String {
        format!("{}/{}", self.package(), self.exercise.map_or("default", |only| only.name))
    }

    /// How the part's own copy of the binary is called: cargo gives all of them one name.
    pub(super) fn file_name(&self) -> String {
        match self.exercise {
            None => self.package(),
            Some(only) => format!("{}-{}", self.package(), only.name),
        }
    }
}

/// The full name: `level2`, or `level2/race`.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exercise {
            None => f.write_str(self.level.name),
            Some(only) => write!(f, "{}/{}", self.level.name, only.name),
        }
    }
}

/// The check packages of all levels.
///
/// Cargo settles the features of dependencies for the packages that it is told. It is told all of
/// them, whatever is built, so that no selection builds a dependency a second time.
pub(super) fn all_packages() -> impl Iterator<Item = String> {
    LEVELS.iter().map(|level| package(level))
}

fn package(level: &Level) -> String {
    format!("check-{}", level.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::select;

    #[track_caller]
    fn needs(names: &[&str], parts: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let found = Part::of(&select(&names).expect("names of the catalog"));
        let found: Vec<String> = found.iter().map(Part::file_name).collect();
        assert_eq!(found, parts);
    }

    #[test]
    fn one_exercise_needs_its_own_checks_only() {
        needs(&["level2/race"], &["check-level2-race"]);
        needs(&["level2/race/returns-at-the-third"], &["check-level2-race"]);
        needs(&["level3/retry", "level2/race"], &["check-level2-race", "check-level3-retry"]);
    }

    #[test]
    fn several_exercises_need_the_level() {
        needs(&["level2/race", "level2/any"], &["check-level2"]);
        needs(&["level2", "level3/retry"], &["check-level2", "check-level3-retry"]);
    }
}
