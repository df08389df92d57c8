//! The criteria of every level, as data.
//!
//! Each folder beside this package's `src` that holds a `level.toml` is a level, and each other
//! `.toml` file in it is an exercise with its criteria. A criterion's texts, points and limits stand
//! there and nowhere else. Build scripts read them:
//!
//! - the grader's generates its catalog ([`generate::catalog`]), so that the grader needs no parser
//!   and cannot meet a bad file while it runs;
//! - that of each check package generates the tables from a criterion to the function that judges it
//!   ([`generate::checks`]), so that a criterion without a function does not compile.
//!
//! # Format
//!
//! `level2/level.toml`:
//!
//! ```toml
//! title = "Four strategies for one dashboard"
//! bench = "level2-bench"                      # the package whose benchmarks a finished level is compared by
//! exercises = ["sequential", "race"]          # the order to work in
//! provided = ["src/lib.rs", "src/demo/"]      # what the course provides, below the level's folder
//! ```
//!
//! `level2/race.toml`:
//!
//! ```toml
//! title = "The first three, then the rest"
//! file = "src/race.rs"                        # what to write, below the level's folder
//! read = ["level2/README.md, Race"]           # optional; shown for each of its criteria
//! trial = false                               # optional; see `Exercise::trial`
//! foundation = ["level1/promise"]             # optional; exercises of levels below that it uses
//!
//! [[clause]]                                  # the contract, numbered in this order
//! text = """
//! One promise that a solution keeps, in Markdown. It is what the learner reads."""
//! criteria = ["returns-at-the-third"]         # who judges it; `queue/limits` is another exercise's
//!
//! [[criterion]]
//! name = "returns-at-the-third"               # the id is level2/race/returns-at-the-third
//! title = "returns at the third success"
//! points = 3
//! kind = "core"                               # or "bonus"
//! requirement = """
//! A text of several lines: line breaks and indentation count as one space."""
//! hints = ["One to three, each saying more than the one before."]
//! file = "src/race/rest.rs"                   # optional; where it is not the exercise's
//! read = ["level2/src/rest.rs"]               # optional; shown after the exercise's
//! cpu_seconds = 10                            # optional; where the usual limit is too low
//! too_slow = "what costs too much"            # optional; the help at the limit of CPU time
//! threads = true                              # optional; its check calls `Cx::on_threads`
//! races = true                                # optional; with `threads`: which faults it meets is chance
//!
//! [[scene]]                                   # optional; a picture of the report, worth nothing
//! name = "page"                               # `crate::race::scenes::page` plays it
//! title = "One load: five sources and their calls"
//! ```
//!
//! `renamed.toml` beside the levels' folders lists the criteria whose id has changed ([`renamed()`]).
//!
//! Every clause names a criterion and every criterion stands in a clause, so that nothing is promised
//! that no criterion judges, and nothing is judged that is not promised.

pub mod generate;
pub mod lesson;
mod read;
mod renamed;

use std::path::PathBuf;

use thiserror::Error;

pub use read::read;
pub use renamed::{FILE as RENAMED_FILE, Renamed, renamed};

/// One level of the course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// The folder's name: `level2`.
    pub name: String,
    /// One line for the scoreboard.
    pub title: String,
    /// The package whose benchmarks compare a finished level.
    pub bench: String,
    /// What the course provides, relative to the level's folder: files, or folders with a slash at
    /// their end.
    pub provided: Vec<String>,
    /// In the order in which they are best worked on.
    pub exercises: Vec<Exercise>,
}

/// The criteria of one exercise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exercise {
    /// The file's name: `race`.
    pub name: String,
    /// One line for the scoreboard.
    pub title: String,
    /// The file to write, relative to the level's folder: `src/race.rs`.
    pub file: String,
    /// Whether its criteria try everything at once, and so also fail for a fault that another
    /// exercise is about.
    pub trial: bool,
    /// The exercises of levels below whose code a solution uses, as `level3/retry`.
    pub foundation: Vec<String>,
    /// The promises of a right solution, in the order of their numbers.
    pub clauses: Vec<Clause>,
    /// In the order in which a learner should meet them.
    pub criteria: Vec<Criterion>,
    /// What the report shows of it in pictures.
    pub scenes: Vec<Scene>,
}

/// A run of the exercise at fixed values that the report shows as a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// The name of the function that plays it, with dashes. The scene's id is `level2/race/scene/page`.
    pub name: String,
    /// What the picture shows, as a caption.
    pub title: String,
}

/// One promise that a right solution keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// The promise, in Markdown.
    pub text: String,
    /// The criteria that judge it, each as `exercise/name`. Never empty.
    pub criteria: Vec<String>,
}

/// One thing that a solution must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Criterion {
    /// The last part of its id: `returns-at-the-third`.
    pub name: String,
    /// What is demanded, as a short clause.
    pub title: String,
    /// The number of points.
    pub points: u32,
    /// Whether the assignment asks for it or it goes beyond.
    pub kind: Kind,
    /// The file to write, relative to the level's folder.
    pub file: String,
    /// CPU seconds that a right solution may need, where the usual limit is too low.
    pub cpu_seconds: Option<u64>,
    /// The help where the solution reaches the limit of CPU time: for a criterion about the cost of a call.
    pub too_slow: Option<String>,
    /// Whether its check needs real threads.
    pub threads: bool,
    /// Whether it looks for races: it meets a fault at some interleavings of its threads and not at others.
    pub races: bool,
    /// The demand in full.
    pub requirement: String,
    /// One to three hints.
    pub hints: Vec<String>,
    /// References to read.
    pub read: Vec<String>,
}

/// Whether a criterion counts for the assignment as given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The assignment asks for it.
    Core,
    /// It goes beyond the assignment and is scored apart.
    Bonus,
}

/// Criteria that cannot be read, with the place and what is wrong there.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{}{}: {what}", .path.display(), line_suffix(.line))]
pub struct CriteriaError {
    /// The file or folder.
    pub path: PathBuf,
    /// The line in the file, counted from 1, where there is one.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub what: String,
}

fn line_suffix(line: &Option<usize>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}

/// The folder of the data: this package's own, relative to the package that Cargo builds or tests.
///
/// Relative, since clones that share a target folder share what is built in it.
#[must_use]
pub fn folder() -> PathBuf {
    let up = ["criteria", "../criteria", "../../criteria"].map(PathBuf::from);
    up.into_iter().find(|folder| folder.is_dir()).unwrap_or_default()
}
