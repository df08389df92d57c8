//! One failure in full: what was expected, what was seen, where to look, what to type next.
use std::cmp::Reverse;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::Path;

use grader_protocol::{Diagnosis, Event, Fail, PanicSite};
use serde::Serialize;

use super::style::{BAD, CODE, DIM, Styled};
use super::{CriterionReport, Status};
use crate::catalog::LEVELS;
use crate::supervise::Verdict;

/// Limits for the lines of the judged code's output and of the timeline: more lines do not help the learner. Of a long
/// timeline the first lines are shown and the last, where the failure is.
const MOST_OUTPUT: usize = 12;
const MOST_EVENTS: usize = 40;
const FIRST_EVENTS: usize = 6;

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
    let first = unfinished(criterion);
    part(&mut text, "first", first.as_ref().map(|fact| fact.text.as_str()))?;
    failure(&mut text, verdict, Place { level, file: criterion.file })?;
    // A hint about this exercise cannot help while what it is built on is wrong.
    if criterion.status == Status::Failed && first.is_none() {
        let command = match first_of(criterion) {
            Some(id) => format!("cargo grade {id}"),
            None => format!("cargo grade hint {}", criterion.id),
        };
        writeln!(text, "next      {}", Styled(CODE, command))?;
    }
    for line in text.lines() {
        writeln!(out, "{indent}{line}")?;
    }
    Ok(())
}

/// What a failed criterion is built on and does not have all core points, if there is such a thing: to be read first.
#[must_use]
pub fn unfinished(criterion: &CriterionReport) -> Option<Fact> {
    let names = &criterion.unfinished;
    if criterion.status != Status::Failed || names.is_empty() {
        return None;
    }
    let (verb, them) = if names.len() == 1 { ("does", "it") } else { ("do", "them") };
    let listed = names.join(" and ");
    let command = grade(names);
    let text = format!(
        "{listed} {verb} not have all core points, and this exercise uses {them}: {command}"
    );
    Some(Fact { label: "first", text })
}

/// The `todo!()` that a criterion reached: its function, file and line.
#[must_use]
pub fn placeholder(criterion: &CriterionReport) -> Option<String> {
    let fail = criterion.verdict.as_ref()?.fail.as_ref()?;
    let not_started = fail.diagnosis == Some(Diagnosis::NotStarted);
    fail.observed.clone().filter(|_| not_started)
}

/// The id of the criterion that has to be met before this one, where the failure names one. Only a name from the
/// catalog: the judged code shares the process of the check.
pub(super) fn first_of(criterion: &CriterionReport) -> Option<&'static str> {
    let fail = criterion.verdict.as_ref()?.fail.as_ref()?;
    let id = fail.first.as_deref()?;
    let mut known = LEVELS.iter().flat_map(|level| level.exercises).flat_map(|it| it.criteria);
    known.find(|criterion| criterion.id == id).map(|criterion| criterion.id)
}

/// The command that grades these exercises.
pub(super) fn grade(names: &[&str]) -> String {
    format!("cargo grade {}", names.join(" "))
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
    part(&mut text, "printed", output(&verdict.output).as_deref())?;
    text.lines().try_for_each(|line| writeln!(out, "{indent}{line}"))
}

/// A part of a failure with its label: `expected`, `observed`, `panic`, `note`, `printed`, `help`, `file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What the text is.
    pub label: &'static str,
    /// One line or several.
    pub text: String,
}

/// A failure in full, without indentation: headline first.
///
/// # Errors
///
/// Only if writing into the string fails, which it does not.
pub fn failure(out: &mut String, verdict: &Verdict, place: Place<'_>) -> fmt::Result {
    let Some(fail) = &verdict.fail else { return Ok(()) };
    writeln!(out, "{}", Styled(BAD, &fail.headline))?;
    let facts = facts(verdict, fail, place);
    // What was seen stands before the timeline, what to do about it after it.
    let is_seen = |fact: &&Fact| matches!(fact.label, "expected" | "observed" | "panic");
    for fact in facts.iter().filter(is_seen) {
        part(out, fact.label, Some(&fact.text))?;
    }
    timeline(out, &fail.timeline)?;
    for fact in facts.iter().filter(|fact| !is_seen(fact)) {
        part(out, fact.label, Some(&fact.text))?;
    }
    Ok(())
}

/// The parts of a failure below its headline, but for the timeline.
#[must_use]
pub fn facts(verdict: &Verdict, fail: &Fail, place: Place<'_>) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |label, text: Option<&str>| {
        facts.extend(text.map(|text| Fact { label, text: text.to_owned() }));
    };
    add("expected", fail.expected.as_deref());
    add("observed", fail.observed.as_deref());
    // The message of a `todo!` is the starter's own.
    if fail.diagnosis != Some(Diagnosis::NotStarted) {
        for panic in &fail.panics {
            add("panic", Some(&format!("{panic}{}", whose(panic))));
        }
    }
    for note in &verdict.notes {
        add("note", Some(note));
    }
    add("printed", output(&verdict.output).as_deref());
    add("help", help(fail).as_deref());
    add("file", Some(&file(fail, place)));
    facts
}

/// What to do: where the call panicked, about the first panic. What followed from it needs no repair.
fn help(fail: &Fail) -> Option<String> {
    let (first, aborted) = match (&fail.diagnosis, fail.panics.first()) {
        (Some(Diagnosis::Panicked), Some(first)) => (first, false),
        (Some(Diagnosis::Aborted), Some(first)) => (first, true),
        _ => return fail.help.clone(),
    };
    let later = &fail.panics[1..];
    let mut help = match advice(first) {
        Some(advice) => advice.to_owned(),
        None if aborted => "repair the first panic".to_owned(),
        None => fail.help.clone().unwrap_or_default(),
    };
    if later.iter().any(PanicSite::met_a_poisoned_lock) {
        help.push_str(
            ". The first panic is the cause: it poisoned the lock that the later ones met, so into_inner would only \
             hide it",
        );
    }
    if aborted {
        help.push_str(
            ". A destructor that panics while another panic unwinds aborts the process: the code of a Drop must not panic",
        );
    }
    Some(help)
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

/// Whose file a panic lies in, where it is not the learner's.
fn whose(panic: &PanicSite) -> &'static str {
    let file = panic.file.as_str();
    if file.starts_with("grader/") {
        " (a service of the grader raised it on purpose; it reached the grader through your code)"
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
    if said("attempt to subtract with overflow") {
        Some(
            "a number goes below zero. A count does when something is released that was not taken, or twice: find out \
             which call does that; saturating_sub would hide it",
        )
    } else if said("overflow") || said("out of range") {
        Some(
            "a value goes beyond what its type holds: think of the largest duration and the largest \
             count, and use checked or saturating arithmetic",
        )
    } else if said("from within a runtime") || said("within an asynchronous execution context") {
        Some("code that is polled may not block its thread or start a runtime: .await instead")
    } else if said("PoisonError") {
        Some(
            "a panic while the lock was held has poisoned it: find that panic first. If it comes from code that \
             the lock's holder called, call that code outside of the lock",
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
    let lines = without_repeats(folded(events));
    let left_out = lines.len().saturating_sub(MOST_EVENTS);
    for (nr, line) in lines.iter().enumerate() {
        if left_out > 0 && nr == FIRST_EVENTS {
            writeln!(out, "{:<9} ... {left_out} more", "")?;
        }
        if left_out > 0 && (FIRST_EVENTS..FIRST_EVENTS + left_out).contains(&nr) {
            continue;
        }
        let (event, times) = match line {
            Line::Event(event, times) => (event, times),
            Line::More(count) => {
                writeln!(out, "{:<9} ... {count} more like these", "")?;
                continue;
            }
        };
        let label = if nr == 0 { "timeline" } else { "" };
        let at = format!("{:>6} ms", event.at_us / 1000);
        let times = if *times > 1 { format!(" ({times} times)") } else { String::new() };
        writeln!(
            out,
            "{} {at}  {:<who$}  {}{times}",
            Styled(DIM, format!("{label:<9}")),
            event.who,
            event.what
        )?;
    }
    Ok(())
}

/// A line of a timeline.
#[derive(Debug, PartialEq)]
enum Line<'a> {
    /// An event, and how often it came at that moment.
    Event(&'a Event, usize),
    /// So many events that differ from those before and after them in numbers only.
    More(usize),
}

/// How many events that differ in numbers only are shown before and after those that are left out.
const FIRST_ALIKE: usize = 3;
const LAST_ALIKE: usize = 2;

/// How many events a group has at most that comes again and again.
const LONGEST_GROUP: usize = 4;

/// Timelines up to this many lines are shown whole.
const SHORT_TIMELINE: usize = 20;

/// Where a few events come again and again in the same order, with other numbers (`attempt 7`), the first and the last
/// of them, and a count of those between. Events in another order are shown: the order may be the point.
fn without_repeats(events: Vec<(&Event, usize)>) -> Vec<Line<'_>> {
    if events.len() <= SHORT_TIMELINE {
        return events.into_iter().map(|(event, times)| Line::Event(event, times)).collect();
    }
    let shapes: Vec<(&str, String)> = events
        .iter()
        .map(|(event, _)| {
            let what = event.what.chars().filter(|c| !c.is_ascii_digit()).collect();
            (event.who.as_str(), what)
        })
        .collect();
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut at = 0;
    while at < events.len() {
        // How long a group is, and how many of its kind can be left out.
        let (length, left_out) = (1..=LONGEST_GROUP)
            .map(|length| {
                (length, repeats(&shapes[at..], length).saturating_sub(FIRST_ALIKE + LAST_ALIKE))
            })
            .max_by_key(|&(length, left_out)| (length * left_out, Reverse(length)))
            .unwrap_or((1, 0));
        let show = |range: Range<usize>| {
            events[range].iter().map(|&(event, times)| Line::Event(event, times))
        };
        // A line that says that one is missing takes as much room as the one.
        if length * left_out < 2 {
            lines.extend(show(at..at + 1));
            at += 1;
            continue;
        }
        let first = at + length * FIRST_ALIKE;
        let last = first + length * left_out;
        at = last + length * LAST_ALIKE;
        lines.extend(show(first - length * FIRST_ALIKE..first));
        lines.push(Line::More(length * left_out));
        lines.extend(show(last..at));
    }
    lines
}

/// How often the first `length` of these come one after another, from the beginning on.
fn repeats<T: PartialEq>(all: &[T], length: usize) -> usize {
    let Some(group) = all.get(..length) else { return 0 };
    all.chunks_exact(length).take_while(|chunk| *chunk == group).count()
}

/// Events that repeat at one moment, once each, with their number.
fn folded(events: &[Event]) -> Vec<(&Event, usize)> {
    let mut lines: Vec<(&Event, usize)> = Vec::new();
    for event in events {
        match lines.last_mut() {
            Some((last, times))
                if (last.at_us / 1000, &last.who, &last.what)
                    == (event.at_us / 1000, &event.who, &event.what) =>
            {
                *times += 1;
            }
            _ => lines.push((event, 1)),
        }
    }
    lines
}

/// What the judged code printed, cut; `None` if that is nothing.
fn output(printed: &str) -> Option<String> {
    let printed = printed.trim_end();
    // Escapes could draw over what the grader says.
    let shown = |line: &str| -> String {
        let line: String = line.chars().filter(|c| !c.is_control()).take(160).collect();
        format!("| {line}")
    };
    let mut lines: Vec<String> = printed.lines().take(MOST_OUTPUT).map(shown).collect();
    let more = printed.lines().count().saturating_sub(MOST_OUTPUT);
    if more > 0 {
        lines.push(format!("| ... and {more} more lines"));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(events: &[(u64, &str, &str)]) -> String {
        let event = |&(at, who, what): &(u64, &str, &str)| Event {
            at_us: at * 1000,
            who: who.to_owned(),
            what: what.to_owned(),
        };
        let events: Vec<Event> = events.iter().map(event).collect();
        let mut out = String::new();
        timeline(&mut out, &events).expect("a string takes every text");
        out
    }

    #[test]
    fn events_that_differ_in_numbers_only_are_left_out_but_for_the_first_and_the_last() {
        let attempts: Vec<String> =
            (1..=80).map(|attempt| format!("undo called, attempt {attempt}")).collect();
        let events: Vec<_> =
            (0..).zip(&attempts).map(|(at, what)| (at, "points", what.as_str())).collect();
        let out = shown(&[&[(0, "points", "called")], &events[..]].concat());
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 1 + 3 + 1 + 2, "{out}");
        assert!(lines[4].ends_with("... 75 more like these"), "{out}");
        assert!(lines[6].ends_with("attempt 80"), "{out}");
    }

    #[test]
    fn groups_of_events_are_left_out_and_the_order_of_others_is_shown() {
        let (called, declines, fails) = (
            (0, "dependency", "called"),
            (0, "dependency", "declines"),
            (0, "dependency", "fails"),
        );
        let mut events = [called, declines].repeat(9);
        events.extend([called, fails].repeat(4));
        events.extend([called, declines, called, fails]);
        let out = shown(&events);
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[6].ends_with("... 8 more like these"), "{out}");
        assert_eq!(lines.len(), 6 + 1 + 4 + 8 + 4, "{out}");
        assert_eq!(out.matches("fails").count(), 5, "{out}");
    }

    #[test]
    fn a_short_timeline_is_shown_whole() {
        assert_eq!(shown(&[(1, "a", "called"); 1]).lines().count(), 1);
        let events: Vec<_> = (0..20).map(|at| (at, "a", "called")).collect();
        assert_eq!(shown(&events).lines().count(), 20);
    }
}
