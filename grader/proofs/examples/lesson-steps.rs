//! `cargo run -q -p grader-proofs --example lesson-steps -- LEVEL [FILTER]` proves the tables of the lessons: it
//! grades the reference as far as each row of a table goes, and lists the criteria that the table promises by then and
//! that are not met. `grader_proofs::steps` says where the rows come from.
use std::process::ExitCode;

use grader::catalog::level;
use grader::report::Status;
use grader::select::select;
use grader_proofs::planted::edit::Reference;
use grader_proofs::prove::{Bench, Failure, told};
use grader_proofs::steps;

fn main() -> Result<ExitCode, Failure> {
    grader::interrupt::install();
    let given: Vec<String> = std::env::args().skip(1).collect();
    let (name, filter) = match given.as_slice() {
        [name] => (name, ""),
        [name, filter] => (name, filter.as_str()),
        _ => return Err("usage: lesson-steps LEVEL [FILTER]".into()),
    };
    let level = level(name).ok_or_else(|| format!("there is no level `{name}`"))?;
    let root = grader::workspace::find(&std::env::current_dir()?)?;
    let bench = Bench::new(&root, &root.join("target/tmp/lesson-steps"))?;
    let reference = Reference::new(bench.reference(level)?);
    let mut wrong = 0;
    for step in steps::of_level(&root, level)? {
        if !step.planted.name.contains(filter) {
            continue;
        }
        let promised = step.wins(&root, level)?;
        let files = step.planted.files(&reference, level)?;
        let exercise = format!("{}/{}", level.name, step.exercise.name);
        let report = bench.grade_by(&select(&[exercise])?, level, &files)?;
        if let Some(broken) = report.levels.iter().find_map(|level| level.broken.as_ref()) {
            return Err(
                format!("{}: does not compile\n{}", step.planted.name, broken.errors).into()
            );
        }
        let name = |id: &'static str| id.rsplit('/').next().unwrap_or(id);
        let passed = |status| status == Status::Passed;
        let is_promised = |id| promised.iter().any(|promised| promised == name(id));
        let (met, open): (Vec<_>, Vec<_>) =
            report.criteria().filter(|it| is_promised(it.id)).partition(|it| passed(it.status));
        let early = report.criteria().filter(|it| !is_promised(it.id) && passed(it.status));
        let early: Vec<&str> = early.map(|it| name(it.id)).collect();
        println!(
            "{}: {} of {} promised criteria are met; met before their row: {}",
            step.planted.name,
            met.len(),
            met.len() + open.len(),
            if early.is_empty() { "none".to_owned() } else { early.join(", ") }
        );
        for criterion in &open {
            println!("    NOT MET {}", criterion.id);
            told(&report, criterion.id).lines().for_each(|line| println!("        | {line}"));
        }
        wrong += open.len();
    }
    Ok(ExitCode::from(u8::from(wrong > 0)))
}
