//! What a teacher ought to look at before a grade counts.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Finding;
use super::tokens::{self, Token, reads};
use crate::catalog::Level;
use crate::submission::Files;

/// Tokens, what they are called, and what they can be used for.
type Rule = (&'static [&'static str], &'static str, &'static str);

const RULES: &[Rule] = &[
    (&["unsafe"], "unsafe", "writes to any memory of the process, the verdict's included"),
    (&["transmute"], "transmute", "turns one type into another"),
    (&["extern"], "extern", "calls code that is no Rust"),
    (&["link_section"], "link_section", "runs code before the program begins"),
    (&["no_mangle"], "no_mangle", "replaces a function of another crate"),
    (&["export_name"], "export_name", "replaces a function of another crate"),
    (&["static", "mut"], "static mut", "state that every criterion of a process shares"),
    (&["env", ":", ":"], "std::env", "reads the arguments and the environment of the judge"),
    (&["env", "!"], "env!", "reads the environment of the build"),
    (&["option_env", "!"], "option_env!", "reads the environment of the build"),
    (&["Location", ":", ":", "caller"], "Location::caller", "asks which check calls"),
    (&["track_caller"], "track_caller", "asks which check calls"),
    (&["Backtrace"], "Backtrace", "asks which check calls"),
    (&["type_name"], "type_name", "asks with which types a check calls"),
    (&["TypeId"], "TypeId", "asks with which types a check calls"),
    (&["size_of_val"], "size_of_val", "asks what a check has built"),
    (&["Runtime"], "Runtime", "a runtime of its own has a clock of its own"),
    (
        &["runtime", ":", ":", "Builder"],
        "runtime::Builder",
        "a runtime of its own has a clock of its own",
    ),
    (&[".", "enter", "("], ".enter()", "another runtime's clock in place of the grader's"),
    (&["block_on"], "block_on", "blocks the thread that judges"),
    (&["time", ":", ":", "advance"], "time::advance", "moves the grader's clock"),
    (&["time", ":", ":", "pause"], "time::pause", "moves the grader's clock"),
    (&["time", ":", ":", "resume"], "time::resume", "moves the grader's clock"),
    (&["process", ":", ":"], "std::process", "ends the judge, or starts a program"),
    (&["thread", ":", ":"], "std::thread", "works beside the thread that judges"),
    (&["fs", ":", ":"], "std::fs", "reads or writes files"),
    (&["net", ":", ":", "Tcp"], "std::net", "talks to other machines"),
    (&["set_hook"], "set_hook", "hides panics from the judge"),
    (&["take_hook"], "take_hook", "hides panics from the judge"),
    (&["mem", ":", ":", "forget"], "mem::forget", "keeps a guard that should be dropped"),
    (&["leak", "("], "leak", "keeps a value that should be dropped"),
    (&["include"], "include!", "takes code in from elsewhere"),
    (&["include_str"], "include_str!", "takes text in from elsewhere"),
    (&["include_bytes"], "include_bytes!", "takes data in from elsewhere"),
    (&["path", "="], "#[path]", "takes a module from a file of another name"),
];

/// Traits that a check might ask, so that an implementation by hand can answer for the solution.
const ANSWERING: &[&str] =
    &["PartialEq", "Eq", "PartialOrd", "Ord", "Hash", "Clone", "Debug", "Display", "Deref", "From"];

/// Shorter texts are met by chance.
const LITERAL: usize = 5;

/// What in the learner's files of a level a teacher ought to look at, sorted by place. Nothing of it is
/// forbidden, and each has an honest use. `root` is the workspace whose checks would judge the files.
#[must_use]
pub fn suspicious(root: &Path, level: &Level, files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut checks = Checks::new(root, level, files);
    for (path, bytes) in files.iter().filter(|(path, _)| !level.provides(path)) {
        let text = String::from_utf8_lossy(bytes);
        let tokens = tokens::of(&text);
        let mut find = |line, what: &str, why: &str| {
            let file = format!("{}/{path}", level.name);
            findings.push(Finding { file, line, what: what.to_owned(), why: why.to_owned() });
        };
        for at in 0..tokens.len() {
            let line = tokens[at].line;
            for (_, what, why) in RULES.iter().filter(|(texts, ..)| reads(&tokens, at, texts)) {
                find(line, what, why);
            }
            if let Some(name) = answers_for(&tokens, at) {
                find(
                    line,
                    &format!("impl {name}"),
                    "written by hand, it can call everything equal, or show what is asked for",
                );
            }
            if is_lifetime_trick(&tokens, at) {
                find(line, "&'a &'b", "two lifetimes of one reference can make a short one long");
            }
            if let Some(literal) = tokens[at].string() {
                if literal.contains("/proc") || literal.contains("/dev/") {
                    find(line, &format!("{literal:?}"), "looks at the process itself");
                } else if checks.use_alone(&literal) {
                    find(
                        line,
                        &format!("{literal:?}"),
                        "the checks use this text, and the course's files do not",
                    );
                }
            }
        }
    }
    findings.sort();
    findings.dedup();
    findings
}

/// The trait of an `impl` by hand that a check might ask.
fn answers_for(tokens: &[Token], at: usize) -> Option<&str> {
    if tokens[at].text != "impl" {
        return None;
    }
    // The head of the `impl`: up to its braces.
    let head = tokens[at..].iter().take_while(|token| token.text != "{").take(60);
    let head: Vec<&str> = head.map(|token| token.text.as_str()).collect();
    let end = head.iter().position(|text| *text == "for")?;
    head[..end].iter().find(|text| ANSWERING.contains(text)).copied()
}

/// `&'a &'b`, the beginning of the known way to a reference that lives too long.
fn is_lifetime_trick(tokens: &[Token], at: usize) -> bool {
    reads(tokens, at, &["&", "'"])
        && reads(tokens, at + 3, &["&", "'"])
        && tokens.get(at + 2) != tokens.get(at + 5)
}

/// The sources of a level's checks, for a look whether a text stands in them.
struct Checks {
    folder: PathBuf,
    /// The course's own files of the level.
    course: Vec<String>,
    /// The sources with their texts, as far as they were needed.
    sources: Option<Vec<Source>>,
}

/// A source file of the checks.
struct Source {
    text: String,
    /// Its string literals, once one was asked for.
    literals: Option<BTreeSet<String>>,
}

impl Checks {
    fn new(root: &Path, level: &Level, files: &Files) -> Checks {
        let folder = root.join("grader/checks").join(level.name).join("src");
        let course = files.iter().filter(|(path, _)| level.provides(path));
        let course = course.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect();
        Checks { folder, course, sources: None }
    }

    /// Whether the text stands in the checks, and in none of the course's own files of the level.
    fn use_alone(&mut self, literal: &str) -> bool {
        if literal.chars().count() < LITERAL
            || literal.contains('{')
            || self.course.iter().any(|text| text.contains(literal))
        {
            return false;
        }
        let sources = self.sources.get_or_insert_with(|| {
            let mut sources = Vec::new();
            read(&self.folder, &mut sources);
            sources
        });
        sources.iter_mut().any(|source| source.has(literal))
    }
}

impl Source {
    /// Whether it has this string literal. A file is taken apart only if it may have it: most texts of a solution
    /// are in no check, and the checks of a level are many.
    fn has(&mut self, literal: &str) -> bool {
        // What is written with escapes is not found as it is.
        let plain = |letter: char| letter == ' ' || letter.is_ascii_graphic() && letter != '"';
        let part = literal.split(|letter| !plain(letter) || letter == '\\');
        let longest = part.max_by_key(|part| part.len()).unwrap_or_default();
        self.text.contains(longest)
            && self
                .literals
                .get_or_insert_with(|| {
                    tokens::of(&self.text).iter().filter_map(Token::string).collect()
                })
                .contains(literal)
    }
}

fn read(folder: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            read(&path, sources);
        } else if let Ok(text) = fs::read_to_string(&path) {
            sources.push(Source { text, literals: None });
        }
    }
}
