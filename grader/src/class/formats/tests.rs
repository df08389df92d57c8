//! Every form of output, read by something that did not write it.
use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::catalog::LEVELS;
use crate::class::conditions::{Conditions, CriterionLimits, Sandbox};
use crate::class::moment::Moment;
use crate::class::result::{ForkStatus, LevelResult, LevelState, SCHEMA_VERSION};
use crate::report::{Score, Status};

/// A fork whose level 1 passes one criterion of two and has not begun each third, and whose level 2 does not
/// compile.
pub(in crate::class) fn example(name: &str) -> ForkResult {
    let mut judged = LevelResult::without_marks(LEVELS[0], LevelState::Judged, None);
    judged.score = Score::default();
    judged.files = "1".repeat(64);
    for (at, criterion) in judged.criteria.iter_mut().enumerate() {
        criterion.status = [Status::Passed, Status::Failed, Status::NotStarted][at % 3];
        criterion.real_us = 1500;
        if criterion.status == Status::Failed {
            criterion.headline = Some("the <second> answer & \"nothing\"".to_owned());
            criterion.message = "expected 1\nobserved \u{1b}[31m]]> ```".to_owned();
        }
    }
    for (entry, found) in
        LEVELS[0].exercises.iter().flat_map(|exercise| exercise.criteria).zip(&judged.criteria)
    {
        judged.score.add(entry, found.status);
    }
    let words = "error[E0308]: mismatched types".to_owned();
    let broken = LevelResult {
        files: "2".repeat(64),
        ..LevelResult::without_marks(LEVELS[1], LevelState::DoesNotCompile, Some(words))
    };
    ForkResult {
        schema_version: SCHEMA_VERSION,
        name: name.to_owned(),
        status: ForkStatus::Graded,
        reason: None,
        commit: None,
        submitted: Some(Moment(0)),
        levels: vec![judged, broken],
        changes: Default::default(),
        conditions: Conditions {
            version: "0.0.0".to_owned(),
            judge: "a".to_owned(),
            course: "b".to_owned(),
            lock: "c".to_owned(),
            toolchain: "rustc".to_owned(),
            seed: "7".parse().expect("a seed"),
            limits: CriterionLimits { cpu_ms: 1, asleep_ms: 1, real_ms: 1 },
            seconds: 1,
            sandbox: Sandbox::None,
        },
    }
}

/// What of a JSON schema is used here: types, required and other properties, items, constants, lengths.
fn check(schema: &Value, value: &Value, at: &str) {
    if let Some(constant) = schema.get("const") {
        assert_eq!(value, constant, "{at}");
    }
    if let Some(among) = schema.get("enum").and_then(Value::as_array) {
        assert!(among.contains(value), "{at}: {value} is none of {among:?}");
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => {
            let fields = value.as_object().unwrap_or_else(|| panic!("{at}: {value}"));
            let known = schema["properties"].as_object().expect("properties");
            for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
                assert!(fields.contains_key(name.as_str().expect("a name")), "{at}: no {name}");
            }
            for (name, value) in fields {
                let schema = known.get(name).unwrap_or_else(|| panic!("{at}: unknown {name}"));
                check(schema, value, &format!("{at}/{name}"));
            }
        }
        Some("array") => {
            for (nr, item) in
                value.as_array().unwrap_or_else(|| panic!("{at}: {value}")).iter().enumerate()
            {
                check(&schema["items"], item, &format!("{at}/{nr}"));
            }
        }
        Some("string") => {
            let text = value.as_str().unwrap_or_else(|| panic!("{at}: {value}"));
            let most = schema.get("maxLength").and_then(Value::as_u64).unwrap_or(u64::MAX);
            assert!(text.chars().count() as u64 <= most, "{at} is too long");
        }
        Some("integer") => assert!(value.is_u64(), "{at}: {value}"),
        Some("number") => {
            assert!(value.as_f64().is_some_and(|number| number >= 0.0), "{at}: {value}")
        }
        other => assert!(other.is_none(), "{at}: type {other:?}"),
    }
}

fn form(result: &ForkResult, settings: &Settings, name: &str) -> String {
    let forms = of_fork(result, settings).expect("plain data");
    forms.into_iter().find(|(known, _)| *known == name).expect("a form").1
}

fn json(result: &ForkResult, settings: &Settings, name: &str, schema: &str) -> Value {
    let schema: Value = serde_json::from_str(schema).expect("a schema");
    let value: Value = serde_json::from_str(&form(result, settings, name)).expect("JSON");
    check(&schema, &value, name);
    value
}

/// A fork that nothing could be taken from.
fn unreadable() -> ForkResult {
    let mut fork = example("empty");
    fork.status = ForkStatus::Unreadable;
    fork.reason = Some("it has no levelN/src".to_owned());
    fork.levels = LEVELS[..2]
        .iter()
        .map(|level| LevelResult::without_marks(level, LevelState::Unreadable, None))
        .collect();
    fork
}

fn sum(tests: &Value, field: &str) -> f64 {
    tests.as_array().expect("tests").iter().filter_map(|test| test[field].as_f64()).sum()
}

#[test]
fn a_result_is_read_as_it_was_written() {
    let fork = example("Ξένη");
    let text = serde_json::to_string(&fork).expect("JSON");
    assert_eq!(serde_json::from_str::<ForkResult>(&text).expect("a result"), fork);
}

#[test]
fn gradescope_adds_up_to_the_score() {
    let schema = include_str!("schemas/gradescope.json");
    let fork = example("anna");
    let plain = json(&fork, &Settings::default(), "gradescope.json", schema);
    assert_eq!(plain["score"].as_f64(), Some(sum(&plain["tests"], "score")));
    let weights = BTreeMap::from([("level1".to_owned(), 2.0)]);
    let weighed =
        json(&fork, &Settings { weights, ..Settings::default() }, "gradescope.json", schema);
    assert_eq!(weighed["score"].as_f64(), Some(2.0 * sum(&plain["tests"], "score")));
    assert!(weighed["output"].as_str().expect("a text").contains("mismatched types"));
    assert_eq!(json(&unreadable(), &Settings::default(), "gradescope.json", schema)["score"], 0.0);
}

#[test]
fn classroom_names_what_failed_and_what_could_not_run() {
    let schema = include_str!("schemas/classroom.json");
    let value = json(&example("anna"), &Settings::default(), "classroom.json", schema);
    assert_eq!(value["status"], "fail");
    let core: u32 = example("anna").levels.iter().map(|level| level.score.core_of).sum();
    assert_eq!(value["max_score"].as_f64(), Some(f64::from(core)));
    let all = value["tests"].as_array().expect("tests");
    assert!(
        all.iter()
            .any(|test| test["status"] == "error" && test["filename"] == "level2/src/race.rs")
    );
    let value = json(&unreadable(), &Settings::default(), "classroom.json", schema);
    assert_eq!(value["status"], "error");
}

#[test]
fn exercism_says_error_only_if_nothing_ran() {
    let schema = include_str!("schemas/exercism.json");
    let mut fork = example("anna");
    let value = json(&fork, &Settings::default(), "exercism.json", schema);
    assert_eq!(value["status"], "fail");
    assert!(value.get("message").is_none());
    let tasks: Vec<u64> = value["tests"]
        .as_array()
        .expect("tests")
        .iter()
        .filter_map(|test| test["task_id"].as_u64())
        .collect();
    assert!(tasks.is_sorted() && tasks.first() == Some(&1));
    fork.levels.remove(0);
    let value = json(&fork, &Settings::default(), "exercism.json", schema);
    assert_eq!(value["status"], "error");
    assert!(value["message"].as_str().expect("words").contains("mismatched types"));
    assert_eq!(
        json(&unreadable(), &Settings::default(), "exercism.json", schema)["status"],
        "error"
    );
}

#[test]
fn junit_is_xml_whose_numbers_agree() {
    let settings = Settings { exclude: vec!["level1/errors".to_owned()], ..Settings::default() };
    for fork in [example("a <name> & \"more\""), unreadable()] {
        let text = form(&fork, &settings, "junit.xml");
        let document = roxmltree::Document::parse(&text).expect("XML");
        let root = document.root_element();
        assert_eq!(root.attribute("name"), Some(fork.name.as_str()));
        let elements =
            |name: &str| root.descendants().filter(|node| node.has_tag_name(name)).count();
        let number = |name: &str| root.attribute(name).and_then(|number| number.parse().ok());
        assert_eq!(number("tests"), Some(fork.criteria().count()));
        assert_eq!(number("tests"), Some(elements("testcase")));
        assert_eq!(number("failures"), Some(elements("failure")));
        assert_eq!(number("errors"), Some(elements("error")));
        assert_eq!(number("skipped"), Some(elements("skipped")));
        assert!(elements("skipped") > 0);
        for suite in root.children().filter(|node| node.has_tag_name("testsuite")) {
            let cases = suite.children().filter(|node| node.has_tag_name("testcase")).count();
            assert_eq!(suite.attribute("tests"), Some(cases.to_string().as_str()));
        }
    }
}

#[test]
fn the_gradebook_is_a_table_with_the_points_possible_first() {
    let mut late = example("=cmd()");
    late.submitted = Some(Moment(1));
    let rows: BTreeMap<usize, Row> = [example("anna"), late, unreadable()]
        .iter()
        .map(|fork| Row::of(fork, &Settings::default()))
        .enumerate()
        .collect();
    let text = gradebook::render(&rows, &Settings::default()).expect("a table");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let head = reader.headers().expect("a head").clone();
    let rows: Vec<csv::StringRecord> =
        reader.records().collect::<Result<_, _>>().expect("equal lengths");
    let at = |name: &str| {
        head.iter().position(|field| field == name).unwrap_or_else(|| panic!("{name}"))
    };
    let number = |row: usize, name: &str| rows[row][at(name)].parse::<u32>().expect("a number");
    assert_eq!(rows.len(), 4);
    assert_eq!(&rows[0][at("name")], "points possible");
    assert_eq!(number(0, "total"), number(0, "level1 core") + number(0, "level2 core"));
    assert_eq!(&rows[2][at("name")], "'=cmd()");
    assert_eq!(&rows[2][at("same_as")], "anna");
    assert_eq!(&rows[3][at("status")], "unreadable");
    let criteria: u32 = (at("level2 bonus") + 1..head.len())
        .map(|at| rows[1][at].parse::<u32>().expect("points"))
        .sum();
    assert_eq!(criteria, number(1, "level1 core") + number(1, "level1 bonus"));
    assert!(rows[1][at("remarks")].contains("level2 does not compile"));
}

#[test]
fn the_summary_shows_what_failed_and_breaks_no_markdown() {
    let mut fork = example("a|b");
    fork.changes.added.count = 2;
    fork.changes.added.first = vec!["grader/build.rs".to_owned()];
    let text = form(&fork, &Settings::default(), "summary.md");
    for words in ["# a\\|b", "mismatched types", "````text", "grader/build.rs and 1 more", "seed 7"]
    {
        assert!(text.contains(words), "no `{words}` in {text}");
    }
    assert!(!text.contains('\u{1b}'));
}
