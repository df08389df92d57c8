//! A summary of a fork, for a teacher to read or a CI job to show.
use std::fmt::Write as _;

use super::gradebook::status;
use super::text::{block, cell};
use crate::class::marks::{marks, points, remarks};
use crate::class::result::{ForkResult, LevelResult};
use crate::class::settings::Settings;
use crate::class::take::Names;
use crate::report::{Status, count};
use crate::submission::Finding;

/// Failures with their whole message; of more only the first lines.
const MOST_MESSAGES: usize = 20;

/// The summary of a fork.
pub(in crate::class) fn render(result: &ForkResult, settings: &Settings) -> String {
    let mut out = String::new();
    // Writing into a string does not fail.
    let _ = write(&mut out, result, settings);
    out
}

fn write(out: &mut String, result: &ForkResult, settings: &Settings) -> std::fmt::Result {
    let marks = marks(result, settings);
    writeln!(out, "# {}\n", cell(&result.name))?;
    writeln!(
        out,
        "**{} of {} points** ({})\n",
        points(marks.total),
        points(marks.of),
        status(result.status)
    )?;
    for remark in remarks(result, &marks) {
        writeln!(out, "- {}", cell(&remark))?;
    }
    if let Some(commit) = &result.commit {
        writeln!(out, "- commit `{}` of {}", commit.id, commit.time)?;
    }
    writeln!(out, "\n| level | core | of | bonus | of |\n| --- | ---: | ---: | ---: | ---: |")?;
    for level in &marks.levels {
        let score = level.score;
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            level.name, score.core, score.core_of, score.bonus, score.bonus_of
        )?;
    }
    let mut shown = 0;
    for level in &result.levels {
        failures(out, level, settings, &mut shown)?;
    }
    look_at(out, result)?;
    changes(out, result)?;
    conditions(out, result)
}

fn failures(
    out: &mut String,
    level: &LevelResult,
    settings: &Settings,
    shown: &mut usize,
) -> std::fmt::Result {
    if let Some(words) = &level.words {
        writeln!(out, "\n## {}\n\n{}", level.name, block(words))?;
        return Ok(());
    }
    let failed: Vec<_> = level
        .criteria
        .iter()
        .filter(|criterion| criterion.status == Status::Failed && settings.counts(&criterion.id))
        .collect();
    let not_started =
        level.criteria.iter().filter(|criterion| criterion.status == Status::NotStarted).count();
    if failed.is_empty() && not_started == 0 {
        return Ok(());
    }
    writeln!(out, "\n## {}\n", level.name)?;
    if not_started > 0 {
        writeln!(out, "{} not started.\n", count(not_started, "criterion is", "criteria are"))?;
    }
    for criterion in failed {
        writeln!(
            out,
            "- `{}`: {}",
            criterion.id,
            cell(criterion.headline.as_deref().unwrap_or("not met"))
        )?;
        *shown += 1;
        if *shown <= MOST_MESSAGES && !criterion.message.is_empty() {
            writeln!(out, "\n{}", block(&criterion.message))?;
        }
    }
    Ok(())
}

fn look_at(out: &mut String, result: &ForkResult) -> std::fmt::Result {
    let findings: Vec<_> = result.levels.iter().flat_map(|level| &level.look_at).collect();
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## To look at\n\nEach has an honest use, and none decides about points.\n")?;
    for finding in findings {
        writeln!(out, "- {}", cell(&finding.to_string()))?;
    }
    Ok(())
}

fn changes(out: &mut String, result: &ForkResult) -> std::fmt::Result {
    let given = result
        .levels
        .iter()
        .flat_map(|level| level.findings.iter().map(move |found| (level, found)));
    let given: Vec<String> = given
        .map(|(level, finding)| match finding {
            Finding::GivenChanged(path) => format!("{}/{path}: changed", level.name),
            Finding::GivenMissing(path) => format!("{}/{path}: missing", level.name),
            Finding::NewerMissing(path) => {
                format!(
                    "{}/{path}: missing in an older course, so the blank was judged",
                    level.name
                )
            }
            Finding::NotAFile(path) => format!("{}/{path}: no plain file", level.name),
        })
        .collect();
    let changes = &result.changes;
    if changes.is_empty() && given.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Left behind\n\nNone of this was used; the course's own files were.\n")?;
    if let Some(version) = &changes.version {
        writeln!(out, "- its manifest names version {} of the course", cell(version))?;
    }
    names(out, "changed", &changes.changed)?;
    names(out, "added", &changes.added)?;
    names(out, "missing", &changes.missing)?;
    names(out, "no plain files", &changes.no_files)
}

fn names(out: &mut String, what: &str, names: &Names) -> std::fmt::Result {
    if names.count == 0 {
        return Ok(());
    }
    let first: Vec<String> = names.first.iter().map(|name| cell(name)).collect();
    let more = names.count - names.first.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    writeln!(out, "- {what}: {}{more}", first.join(", "))
}

fn conditions(out: &mut String, result: &ForkResult) -> std::fmt::Result {
    let conditions = &result.conditions;
    writeln!(
        out,
        "\n---\n\ncourse {}, judge `{}`, lock file `{}`, {}, seed {}",
        conditions.version,
        conditions.judge,
        conditions.lock,
        cell(&conditions.toolchain),
        conditions.seed
    )
}
