//! Which exercise a saved file belongs to.
use std::collections::BTreeSet;
use std::path::{Component, Path};

use crate::catalog::{Level, module_of};

/// What saved files call for: full names of exercises or levels, as [`select`](crate::select::select)
/// takes them. At most one for each level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// `level2/race`, or `level2` when the files belong to several exercises or to none.
    pub names: BTreeSet<String>,
}

/// What the saved `files` call for; the paths are relative to the workspace. Files that are not Rust sources
/// of `levels` call for nothing.
#[must_use]
pub fn touched<'a>(files: impl IntoIterator<Item = &'a Path>, levels: &[&Level]) -> Touched {
    let mut found: BTreeSet<(&str, Option<&str>)> = BTreeSet::new();
    for file in files {
        let parts: Vec<&str> = file.components().filter_map(text).collect();
        let [level, "src", module, ..] = parts.as_slice() else { continue };
        let rust = file.extension().is_some_and(|kind| kind == "rs");
        let Some(level) = levels.iter().find(|it| rust && it.name == *level) else { continue };
        let module = module.strip_suffix(".rs").unwrap_or(module);
        found.insert((level.name, exercise_of(level, module)));
    }
    let mut names = BTreeSet::new();
    for level in levels {
        let of_level: Vec<_> = found.iter().filter(|(name, _)| *name == level.name).collect();
        match of_level.as_slice() {
            [] => {}
            [(name, Some(exercise))] => {
                names.insert(format!("{name}/{exercise}"));
            }
            _ => {
                names.insert(level.name.to_owned());
            }
        }
    }
    Touched { names }
}

/// The only exercise that is written in a module.
fn exercise_of(level: &Level, module: &str) -> Option<&'static str> {
    let mut found = level.exercises.iter().filter(|exercise| module_of(exercise.file) == module);
    match (found.next(), found.next()) {
        (Some(one), None) => Some(one.name),
        _ => None,
    }
}

fn text(component: Component<'_>) -> Option<&str> {
    match component {
        Component::Normal(part) => part.to_str(),
        _ => None,
    }
}
