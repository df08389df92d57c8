//! Which criteria the learner asks for.
use std::collections::BTreeSet;

use thiserror::Error;

use crate::catalog::{Criterion, Exercise, LEVELS, Level, current_id};

/// A criterion with its place in the catalog.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The level it belongs to.
    pub level: &'static Level,
    /// The exercise it belongs to.
    pub exercise: &'static Exercise,
    /// The criterion.
    pub criterion: &'static Criterion,
}

/// A name that the catalog does not know, or that is not clear enough.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SelectError {
    /// Neither a level nor an exercise nor a criterion.
    #[error("there is no level, exercise or criterion `{name}`{}; `cargo grade list` names them all", did_you_mean(.nearest.as_deref()))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The name that looks most like it.
        nearest: Option<String>,
    },
    /// A short name that several exercises or criteria end with.
    #[error("`{name}` may be {}: type one of them", .candidates.join(" or "))]
    Ambiguous {
        /// The name that was asked for.
        name: String,
        /// The full names.
        candidates: Vec<String>,
    },
    /// A level or an exercise where one criterion is needed.
    #[error("`{name}` names {count} criteria and this command needs one, for example `{example}`")]
    NotOne {
        /// The name that was asked for.
        name: String,
        /// How many criteria it names.
        count: usize,
        /// One of them.
        example: &'static str,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

/// The names of the levels whose starter is under way: a short name means them first.
pub type Started = BTreeSet<String>;

/// All criteria, in the order of the course.
pub fn all() -> impl Iterator<Item = Entry> {
    LEVELS.iter().flat_map(|level| {
        level.exercises.iter().flat_map(move |exercise| {
            exercise.criteria.iter().map(move |criterion| Entry { level, exercise, criterion })
        })
    })
}

/// The criteria that `names` ask for, in the order of the course and each once; all of them when no
/// name is given. Names are read as [`full_name`] reads them where no level is started.
///
/// # Errors
///
/// The [`SelectError`] of the first name that is not clear.
pub fn select(names: &[String]) -> Result<Vec<Entry>, SelectError> {
    let none = Started::new();
    let full = names.iter().map(|name| full_name(name, &none)).collect::<Result<Vec<_>, _>>()?;
    let wanted = |id: &str| full.is_empty() || full.iter().any(|name| covers(name, id));
    Ok(all().filter(|entry| wanted(entry.criterion.id)).collect())
}

/// The full form of a name: a level (`level2`), an exercise (`level2/race`) or a criterion's id.
///
/// `_` counts as `-`. A name that is not full may be the end of one: the name of an exercise (`race`)
/// or, where no exercise is called so, the last part or parts of an id (`returns-at-the-third`). If
/// several full names end so, those of the `started` levels are meant. The id that a criterion had before it was
/// renamed names it too.
///
/// # Errors
///
/// [`SelectError::Unknown`] and [`SelectError::Ambiguous`].
pub fn full_name(name: &str, started: &Started) -> Result<String, SelectError> {
    let wanted = normal(name);
    let wanted = current_id(&wanted).to_owned();
    if all().any(|entry| covers(&wanted, entry.criterion.id)) {
        return Ok(wanted);
    }
    let found = match pick(name, exercises(), started)? {
        Some(exercise) => Some(exercise),
        None => pick(name, ids(), started)?,
    };
    found.ok_or_else(|| SelectError::Unknown { name: name.to_owned(), nearest: nearest(&wanted) })
}

/// The one criterion called `name`: an id, or its last part or parts, as [`full_name`] reads them.
///
/// # Errors
///
/// Those of [`full_name`], and [`SelectError::NotOne`] when the name is a level or an exercise.
pub fn one(name: &str, started: &Started) -> Result<Entry, SelectError> {
    let full = full_name(name, started)?;
    let found: Vec<Entry> = all().filter(|entry| covers(&full, entry.criterion.id)).collect();
    match found.as_slice() {
        [entry] => Ok(*entry),
        [first, ..] => Err(SelectError::NotOne {
            name: name.to_owned(),
            count: found.len(),
            example: first.criterion.id,
        }),
        [] => Err(SelectError::Unknown { name: name.to_owned(), nearest: None }),
    }
}

/// The exercise called `name`, in full or by its last part; `None` where the name is something else.
///
/// # Errors
///
/// [`SelectError::Ambiguous`] when exercises of several levels are called so.
pub fn exercise(
    name: &str,
    started: &Started,
) -> Result<Option<(&'static Level, &'static Exercise)>, SelectError> {
    let full = pick(name, exercises(), started)?;
    let found = full.and_then(|full| {
        all().find(|entry| format!("{}/{}", entry.level.name, entry.exercise.name) == full)
    });
    Ok(found.map(|entry| (entry.level, entry.exercise)))
}

fn normal(name: &str) -> String {
    name.trim_end_matches('/').replace('_', "-")
}

fn exercises() -> impl Iterator<Item = String> {
    LEVELS.iter().flat_map(|level| {
        level.exercises.iter().map(move |exercise| format!("{}/{}", level.name, exercise.name))
    })
}

fn ids() -> impl Iterator<Item = String> {
    all().map(|entry| entry.criterion.id.to_owned())
}

/// The one full name that ends with `name`; of several, the one in a started level.
fn pick(
    name: &str,
    full_names: impl Iterator<Item = String>,
    started: &Started,
) -> Result<Option<String>, SelectError> {
    let wanted = normal(name);
    let ends = |full: &String| {
        full.strip_suffix(&wanted).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    let mut candidates: Vec<String> = full_names.filter(ends).collect();
    let in_started =
        |full: &String| full.split('/').next().is_some_and(|level| started.contains(level));
    if candidates.len() > 1 && candidates.iter().any(in_started) {
        candidates.retain(in_started);
    }
    if candidates.len() > 1 {
        return Err(SelectError::Ambiguous { name: name.to_owned(), candidates });
    }
    Ok(candidates.pop())
}

/// Whether the full name `name` is the id or a whole part of its beginning.
fn covers(name: &str, id: &str) -> bool {
    id.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        && !name.is_empty()
}

/// The full name that looks most like `name`, or whose last part does.
fn nearest(name: &str) -> Option<String> {
    let levels = LEVELS.iter().map(|level| level.name.to_owned());
    let alike = |full: &String| {
        let last = full.rsplit('/').next().unwrap_or(full);
        strsim::jaro_winkler(name, full).max(strsim::jaro_winkler(name, last))
    };
    let mut names: Vec<String> = levels.chain(exercises()).chain(ids()).collect();
    // A stable sort: of equally alike names an exercise comes before a criterion.
    names.sort_by(|a, b| alike(b).total_cmp(&alike(a)));
    names.into_iter().next().filter(|best| alike(best) > 0.75)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(levels: &[&str]) -> Started {
        levels.iter().map(|level| (*level).to_owned()).collect()
    }

    #[track_caller]
    fn means(name: &str, levels: &[&str], full: &str) {
        assert_eq!(full_name(name, &started(levels)).as_deref(), Ok(full), "{name}");
    }

    #[test]
    fn a_name_covers_whole_parts_only() {
        assert!(covers("level2", "level2/race/returns-at-the-third"));
        assert!(covers("level2/race", "level2/race/returns-at-the-third"));
        assert!(!covers("level2/rac", "level2/race/returns-at-the-third"));
        assert!(!covers("", "level2/race/returns-at-the-third"));
    }

    #[test]
    fn a_full_name_means_itself_with_either_sign_between_its_words() {
        means("level2", &[], "level2");
        means("level2/race/", &[], "level2/race");
        means("level2/all_settled", &[], "level2/all-settled");
        means("level2/all_settled/contains_panics", &[], "level2/all-settled/contains-panics");
    }

    #[test]
    fn the_end_of_a_name_is_enough() {
        means("returns-at-the-third", &[], "level2/race/returns-at-the-third");
        means("race/returns_at_the_third", &[], "level2/race/returns-at-the-third");
        means("all_settled", &[], "level2/all-settled");
        // A criterion of level 1 is called so, too: a short name is an exercise's first.
        means("race", &["level1"], "level2/race");
        let third = one("returns_at_the_third", &started(&[])).expect("one criterion");
        assert_eq!(third.criterion.id, "level2/race/returns-at-the-third");
        // Also where one criterion is needed.
        assert!(matches!(one("race", &started(&[])), Err(SelectError::NotOne { .. })));
    }

    #[test]
    fn a_short_name_means_the_level_that_is_under_way() {
        means("deadline", &["level2"], "level2/deadline");
        means("deadline", &["level3"], "level3/deadline");
        for levels in [&[][..], &["level1"], &["level2", "level3"]] {
            let Err(SelectError::Ambiguous { candidates, .. }) =
                full_name("deadline", &started(levels))
            else {
                panic!("`deadline` is in two levels");
            };
            assert_eq!(candidates, ["level2/deadline", "level3/deadline"]);
        }
    }

    #[test]
    fn an_exercise_goes_before_a_criterion_of_its_name() {
        // `level3/models/limiter` is a criterion.
        assert!(matches!(one("limiter", &started(&["level3"])), Err(SelectError::NotOne { .. })));
        let model = one("models/limiter", &started(&["level3"])).expect("a criterion");
        assert_eq!(model.criterion.id, "level3/models/limiter");
    }

    #[test]
    fn an_unknown_name_gets_a_suggestion() {
        for (name, meant) in [("levl2", "level2"), ("all-setled", "level2/all-settled")] {
            let Err(SelectError::Unknown { nearest, .. }) = full_name(name, &started(&[])) else {
                panic!("{name} is no name");
            };
            assert_eq!(nearest.as_deref(), Some(meant));
        }
        assert!(full_name("/", &started(&[])).is_err());
    }
}
