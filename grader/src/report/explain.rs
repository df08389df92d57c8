//! One failure in full: what was expected, what was seen, where to look, what to type next.
use std::fmt::{self, Write as _};
use std::path::Path;

use grader_protocol::{Diagnosis, Event, Fail, PanicSite};

use super::style::{BAD, CODE, DIM, Styled};
use super::{CriterionReport, Status};
use crate::supervise::Verdict;

/// Limits for the lines of the judged code's output and of the timeline: more lines do not help the learner.
const MOST_OUTPUT: usize = 12;
const MOST_EVENTS: usize = 40;

/// Where the learner should look.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The level's folder, as the compiler names it in a panic's place: `level2`.
    pub level: &'a str,
    /// The file to write: `level2/src/race.rs`.
    pub file: &'a str,
}

/// The lines below a failed criterion of `level`, each indented by `indent`.
///
/// # Errors
///
/// Only if writing into the string fails, which it does not.
pub fn criterion(
    out: &mut String,
    level: &str,
    criterion: &CriterionReport,
    indent: &str,
) -> fmt::Result {
    let Some(verdict) = &criterion.verdict else { return Ok(()) };
    let mut text = String::new();
    unfinished(&mut text, criterion)?;
    failure(&mut text, verdict, Place { level, file: criterion.file })?;
    if criterion.status == Status::Failed {
        writeln!(text, "next      {}", Styled(CODE, format!("cargo grade hint {}", criterion.id)))?;
    }
    for line in text.lines() {
        writeln!(out, "{indent}{line}")?;
    }
    Ok(())
}

/// One line about what a failed criterion is built on and is not finished, if there is such a thing.
///
/// # Errors
///
/// Only if writing into the string fails, which it does not.
pub fn unfinished(out: &mut String, criterion: &CriterionReport) -> fmt::Result {
    if criterion.status != Status::Failed || criterion.unfinished.is_empty() {
        return Ok(());
    }
    let (names, verb) =
        (&criterion.unfinished, if criterion.unfinished.len() == 1 { "is" } else { "are" });
    let text = format!("{} {verb} not finished, and this exercise uses it", names.join(" and "));
    let command = format!("cargo grade {}", names.join(" "));
    writeln!(out, "{} {text}: {}", Styled(DIM, format!("{:<9}", "first")), Styled(CODE, command))
}

/// What the judged code printed and what was remarked although the criterion is met.
///
/// # Errors
///
/// Only if writing into the string fails, which it does not.
pub fn passed(out: &mut String, criterion: &CriterionReport, indent: &str) -> fmt::Result {
    let Some(verdict) = &criterion.verdict else { return Ok(()) };
    let mut text = String::new();
    for note in &verdict.notes {
        part(&mut text, "note", Some(note))?;
    }
    output(&mut text, &verdict.output)?;
    text.lines().try_for_each(|line| writeln!(out, "{indent}{line}"))
}

/// A failure in full, without indentation: headline first.
///
/// # Errors
///
/// Only if writing into the string fails, which it does not.
pub fn failure(out: &mut String, verdict: &Verdict, place: Place<'_>) -> fmt::Result {
    let Some(fail) = &verdict.fail else { return Ok(()) };
    writeln!(out, "{}", Styled(BAD, &fail.headline))?;
    part(out, "expected", fail.expected.as_deref())?;
    part(out, "observed", fail.observed.as_deref())?;
    panics(out, fail)?;
    timeline(out, &fail.timeline)?;
    for note in &verdict.notes {
        part(out, "note", Some(note))?;
    }
    output(out, &verdict.output)?;
    let panicked = fail.diagnosis == Some(Diagnosis::Panicked);
    let advice = fail.panics.first().filter(|_| panicked).and_then(advice);
    part(out, "help", advice.or(fail.help.as_deref()))?;
    part(out, "file", Some(&file(fail, place)))
}

/// A label and a text; further lines of the text are set below its first.
fn part(out: &mut String, label: &str, text: Option<&str>) -> fmt::Result {
    for (nr, line) in text.into_iter().flat_map(str::lines).enumerate() {
        let label = if nr == 0 { label } else { "" };
        writeln!(out, "{} {line}", Styled(DIM, format!("{label:<9}")))?;
    }
    Ok(())
}

/// The learner's file; with the line where it panicked, if it did there.
fn file(fail: &Fail, place: Place<'_>) -> String {
    let in_level = |panic: &&PanicSite| Path::new(&panic.file).starts_with(place.level);
    match fail.panics.iter().find(in_level) {
        Some(panic) => format!("{}:{}", panic.file, panic.line),
        None => place.file.to_owned(),
    }
}

fn panics(out: &mut String, fail: &Fail) -> fmt::Result {
    if fail.diagnosis == Some(Diagnosis::NotStarted) {
        return Ok(()); // its message is the starter's own
    }
    for panic in &fail.panics {
        part(out, "panic", Some(&format!("{panic}{}", whose(panic))))?;
    }
    Ok(())
}

/// Whose file a panic lies in, where it is not the learner's.
fn whose(panic: &PanicSite) -> &'static str {
    let file = panic.file.as_str();
    if file.starts_with("grader/") {
        " (raised by a fake of the grader; it reached the grader through your code)"
    } else if file.starts_with("/rustc/") {
        " (in the standard library, called by your code)"
    } else if file.contains("/registry/src/") {
        " (in a library, called by your code)"
    } else {
        ""
    }
}

/// What to do about a panic, where its text or its place says more than that there was one.
fn advice(panic: &PanicSite) -> Option<&'static str> {
    let said = |text: &str| panic.message.contains(text);
    if said("overflow") || said("out of range") {
        Some(
            "a value goes beyond what its type holds: think of the largest duration and the largest \
             count, and use checked or saturating arithmetic",
        )
    } else if said("from within a runtime") || said("within an asynchronous execution context") {
        Some("code that is polled may not block its thread or start a runtime: .await instead")
    } else if said("PoisonError") {
        Some(
            "a panic while a lock was held has poisoned it: call other code outside of the lock, or take \
             the value out of the error (into_inner)",
        )
    } else if said("already borrowed") || said("already mutably borrowed") {
        Some("a RefCell is borrowed twice: end the borrow before other code is called or awaited")
    } else if panic.file.starts_with("grader/") {
        Some(
            "where the exercise promises to contain a panic, catch it around the call that makes the \
             future as well as around each poll of it",
        )
    } else {
        None
    }
}

fn timeline(out: &mut String, events: &[Event]) -> fmt::Result {
    let who = events.iter().map(|event| event.who.chars().count()).max().unwrap_or_default();
    for (nr, event) in events.iter().take(MOST_EVENTS).enumerate() {
        let label = if nr == 0 { "timeline" } else { "" };
        let at = format!("{:>6} ms", event.at_us / 1000);
        writeln!(
            out,
            "{} {at}  {:<who$}  {}",
            Styled(DIM, format!("{label:<9}")),
            event.who,
            event.what
        )?;
    }
    if events.len() > MOST_EVENTS {
        writeln!(out, "{:<9} ... and {} more", "", events.len() - MOST_EVENTS)?;
    }
    Ok(())
}

fn output(out: &mut String, printed: &str) -> fmt::Result {
    let printed = printed.trim_end();
    if printed.is_empty() {
        return Ok(());
    }
    for (nr, line) in printed.lines().take(MOST_OUTPUT).enumerate() {
        let label = if nr == 0 { "printed" } else { "" };
        // Escapes could draw over what the grader says.
        let line: String = line.chars().filter(|c| !c.is_control()).take(160).collect();
        writeln!(out, "{} | {line}", Styled(DIM, format!("{label:<9}")))?;
    }
    let more = printed.lines().count().saturating_sub(MOST_OUTPUT);
    if more > 0 {
        writeln!(out, "{:<9} | ... and {more} more lines", "")?;
    }
    Ok(())
}
