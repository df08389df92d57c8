//! What cargo says in JSON while it builds.
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::cargo::Stuck;
use super::{LevelBuild, Part};

/// All that was said, sorted by target.
#[derive(Debug, Default)]
pub(super) struct Messages {
    heard: usize,
    binaries: BTreeMap<String, PathBuf>,
    errors: BTreeMap<String, Vec<String>>,
    warnings: BTreeMap<String, Vec<String>>,
    /// What cargo wrote for each target.
    files: BTreeMap<String, Vec<PathBuf>>,
}

/// The parts of cargo's messages that matter here.
#[derive(Deserialize)]
#[serde(tag = "reason")]
enum Message {
    #[serde(rename = "compiler-artifact")]
    Artifact { target: Target, executable: Option<PathBuf>, filenames: Vec<PathBuf> },
    #[serde(rename = "compiler-message")]
    Said { target: Target, message: Diagnostic },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
    /// Empty in summaries such as "2 warnings emitted".
    spans: Vec<serde_json::Value>,
}

/// What rustc says when the state of an earlier build does not fit this one: a fault of the compiler.
const CONFUSED: &str = "encountered incremental compilation error";

impl Messages {
    /// Takes one line; the name of the target when it says that one is done.
    pub(super) fn read(&mut self, line: &[u8]) -> Option<String> {
        let message = serde_json::from_slice(line).ok()?;
        self.heard += 1;
        match message {
            Message::Artifact { target, executable, filenames } => {
                self.files.insert(target.name.clone(), filenames);
                if let Some(executable) = executable {
                    self.binaries.insert(target.name.clone(), executable);
                }
                Some(target.name)
            }
            Message::Said { target, message } => {
                let rendered = message.rendered.unwrap_or_default();
                match message.level.as_str() {
                    "warning" if !message.spans.is_empty() => {
                        self.warnings.entry(target.name).or_default().push(rendered);
                    }
                    // "error", and "error: internal compiler error"
                    level if level.starts_with("error") => {
                        self.errors.entry(target.name).or_default().push(rendered);
                    }
                    _ => {}
                }
                None
            }
            Message::Other => None,
        }
    }

    /// Whether cargo said nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.heard == 0
    }

    /// The targets that rustc refused because of its own cache of an earlier build, not because of the code.
    pub(super) fn confused_by_cache(&self) -> impl Iterator<Item = &str> {
        let confused = |errors: &[String]| errors.iter().any(|error| error.contains(CONFUSED));
        self.errors
            .iter()
            .filter(move |(_, errors)| confused(errors))
            .map(|(name, _)| name.as_str())
    }

    /// The outcome of the build of a level.
    pub(super) fn level(&self, part: &Part, stderr: &str, stuck: Option<&Stuck>) -> LevelBuild {
        let (level, check) = (part.level.name, part.package());
        // The level's own errors say more than those of the checks that cannot find its items.
        if let Some(errors) = self.errors.get(level) {
            return broken(level, errors.concat());
        }
        // The course's packages of the level use its items too: `level3_harness`.
        let provided = format!("{level}_");
        let callers = self.errors.iter().find(|(target, _)| {
            **target == check || target.replace('-', "_").starts_with(&provided)
        });
        if let Some((target, errors)) = callers {
            let errors = format!(
                "{level} itself compiles, but not what the criteria call: keep the public items as \
                 the starter has them (`cargo grade solution {level}` shows them).\n\n{}",
                errors.concat()
            );
            return broken(&target.replace('_', "-"), errors);
        }
        match self.binaries.get(&check) {
            Some(binary) => LevelBuild::Ready {
                binary: binary.clone(),
                warnings: self.warnings.get(level).cloned().unwrap_or_default(),
            },
            None if let Some((below, errors)) = self.broken_below(part) => {
                let errors = format!(
                    "{level} uses {below}, and {below} does not compile. Repair that first.\n\n{errors}"
                );
                broken(below, errors)
            }
            None if stuck.is_some_and(|stuck| stuck.packages.iter().any(|name| name == level)) => {
                let why = stuck.map(|stuck| stuck.why.as_str()).unwrap_or_default();
                broken(level, endless(level, why))
            }
            // The limit of CPU time ends rustc with a signal, without a word about the code.
            None if stderr.contains(&format!("could not compile `{level}`")) => {
                broken(level, endless(level, &format!("cargo says:\n{}\n", stderr.trim_end())))
            }
            None => broken(&check, format!("cargo says:\n{}", stderr.trim_end())),
        }
    }

    /// A level below the part's own, whose code it uses, that rustc refuses.
    fn broken_below(&self, part: &Part) -> Option<(&'static str, String)> {
        let mut below = part.level.below().into_iter();
        below.find_map(|level| Some((level, self.errors.get(level)?.concat())))
    }

    /// What rustc wrote down of the files that it read for a library; empty if it is not available.
    pub(super) fn read_files(&self, library: &str) -> String {
        let files = self.files.get(library).into_iter().flatten();
        let listing = files.filter_map(|file| {
            let name = file.file_stem()?.to_str()?.strip_prefix("lib")?;
            std::fs::read_to_string(file.with_file_name(format!("{name}.d"))).ok()
        });
        listing.collect()
    }
}

fn broken(package: &str, errors: String) -> LevelBuild {
    LevelBuild::Broken { package: package.to_owned(), errors, refused: false }
}

/// What to do about a level whose compilation does not end.
fn endless(level: &str, why: &str) -> String {
    format!(
        "the compiler found no end of {level}: {why}\nLook for what it reads (a file that is a pipe or \
         a device) and for what it computes: a constant, a macro or a type that contains itself, a match \
         on very many cases. `cargo check -p {level}` shows where it is when you end it with Ctrl-C."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_is_confused_by_its_cache_is_noticed() {
        let said = |target: &str, text: &str| {
            format!(
                r#"{{"reason":"compiler-message","target":{{"name":"{target}"}},"message":{{"level":"error: internal compiler error","rendered":"{text}","spans":[]}}}}"#
            )
        };
        let mut messages = Messages::default();
        messages.read(said("level4", "error[E0308]: mismatched types").as_bytes());
        let text = "error: internal compiler error: encountered incremental compilation error with evaluate_obligation(..)";
        messages.read(said("check-level4", text).as_bytes());
        assert_eq!(messages.confused_by_cache().collect::<Vec<_>>(), ["check-level4"]);
    }
}
