//! Which criteria somebody asks for.
use thiserror::Error;

use crate::catalog::{Criterion, Group, LEVELS, Level};

/// A criterion with its place in the catalog.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The level it belongs to.
    pub level: &'static Level,
    /// The group it belongs to.
    pub group: &'static Group,
    /// The criterion.
    pub criterion: &'static Criterion,
}

/// A name that the catalog does not know.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SelectError {
    /// Neither a level nor a group nor a criterion.
    #[error("there is no level, group or criterion `{name}`{}; `cargo grade list` names them all", did_you_mean(.nearest.as_deref()))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The name that looks most like it.
        nearest: Option<String>,
    },
    /// A level or group where one criterion is needed.
    #[error("`{name}` names {count} criteria and this command needs one, for example `{example}`")]
    NotOne {
        /// What was asked for.
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

/// All criteria, in the order of the course.
pub fn all() -> impl Iterator<Item = Entry> {
    LEVELS.iter().flat_map(|level| {
        level.groups.iter().flat_map(move |group| {
            group.criteria.iter().map(move |criterion| Entry { level, group, criterion })
        })
    })
}

/// The criteria that `names` ask for, in the order of the course and each once; all of them when no
/// name is given. A name is a level (`level2`), a group (`level2/race`) or a criterion's id.
///
/// # Errors
///
/// [`SelectError::Unknown`] for the first name that names nothing.
pub fn select(names: &[String]) -> Result<Vec<Entry>, SelectError> {
    for name in names {
        if !all().any(|entry| covers(name, entry.criterion.id)) {
            return Err(SelectError::Unknown { name: name.clone(), nearest: nearest(name) });
        }
    }
    let wanted = |id: &str| names.is_empty() || names.iter().any(|name| covers(name, id));
    Ok(all().filter(|entry| wanted(entry.criterion.id)).collect())
}

/// The one criterion called `name`.
///
/// # Errors
///
/// [`SelectError::Unknown`], or [`SelectError::NotOne`] when the name is a level or a group.
pub fn one(name: &str) -> Result<Entry, SelectError> {
    let found = select(&[name.to_owned()])?;
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

/// Whether `name` is the id or a whole part of its beginning.
fn covers(name: &str, id: &str) -> bool {
    let name = name.trim_end_matches('/');
    id.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        && !name.is_empty()
}

fn nearest(name: &str) -> Option<String> {
    let names = all().flat_map(|entry| {
        let group = format!("{}/{}", entry.level.name, entry.group.name);
        [entry.level.name.to_owned(), group, entry.criterion.id.to_owned()]
    });
    // Somebody who leaves the level or the group out still means the whole id.
    let ends = |full: &String| full.rsplit('/').next() == Some(name);
    let closest = |full: &String| strsim::jaro_winkler(name, full);
    let mut names: Vec<String> = names.collect();
    if let Some(full) = names.iter().find(|full| ends(full)) {
        return Some(full.clone());
    }
    names.sort_by(|a, b| closest(b).total_cmp(&closest(a)));
    names.into_iter().next().filter(|best| closest(best) > 0.75)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_covers_whole_parts_only() {
        assert!(covers("level2", "level2/race/returns-at-the-third"));
        assert!(covers("level2/race/", "level2/race/returns-at-the-third"));
        assert!(!covers("level2/rac", "level2/race/returns-at-the-third"));
        assert!(!covers("", "level2/race/returns-at-the-third"));
    }

    #[test]
    fn an_unknown_name_gets_a_suggestion() {
        let Err(SelectError::Unknown { nearest, .. }) = select(&["levl2".to_owned()]) else {
            panic!("levl2 is no level");
        };
        assert_eq!(nearest.as_deref(), Some("level2"));
    }

    #[test]
    fn ids_are_unique_and_name_their_level_and_group() {
        let mut ids = std::collections::BTreeSet::new();
        for entry in all() {
            let id = entry.criterion.id;
            assert!(ids.insert(id), "{id} stands twice in the catalog");
            let prefix = format!("{}/{}/", entry.level.name, entry.group.name);
            assert!(id.starts_with(&prefix), "{id} does not begin with {prefix}");
            assert!(entry.criterion.points > 0, "{id} is worth nothing");
            assert!((1..=3).contains(&entry.criterion.hints.len()), "{id}: one to three hints");
            assert!(!entry.criterion.read.is_empty(), "{id} names nothing to read");
            assert!(!entry.criterion.requirement.is_empty(), "{id} names no requirement");
        }
    }
}
