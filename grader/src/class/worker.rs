//! The process that builds and judges one fork, so that nothing a fork does reaches the run of the class.
//!
//! It reads one line, the [`Order`], from its standard input, and writes one line, the [`Reply`], to its
//! standard output. When its standard input ends it ends too, with all that it started: so nothing is left
//! of it when the grader is killed.
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::result::{LevelResult, levels_named};
use crate::build::{Breadth, LevelBuild, Options, Part, build};
use crate::grade::{Quiet, grade};
use crate::seed::Seed;
use crate::select::select;
use crate::supervise::Limits;

/// What to grade.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// The workspace with the fork's files.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target: PathBuf,
    /// The names of the levels.
    pub levels: Vec<String>,
    /// What to do with them.
    pub work: Work,
}

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Build the checks.
    Build,
    /// Build the checks, and judge every criterion with the values of the seed.
    Grade(Seed),
}

/// The outcome of an order.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The levels, in the order of the course.
    Levels(Vec<LevelResult>),
    /// The checks are built.
    Built,
    /// Why there are none.
    Failed(String),
}

/// What a worker writes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The outcome of the order.
    pub answer: Answer,
    /// Milliseconds of CPU time that the worker and all processes that it has started and waited for took; 0 where
    /// it cannot be known.
    pub cpu_ms: u64,
}

/// How a fork is built: one binary for all criteria of a level, so that the builds share their parts.
fn options(target: &Path) -> Options {
    Options { target_dir: Some(target.to_path_buf()), breadth: Breadth::All, ..Options::default() }
}

/// Does what was ordered.
#[must_use]
pub fn serve(order: &Order) -> Reply {
    let done = match order.work {
        Work::Build => build_levels(order).map(|()| Answer::Built),
        Work::Grade(seed) => grade_levels(order, seed).map(Answer::Levels),
    };
    Reply { answer: done.unwrap_or_else(Answer::Failed), cpu_ms: cpu_ms().unwrap_or_default() }
}

/// CPU time of this process and of all that it has waited for.
#[cfg(target_os = "linux")]
fn cpu_ms() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The fields of proc(5) after the name: own time and that of children, in the program and in the kernel.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u64 = fields.get(11..15)?.iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Some(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1))
}

/// Unknown elsewhere.
#[cfg(not(target_os = "linux"))]
fn cpu_ms() -> Option<u64> {
    None
}

fn build_levels(order: &Order) -> Result<(), String> {
    let parts: Vec<Part> = levels_named(&order.levels).map(Part::whole).collect();
    let built = build(&order.root, &parts, &options(&order.target), &mut |_| {});
    let broken =
        built.map_err(|why| why.to_string())?.levels.into_values().find_map(|level| match level {
            LevelBuild::Broken { errors, .. } => Some(errors),
            LevelBuild::Ready { .. } => None,
        });
    match broken {
        Some(errors) => Err(format!("the course itself does not compile here:\n{errors}")),
        None => Ok(()),
    }
}

fn grade_levels(order: &Order, seed: Seed) -> Result<Vec<LevelResult>, String> {
    let names: Vec<String> =
        levels_named(&order.levels).map(|level| level.name.to_owned()).collect();
    let entries = select(&names).map_err(|why| why.to_string())?;
    let limits = Limits::default();
    let report = grade(&order.root, &entries, &options(&order.target), &limits, seed, &Quiet);
    report.map(|report| LevelResult::of(&report)).map_err(|why| why.to_string())
}
