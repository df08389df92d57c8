//! How long grading takes.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs};

use crate::process;

/// A grading of everything that has to be built first takes a minute or two.
const LIMIT: Duration = Duration::from_secs(600);

/// What grading took, in real time.
#[derive(Debug, Clone, Copy)]
pub struct Grading {
    /// From saving a file to the verdicts on it: cargo, the build and the judging.
    pub edit_to_verdict: Duration,
    /// Judging every criterion of every level, without the build.
    pub suite: Duration,
    /// How many criteria that were.
    pub criteria: usize,
}

/// Grades the workspace at `root`, then again after `file` was saved (its time of change is set, its text
/// stays), for the criteria that `selection` names.
///
/// # Errors
///
/// What went wrong, in words.
pub fn measure(root: &Path, file: &str, selection: &str) -> Result<Grading, String> {
    let report = grade(root, &["--format", "json"])?;
    let report: serde_json::Value =
        serde_json::from_str(&report).map_err(|error| format!("the grader's report: {error}"))?;
    let suite = report["judge_ms"].as_u64().ok_or("the grader's report has no judge_ms")?;
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let criteria = list(&report["levels"])
        .iter()
        .flat_map(|level| list(&level["groups"]))
        .map(|group| list(&group["criteria"]).len())
        .sum();
    // The first one settles what cargo has to build for this selection at all.
    grade(root, &[selection])?;
    let saved = fs::File::options().append(true).open(root.join(file));
    saved
        .and_then(|file| file.set_modified(SystemTime::now()))
        .map_err(|error| format!("{file}: {error}"))?;
    let begin = Instant::now();
    grade(root, &[selection])?;
    let edit_to_verdict = begin.elapsed();
    Ok(Grading { edit_to_verdict, suite: Duration::from_millis(suite), criteria })
}

fn grade(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--package", "grader", "--"]).args(arguments).current_dir(root);
    let output = process::run(&mut command, LIMIT).map_err(|error| error.to_string())?;
    // 1 says that some criteria failed, which takes no less time.
    match output.status.code() {
        Some(0 | 1) => Ok(output.out),
        _ => Err(format!("the grader ended with {}: {}", output.status, output.err.trim())),
    }
}
