//! One source tree of several solutions.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::{Range, RangeInclusive};

use grader::catalog::Level;
use grader::submission::Files;

use super::errors::lines;
use super::shape::{Change, Shape};
use super::switch;
use crate::changed::Changed;

/// The most versions of one function in a tree: without optimisation, each needs stack of its own.
const MOST_VERSIONS: usize = 24;

/// The reference, read as Rust.
#[derive(Debug)]
pub struct Shapes {
    files: Files,
    shapes: BTreeMap<String, Shape>,
}

/// What a solution does to one file.
#[derive(Debug)]
enum FileChange {
    /// Other bodies and more items.
    Edited(Vec<Change>),
    /// A file that the reference does not have.
    New(Vec<u8>),
}

impl Shapes {
    /// Reads the files of the reference.
    #[must_use]
    pub fn new(files: Files) -> Shapes {
        let shape = |(path, bytes): (&str, &[u8])| {
            Some((path.to_owned(), Shape::read(std::str::from_utf8(bytes).ok()?)?))
        };
        let shapes = files.iter().filter_map(shape).collect();
        Shapes { files, shapes }
    }

    /// The files of the reference.
    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// What a solution does to each file; `None` when it cannot share a tree. Reading the files takes most of the
    /// time of a plan: it is done once for each solution, not once for each group that it is offered to.
    #[must_use]
    pub fn of(&self, changed: &Changed) -> Option<Changes> {
        let of_file = |(path, bytes): (&str, Option<&[u8]>)| {
            let bytes = bytes?;
            if is_unwritten(bytes) {
                return None;
            }
            let change = match self.files.get(path) {
                None => FileChange::New(bytes.to_vec()),
                Some(_) => {
                    let changed = Shape::read(std::str::from_utf8(bytes).ok()?)?;
                    FileChange::Edited(self.shapes.get(path)?.changes_of(&changed)?)
                }
            };
            Some((path.to_owned(), change))
        };
        changed.iter().map(of_file).collect::<Option<_>>().map(Changes)
    }
}

/// What a solution that can share a tree does to each file.
#[derive(Debug)]
pub struct Changes(Vec<(String, FileChange)>);

/// Whether a file holds a `todo!()`. The grader looks for it at the line of the panic, and in a shared tree the
/// lines are others.
fn is_unwritten(file: &[u8]) -> bool {
    file.windows(5).any(|part| part == b"todo!")
}

/// What solutions that share a tree have taken: a solution that needs the same for something else is for
/// another tree.
#[derive(Debug, Default)]
pub struct Group {
    versions: BTreeMap<(String, usize), usize>,
    added: BTreeMap<(String, usize, String), String>,
    new: BTreeMap<String, Vec<u8>>,
    size: usize,
}

impl Group {
    /// Adds a solution if it can share the tree of those that were added before, of which there may be
    /// `most`. Whether it was added.
    pub fn add(&mut self, solution: &Changes, most: usize) -> bool {
        let Changes(changes) = solution;
        let fits = self.size < most
            && changes.iter().all(|(path, change)| match change {
                FileChange::New(bytes) => self.new.get(path).is_none_or(|there| there == bytes),
                FileChange::Edited(changes) => changes.iter().all(|change| match change {
                    Change::Body { at, .. } => {
                        let taken = self.versions.get(&(path.clone(), at.start));
                        taken.is_none_or(|taken| *taken < MOST_VERSIONS)
                    }
                    Change::Added { tokens, head, scope, .. } => {
                        let taken = self.added.get(&(path.clone(), *scope, head.clone()));
                        taken.is_none_or(|there| there == tokens)
                    }
                }),
            });
        if !fits {
            return false;
        }
        self.size += 1;
        for (path, change) in changes {
            match change {
                FileChange::New(bytes) => {
                    self.new.insert(path.clone(), bytes.clone());
                }
                FileChange::Edited(changes) => {
                    for change in changes {
                        match change {
                            Change::Body { at, .. } => {
                                *self.versions.entry((path.clone(), at.start)).or_default() += 1;
                            }
                            Change::Added { tokens, head, scope, .. } => {
                                let place = (path.clone(), *scope, head.clone());
                                self.added.insert(place, tokens.clone());
                            }
                        }
                    }
                }
            }
        }
        true
    }
}

/// A tree that holds several solutions.
#[derive(Debug)]
pub(super) struct Merged {
    /// The level's files.
    pub(super) files: Files,
    /// The lines of each solution's own text, by its place in the list.
    own: Vec<(String, RangeInclusive<usize>, usize)>,
}

/// One version of a body: the number of its solution, the solution's place in the list, and the text.
struct Version {
    number: u32,
    place: usize,
    text: String,
}

/// The edits of one file: versions of bodies, and items to insert.
#[derive(Default)]
struct Edits {
    /// By the place of the body.
    bodies: BTreeMap<usize, (Range<usize>, Vec<Version>)>,
    /// By place and tokens: the text, and the solutions that add it.
    added: BTreeMap<(usize, String), (String, Vec<usize>)>,
}

impl Merged {
    /// Merges the solutions; the first one has the number 1.
    pub(super) fn new(shapes: &Shapes, level: &Level, solutions: &[(usize, &Changed)]) -> Merged {
        let mut files = shapes.files.clone();
        let mut own = Vec::new();
        let mut edits: BTreeMap<String, Edits> = BTreeMap::new();
        for (number, (place, solution)) in (1..).zip(solutions) {
            for (path, change) in shapes.of(solution).into_iter().flat_map(|it| it.0) {
                match change {
                    FileChange::New(bytes) => {
                        own.push((format!("{}/{path}", level.name), 1..=usize::MAX, *place));
                        files.insert(path, bytes);
                    }
                    FileChange::Edited(changes) => {
                        let edits = edits.entry(path).or_default();
                        changes.into_iter().for_each(|it| edits.add(it, number, *place));
                    }
                }
            }
        }
        for (path, edits) in edits {
            let source = files.get(&path).map(String::from_utf8_lossy).unwrap_or_default();
            let mut written = Written::default();
            written.write(&source, edits);
            let name = format!("{}/{path}", level.name);
            own.extend(written.own.into_iter().map(|(lines, place)| (name.clone(), lines, place)));
            files.insert(path, written.text);
        }
        Merged { files, own }
    }

    /// The solutions whose own text rustc's errors show, by their places in the list.
    pub(super) fn blamed(&self, errors: &str) -> BTreeSet<usize> {
        let shown = lines(errors);
        let is_shown = |path: &str, lines: &RangeInclusive<usize>| {
            shown.iter().any(|(file, line)| file == path && lines.contains(line))
        };
        let own = self.own.iter().filter(|(path, lines, _)| is_shown(path, lines));
        own.map(|(_, _, place)| *place).collect()
    }
}

impl Edits {
    fn add(&mut self, change: Change, number: u32, place: usize) {
        match change {
            Change::Body { at, text } => {
                let (_, versions) = self.bodies.entry(at.start).or_insert((at, Vec::new()));
                versions.push(Version { number, place, text });
            }
            Change::Added { at, text, tokens, .. } => {
                let (_, of) = self.added.entry((at, tokens)).or_insert((text, Vec::new()));
                of.push(place);
            }
        }
    }
}

/// A file while it is written.
#[derive(Default)]
struct Written {
    text: String,
    line: usize,
    own: Vec<(RangeInclusive<usize>, usize)>,
}

impl Written {
    fn write(&mut self, source: &str, edits: Edits) {
        let mut done = 0;
        let mut added = edits.added.into_iter().peekable();
        let mut bodies = edits.bodies.into_values().peekable();
        self.line = 1;
        loop {
            let next_added = added.peek().map(|((at, _), _)| *at);
            let next_body = bodies.peek().map(|(at, _)| at.start);
            match (next_added, next_body) {
                (Some(at), body) if body.is_none_or(|body| at <= body) => {
                    self.push(&source[done..at]);
                    done = at;
                    if let Some((_, (text, of))) = added.next() {
                        self.own(&format!("\n{text}\n"), &of);
                    }
                }
                (_, Some(_)) => {
                    let Some((at, versions)) = bodies.next() else { break };
                    self.push(&source[done..at.start]);
                    done = at.end;
                    self.push(&format!("{{ match {} {{\n", switch::expression()));
                    for Version { number, place, text } in versions {
                        self.push(&format!("{number} => "));
                        self.own(&text, &[place]);
                        self.push("\n");
                    }
                    self.push(&format!("_ => {}\n}} }}", &source[at]));
                }
                _ => break,
            }
        }
        self.push(&source[done..]);
    }

    fn push(&mut self, text: &str) {
        let _ = self.text.write_str(text); // a String takes everything
        self.line += text.matches('\n').count();
    }

    fn own(&mut self, text: &str, of: &[usize]) {
        let first = self.line;
        self.push(text);
        self.own.extend(of.iter().map(|place| (first..=self.line, *place)));
    }
}
