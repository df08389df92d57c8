//! Which criteria can see a change of a file.
//!
//! A module of a level sees those that its path names lead to, and what they see. The criteria of an exercise see
//! what their check names, and what that sees. The names are read from the sources as tokens, and every
//! doubt makes them see more: a name that is no module leads to the crate's root, a package that is
//! built on the level sees all of it.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use grader::catalog::{Level, module_of};
use grader::submission::{Files, ReadError};
use thiserror::Error;

use crate::planted::tokens::{Token, tokens};

/// The module that a crate's root is.
const ROOT: &str = "lib";

/// What the criteria of each exercise of a level see.
#[derive(Debug, Clone)]
pub struct Influence {
    /// The modules that the criteria of an exercise see.
    exercises: BTreeMap<&'static str, BTreeSet<String>>,
}

/// The sources do not show what depends on what.
#[derive(Debug, Error)]
pub enum InfluenceError {
    /// The system said no.
    #[error("cannot read {}: {source}", .path.display())]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A file that is not made of Rust tokens, or a manifest that is not TOML.
    #[error("cannot read {path}: {why}")]
    Syntax {
        /// The file.
        path: String,
        /// The parser's words.
        why: String,
    },
    /// The level's own files.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Influence {
    /// Reads the sources of a level and of its checks in the workspace at `root`.
    ///
    /// # Errors
    ///
    /// [`InfluenceError`].
    pub fn read(root: &Path, level: &Level) -> Result<Influence, InfluenceError> {
        let mut sources = BTreeMap::new();
        let (files, _) = Files::read(root, level)?;
        for (path, bytes) in files.iter().filter(|(path, _)| !is_test(path)) {
            let row = lexed(path, &String::from_utf8_lossy(bytes))?;
            sources.entry(module_of(path).to_owned()).or_insert_with(Vec::new).push(row);
        }
        let modules: BTreeSet<String> = sources.keys().cloned().collect();
        let below = closed(
            sources
                .iter()
                .map(|(module, rows)| {
                    let named =
                        rows.iter().flat_map(|row| named(row, &["crate", "super"], &modules));
                    (module.clone(), named.collect())
                })
                .collect(),
        );

        let checks = checks(root, level)?;
        let parts: BTreeSet<String> = checks.keys().cloned().collect();
        let uses = closed(
            checks
                .iter()
                .map(|(part, rows)| {
                    let named = rows.iter().flat_map(|row| named(row, &["crate", "super"], &parts));
                    (part.clone(), named.filter(|name| parts.contains(name)).collect())
                })
                .collect(),
        );
        let above = packages_above(root, level)?;
        let of_part = |part: &String| -> BTreeSet<String> {
            let rows = checks.get(part).map(Vec::as_slice).unwrap_or_default();
            if rows.iter().flatten().any(|token| above.contains(&token.text)) {
                return modules.clone();
            }
            rows.iter().flat_map(|row| named(row, &[level.name], &modules)).collect()
        };
        let exercises = level
            .exercises
            .iter()
            .map(|exercise| {
                let mut seen: BTreeSet<String> = parts_of(exercise.name, level, &parts)
                    .iter()
                    .flat_map(|part| uses.get(part).cloned().unwrap_or_default())
                    .flat_map(|part| of_part(&part))
                    .collect();
                let files = exercise.criteria.iter().map(|criterion| criterion.file);
                seen.extend(files.map(|file| module_of(file).to_owned()));
                (
                    exercise.name,
                    seen.iter().flat_map(|m| below.get(m).cloned().unwrap_or_default()).collect(),
                )
            })
            .collect();
        Ok(Influence { exercises })
    }

    /// Whether a criterion can see a change of the module.
    #[must_use]
    pub fn sees(&self, exercise: &str, module: &str) -> bool {
        self.exercises.get(exercise).is_none_or(|seen| seen.contains(module))
    }
}

/// The parts of the checks that an exercise begins in: the file of its name, or else every file that is not
/// named after an exercise.
fn parts_of(exercise: &str, level: &Level, parts: &BTreeSet<String>) -> BTreeSet<String> {
    let own = exercise.replace('-', "_");
    if parts.contains(&own) {
        return BTreeSet::from([own]);
    }
    let names: BTreeSet<String> =
        level.exercises.iter().map(|exercise| exercise.name.replace('-', "_")).collect();
    parts.difference(&names).cloned().collect()
}

/// The sources of a level's checks, by module.
fn checks(root: &Path, level: &Level) -> Result<BTreeMap<String, Vec<Vec<Token>>>, InfluenceError> {
    let folder = root.join("grader/checks").join(level.name);
    let mut found: BTreeMap<String, Vec<Vec<Token>>> = BTreeMap::new();
    let mut open = vec![folder.join("src")];
    while let Some(path) = open.pop() {
        let io = |source| InfluenceError::Io { path: path.clone(), source };
        if path.is_dir() {
            let entries = fs::read_dir(&path).map_err(io)?;
            for entry in entries {
                open.push(entry.map_err(io)?.path());
            }
            continue;
        }
        let text = fs::read_to_string(&path).map_err(io)?;
        let file = path.strip_prefix(&folder).unwrap_or(&path).to_string_lossy().into_owned();
        // The table of all criteria names every part.
        if file != "src/main.rs" {
            found.entry(module_of(&file).to_owned()).or_default().push(lexed(&file, &text)?);
        }
    }
    Ok(found)
}

/// The packages beside the level that are built on it, as their names stand in code.
fn packages_above(root: &Path, level: &Level) -> Result<BTreeSet<String>, InfluenceError> {
    let folder = root.join(level.name);
    let mut above = BTreeSet::new();
    let io = |source| InfluenceError::Io { path: folder.clone(), source };
    for entry in fs::read_dir(&folder).map_err(io)? {
        let manifest = entry.map_err(io)?.path().join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else { continue };
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            InfluenceError::Syntax { path: manifest.display().to_string(), why: error.to_string() }
        })?;
        let name = table.get("package").and_then(|package| package.get("name")?.as_str());
        let on_level = table.get("dependencies").is_some_and(|on| on.get(level.name).is_some());
        above.extend(name.filter(|_| on_level).map(|name| name.replace('-', "_")));
    }
    Ok(above)
}

fn lexed(path: &str, text: &str) -> Result<Vec<Token>, InfluenceError> {
    tokens(text)
        .map_err(|error| InfluenceError::Syntax { path: path.to_owned(), why: error.to_string() })
}

/// The level's own tests stand in files of their own.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The modules that a source names in a path: `crate::retry`, `retry::Error`, `crate::{retry, saga}`.
/// Another name behind one of `roots` may come from the crate's root.
fn named(row: &[Token], roots: &[&str], modules: &BTreeSet<String>) -> BTreeSet<String> {
    let at = |index: usize| row.get(index).map_or("", |token| token.text.as_str());
    let path_goes_on = |index: usize| at(index) == "::";
    let mut found = BTreeSet::new();
    for index in 0..row.len() {
        let leads = index == 0 || at(index - 1) != "::";
        if leads && modules.contains(at(index)) && path_goes_on(index + 1) {
            found.insert(at(index).to_owned());
        }
        if !roots.contains(&at(index)) || !path_goes_on(index + 1) {
            continue;
        }
        if at(index + 2) != "{" {
            found.insert(at(index + 2).to_owned());
            continue;
        }
        let mut depth = 0_usize;
        for inner in index + 2..row.len() {
            match at(inner) {
                "{" => depth += 1,
                "}" => depth -= 1,
                name if depth == 1 && matches!(at(inner - 1), "{" | ",") => {
                    found.insert(name.to_owned());
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
        .into_iter()
        .map(|name| if modules.contains(&name) { name } else { ROOT.to_owned() })
        .collect()
}

/// Adds to each name all that its names lead to, and itself.
fn closed(direct: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    let reach = |start: &String| {
        let mut seen = BTreeSet::from([start.clone()]);
        let mut open = vec![start];
        while let Some(name) = open.pop() {
            for next in direct.get(name).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        seen
    };
    direct.keys().map(|name| (name.clone(), reach(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn names(source: &str, expected: &[&str]) {
        let modules = ["retry", "saga", "any"].map(str::to_owned).into();
        let row = tokens(source).expect("Rust");
        let found: Vec<String> = named(&row, &["crate", "super"], &modules).into_iter().collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_path_names_a_module() {
        names("use crate::retry::Policy;", &["retry"]);
        names("fn f() { super::saga::run(); }", &["saga"]);
        names("use crate::*; fn f() { retry::run() }", &["lib", "retry"]);
        names("use crate::{retry::{Policy, saga}, any};", &["any", "retry"]);
        names("use crate::Error;", &["lib"]);
    }

    #[test]
    fn what_only_has_the_name_of_a_module_is_none() {
        names("use std::any::Any; fn f(retry: u8) { x.saga(retry) }", &[]);
    }

    #[test]
    fn what_is_seen_is_seen_through_others() {
        let direct = [("a", vec!["b"]), ("b", vec!["c", "a"]), ("c", vec![])];
        let direct = direct.map(|(name, on)| {
            (name.to_owned(), on.into_iter().map(str::to_owned).collect::<BTreeSet<_>>())
        });
        let all = closed(direct.into());
        assert_eq!(all["a"], ["a", "b", "c"].map(str::to_owned).into());
        assert_eq!(all["c"], ["c".to_owned()].into());
    }
}
