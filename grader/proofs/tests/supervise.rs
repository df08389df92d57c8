//! What the grader says of code that misbehaves: see `src/bin/specimens.rs`.
//!
//! On a machine without the jail the specimens that it refuses would end otherwise; those tests are
//! for Linux.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::time::Duration;

use grader::report::explain::{self, Place};
use grader::seed::Seed;
use grader::supervise::{Limits, Subject, Verdict, judge};
use grader_protocol::Diagnosis;

fn verdict(id: &str) -> Verdict {
    verdict_with(id, Seed::of_this_run().expect("a seed"))
}

fn verdict_with(id: &str, seed: Seed) -> Verdict {
    let binary = Path::new(env!("CARGO_BIN_EXE_specimens"));
    let (id, exercise) = (format!("specimen/{id}"), id.split('/').next().unwrap_or(id));
    // However busy the machine is, what a specimen does itself decides.
    let limits = Limits { real: Duration::from_secs(1200), ..Limits::default() };
    judge(binary, Subject { id: &id, exercise, too_slow: None, seed }, Path::new("."), &limits)
}

#[track_caller]
fn diagnosis(id: &str) -> Diagnosis {
    let verdict = verdict(id);
    let text = told(&verdict);
    let fail = verdict.fail.unwrap_or_else(|| panic!("{id} passes"));
    fail.diagnosis.unwrap_or_else(|| panic!("{id} has no diagnosis:\n{text}"))
}

fn told(verdict: &Verdict) -> String {
    let mut text = String::new();
    let place = Place { level: "level0", file: "level0/src/code.rs" };
    explain::failure(&mut text, verdict, place).expect("a string takes it");
    anstream::adapter::strip_str(&text).to_string()
}

/// `assert_matches!` is not stable.
macro_rules! assert_diagnosis {
    ($id:literal, $pattern:pat $(if $guard:expr)?) => {
        let found = diagnosis($id);
        assert!(matches!(found, $pattern $(if $guard)?), "{}: {found:?}", $id);
    };
}

#[test]
fn right_code_passes() {
    for id in ["right/passes", "right/waits-an-hour-in-short-steps", "right/waits-more-than-a-year"]
    {
        let verdict = verdict(id);
        assert!(verdict.passed(), "{id}: {}", told(&verdict));
    }
    let contained = verdict("right/contains-a-panic");
    assert!(contained.passed(), "{}", told(&contained));
    assert!(contained.notes.iter().any(|note| note.contains("'contained'")), "{contained:?}");
}

#[test]
fn a_seed_draws_its_values_again() {
    let drawn = |seed: &str| {
        let verdict = verdict_with("right/draws", seed.parse().expect("a number"));
        assert!(verdict.passed(), "{}", told(&verdict));
        verdict.notes
    };
    let first = drawn("1");
    assert_eq!(drawn("1"), first);
    assert_ne!(drawn("2"), first);
}

#[test]
fn real_threads_work_and_end() {
    let works = verdict("threads/work");
    assert!(works.passed(), "{}", told(&works));
    assert_diagnosis!(
        "threads/wait-for-one-another",
        Diagnosis::ThreadsStuck { stuck: 2, of: 2, .. }
    );
    let panics = told(&verdict("threads/panic"));
    assert!(panics.contains("code panicked") && panics.contains("'thread 1'"), "{panics}");
    assert_diagnosis!("threads/start-a-thread", Diagnosis::ThreadRefused);
    assert_diagnosis!("threads/not-asked-for", Diagnosis::NotJudged { .. });
}

#[test]
fn a_failure_shows_values_timeline_and_help() {
    let text = told(&verdict("wrong/fails"));
    for part in
        ["a wrong number", "expected  5", "observed  4", "0 ms  users  called", "count again"]
    {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

#[test]
fn a_starter_is_not_started() {
    assert_diagnosis!("wrong/todo", Diagnosis::NotStarted);
    assert_diagnosis!("wrong/todo-in-a-task", Diagnosis::NotStarted);
    assert_diagnosis!("wrong/catches-its-own-todo", Diagnosis::NotStarted);
}

#[test]
fn hangs_are_told_apart() {
    assert_diagnosis!("hang/never-resolves", Diagnosis::NeverWoken { since_us: 100_000, .. });
    assert_diagnosis!("hang/locks-itself-out", Diagnosis::NeverWoken { since_us: 0, .. });
    assert_diagnosis!("hang/spins", Diagnosis::EndlessLoop { .. });
    assert_diagnosis!("hang/spins-yielding", Diagnosis::SpinsWithoutWaiting { at_us: 0, .. });
    assert_diagnosis!("hang/spins-in-a-task", Diagnosis::EndlessLoop { .. });
    assert_diagnosis!("hang/polls-on-a-ticker", Diagnosis::PollsForever { .. });
    assert_diagnosis!("hang/never-ends", Diagnosis::StillRunning { .. });
    assert_diagnosis!("hang/waits-for-silence", Diagnosis::WaitsForSilence { .. });
    let silent = told(&verdict("hang/waits-for-silence"));
    // The call of `reserve` was dropped at 5 ms.
    assert!(silent.contains("since t = 15 ms it waits for `capture`"), "{silent}");
    assert_diagnosis!("hang/waits-for-a-task", Diagnosis::TaskNeverEnds { moments: 590.., .. });
    let too_long = told(&verdict("hang/takes-too-long-in-all"));
    let said = "7200 s of virtual time were over: code, begun at t = 7000000 ms";
    assert!(too_long.contains(said), "{too_long}");
}

#[test]
fn blocking_is_seen_in_real_time() {
    assert_diagnosis!("block/thread-sleep", Diagnosis::BlocksThread { .. });
    assert_diagnosis!("block/channel-recv", Diagnosis::BlockedForGood { .. });
    assert_diagnosis!("block/nested-block-on", Diagnosis::BlockedForGood { .. });
}

#[test]
fn the_clock_is_the_graders() {
    assert_diagnosis!("clock/advances", Diagnosis::ClockMoved { by_us: 300_000 });
    assert_diagnosis!("clock/advances-in-a-task", Diagnosis::ClockMoved { by_us: 400_000 });
    assert_diagnosis!("clock/enters-another-runtime", Diagnosis::OtherRuntime);
    assert_diagnosis!("block/real-time", Diagnosis::ClockMoved { .. });
    let borrowed = verdict("clock/borrows-another-clock");
    assert!(borrowed.passed(), "{}", told(&borrowed));
}

#[test]
fn threads_are_refused() {
    assert_diagnosis!("thread/spawn-blocking", Diagnosis::ThreadRefused);
    assert_diagnosis!("thread/spawn-blocking-for-ever", Diagnosis::ThreadRefused);
    assert_diagnosis!("thread/own-thread", Diagnosis::ThreadRefused);
    assert_diagnosis!("thread/own-runtime", Diagnosis::Panicked);
    let bomb = verdict("thread/bomb");
    assert!(bomb.passed(), "{}", told(&bomb));
}

#[test]
fn crashes_are_told_apart() {
    let panicked = verdict("crash/panics");
    assert!(told(&panicked).contains("src/bin/specimens.rs:"), "{}", told(&panicked));
    assert_diagnosis!("crash/panics", Diagnosis::Panicked);
    assert_diagnosis!("crash/panics-unseen", Diagnosis::Panicked);
    assert_diagnosis!("crash/aborts", Diagnosis::Aborted);
    assert_diagnosis!("crash/panics-in-drop", Diagnosis::Aborted);
    let in_drop = told(&verdict("crash/panics-in-drop"));
    let (first, second) = (in_drop.find("panic     'first'"), in_drop.find("panic     'in drop'"));
    assert!(first.is_some() && first < second, "{in_drop}");
    let poisoned = told(&verdict("crash/poisons-a-lock"));
    let (cause, met) = (poisoned.find("below zero"), poisoned.find("PoisonError"));
    assert!(cause.is_some() && cause < met, "{poisoned}");
    assert!(poisoned.contains("The first panic is the cause"), "{poisoned}");
    assert_diagnosis!("crash/overflows", Diagnosis::StackOverflow);
    assert_diagnosis!("crash/eats-memory", Diagnosis::OutOfMemory { .. });
    assert_diagnosis!("crash/asks-for-all-memory", Diagnosis::OutOfMemory { .. });
}

#[test]
fn no_exit_and_no_printed_line_is_a_verdict() {
    assert_diagnosis!("cheat/exits", Diagnosis::Exited { code: 0 });
    assert_diagnosis!("cheat/prints-a-result-and-exits", Diagnosis::Exited { code: 0 });
    assert_diagnosis!("cheat/prints-a-verdict", Diagnosis::Exited { code: 0 });
    let text = told(&verdict("cheat/prints-a-result-and-exits"));
    assert!(text.contains("| test result: ok. 99 passed"), "{text}");
}

#[test]
fn the_jail_refuses_files_processes_and_sockets() {
    for id in ["writes-to-descriptors", "reads-its-memory", "starts-a-process", "opens-a-socket"] {
        let verdict = verdict(&format!("cheat/{id}"));
        assert!(!verdict.passed(), "{id} got through");
    }
}

#[test]
fn a_flood_of_output_is_drained_and_cut() {
    let verdict = verdict("cheat/floods");
    assert!(verdict.output.len() <= 2 * grader::supervise::MOST_OUTPUT);
    let diagnosis = verdict.fail.and_then(|fail| fail.diagnosis);
    assert!(matches!(diagnosis, Some(Diagnosis::EndlessLoop { .. })), "{diagnosis:?}");
}

#[test]
fn texts_are_cut_and_cleaned() {
    let long = verdict("text/is-long");
    assert!(told(&long).contains("code panicked"), "{}", told(&long));
    assert!(told(&long).len() < 40_000, "{} bytes", told(&long).len());
    let drawn = verdict("text/draws-over");
    let text = format!("{drawn:?}");
    assert!(text.contains("[32mall points") && !text.contains("u{1b}"), "{text}");
    assert_diagnosis!("text/chooses-a-diagnosis", Diagnosis::Exited { code: 3 });
}

#[test]
fn blocking_is_limited_in_sum() {
    assert_diagnosis!("block/sleeps-and-works", Diagnosis::BlocksThread { real_ms: 4000.. });
    let prints = verdict("right/prints-much");
    assert!(prints.passed(), "{}", told(&prints));
}

/// A process that only computes gives no time to one that only sleeps: each ends by its own limit.
#[test]
fn two_hangs_at_once_are_told_apart() {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_diagnosis!("hang/spins", Diagnosis::EndlessLoop { .. });
        });
        scope.spawn(|| {
            assert_diagnosis!("block/channel-recv", Diagnosis::BlockedForGood { .. });
        });
    });
}

#[test]
fn a_binary_that_is_not_there_is_no_verdict() {
    let verdict = judge(
        Path::new("no/such/binary"),
        Subject { id: "a/b/c", exercise: "b", too_slow: None, seed: Seed::draw().expect("a seed") },
        Path::new("."),
        &Limits::default(),
    );
    assert!(verdict.is_not_judged());
}
