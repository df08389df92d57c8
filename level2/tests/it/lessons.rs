//! The lessons and the rest of the level agree: criteria, links, definitions for rustdoc.
//!
//! `cargo test` runs in the folder of the package, so paths begin there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Text between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Names of the criteria that the README lists, by exercise. The models have no chapter of their own: the
/// criterion `models/queue` belongs to the chapter on the queue.
fn criteria() -> BTreeMap<String, Vec<String>> {
    let readme = fs::read_to_string("README.md").expect("README.md");
    let mut criteria: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in readme.lines().filter(|line| line.starts_with('|')) {
        let first = row.split('|').nth(1).unwrap_or_default();
        for id in quoted(first) {
            match id.split('/').collect::<Vec<_>>()[..] {
                ["level2", "models", part] => {
                    criteria.entry(part.to_owned()).or_default().push(format!("models/{part}"));
                }
                ["level2", exercise, name] => {
                    criteria.entry(exercise.to_owned()).or_default().push(name.to_owned());
                }
                _ => {}
            }
        }
    }
    criteria
}

fn lesson(exercise: &str) -> PathBuf {
    Path::new("lessons").join(exercise.replace('-', "_")).with_extension("md")
}

#[test]
fn a_lesson_assigns_each_criterion_of_its_exercise_to_a_step() {
    let criteria = criteria();
    assert!(!criteria.is_empty(), "README.md lists no criteria");
    for (exercise, names) in criteria {
        let path = lesson(&exercise);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let steps = text.split("\n## What to write\n").nth(1).unwrap();
        let steps = steps.split("\n## ").next().unwrap();
        let rows = steps.lines().filter(|line| line.starts_with('|')).skip(2);
        let mut won: Vec<&str> =
            rows.filter_map(|row| row.rsplit('|').nth(1)).flat_map(quoted).collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        won.sort_unstable();
        names.sort_unstable();
        assert_eq!(won, names, "{}", path.display());
    }
}

/// Labels and targets of the link definitions in `text`.
fn definitions(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.strip_prefix('[')?.split_once("]: "))
        .map(|(label, target)| (label, target.trim()))
        .collect()
}

/// Labels of the reference links in `text`.
fn labels(text: &str) -> impl Iterator<Item = &str> {
    text.split("][").skip(1).filter_map(|rest| rest.split(']').next())
}

#[test]
fn links_of_the_lessons_lead_somewhere() {
    let for_rustdoc = fs::read_to_string("lessons/rustdoc-links.txt").unwrap();
    let for_rustdoc = definitions(&for_rustdoc);
    for entry in fs::read_dir("lessons").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // Code is no Markdown: `a[i][j]` is no link.
        let text: String = text.split("```").step_by(2).collect();
        let defined = definitions(&text);
        let inline = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for target in inline.chain(defined.values().copied()) {
            let file = Path::new("lessons").join(target);
            assert!(
                target.is_empty() || target.contains("://") || file.exists(),
                "{}: {target} is not there",
                path.display()
            );
        }
        for label in labels(&text) {
            assert!(defined.contains_key(label), "{}: [{label}] is not defined", path.display());
            assert!(for_rustdoc.contains_key(label), "rustdoc-links.txt: no [{label}]");
        }
    }
}
