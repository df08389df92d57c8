//! Makes the table of a mutation run: `.ci/mutants` calls it with the folder of its results.
//!
//! A mutant that only the nested cargo compiles (an exercise's, judged by the grader) and that does
//! not compile is not caught but unviable: cargo-mutants cannot know. `grader/mutants-accepted.txt`
//! lists the mutants that may live, each with its reason; any other that lives is an error.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

type Failure = Box<dyn std::error::Error>;

/// What became of the mutants of one run.
#[derive(Default)]
struct Counts {
    caught: usize,
    unviable: usize,
    timeouts: usize,
    missed: Vec<String>,
}

fn main() -> Result<ExitCode, Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: mutants RESULTS ACCEPTED")?);
    let accepted =
        accepted(Path::new(&arguments.next().ok_or("usage: mutants RESULTS ACCEPTED")?))?;
    let mut table = String::new();
    writeln!(table, "# Mutants of the levels\n")?;
    writeln!(
        table,
        "Made by `.ci/mutants` with cargo-mutants: the exercises, judged by the grader alone. A mutant\n\
         that does not compile is unviable.\n"
    )?;
    writeln!(table, "| level | mutants | caught | unviable | timeouts | let live |")?;
    writeln!(table, "| --- | ---: | ---: | ---: | ---: | ---: |")?;
    let mut living = Vec::new();
    let mut runs: Vec<PathBuf> = std::fs::read_dir(&folder)?.flatten().map(|e| e.path()).collect();
    runs.sort();
    for run in runs {
        let Some(counts) = both_runs(&run)? else { continue };
        let all = counts.caught + counts.unviable + counts.timeouts + counts.missed.len();
        let name = run.file_name().unwrap_or_default().to_string_lossy().into_owned();
        writeln!(
            table,
            "| {name} | {all} | {} | {} | {} | {} |",
            counts.caught,
            counts.unviable,
            counts.timeouts,
            counts.missed.len()
        )?;
        living.extend(counts.missed);
    }
    writeln!(table, "\n## Let live\n")?;
    if living.is_empty() {
        writeln!(table, "None.")?;
    }
    let mut unexplained = 0;
    for mutant in &living {
        let reason = accepted.iter().find(|(name, _)| mutant.contains(name.as_str()));
        let reason = reason.map_or("**no reason given**", |(_, reason)| reason);
        unexplained += usize::from(reason.starts_with("**"));
        writeln!(table, "- `{mutant}`: {reason}")?;
    }
    print!("{table}");
    eprintln!("{} mutants live, {unexplained} of them without a reason", living.len());
    Ok(if unexplained == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// `part of the mutant's name: reason`, one a line. Line numbers move, so names leave them out.
fn accepted(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    Ok(lines
        .filter_map(|line| line.split_once(" :: "))
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect())
}

/// The mutants of a level: of its one run or, where the trials came last, of the run without them
/// and of the one in which those that lived met them too.
fn both_runs(level: &Path) -> Result<Option<Counts>, Failure> {
    let of = |results: PathBuf| -> Result<Option<Counts>, Failure> {
        let Ok(outcomes) = std::fs::read(results.join("outcomes.json")) else { return Ok(None) };
        Ok(Some(count(&serde_json::from_slice(&outcomes)?, &results)))
    };
    let (first, last) = (of(level.join("without-trials"))?, of(level.join("mutants.out"))?);
    Ok(match (first, last) {
        (Some(first), Some(last)) => Some(Counts {
            caught: first.caught + last.caught,
            unviable: first.unviable + last.unviable,
            ..last
        }),
        (first, last) => last.or(first),
    })
}

fn count(outcomes: &Value, results: &Path) -> Counts {
    let mut counts = Counts::default();
    for outcome in outcomes["outcomes"].as_array().into_iter().flatten() {
        let mutant = &outcome["scenario"]["Mutant"];
        if mutant.is_null() {
            continue; // the baseline
        }
        match outcome["summary"].as_str() {
            Some("CaughtMutant") if does_not_compile(outcome, results) => counts.unviable += 1,
            Some("CaughtMutant") => counts.caught += 1,
            Some("Unviable") => counts.unviable += 1,
            Some("Timeout") => counts.timeouts += 1,
            _ => counts.missed.push(name(mutant)),
        }
    }
    counts
}

/// The grader's own words on a level that does not compile.
fn does_not_compile(outcome: &Value, results: &Path) -> bool {
    let log = outcome["log_path"]
        .as_str()
        .and_then(|log| std::fs::read_to_string(results.join(log)).ok());
    log.is_some_and(|log| log.contains(" does not compile\n"))
}

/// Without line and column, which move with every edit.
fn name(mutant: &Value) -> String {
    let file = mutant["file"].as_str().unwrap_or_default();
    let full = mutant["name"].as_str().unwrap_or_default();
    let what = full.split_once(": ").map_or(full, |(_, what)| what);
    format!("{file}: {what}")
}
