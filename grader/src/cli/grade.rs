//! `cargo grade [NAME ...]`
use std::io::IsTerminal as _;
use std::path::Path;

use grader::build::Options;
use grader::grade::Progress;
use grader::report::{Report, Status, json, scoreboard};
use grader::seed::Seed;
use grader::select::{Entry, select};
use grader::supervise::Limits;
use grader::{page, progress};

use super::progress::{Lines, Spinner};
use super::{Arguments, Exit, Failure, Format, write};

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let names = super::full_names(arguments, &arguments.names)?;
    let entries = select(&names)?;
    let root = super::root(arguments)?;
    let seed = arguments.seed.map_or_else(Seed::of_this_run, Ok)?;
    let file = arguments.output.as_deref().map(write::Pending::create).transpose()?;
    let to_terminal = file.is_none() && std::io::stdout().is_terminal();
    let color = to_terminal && arguments.format == Format::Text;
    let shows = if arguments.format == Format::Text { Shows::Text } else { Shows::Pictures };
    let report = judge(&root, &entries, color, seed, shows)?;
    let text = match arguments.format {
        Format::Text if arguments.all => scoreboard::render_all(&report),
        Format::Text => scoreboard::render(&report),
        Format::Json => json::render(&report)? + "\n",
        Format::Html => page::learner(&report)?,
    };
    match file {
        Some(file) => file.finish(&text)?,
        None => write::to_stdout(&text)?,
    }
    Ok(exit(&report, &names))
}

/// What is made of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    /// Text: no scene is played.
    Text,
    /// Pictures too, or what a machine could draw them from.
    Pictures,
}

/// Grades with the learner's record: what is untouched is left out, and what passes is remembered.
pub(super) fn judge(
    root: &Path,
    entries: &[Entry],
    color: bool,
    seed: Seed,
    shows: Shows,
) -> Result<Report, Failure> {
    let options = Options { color, ..Options::default() };
    let limits = Limits::default();
    let (spinner, lines) = (Spinner::default(), Lines);
    let progress: &dyn Progress = if std::io::stderr().is_terminal() { &spinner } else { &lines };
    let grade = match shows {
        Shows::Text => grader::grade::grade,
        Shows::Pictures => grader::grade::grade_with_scenes,
    };
    let mut report = grade(root, entries, &options, &limits, seed, progress)?;
    report.leave_out(&grader::starter::untouched(root));
    let record = progress::read(root).unwrap_or_default();
    report.remember_won(|id| record.passed.contains_key(id));
    progress::name_unfinished(root, &mut report);
    progress::name_next(root, &mut report);
    remember(root, &report);
    Ok(report)
}

/// Keeps what `show` and `hint` mean without a name, and when a criterion first passed.
fn remember(root: &Path, report: &Report) {
    let first = report.criteria().find(|criterion| criterion.status != Status::Passed);
    // The marks do not depend on it.
    if let Err(why) = progress::graded(root, report, first.map(|criterion| criterion.id)) {
        anstream::eprintln!("note: {why}");
    }
}

/// What the command ends with, where these names were asked for.
pub(super) fn exit(report: &Report, names: &[String]) -> Exit {
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
