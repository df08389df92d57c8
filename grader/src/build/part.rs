//! What of a level is built.
use std::fmt;

use crate::catalog::{Exercise, LEVELS, Level};
use crate::select::Entry;

/// A level's check binary: for all its criteria, or for those of some exercises.
///
/// The smaller binary is what makes the way from an edit to its verdict short.
#[derive(Debug, Clone)]
pub struct Part {
    /// The level.
    pub level: &'static Level,
    /// The exercises whose criteria are judged; empty for all.
    pub exercises: Vec<&'static Exercise>,
}

/// How much of a level is built for the criteria of some of its exercises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Breadth {
    /// One exercise alone, and the level for more: exercises share their fakes and the link, and a run of
    /// several is mostly one of the level.
    #[default]
    OneOrAll,
    /// The level. A series of builds that judge now this exercise, now that one, shares one incremental build.
    All,
    /// These exercises. For many judgements by one build.
    Exact,
}

impl Part {
    /// What judging `entries` needs, in the order of the course.
    #[must_use]
    pub fn of(entries: &[Entry], breadth: Breadth) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for entry in entries {
            let (level, exercise) = (entry.level, entry.exercise);
            match parts.iter_mut().find(|part| part.level.name == level.name) {
                None => parts.push(Part { level, exercises: vec![exercise] }),
                Some(part) if part.exercises.iter().any(|it| it.name == exercise.name) => {}
                Some(part) => part.exercises.push(exercise),
            }
        }
        for part in &mut parts {
            let whole = match breadth {
                Breadth::OneOrAll => part.exercises.len() > 1,
                Breadth::All => true,
                Breadth::Exact => false,
            };
            if whole {
                part.exercises.clear();
            }
        }
        parts
    }

    /// The level with all its criteria.
    #[must_use]
    pub fn whole(level: &'static Level) -> Part {
        Part { level, exercises: Vec::new() }
    }

    /// The package, and the binary, that judges the level.
    pub(super) fn package(&self) -> String {
        package(self.level)
    }

    /// The package's features that add the part's criteria, as cargo's `--features` takes them.
    pub(super) fn features(&self) -> String {
        let package = self.package();
        if self.exercises.is_empty() {
            return format!("{package}/default");
        }
        let features = self.exercises.iter().map(|it| format!("{package}/{}", it.name));
        features.collect::<Vec<_>>().join(",")
    }

    /// How the part's own copy of the binary is called: cargo gives all of them one name.
    pub(super) fn file_name(&self) -> String {
        match self.exercises.as_slice() {
            [] => self.package(),
            [only] => format!("{}-{}", self.package(), only.name),
            _ => format!("{}-some", self.package()),
        }
    }
}

/// The full name: `level2`, `level2/race`, or `level2/race, level2/any`.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.level.name;
        match self.exercises.split_first() {
            None => f.write_str(level),
            Some((first, rest)) => {
                write!(f, "{level}/{}", first.name)?;
                rest.iter().try_for_each(|it| write!(f, ", {level}/{}", it.name))
            }
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
        needs_by(Breadth::OneOrAll, names, parts);
    }

    #[track_caller]
    fn needs_by(breadth: Breadth, names: &[&str], parts: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let found = Part::of(&select(&names).expect("names of the catalog"), breadth);
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

    #[test]
    fn a_level_or_exactly_what_is_judged_can_be_asked_for() {
        needs_by(Breadth::All, &["level2/race"], &["check-level2"]);
        needs_by(Breadth::Exact, &["level2/race", "level2/any"], &["check-level2-some"]);
        let names = ["level2/race".to_owned(), "level2/any".to_owned()];
        let parts = Part::of(&select(&names).expect("exercises"), Breadth::Exact);
        assert_eq!(parts[0].features(), "check-level2/race,check-level2/any");
        assert_eq!(parts[0].to_string(), "level2/race, level2/any");
    }
}
