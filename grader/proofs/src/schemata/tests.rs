use grader::catalog::LEVELS;
use grader::submission::Files;

use super::merge::{Group, Merged, Shapes};
use crate::changed::Changed;

const REFERENCE: &str = "use std::fmt;\n\nstruct X;\n\nfn one() -> u8 {\n    1\n}\n\nimpl X {\n    async fn two(&self) { go().await }\n\
                         \n    const fn three() -> u8 { 3 }\n\n    fn four() -> impl Iterator<Item = u8> { [4].into_iter() }\n}\n";

fn files(text: &str) -> Files {
    let mut files = Files::default();
    files.insert("src/a.rs", text);
    files
}

fn changed(from: &str, to: &str) -> Changed {
    assert!(REFERENCE.contains(from), "{from}");
    Changed::between(&files(REFERENCE), &files(&REFERENCE.replace(from, to)))
}

#[track_caller]
fn can_share(solution: &Changed, expected: bool) {
    let shapes = Shapes::new(files(REFERENCE));
    assert_eq!(shapes.of(solution).is_some(), expected);
}

#[test]
fn other_bodies_and_more_items_can_share_a_tree() {
    can_share(&changed("    1\n", "    helper()\n"), true);
    can_share(&changed("go().await", "go()"), true);
    can_share(&changed("impl X {", "fn helper() {}\n\nimpl X {\n    fn more(&self) {}\n"), true);
}

#[test]
fn what_has_one_version_only_is_built_alone() {
    can_share(&changed("{ 3 }", "{ 4 }"), false);
    can_share(&changed("[4]", "[5]"), false);
    can_share(&changed("-> u8 {\n    1", "-> u16 {\n    1"), false);
    can_share(&changed("use std::fmt;", ""), false);
    let guard = |name| {
        changed("fn one", &format!("impl Drop for {name} {{ fn drop(&mut self) {{}} }}\n\nfn one"))
    };
    can_share(&guard("X"), false);
    can_share(&guard("Y"), true);
}

#[test]
fn two_items_of_one_name_are_for_two_trees() {
    let shapes = Shapes::new(files(REFERENCE));
    let mut group = Group::default();
    let helper = |body: &str| changed("fn one", &format!("fn helper() {{ {body} }}\n\nfn one"));
    let mut added = |solution: &Changed, most: usize| {
        shapes.of(solution).is_some_and(|changes| group.add(&changes, most))
    };
    assert!(added(&helper("a()"), 10));
    assert!(added(&helper("a( /* the same */ )"), 10));
    assert!(!added(&helper("b()"), 10));
    assert!(!added(&changed("    1\n", "    2\n"), 2));
}

#[test]
fn a_tree_holds_every_version_and_knows_its_lines() {
    let shapes = Shapes::new(files(REFERENCE));
    let two = changed("    1\n", "    2\n");
    let helper = changed(
        "fn one() -> u8 {\n    1",
        "fn helper() -> u8 { 9 }\n\nfn one() -> u8 {\n    helper()",
    );
    let merged = Merged::new(&shapes, LEVELS[0], &[(0, &two), (7, &helper)]);
    let text = String::from_utf8(merged.files.get("src/a.rs").expect("it is there").to_vec())
        .expect("UTF-8");
    syn::parse_file(&text).expect("Rust");
    for expected in
        ["1 => {\n    2\n}", "2 => {\n    helper()\n}", "_ => {\n    1\n}", "fn helper()"]
    {
        assert!(text.contains(expected), "{text}");
    }
    let line = |part: &str| text.lines().position(|line| line.contains(part)).expect(part) + 1;
    let error = |line: usize| format!("error: no\n --> {}/src/a.rs:{line}:5\n", LEVELS[0].name);
    assert_eq!(merged.blamed(&error(line("    2"))), [0].into());
    assert_eq!(merged.blamed(&error(line("    helper()"))), [7].into());
    assert_eq!(merged.blamed(&error(line("fn helper"))), [7].into());
    assert_eq!(merged.blamed(&error(line("async fn two"))), [].into());
}
