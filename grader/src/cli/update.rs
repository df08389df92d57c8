//! `cargo grade update`: a newer course under the learner's work.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use grader::starter::{Renewed, RenewedFile, beside};
use grader::update::{Updated, update};

use super::{Arguments, Exit, Failure, write};

const BOLD: Style = Style::new().bold();
const CODE: Style = AnsiColor::Cyan.on_default();

pub(super) fn run(arguments: &Arguments, from: &str) -> Result<Exit, Failure> {
    let root = super::root(arguments)?;
    let updated = update(&root, from)?;
    write::to_stdout(&render(&updated)?)?;
    Ok(Exit::Success)
}

fn render(updated: &Updated) -> Result<String, std::fmt::Error> {
    let Updated { versions, counts, replaced_edited, kept, renewed, criteria } = updated;
    let mut out = String::new();
    let version =
        |version: &Option<String>| version.clone().unwrap_or_else(|| "unknown".to_owned());
    let (added, replaced, removed) = counts;
    writeln!(out, "{BOLD}version {} -> {}{BOLD:#}", version(&versions.0), version(&versions.1))?;
    writeln!(out, "files of the course: {replaced} replaced, {added} new, {removed} removed")?;
    if counts == &(0, 0, 0) && replaced_edited.is_empty() && kept.is_empty() && renewed.is_empty() {
        writeln!(out, "nothing to do: the workspace has this version")?;
        return Ok(out);
    }
    section(&mut out, "files to write", renewed.iter().map(said))?;
    let kept = kept.iter().map(|path| {
        format!("{path}  stays yours; the newer one is {}", beside(path.as_ref()).display())
    });
    section(&mut out, "changed by you and by the course", kept)?;
    let replaced = replaced_edited.iter().map(|path| format!("{path}  is the course's now"));
    section(&mut out, "not as the course had them; the last commit has your versions", replaced)?;
    section(&mut out, "new criteria", by_exercise(&criteria.new))?;
    section(&mut out, "criteria that are gone", by_exercise(&criteria.gone))?;
    let renamed = criteria.renamed.iter().map(|(from, to)| format!("{from}  is {to} now"));
    section(&mut out, "renamed criteria; what you have passed stays passed", renamed)?;
    writeln!(
        out,
        "\nthen  {CODE}git diff{CODE:#} shows the update, {CODE}cargo grade{CODE:#} grades by it"
    )?;
    writeln!(out, "keep  {CODE}git add --all && git commit -m \"newer course\"{CODE:#}")?;
    Ok(out)
}

fn said(file: &RenewedFile) -> String {
    let path = file.path.display();
    match file.renewed {
        Renewed::New => format!("{path}  is new: a blank"),
        Renewed::Blank => format!("{path}  was blank and is the newer blank"),
        Renewed::Beside => format!(
            "{path}  stays yours; its blank has changed, the newer one is {}",
            beside(&file.path).display()
        ),
    }
}

/// `level2/race: two-names, of-criteria`.
fn by_exercise(ids: &[String]) -> impl Iterator<Item = String> {
    let mut exercises: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for id in ids {
        let (exercise, name) = id.rsplit_once('/').unwrap_or((id, ""));
        exercises.entry(exercise).or_default().push(name);
    }
    exercises.into_iter().map(|(exercise, names)| format!("{exercise}: {}", names.join(", ")))
}

fn section(out: &mut String, title: &str, lines: impl Iterator<Item = String>) -> std::fmt::Result {
    for (at, line) in lines.enumerate() {
        if at == 0 {
            writeln!(out, "\n{BOLD}{title}{BOLD:#}")?;
        }
        writeln!(out, "  {line}")?;
    }
    Ok(())
}
