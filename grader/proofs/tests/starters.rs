//! An unsolved level scores no points.
//!
//! For every level of the catalog: the starter compiles without a warning and scores 0, and so does
//! a level whose asynchronous functions never resolve. The second catches criteria that are met by
//! doing nothing ("no call is left running" holds for a load that never began).
use std::path::{Path, PathBuf};

use grader::catalog::Level;
use grader::report::{Report, Status};
use grader::starter::plan;
use grader::submission::Files;
use grader_proofs::chosen_levels;
use grader_proofs::prove::{Bench, Failure};

fn root() -> PathBuf {
    grader::workspace::of_this_run().expect("the workspace")
}

/// Grades every level with its blank, as `change` makes it.
fn grade_blanks(change: impl Fn(&str) -> String) -> Result<Vec<(&'static Level, Report)>, Failure> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted-0");
    let bench = Bench::new(&root(), &folder)?;
    let mut reports = Vec::new();
    for level in chosen_levels() {
        let mut files: Files = bench.reference(level)?;
        let blank = plan(&root(), level)?;
        for file in blank.files() {
            let path = file.path.strip_prefix(level.name)?.to_string_lossy().replace('\\', "/");
            match &file.blank {
                Some(text) => files.insert(path, change(text)),
                None => files.remove(&path),
            }
        }
        reports.push((level, bench.grade(level, &files)?));
    }
    Ok(reports)
}

#[test]
fn a_starter_compiles_without_a_warning_and_scores_nothing() {
    for (level, report) in grade_blanks(str::to_owned).expect("graded") {
        let of_level = report.levels.first().expect("the level");
        assert!(of_level.broken.is_none(), "{}: {:?}", level.name, of_level.broken);
        assert!(of_level.warnings.is_empty(), "{}: {}", level.name, of_level.warnings.concat());
        let judged: Vec<_> =
            report.criteria().filter(|criterion| criterion.status != Status::NotStarted).collect();
        let ids: Vec<_> = judged.iter().map(|criterion| criterion.id).collect();
        assert!(ids.is_empty(), "not \"not started\" on a starter: {ids:#?}\n{:?}", judged.first());
    }
}

/// Asynchronous bodies that never resolve, instead of bodies that panic.
fn idle(blank: &str) -> String {
    let mut within_async = false;
    let mut out = String::new();
    for line in blank.lines() {
        if line.contains("fn ") {
            within_async = line.contains("async fn ");
        }
        let body = line.trim();
        let line = if within_async && body == "todo!()" {
            line.replace("todo!()", "std::future::pending().await")
        } else {
            line.replace("std::future::poll_fn(|_| todo!())", "std::future::pending()")
                .replace("futures::stream::poll_fn(|_| todo!())", "futures::stream::pending()")
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[test]
fn a_level_that_never_resolves_scores_nothing() {
    for (level, report) in grade_blanks(idle).expect("graded") {
        let of_level = report.levels.first().expect("the level");
        assert!(of_level.broken.is_none(), "{}: {:?}", level.name, of_level.broken);
        let passed: Vec<_> =
            report.criteria().filter(|c| c.status == Status::Passed).map(|c| c.id).collect();
        assert!(passed.is_empty(), "met by doing nothing: {passed:#?}");
    }
}
