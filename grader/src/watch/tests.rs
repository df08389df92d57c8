//! The way of a learner through `watch`.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use grader_protocol::{Fail, Jail};

use super::*;
use crate::build::{Built, LevelBuild};
use crate::catalog::{LEVELS, Level};
use crate::report::Report;
use crate::seed::Seed;
use crate::select::{Entry, select};
use crate::supervise::Verdict;

const SIZE: Size = Size { columns: 80, rows: 24 };

fn level() -> &'static Level {
    LEVELS[1]
}

/// A report about `names` in which the criteria with one of the `failing` ids fail.
fn report(names: &[&str], failing: &[&str]) -> Event {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let entries = select(&names).expect("names of the catalog");
    let ready = LevelBuild::Ready { binary: PathBuf::new(), warnings: Vec::new() };
    graded(&entries, ready, failing)
}

/// A report about `names` in which a criterion fails as `fail` says.
fn judged(names: &[&str], fail: impl Fn(&Entry) -> Option<Fail>) -> Event {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let ready = LevelBuild::Ready { binary: PathBuf::new(), warnings: Vec::new() };
    graded_as(&select(&names).expect("names of the catalog"), ready, fail)
}

fn graded(entries: &[Entry], build: LevelBuild, failing: &[&str]) -> Event {
    graded_as(entries, build, |entry| {
        let fails = failing.contains(&entry.criterion.id);
        fails.then(|| Fail::new("too late").help("begin earlier"))
    })
}

fn graded_as(entries: &[Entry], build: LevelBuild, fail: impl Fn(&Entry) -> Option<Fail>) -> Event {
    let verdict = |entry: &Entry| Verdict {
        fail: fail(entry),
        notes: Vec::new(),
        figure: None,
        output: String::new(),
        virtual_us: 0,
        real_us: 0,
        jail: Jail::Syscalls,
    };
    let verdicts = entries.iter().map(|entry| (entry.criterion.id, verdict(entry))).collect();
    let levels = BTreeMap::from([(level().name.to_owned(), build)]);
    let built = Built { levels, took: Duration::ZERO };
    let seed: Seed = "7".parse().expect("a seed");
    Event::Graded(Box::new(Report::new(entries, &built, verdicts, Duration::ZERO, seed)))
}

fn shown(state: &State) -> String {
    let screen = draw(state, SIZE);
    assert_eq!(screen.len(), SIZE.rows);
    let plain: Vec<String> =
        screen.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
    for line in &plain {
        assert!(line.chars().count() <= SIZE.columns, "too wide: {line}");
    }
    plain.join("\n")
}

/// A state that has graded the level, with these failures.
fn after_first_run(failing: &[&str]) -> State {
    let mut state = State::new(vec![level()]);
    assert_eq!(state.start(), [Effect::Grade(vec!["level2".to_owned()])]);
    state.on(report(&["level2"], failing));
    state
}

fn first_of(exercise: usize) -> &'static str {
    level().exercises[exercise].criteria[0].id
}

#[test]
fn it_shows_the_first_open_criterion_with_its_message() {
    let state = after_first_run(&[first_of(1), first_of(3)]);
    let screen = shown(&state);
    for words in [first_of(1), "too late", "begin earlier", "criterion 1 of", "h hint"] {
        assert!(screen.contains(words), "no `{words}`:\n{screen}");
    }
}

#[test]
fn a_saved_file_grades_its_exercise_and_comes_first() {
    let mut state = after_first_run(&[first_of(1), first_of(3)]);
    let exercise = &level().exercises[3];
    let effects = state.on(Event::Saved(vec![PathBuf::from(exercise.file)]));
    let name = format!("level2/{}", exercise.name);
    assert_eq!(effects, [Effect::Grade(vec![name.clone()])]);
    let effects = state.on(report(&[&name], &[first_of(3)]));
    assert_eq!(effects, [Effect::Showing(first_of(3))]);
    // It passes: the next open one is in another exercise.
    state.on(Event::Saved(vec![PathBuf::from(exercise.file)]));
    let effects = state.on(report(&[&name], &[]));
    assert_eq!(effects, [Effect::Showing(first_of(1))]);
    assert!(shown(&state).contains("has full marks"), "{}", shown(&state));
}

#[test]
fn what_is_saved_during_a_run_is_graded_after_it() {
    let mut state = after_first_run(&[first_of(1)]);
    let saved = |at: usize| Event::Saved(vec![PathBuf::from(level().exercises[at].file)]);
    let name = |at: usize| format!("level2/{}", level().exercises[at].name);
    assert_eq!(state.on(saved(1)), [Effect::Grade(vec![name(1)])]);
    assert_eq!(state.on(saved(2)), []);
    assert_eq!(state.on(saved(2)), []);
    let effects = state.on(report(&[&name(1)], &[first_of(1)]));
    assert_eq!(effects, [Effect::Grade(vec![name(2)])]);
}

#[test]
fn marks_of_what_last_compiled_stay() {
    let mut state = after_first_run(&[first_of(1)]);
    let before = state.score();
    let errors = "error[E0308]: mismatched types".to_owned();
    let broken = LevelBuild::Broken { package: "level2".to_owned(), errors, refused: false };
    state.on(graded(&select(&["level2".to_owned()]).expect("a level"), broken, &[]));
    assert_eq!(state.score(), before);
    let screen = shown(&state);
    assert!(screen.contains("does not compile") && screen.contains("E0308"), "{screen}");
}

#[test]
fn hints_come_one_by_one_and_end() {
    let mut state = after_first_run(&[first_of(1)]);
    let hints = level().exercises[1].criteria[0].hints;
    for shown_hints in 1..=hints.len() + 1 {
        state.on(Event::Key(Key::Hint));
        let screen = shown(&state);
        let count = (1..=hints.len()).filter(|n| screen.contains(&format!("hint {n}/"))).count();
        assert_eq!(count, shown_hints.min(hints.len()), "{screen}");
    }
}

#[test]
fn another_criterion_can_be_chosen_and_all_come_round() {
    let mut state = after_first_run(&[first_of(1), first_of(3)]);
    assert_eq!(state.on(Event::Key(Key::Skip)), [Effect::Showing(first_of(3))]);
    assert_eq!(state.on(Event::Key(Key::Skip)), [Effect::Showing(first_of(1))]);
}

#[test]
fn the_reference_is_shown_only_for_what_is_complete_and_after_a_question() {
    let all: Vec<&str> =
        level().exercises.iter().flat_map(|e| e.criteria).map(|criterion| criterion.id).collect();
    let mut state = after_first_run(&all);
    assert_eq!(state.on(Event::Key(Key::Solution)), []);
    assert!(shown(&state).contains("when an exercise has full marks"));
    let mut state = after_first_run(&[first_of(1)]);
    assert_eq!(state.on(Event::Key(Key::Solution)), []);
    assert!(shown(&state).contains("Show the reference"));
    assert_eq!(state.on(Event::Key(Key::Yes)), [Effect::Solution(level().exercises[0].file)]);
}

#[test]
fn what_is_finished_says_what_comes_next() {
    let state = after_first_run(&[]);
    let screen = shown(&state);
    for words in [
        "level2 is complete: congratulations!",
        "Every criterion of level2 is met.",
        "cargo bench -p level2",
        "grader/planted/level2/right",
        "cargo grade start level3",
    ] {
        assert!(screen.contains(words), "no `{words}`:\n{screen}");
    }
}

#[test]
fn all_core_points_are_worth_a_line() {
    let is_bonus = |id: &&str| {
        let mut criteria = level().exercises.iter().flat_map(|it| it.criteria);
        criteria.any(|it| it.id == *id && it.kind == crate::catalog::Kind::Bonus)
    };
    let all = level().exercises.iter().flat_map(|it| it.criteria).map(|it| it.id);
    let bonus: Vec<&str> = all.filter(is_bonus).collect();
    let state = after_first_run(&bonus);
    assert!(shown(&state).contains("level2 has all core points: congratulations!"));
}

#[test]
fn what_waited_for_an_exercise_is_graded_when_that_is_complete() {
    let [one, other] = [0, 1].map(|at| &level().exercises[at]);
    let name = |exercise: &crate::catalog::Exercise| format!("level2/{}", exercise.name);
    let todo = |file: &str| {
        let site = grader_protocol::PanicSite {
            message: "not yet implemented".to_owned(),
            file: file.to_owned(),
            line: 7,
        };
        let fail = Fail::diagnosed("load", grader_protocol::Diagnosis::NotStarted);
        Fail { panics: vec![site], observed: Some(format!("`load`, {file}:7")), ..fail }
    };
    let mut state = State::new(vec![level()]);
    state.start();
    // The second exercise, and one criterion of the fourth, meet the placeholder of the second.
    let fails = |entry: &Entry| {
        let of_other = entry.exercise.name == other.name || entry.criterion.id == first_of(3);
        of_other.then(|| todo(other.file))
    };
    state.on(judged(&["level2"], fails));
    assert_eq!(
        state.on(Event::Saved(vec![PathBuf::from(one.file)])),
        [Effect::Grade(vec![name(one)])]
    );
    assert_eq!(state.on(report(&[&name(one)], &[])), [], "nothing waited for it");
    state.on(Event::Saved(vec![PathBuf::from(other.file)]));
    let effects = state.on(report(&[&name(other)], &[]));
    assert!(effects.contains(&Effect::Grade(vec![name(&level().exercises[3])])), "{effects:?}");
}

#[test]
fn the_screen_says_where_the_lesson_comes_to_the_criterion() {
    let mut state = after_first_run(&[first_of(1)]);
    let place = |id, place: &str| Event::Place { id, place: Some(place.to_owned()) };
    state.on(place(first_of(2), "step 9 of 9"));
    assert!(!shown(&state).contains("lesson step"), "it is about another criterion");
    state.on(place(first_of(1), "step 2 of 5: Ask all at once"));
    assert!(shown(&state).contains("lesson step 2 of 5: Ask all at once"));
}

#[test]
fn an_exercise_that_was_named_is_watched_alone() {
    let exercise = &level().exercises[3];
    let name = format!("level2/{}", exercise.name);
    let names = [name.clone()];
    let mut state = State::new(vec![level()]).within(&names);
    assert_eq!(state.start(), [Effect::Grade(vec![name.clone()])]);
    state.on(report(&[&name], &[first_of(3)]));
    assert!(shown(&state).contains(first_of(3)));
    // It may use another exercise of the level.
    let other = Event::Saved(vec![PathBuf::from(level().exercises[1].file)]);
    assert_eq!(state.on(other), [Effect::Grade(vec![name.clone()])]);
    state.on(report(&[&name], &[]));
    let screen = shown(&state);
    for words in [
        format!("Every criterion of {name} is met."),
        "`s` shows the reference".to_owned(),
        "cargo grade watch level2 goes on".to_owned(),
    ] {
        assert!(screen.contains(&words), "no `{words}`:\n{screen}");
    }
    assert!(!screen.contains(first_of(1)), "{screen}");
}

#[test]
fn a_long_text_scrolls_on_a_small_screen() {
    let mut state = after_first_run(&[]);
    let text = (0..100).map(|n| format!("line {n}\n")).collect();
    state.on(Event::Page { title: "Lesson".to_owned(), text });
    assert!(shown(&state).contains("line 0\n") && shown(&state).contains("below"));
    for _ in 0..50 {
        state.on(Event::Key(Key::PageDown));
    }
    assert!(shown(&state).contains("line 99"), "{}", shown(&state));
    state.on(Event::Key(Key::Back));
    assert!(shown(&state).contains("Every criterion of level2 is met"));
    // Smaller than anything that fits.
    assert_eq!(draw(&state, Size { columns: 1, rows: 1 }).len(), 1);
}

#[test]
fn files_belong_to_exercises() {
    let names = |files: &[&str]| touched(files.iter().map(Path::new), &[level()]).names;
    assert!(names(&["level1/src/pages.rs", "level2/src/notes.txt", "README.md"]).is_empty());
    let [one, other] = [&level().exercises[0], &level().exercises[1]];
    assert_eq!(names(&[one.file]), [format!("level2/{}", one.name)].into());
    assert_eq!(names(&[one.file, other.file]), ["level2".to_owned()].into());
    assert_eq!(names(&["level2/src/of_my_own.rs"]), ["level2".to_owned()].into());
}

#[test]
fn the_page_is_asked_for_once_and_its_place_is_said() {
    let mut state = after_first_run(&[first_of(0)]);
    let asked = state.on(Event::Key(Key::Page));
    assert_eq!(asked, [Effect::Report(vec![level().name.to_owned()])]);
    assert!(state.on(Event::Key(Key::Page)).is_empty());
    state.on(report(&[level().name], &[first_of(0)]));
    state.on(Event::Reported("the page is report.html".to_owned()));
    assert!(shown(&state).contains("the page is report.html"));
}
