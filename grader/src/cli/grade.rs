//! `cargo grade [NAME ...]`
use std::io::IsTerminal as _;

use grader::build::Options;
use grader::progress;
use grader::report::{Report, Status, json, scoreboard};
use grader::seed::Seed;
use grader::supervise::Limits;

use super::progress::{Lines, Spinner};
use super::{Arguments, Exit, Failure, Format, write};

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let names = super::full_names(arguments, &arguments.names)?;
    let entries = grader::select::select(&names)?;
    let root = super::root(arguments)?;
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => Seed::of_this_run()?,
    };
    let file = arguments.output.as_deref().map(write::Pending::create).transpose()?;
    let to_terminal = file.is_none() && std::io::stdout().is_terminal();
    let options =
        Options { color: to_terminal && arguments.format == Format::Text, ..Options::default() };
    let limits = Limits::default();
    let mut report = if std::io::stderr().is_terminal() {
        grader::grade::grade(&root, &entries, &options, &limits, seed, &Spinner::default())?
    } else {
        grader::grade::grade(&root, &entries, &options, &limits, seed, &Lines)?
    };
    report.leave_out(&grader::starter::untouched(&root));
    let record = progress::read(&root).unwrap_or_default();
    report.remember_won(|id| record.passed.contains_key(id));
    progress::name_unfinished(&root, &mut report);
    remember(&root, &report);
    let text = match arguments.format {
        Format::Text => scoreboard::render(&report),
        Format::Json => json::render(&report)? + "\n",
    };
    match file {
        Some(file) => file.finish(&text)?,
        None => write::to_stdout(&text)?,
    }
    Ok(exit(&report, &names))
}

/// Keeps what `show` and `hint` mean without a name, and when a criterion first passed.
fn remember(root: &std::path::Path, report: &Report) {
    let first = report.criteria().find(|criterion| criterion.status != Status::Passed);
    // The marks do not depend on it.
    if let Err(why) = progress::graded(root, report, first.map(|criterion| criterion.id)) {
        anstream::eprintln!("note: {why}");
    }
}

fn exit(report: &Report, names: &[String]) -> Exit {
    let asked_for = |id: &str| names.iter().any(|name| name == id);
    if report.has_not_judged() {
        Exit::CouldNotGrade
    } else if report.has_full_core_marks()
        && report.criteria().all(|c| c.status == Status::Passed || !asked_for(c.id))
    {
        Exit::Success
    } else {
        Exit::CriteriaFailed
    }
}
