//! A learner's figures beside the reference's: `cargo bench -p LEVEL` on a level that is being written.
//!
//! Each subject (a strategy, say) is measured in a process of its own, again and again, in turns with the
//! same subject of the reference. A blank that panics, a call that never returns and a loop that never
//! ends cost their own row only. Nothing here is worth points: the grader judges what is right, and these
//! figures say what it costs.

mod child;
mod page;
pub mod reference;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, io};

use bench_kit::args::Args;
use bench_kit::report::{self, ReportError};
use bench_kit::stats::Bounded;
use serde::{Deserialize, Serialize};

pub use child::NoFigures;
use reference::ReferenceError;

/// Turns of a full run, and of a quick one.
const TURNS: [usize; 2] = [15, 5];

/// Something of a level that can be measured.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// What it is called in the report.
    pub name: &'static str,
    /// Measures it in this process.
    pub measure: fn(&str) -> Result<Figures, String>,
}

/// What a process has measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// What it did, exact: `after 400 ms, with 3 sections`.
    pub behaviour: String,
    /// The CPU time of one time in nanoseconds.
    pub nanos: f64,
}

/// The comparison could not be made.
#[derive(Debug, thiserror::Error)]
enum LearnerError {
    #[error("start me with `cargo bench -p {0}`")]
    NotByCargo(String),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Workspace(#[from] grader::workspace::NoWorkspace),
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// A row of the report.
#[derive(Debug)]
struct Row {
    name: &'static str,
    own: Result<Figures, NoFigures>,
    reference: Option<Result<Figures, NoFigures>>,
    /// The learner's CPU time over the reference's.
    ratio: Option<Bounded>,
}

/// The program: measures `subjects` of `level` and writes the page. `bench` is the name of the benchmark
/// target that calls this.
#[must_use]
pub fn main(level: &str, bench: &str, subjects: &[Subject]) -> ExitCode {
    if let Some(subject) = child::asked_for() {
        return child::answer(subjects.iter().find(|known| known.name == subject));
    }
    let args = Args::of_process();
    if !args.all || args.write {
        // A filter or `--write` is meant for the other targets.
        return ExitCode::SUCCESS;
    }
    match compare(level, bench, subjects, args.quick) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{bench}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(
    level: &str,
    bench: &str,
    subjects: &[Subject],
    quick: bool,
) -> Result<(), LearnerError> {
    // Cargo tells a program where its package is.
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let package = package.ok_or_else(|| LearnerError::NotByCargo(level.to_owned()))?;
    let root = grader::workspace::find(&package)?;
    let own = env::current_exe()?;
    let target = bench_kit::target_folder()?;
    let reference = reference::benchmark(&root, &target, level, bench);
    match &reference {
        Ok(Some(_)) => {}
        Ok(None) => println!("{level} is the reference itself: its figures stand alone"),
        Err(error) => println!("{level} has nothing to compare with: {}", first_lines(error)),
    }
    let reference = reference.ok().flatten();
    let turns = TURNS[usize::from(quick)];
    let mut rows = Vec::new();
    for subject in subjects {
        let row = measure(subject.name, &own, reference.as_deref(), turns);
        println!("{}", row.line(level));
        rows.push(row);
    }
    let path = target.join("bench").join(format!("{level}.html"));
    report::write(&path, &page::html(level, &rows, turns))?;
    println!("{level}: the page is {}", path.display());
    Ok(())
}

fn first_lines(error: &ReferenceError) -> String {
    error.to_string().lines().take(6).collect::<Vec<_>>().join("\n")
}

fn measure(name: &'static str, own: &Path, reference: Option<&Path>, turns: usize) -> Row {
    let first = child::run(own, name);
    let other = reference.map(|path| child::run(path, name));
    let mut pairs = Vec::new();
    if let (Ok(_), Some(Ok(_)), Some(reference)) = (&first, &other, reference) {
        for turn in 0..turns {
            // Who goes first changes, so that neither always follows the other.
            let order = if turn % 2 == 0 { [own, reference] } else { [reference, own] };
            let figures = order.map(|path| child::run(path, name));
            if let [Ok(one), Ok(two)] = figures {
                let ratio = one.nanos / two.nanos.max(1e-3);
                pairs.push(if turn % 2 == 0 { ratio } else { 1.0 / ratio });
            }
        }
    }
    let ratio = (!pairs.is_empty()).then(|| Bounded::of(&pairs));
    Row { name, own: first, reference: other, ratio }
}

impl Row {
    fn line(&self, level: &str) -> String {
        let title = format!("{level}/{}", self.name);
        match (&self.own, &self.ratio) {
            (Err(cause), _) => format!("{title:<24} {cause}"),
            (Ok(own), None) => {
                format!("{title:<24} {}, {} of CPU time", own.behaviour, report::nanos(own.nanos))
            }
            (Ok(own), Some(ratio)) => format!(
                "{title:<24} {}, {} x the CPU time of the reference",
                own.behaviour,
                report::ratio(*ratio)
            ),
        }
    }
}
