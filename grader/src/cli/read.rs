//! `list`, `show` and `hint`: what stands in the catalog.
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use grader::catalog::{Exercise, Kind, LEVELS, Level};
use grader::select::{Entry, SelectError, exercise, one, select};

use super::{Arguments, Exit, Failure, write};

const BOLD: Style = Style::new().bold();
const CODE: Style = AnsiColor::Cyan.on_default();

pub(super) fn list(arguments: &Arguments, names: &[String]) -> Result<Exit, Failure> {
    let entries = select(&super::full_names(arguments, names)?)?;
    let mut out = String::new();
    for level in LEVELS {
        let of_level: Vec<_> = entries.iter().filter(|e| e.level.name == level.name).collect();
        if of_level.is_empty() {
            continue;
        }
        writeln!(out, "{BOLD}{} — {}{BOLD:#}", level.name, level.title)?;
        for entry in of_level {
            let criterion = entry.criterion;
            let bonus = if criterion.kind == Kind::Bonus { "  (bonus)" } else { "" };
            writeln!(
                out,
                "  {CODE}{:<52}{CODE:#} {:>2}  {}{bonus}",
                criterion.id, criterion.points, criterion.title
            )?;
        }
    }
    write::to_stdout(&out)?;
    Ok(Exit::Success)
}

pub(super) fn show(arguments: &Arguments, name: Option<&str>) -> Result<Exit, Failure> {
    let started = super::started(arguments);
    let name = &named(arguments, name)?;
    let entry = match one(name, &started) {
        Ok(entry) => entry,
        Err(several @ SelectError::NotOne { .. }) => {
            let (level, exercise) = exercise(name, &started)?.ok_or(several)?;
            return show_exercise(level, exercise);
        }
        Err(error) => return Err(error.into()),
    };
    let mut out = String::new();
    criterion(&mut out, &entry)?;
    write::to_stdout(&out)?;
    Ok(Exit::Success)
}

/// The name that was typed, or the criterion that the last run or `watch` has shown.
pub(super) fn named(arguments: &Arguments, name: Option<&str>) -> Result<String, Failure> {
    if let Some(name) = name {
        return Ok(name.to_owned());
    }
    let last = grader::progress::read(&super::root(arguments)?)?.last;
    let why = "which criterion? Type its id, or run `cargo grade` first: without an id the command \
               uses the criterion that was shown last";
    Ok(last.ok_or(why)?)
}

/// Writes what a criterion demands.
pub(super) fn criterion(out: &mut String, entry: &Entry) -> std::fmt::Result {
    let criterion = entry.criterion;
    let kind = match criterion.kind {
        Kind::Core => "core: the assignment asks for it",
        Kind::Bonus => "bonus: beyond the assignment",
    };
    let points = if criterion.points == 1 { "point" } else { "points" };
    writeln!(out, "{BOLD}{}{BOLD:#}\n{}\n", criterion.id, criterion.title)?;
    writeln!(out, "{}\n", criterion.requirement)?;
    for (number, clause) in entry.exercise.clauses_of(criterion.id) {
        writeln!(out, "clause {number}. {}", clause.text)?;
    }
    writeln!(out, "worth  {} {points}, {kind}", criterion.points)?;
    writeln!(out, "file   {}", criterion.file)?;
    for (nr, read) in criterion.read.iter().enumerate() {
        writeln!(out, "{:<6} {read}", if nr == 0 { "read" } else { "" })?;
    }
    writeln!(out, "hints  {CODE}cargo grade hint {}{CODE:#}", criterion.id)?;
    writeln!(out, "grade  {CODE}cargo grade {}{CODE:#}", criterion.id)
}

/// What an exercise demands as a whole: its contract and its criteria.
fn show_exercise(level: &Level, exercise: &Exercise) -> Result<Exit, Failure> {
    let mut out = String::new();
    let name = format!("{}/{}", level.name, exercise.name);
    writeln!(out, "{BOLD}{name}{BOLD:#}\n{}\n\nfile   {}\n", exercise.title, exercise.file)?;
    for (at, clause) in exercise.clauses.iter().enumerate() {
        // Criteria of the exercise by their last part, as it stands below.
        let own = format!("{name}/");
        let judged = clause.criteria.iter().map(|id| id.strip_prefix(&own).unwrap_or(id));
        let judged = judged.collect::<Vec<_>>().join(", ");
        writeln!(out, "{:>2}. {}", at + 1, clause.text)?;
        writeln!(out, "    judged by {judged}")?;
    }
    writeln!(out, "\ncriteria")?;
    for criterion in exercise.criteria {
        let bonus = if criterion.kind == Kind::Bonus { "  (bonus)" } else { "" };
        let (id, points, title) = (criterion.id, criterion.points, criterion.title);
        writeln!(out, "  {CODE}{id:<52}{CODE:#} {points:>2}  {title}{bonus}")?;
    }
    writeln!(out, "\ngrade  {CODE}cargo grade {name}{CODE:#}")?;
    write::to_stdout(&out)?;
    Ok(Exit::Success)
}

pub(super) fn hint(
    arguments: &Arguments,
    name: Option<&str>,
    number: Option<usize>,
) -> Result<Exit, Failure> {
    // `hint 2` is about the criterion that was shown last.
    let (name, number) = match (name, number) {
        (Some(typed), None) => match typed.parse() {
            Ok(number) => (None, number),
            Err(_) => (Some(typed), 1),
        },
        (name, number) => (name, number.unwrap_or(1)),
    };
    let criterion = one(&named(arguments, name)?, &super::started(arguments))?.criterion;
    let (id, hints) = (criterion.id, criterion.hints);
    // A number that is too high shows the last hint, and 0 the first one.
    let number = number.clamp(1, hints.len());
    let mut out = String::new();
    for (nr, hint) in hints.iter().take(number).enumerate() {
        writeln!(out, "{BOLD}{}/{}{BOLD:#}  {hint}", nr + 1, hints.len())?;
    }
    if number < hints.len() {
        writeln!(out, "\nmore: {CODE}cargo grade hint {id} {}{CODE:#}", number + 1)?;
    } else {
        writeln!(
            out,
            "\nthis was the last hint; what the criterion demands: {CODE}cargo grade show {id}{CODE:#}"
        )?;
    }
    write::to_stdout(&out)?;
    Ok(Exit::Success)
}
