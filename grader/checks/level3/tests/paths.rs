//! The table of rules and paths: its criteria exist, and the README of the level shows it.
//!
//! `WRITE=1 cargo test -p check-level3 --test paths` writes it there.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that reads the README"
)]

#[path = "../src/gateway/paths/table.rs"]
mod table;

use std::fmt::Write as _;
use std::path::Path as File;

use table::{Cell, Path, Rule, cell, paths_of};

const BEGIN: &str = "<!-- paths: begin -->\n";
const END: &str = "<!-- paths: end -->";

/// The criteria of level 3, as `exercise/name`.
fn criteria() -> Vec<String> {
    // Relative, as everything that a clone finds: tests run in their package's folder.
    let levels = grader_criteria::read(&grader_criteria::folder()).unwrap();
    let level = levels.iter().find(|level| level.name == "level3").unwrap();
    let of = |exercise: &grader_criteria::Exercise| {
        let name = exercise.name.clone();
        let criteria = exercise.criteria.iter();
        criteria.map(|criterion| format!("{name}/{}", criterion.name)).collect::<Vec<_>>()
    };
    level.exercises.iter().flat_map(of).collect()
}

/// As the README shows it: a line for each rule, what judges it, and where it has nothing to say.
fn shown() -> String {
    let mut text = String::from("| rule | judged by | ");
    text.extend(Path::ALL.map(|path| format!("{} | ", path.name())));
    let columns = Path::ALL.len();
    let _ = write!(text, "\n| --- | --- |{}\n", " --- |".repeat(columns));
    let mut reasons: Vec<&str> = Vec::new();
    for rule in Rule::ALL {
        let mut judges: Vec<&str> = Vec::new();
        let mut cells = String::new();
        for path in Path::ALL {
            match cell(rule, path) {
                Cell::Judged(criterion) => {
                    if !judges.contains(&criterion) {
                        judges.push(criterion);
                    }
                    cells.push_str(" yes |");
                }
                Cell::Not(reason) => {
                    if !reasons.contains(&reason) {
                        reasons.push(reason);
                    }
                    let number = reasons.iter().position(|known| *known == reason).unwrap() + 1;
                    let _ = write!(cells, " no ({number}) |");
                }
            }
        }
        let judges: Vec<_> = judges.iter().map(|name| format!("`level3/{name}`")).collect();
        let _ = writeln!(text, "| {} | {} |{cells}", rule.name(), judges.join(", "));
    }
    text.push('\n');
    for (number, reason) in (1..).zip(reasons) {
        let _ = writeln!(text, "({number}) {reason}");
    }
    text
}

#[test]
fn every_cell_names_a_criterion_or_a_reason() {
    let known = criteria();
    for rule in Rule::ALL {
        assert!(paths_of(rule).count() > 0, "{} is judged nowhere", rule.name());
        for path in Path::ALL {
            match cell(rule, path) {
                Cell::Judged(criterion) => assert!(
                    known.iter().any(|known| known == criterion),
                    "{} on the path \"{}\": there is no criterion {criterion}",
                    rule.name(),
                    path.name()
                ),
                Cell::Not(reason) => assert!(!reason.is_empty()),
            }
        }
    }
}

#[test]
fn the_readme_shows_the_table() {
    let readme = File::new("../../../level3/README.md");
    let text = std::fs::read_to_string(readme).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("level3/README.md: no mark for the table");
    let (table, after) = rest.split_once(END).expect("level3/README.md: no end of the table");
    let due = shown();
    if std::env::var_os("WRITE").is_some() {
        std::fs::write(readme, format!("{before}{BEGIN}{due}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(
        table, due,
        "level3/README.md shows another table: WRITE=1 cargo test -p check-level3 --test paths"
    );
}
