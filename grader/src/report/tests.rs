//! The report on made-up verdicts.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use grader_protocol::{Diagnosis, Event, Fail, Jail, PanicSite};

use super::{Report, Status, json, scoreboard};
use crate::build::{Built, LevelBuild};
use crate::seed::Seed;
use crate::select::{Entry, select};
use crate::supervise::Verdict;

fn verdict(fail: Option<Fail>) -> Verdict {
    Verdict {
        fail,
        notes: Vec::new(),
        figure: None,
        output: String::new(),
        virtual_us: 600_000,
        real_us: 2000,
        jail: Jail::Syscalls,
    }
}

fn seed() -> Seed {
    "1234".parse().expect("a number")
}

pub(crate) fn wrong() -> Fail {
    let mut fail =
        Fail::new("returned at 600 ms").expected("400 ms").observed("600 ms").help("wait less");
    fail.timeline.push(Event { at_us: 200_000, who: "reviews".into(), what: "answers".into() });
    fail
}

fn not_started() -> Fail {
    let site = PanicSite {
        message: "not yet implemented".into(),
        file: "level2/src/race.rs".into(),
        line: 7,
    };
    Fail { panics: vec![site], ..Fail::diagnosed("race::load", Diagnosis::NotStarted) }
}

/// A report on level 2 in which the first criterion of each exercise has `fail`.
pub(crate) fn report(fail: Option<fn() -> Fail>) -> Report {
    let entries = entries();
    let mut verdicts: BTreeMap<&'static str, Verdict> = BTreeMap::new();
    for entry in &entries {
        let first = entry.exercise.criteria.first().map(|c| c.id) == Some(entry.criterion.id);
        let fail = fail.filter(|_| first).map(|fail| fail());
        verdicts.insert(entry.criterion.id, verdict(fail));
    }
    Report::new(&entries, &built(ready()), verdicts, Duration::from_millis(300), seed())
}

fn entries() -> Vec<Entry> {
    select(&["level2".to_owned()]).expect("level 2")
}

fn ready() -> LevelBuild {
    LevelBuild::Ready { binary: PathBuf::from("check-level2"), warnings: Vec::new() }
}

fn built(level: LevelBuild) -> Built {
    Built { levels: BTreeMap::from([("level2".to_owned(), level)]), took: Duration::from_secs(1) }
}

fn shown(report: &Report) -> String {
    anstream::adapter::strip_str(&scoreboard::render(report)).to_string()
}

#[test]
fn full_marks_ask_for_nothing_more() {
    let report = report(None);
    assert!(report.has_full_core_marks() && !report.has_not_judged());
    assert_eq!(report.score.core, report.score.core_of);
    let text = shown(&report);
    assert!(!text.contains("next:") && !text.contains('✘'), "{text}");
}

#[test]
fn the_first_failures_are_told_in_full_and_the_others_in_two_lines() {
    let report = report(Some(wrong));
    assert!(!report.has_full_core_marks());
    let text = shown(&report);
    assert_eq!(text.matches("expected  400 ms").count(), 3, "{text}");
    let exercises = report.levels.first().map_or(0, |level| level.exercises.len());
    assert_eq!(text.matches("returned at 600 ms").count(), exercises, "{text}");
    assert!(
        text.contains("200 ms  reviews  answers") && text.contains("help      wait less"),
        "{text}"
    );
    assert!(text.contains("next: cargo grade hint level2/"), "{text}");
}

#[test]
fn what_is_not_started_is_no_failure_to_read_about() {
    let report = report(Some(not_started));
    assert!(report.criteria().any(|c| c.status == Status::NotStarted));
    let text = shown(&report);
    assert!(!text.contains('✘') && !text.contains("not yet implemented"), "{text}");
    assert!(text.contains("next: cargo grade show level2/"), "{text}");
}

#[test]
fn a_level_that_does_not_compile_says_so_once() {
    let broken = LevelBuild::Broken {
        package: "level2".into(),
        errors: "error[E0308]: no".into(),
        refused: false,
    };
    let report = Report::new(&entries(), &built(broken), BTreeMap::new(), Duration::ZERO, seed());
    assert!(report.criteria().all(|c| c.status == Status::DoesNotCompile));
    assert_eq!(report.score.total().0, 0);
    let text = shown(&report);
    assert_eq!(text.matches("E0308").count(), 1, "{text}");
    assert!(text.contains("next: cargo check -p level2"), "{text}");
}

#[test]
fn a_criterion_without_a_verdict_is_not_passed() {
    let report = Report::new(&entries(), &built(ready()), BTreeMap::new(), Duration::ZERO, seed());
    assert!(report.has_not_judged() && !report.has_full_core_marks());
    assert_eq!(report.score.total().0, 0);
}

#[test]
fn one_process_without_a_jail_is_said_so() {
    let entries = entries();
    let mut loose = verdict(None);
    loose.jail = Jail::None;
    let verdicts = entries.iter().map(|e| (e.criterion.id, loose.clone())).collect();
    let report = Report::new(&entries, &built(ready()), verdicts, Duration::ZERO, seed());
    assert!(shown(&report).contains("without a jail"));
}

/// The front page shows the scoreboard of the references, shortened by lines of `...`.
#[test]
fn the_front_page_shows_what_a_run_prints() {
    let entries = select(&[]).expect("every level");
    let levels = entries.iter().map(|entry| (entry.level.name.to_owned(), ready()));
    let built = Built { levels: levels.collect(), took: Duration::ZERO };
    let verdicts = entries.iter().map(|entry| (entry.criterion.id, verdict(None)));
    let report = Report::new(&entries, &built, verdicts.collect(), Duration::ZERO, seed());
    let shown = shown(&report);
    let page = include_str!("../../../README.md");
    let begin = page.find("level1 — ").expect("README.md shows the scoreboard");
    let excerpt = page[begin..].split("```").next().unwrap_or_default();
    let mut rest = shown.as_str();
    for part in excerpt.split("...\n") {
        let at = rest.find(part);
        assert!(at.is_some(), "README.md has\n{part}\nThe scoreboard is\n{shown}");
        rest = &rest[at.unwrap_or_default() + part.len()..];
    }
}

/// The fields that grader/README.md promises.
#[test]
fn json_has_the_documented_fields() {
    let text = json::render(&report(Some(wrong))).expect("plain data");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["schema_version"], json::SCHEMA_VERSION);
    assert_eq!(json["full_core_marks"], false);
    assert_eq!(json["jail"], "syscalls");
    assert_eq!(json["build_ms"], 1000);
    assert_eq!(json["judge_ms"], 300);
    let level = &json["levels"][0];
    assert_eq!(level["name"], "level2");
    assert!(level["broken"].is_null() && level["warnings"].is_array());
    let group = &level["groups"][0];
    assert!(group["file"].is_string() && group["title"].is_string());
    assert!(group["score"]["core_of"].is_u64() && group["score"]["bonus"].is_u64());
    let criterion = &group["criteria"][0];
    assert_eq!(criterion["status"], "failed");
    assert_eq!(criterion["kind"], "core");
    let fail = &criterion["verdict"]["fail"];
    assert_eq!(fail["headline"], "returned at 600 ms");
    assert_eq!(fail["expected"], "400 ms");
    assert!(fail["diagnosis"].is_null() && fail["panics"].is_array());
    assert_eq!(fail["timeline"][0]["at_us"], 200_000);
    assert!(criterion["verdict"]["output"].is_string() && criterion["verdict"]["notes"].is_array());
    let readme = include_str!("../../README.md");
    for field in
        ["schema_version", "full_core_marks", "build_ms", "broken", "timeline", "virtual_us"]
    {
        assert!(readme.contains(field), "README.md does not document {field}");
    }
}

fn panicked(message: &str, file: &str) -> Fail {
    let site = PanicSite { message: message.into(), file: file.into(), line: 7 };
    Fail { panics: vec![site], ..Fail::diagnosed("race::load", Diagnosis::Panicked) }
}

fn explained(fail: Fail) -> String {
    let place = super::explain::Place { level: "level2", file: "level2/src/race.rs" };
    let mut text = String::new();
    super::explain::failure(&mut text, &verdict(Some(fail)), place).expect("a string takes it");
    anstream::adapter::strip_str(&text).to_string()
}

#[test]
fn the_advice_about_a_panic_fits_it() {
    let overflow = explained(panicked(
        "overflow when adding duration to instant",
        "/rustc/59807616/library/std/src/time.rs",
    ));
    assert!(overflow.contains("in the standard library, called by your code"), "{overflow}");
    assert!(overflow.contains("goes beyond what its type holds"), "{overflow}");
    assert!(overflow.contains("file      level2/src/race.rs\n"), "{overflow}");
    let passed_on = explained(panicked("sales: a bug", "grader/checks/level2/src/fake.rs"));
    assert!(passed_on.contains("a service of the grader raised it on purpose"), "{passed_on}");
    assert!(passed_on.contains("catch it around the call"), "{passed_on}");
    let own = explained(panicked("no entry found", "level2/src/race.rs"));
    assert!(own.contains("level2/src/race.rs:7") && own.contains("stand above"), "{own}");
}

#[test]
fn one_cause_is_said_once() {
    let entries = select(&["level2/race".to_owned(), "level2/any".to_owned()]).expect("exercises");
    let verdicts = entries.iter().map(|entry| {
        let blocked = Diagnosis::BlockedForGood { real_ms: 1500 + entry.criterion.id.len() as u64 };
        (entry.criterion.id, verdict(Some(Fail::diagnosed("race", blocked))))
    });
    let built = built(ready());
    let report = Report::new(&entries, &built, verdicts.collect(), Duration::ZERO, seed());
    let shown = anstream::adapter::strip_str(&scoreboard::render(&report)).to_string();
    assert_eq!(shown.matches("blocked its thread for good").count(), 2, "{shown}");
    assert!(shown.contains("for the same cause as returns-at-the-third"), "{shown}");
}

#[test]
fn a_level_that_is_still_the_courses_is_not_counted() {
    let entries =
        select(&["level1/errors".to_owned(), "level2/race".to_owned()]).expect("exercises");
    let verdicts = || entries.iter().map(|entry| (entry.criterion.id, verdict(None))).collect();
    let both = Built {
        levels: ["level1", "level2"].map(|name| (name.to_owned(), ready())).into(),
        took: Duration::ZERO,
    };
    let mut report = Report::new(&entries, &both, verdicts(), Duration::ZERO, seed());
    let own = report.levels[1].score;
    report.leave_out(&["level1".to_owned()].into());
    assert_eq!(report.score, own);
    let shown = anstream::adapter::strip_str(&scoreboard::render(&report)).to_string();
    assert!(shown.contains("not counted until you begin with cargo grade start level1"), "{shown}");
    // Who asks for the reference alone sees its points.
    report.leave_out(&["level1".to_owned(), "level2".to_owned()].into());
    assert_eq!(report.score, own);
}

#[test]
fn a_compile_error_does_not_hide_what_was_won() {
    let broken = LevelBuild::Broken {
        package: "level2".into(),
        errors: "error[E0308]: no".into(),
        refused: false,
    };
    let mut report =
        Report::new(&entries(), &built(broken), BTreeMap::new(), Duration::ZERO, seed());
    report.remember_won(|id| id.starts_with("level2/race/"));
    let shown = anstream::adapter::strip_str(&scoreboard::render(&report)).to_string();
    assert!(shown.contains("before it stopped compiling, it had won 20/"), "{shown}");
    assert_eq!(report.score.core, 0, "it does not count");
}

/// A report on an exercise of level 4 that uses two of level 3, in which every criterion fails, with `others`.
fn on_a_foundation(others: &[&str]) -> Report {
    let names: Vec<String> =
        others.iter().chain(&["level4/resubscribe"]).map(|name| (*name).to_owned()).collect();
    let entries = select(&names).expect("names of the catalog");
    let levels = entries.iter().map(|entry| (entry.level.name.to_owned(), ready()));
    let built = Built { levels: levels.collect(), took: Duration::ZERO };
    let verdicts = entries.iter().map(|entry| (entry.criterion.id, verdict(Some(wrong()))));
    Report::new(&entries, &built, verdicts.collect(), Duration::ZERO, seed())
}

#[test]
fn a_failure_names_first_what_it_is_built_on_and_is_not_finished() {
    let first = "first     level3/retry does not have all core points, and this exercise uses it: cargo grade level3/retry";
    let report = on_a_foundation(&["level3/retry"]);
    let text = shown(&report);
    let (line, failure) = (text.find(first), text.find("level4 —"));
    assert!(line.is_some() && line > failure, "{text}");
    assert_eq!(
        text.matches("does not have all core points").count(),
        1,
        "once, where it is shown in full: {text}"
    );
}

#[test]
fn what_the_report_does_not_have_is_asked_for() {
    let mut report = on_a_foundation(&[]);
    assert!(!shown(&report).contains("not have all core"), "nothing is known of level 3");
    report.name_unfinished(|id| id.starts_with("level3/"));
    let text = shown(&report);
    assert!(text.contains("level3/retry and level3/breaker do not have all core points, and this exercise uses them"), "{text}");
    assert!(text.contains("\nnext: cargo grade level3/retry level3/breaker\n"), "{text}");
    // Bonus points are no foundation.
    report.name_unfinished(|id| id == "level3/retry/threads-draw-apart");
    assert!(!shown(&report).contains("not have all core"));
}

#[test]
fn what_is_built_on_an_unwritten_part_waits_for_it() {
    let entries = select(&["level4/resubscribe".to_owned()]).expect("an exercise");
    let report = |file: &str| {
        let mut fail = not_started();
        for site in &mut fail.panics {
            site.file = file.to_owned();
        }
        let levels = entries.iter().map(|entry| (entry.level.name.to_owned(), ready()));
        let built = Built { levels: levels.collect(), took: Duration::ZERO };
        let verdicts =
            entries.iter().map(|entry| (entry.criterion.id, verdict(Some(fail.clone()))));
        let mut report = Report::new(&entries, &built, verdicts.collect(), Duration::ZERO, seed());
        report.name_unfinished(|id| id.starts_with("level3/retry/"));
        report
    };
    let text = shown(&report("level3/src/retry/backoff.rs"));
    assert!(text.contains("waits for level3/retry, which this exercise uses"), "{text}");
    assert!(!text.contains("not started"), "{text}");
    assert!(text.contains("\nnext: cargo grade level3/retry\n"), "{text}");
    let text = shown(&report("level4/src/resubscribe.rs"));
    assert!(text.contains("not started") && !text.contains("waits for"), "{text}");
    assert!(text.contains("\nnext: cargo grade show level4/resubscribe/"), "{text}");
}
