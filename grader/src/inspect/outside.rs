//! What leads out of a level's folder, or into something that is no file.
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::Finding;
use super::compared::{self, Source};
use super::tokens::{self, Token, reads};
use crate::catalog::Level;

/// Macros that read a file while the compiler runs.
const INCLUDES: &[&str] = &["include", "include_str", "include_bytes"];

const MODULES: &str =
    "a module's file is found by the module's name: move the code there, and remove the attribute";
const TAKES_IN: &str =
    "what a level is built from lies in its own folder: write the code or the text here";

/// Why the level in the workspace at `root` is not built: sources that lead out of its folder, that are
/// found under another name than their module's, or that are no plain files; and implementations by hand that would
/// answer for a value that checks compare. Empty when all is well.
#[must_use]
pub fn refused(root: &Path, level: &Level) -> Vec<Finding> {
    let (mut findings, mut sources) = (Vec::new(), Vec::new());
    let folder = root.join(level.name);
    walk(&folder, &folder.join("src"), "src", level, &mut findings, &mut sources);
    findings.extend(compared::by_hand(level, &sources));
    findings.sort();
    findings.dedup();
    findings
}

fn walk(
    folder: &Path,
    path: &Path,
    name: &str,
    level: &Level,
    findings: &mut Vec<Finding>,
    sources: &mut Vec<Source>,
) {
    let mut find = |line, what: &str, why: &str| {
        let file = format!("{}/{name}", level.name);
        findings.push(Finding { file, line, what: what.to_owned(), why: why.to_owned() });
    };
    let Ok(kind) = fs::symlink_metadata(path).map(|metadata| metadata.file_type()) else { return };
    if kind.is_symlink() {
        let inside = path.canonicalize().ok().zip(folder.canonicalize().ok());
        return match inside {
            Some((to, folder)) if to.starts_with(&folder) && to.is_dir() => {}
            Some((to, folder)) if to.starts_with(&folder) && to.is_file() => {
                if let Ok(text) = fs::read_to_string(&to) {
                    sources.push((name.to_owned(), tokens::of(&text)));
                }
            }
            _ => find(0, "a link", "it leads out of the level: put the file itself here"),
        };
    }
    if kind.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path).into_iter().flatten().flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let below = format!("{name}/{}", entry.file_name().to_string_lossy());
            walk(folder, &entry.path(), &below, level, findings, sources);
        }
    } else if !kind.is_file() {
        find(0, "no plain file", "the compiler would wait for it without end: remove it");
    } else if name.ends_with(".rs")
        && let Ok(text) = fs::read_to_string(path)
    {
        let tokens = tokens::of(&text);
        for at in 0..tokens.len() {
            let line = tokens[at].line;
            if is_path_attribute(&tokens, at) && !is_test_module(&tokens, at) {
                find(line, "#[path]", MODULES);
            } else if let Some((what, why)) =
                include(&tokens, at, path, folder, level.provides(name))
            {
                find(line, &what, why);
            }
        }
        if !level.provides(name) {
            sources.push((name.to_owned(), tokens));
        }
    }
}

/// `path = "..."`, also in a `cfg_attr` or as an argument of a macro, and `path = $file` in a macro.
fn is_path_attribute(tokens: &[Token], at: usize) -> bool {
    if !reads(tokens, at, &["path", "="]) {
        return false;
    }
    let Some(value) = tokens.get(at + 2) else { return false };
    let before = at.checked_sub(1).and_then(|at| tokens.get(at)).map(|token| token.text.as_str());
    let in_attribute = matches!(before, Some("[" | "," | "("));
    value.string().is_some_and(|file| in_attribute || file.ends_with(".rs"))
        || (in_attribute && matches!(value.text.as_str(), "$" | "concat" | "env"))
}

/// Whether the attribute is that of a test module, which no verdict is about: `#[cfg(test)]` beside it.
fn is_test_module(tokens: &[Token], at: usize) -> bool {
    const CFG_TEST: &[&str] = &["#", "[", "cfg", "(", "test", ")", "]"];
    let begin = at.saturating_sub(2); // `# [`
    let before = begin.checked_sub(CFG_TEST.len());
    let after = at + 4; // `path = "..." ]`
    let inside = tokens.get(at + 2).and_then(Token::string).is_some_and(|file| {
        Path::new(&file).components().all(|part| matches!(part, Component::Normal(_)))
    });
    inside
        && (before.is_some_and(|before| reads(tokens, before, CFG_TEST))
            || reads(tokens, after, CFG_TEST))
}

/// A macro that reads a file which is not the level's own. `provided` files may read what belongs to the
/// course, under a name that a macro puts together.
fn include(
    tokens: &[Token],
    at: usize,
    file: &Path,
    folder: &Path,
    provided: bool,
) -> Option<(String, &'static str)> {
    let name = INCLUDES.iter().find(|name| tokens[at].text == **name)?;
    let after = |n: usize| tokens.get(at + n).map(|token| token.text.as_str());
    if after(1) != Some("!") {
        // `use std::include as take;` hides the name from here on.
        let in_path = at >= 2 && reads(tokens, at - 2, &[":", ":"]);
        return in_path.then(|| ((*name).to_owned(), TAKES_IN));
    }
    let what = format!("{name}!");
    let Some(argument) = tokens.get(at + 3).and_then(Token::string) else {
        return (!provided || *name == "include").then_some((what, TAKES_IN));
    };
    if *name == "include" {
        return Some((what, "write the code in the file itself, or in a module of its own"));
    }
    let target = file.parent().unwrap_or(folder).join(&argument);
    let inside = target
        .canonicalize()
        .ok()
        .zip(folder.canonicalize().ok())
        .is_some_and(|(target, folder)| target.starts_with(folder) && target.is_file());
    (!inside).then_some((what, TAKES_IN))
}

/// The files that the compiler read for a crate of the level although they lie outside of its folder,
/// relative to `root` where they lie below it: what no look at the tokens has found. `listing` is what
/// rustc wrote down, in the form of a Makefile.
#[must_use]
pub fn outside_files(root: &Path, level: &Level, listing: &str) -> Vec<PathBuf> {
    let base = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
    let folder = base.join(level.name);
    let folder = folder.canonicalize().unwrap_or(folder);
    // Every file is also a target without prerequisites: `level2/src/race.rs:`.
    let files = listing.lines().filter_map(|line| line.strip_suffix(':'));
    let mut outside: Vec<PathBuf> = files
        .map(|file| root.join(file.replace("\\ ", " ")))
        .map(|file| file.canonicalize().unwrap_or(file))
        .filter(|file| !file.starts_with(&folder))
        .map(|file| file.strip_prefix(&base).map_or_else(|_| file.clone(), Path::to_path_buf))
        .collect();
    outside.sort();
    outside.dedup();
    outside
}
