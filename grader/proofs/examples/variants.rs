//! `cargo run -q -p grader-proofs --example variants -- LEVEL DIR [FILTER]` grades solutions that the grader
//! has not met before, and counts what slips through.
//!
//! `DIR/wrong` holds wrong solutions and `DIR/right` right ones, in the form of planted solutions without
//! `fails` and `says`. The last lines are the figures of a round in grader/README.md: wrong solutions with
//! full marks, those that only bonus criteria catch, and right solutions below full marks. A solution that
//! does not compile or does not fit the reference counts in neither.
//!
//! A wrong solution that fails a criterion is not judged by the trials, which take most of the time.
use std::path::Path;
use std::process::ExitCode;

use grader::catalog::{Kind, Level, level};
use grader::report::{CriterionReport, Report, Status};
use grader::select::select;
use grader::submission::Files;
use grader_proofs::planted::edit::Reference;
use grader_proofs::planted::{Planted, unknown};
use grader_proofs::prove::{Bench, Failure, told};

#[derive(Debug, Default)]
struct Counts {
    wrong: usize,
    full_marks: usize,
    bonus_only: usize,
    right: usize,
    right_below: usize,
    invalid: usize,
}

fn main() -> Result<ExitCode, Failure> {
    grader::interrupt::install();
    let given: Vec<String> = std::env::args().skip(1).collect();
    let (name, dir, filter) = match given.as_slice() {
        [name, dir] => (name, dir, ""),
        [name, dir, filter] => (name, dir, filter.as_str()),
        _ => return Err("usage: variants LEVEL DIR [FILTER]".into()),
    };
    let Some(level) = level(name) else {
        return Err(format!("there is no level `{name}`").into());
    };
    let root = grader::workspace::find(&std::env::current_dir()?)?;
    let reference = Reference::new(Files::read(&root, level)?.0);
    let bench = Bench::new(&root, &root.join("target/tmp/variants"))?;
    let mut counts = Counts::default();
    for solution in unknown(Path::new(dir))?.iter().filter(|it| it.name.contains(filter)) {
        judge(&bench, level, solution, &reference, &mut counts)?;
    }
    let Counts { wrong, full_marks, bonus_only, right, right_below, invalid } = counts;
    println!(
        "\nwrong: {wrong}, with full marks {full_marks}, caught by bonus only {bonus_only}\n\
         right: {right}, below full marks {right_below}\ninvalid: {invalid}"
    );
    Ok(ExitCode::from(u8::from(full_marks + right_below > 0)))
}

/// Judges one solution and prints a line about it, with the message that a reader has to judge below.
fn judge(
    bench: &Bench,
    level: &Level,
    solution: &Planted,
    reference: &Reference,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let name = &solution.name;
    let files = match solution.files(reference, level) {
        Ok(files) => files,
        Err(why) => {
            println!("{name}: INVALID, {why}");
            counts.invalid += 1;
            return Ok(());
        }
    };
    let mut entries = select(&[level.name.to_owned()])?;
    let trials: Vec<_> = entries.extract_if(.., |entry| entry.exercise.trial).collect();
    let mut report = bench.grade_by(&entries, level, &files)?;
    if let Some(broken) = report.levels.iter().find_map(|level| level.broken.as_ref()) {
        println!("{name}: INVALID, does not compile\n{}", broken.errors);
        counts.invalid += 1;
        return Ok(());
    }
    if lost(&report).is_empty() && !trials.is_empty() {
        report = bench.grade_by(&trials, level, &files)?;
    }
    let lost = lost(&report);
    let is_wrong = name.starts_with("wrong");
    *(if is_wrong { &mut counts.wrong } else { &mut counts.right }) += 1;
    let core = lost.iter().any(|criterion| criterion.kind == Kind::Core);
    let verdict = match (is_wrong, lost.is_empty(), core) {
        (true, true, _) => {
            counts.full_marks += 1;
            "FULL MARKS"
        }
        (true, false, false) => {
            counts.bonus_only += 1;
            "caught by bonus only"
        }
        (true, false, true) => "caught",
        (false, true, _) => "full marks",
        (false, false, _) => {
            counts.right_below += 1;
            "BELOW FULL MARKS"
        }
    };
    println!("{name}: {verdict} ({})", solution.why);
    for criterion in &lost {
        println!("    {} {:?}", criterion.id, criterion.kind);
    }
    for line in lost.first().map(|first| told(&report, first.id)).unwrap_or_default().lines() {
        println!("    | {line}");
    }
    Ok(())
}

fn lost(report: &Report) -> Vec<&CriterionReport> {
    report.criteria().filter(|criterion| criterion.status != Status::Passed).collect()
}
