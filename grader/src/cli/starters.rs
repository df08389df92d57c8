//! `start` and `solution`.
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use grader::catalog::{self, LEVELS, Level};
use grader::select::select;
use grader::starter::{Applied, Edited, SolutionError, plan, solution as reference};

use super::{Arguments, Exit, Failure, write};

const BOLD: Style = Style::new().bold();
const CODE: Style = AnsiColor::Cyan.on_default();
const DIM: Style = Style::new().dimmed();

pub(super) fn start(
    arguments: &Arguments,
    level: Option<&str>,
    edited: Edited,
) -> Result<Exit, Failure> {
    let root = super::root(arguments)?;
    let levels: Vec<&Level> = match level {
        None => LEVELS.to_vec(),
        Some(name) => vec![one_level(name)?],
    };
    // All plans before the first deed: a level that cannot be blanked stops the others too.
    let plans = levels.iter().map(|level| plan(&root, level)).collect::<Result<Vec<_>, _>>()?;
    let mut out = String::new();
    for (plan, level) in plans.iter().zip(&levels) {
        let applied = plan.apply(edited);
        match applied {
            Ok(applied) => say(&mut out, level, &applied)?,
            Err(error) => {
                write::to_stdout(&out)?;
                return Err(error.into());
            }
        }
    }
    let first = levels.first().map_or("", |level| level.name);
    writeln!(
        out,
        "\nread  {CODE}{first}/README.md{CODE:#}, the assignment; {CODE}cargo grade lesson {first}{CODE:#}"
    )?;
    writeln!(
        out,
        "keep  {CODE}.course{CODE:#} in git with your work: it records where the reference is"
    )?;
    writeln!(out, "then  {CODE}cargo grade watch{CODE:#}; a blank scores no points at first")?;
    write::to_stdout(&out)?;
    Ok(Exit::Success)
}

fn say(out: &mut String, level: &Level, applied: &Applied) -> std::fmt::Result {
    if applied.blanked.is_empty() && applied.removed.is_empty() {
        return writeln!(out, "{BOLD}{}{BOLD:#} is blank already", level.name);
    }
    writeln!(out, "{BOLD}{}{BOLD:#} is yours now; write", level.name)?;
    // In the order to work in; what no exercise names comes last.
    let order = |path: &std::path::PathBuf| {
        // What lies in the same folder below `src` belongs to the same module.
        let position = |file: &str| match file.rsplit_once('/') {
            Some((folder, _)) if !folder.ends_with("/src") => path.starts_with(folder),
            _ => path.ends_with(file),
        };
        level.exercises.iter().position(|exercise| position(exercise.file)).unwrap_or(usize::MAX)
    };
    let mut blanked = applied.blanked.clone();
    // Unit tests are there to be run.
    blanked.retain(|path| !path.ends_with("tests.rs"));
    blanked.sort_by_key(order);
    for path in &blanked {
        writeln!(out, "  {}", path.display())?;
    }
    if !applied.removed.is_empty() {
        let count = applied.removed.len();
        let files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
        writeln!(
            out,
            "  {DIM}{files} with private parts of the reference removed: divide your code as you like{DIM:#}"
        )?;
    }
    if let Some(backup) = &applied.backup {
        writeln!(out, "  your earlier work is in {}", backup.display())?;
    }
    Ok(())
}

fn one_level(name: &str) -> Result<&'static Level, Failure> {
    catalog::level(name).ok_or_else(|| {
        let names: Vec<&str> = LEVELS.iter().map(|level| level.name).collect();
        format!("there is no level `{name}`; there are {}", names.join(", ")).into()
    })
}

pub(super) fn solution(arguments: &Arguments, name: &str) -> Result<Exit, Failure> {
    let root = super::root(arguments)?;
    let files = match reference(&root, &name.replace('-', "_")) {
        // No module is called so; perhaps an exercise is, and its file has another name.
        Err(SolutionError::UnknownLevel { .. } | SolutionError::UnknownModule { .. }) => {
            reference(&root, &file_of(arguments, name))
        }
        read => read,
    }?;
    let mut out = String::new();
    for (path, text) in files {
        writeln!(out, "{DIM}// ---- {}{DIM:#}\n{text}", path.display())?;
    }
    write::to_stdout(&out)?;
    Ok(Exit::Success)
}

/// The file of the exercise or criterion called `name`; where nothing is, the name itself.
fn file_of(arguments: &Arguments, name: &str) -> String {
    let full = super::full_names(arguments, &[name.to_owned()]);
    let entries = full.and_then(|full| select(&full)).unwrap_or_default();
    entries.first().map_or(name, |entry| entry.criterion.file).to_owned()
}
