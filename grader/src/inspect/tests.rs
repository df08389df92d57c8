//! Made-up levels.
use std::fs;
use std::path::Path;

use super::*;
use crate::catalog::{LEVELS, Level};
use crate::submission::Files;

fn level2() -> &'static Level {
    LEVELS.iter().find(|level| level.name == "level2").expect("level 2")
}

/// A workspace with one file of level 2 beside a `src/lib.rs`.
fn workspace(path: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("level2").join(path);
    fs::create_dir_all(file.parent().expect("a folder")).expect("folders");
    fs::write(file, text).expect("a file");
    fs::write(folder.path().join("level2/own.txt"), "a text").expect("a file");
    fs::write(folder.path().join("elsewhere.rs"), "pub fn load() {}").expect("a file");
    folder
}

fn refusals(text: &str) -> Vec<String> {
    let folder = workspace("src/race.rs", text);
    refused(folder.path(), level2()).iter().map(Finding::to_string).collect()
}

#[track_caller]
fn is_refused(text: &str, place: &str) {
    let found = refusals(text);
    assert!(found.iter().any(|said| said.starts_with(place)), "{text}: {found:?}");
}

#[track_caller]
fn is_fine(text: &str) {
    assert_eq!(refusals(text), Vec::<String>::new(), "{text}");
}

#[test]
fn code_from_elsewhere_is_refused_with_its_line() {
    is_refused("\n#[path = \"../../elsewhere.rs\"]\nmod answer;", "level2/src/race.rs:2: #[path]");
    is_refused("#[path = \"any.rs\"] mod other;", "level2/src/race.rs:1: #[path]");
    is_refused("#[cfg_attr(all(), path = \"a.rs\")] mod a;", "level2/src/race.rs:1: #[path]");
    is_refused("m!(path = \"../x.rs\", mod a;);", "level2/src/race.rs:1: #[path]");
    is_refused(
        "macro_rules! m { ($p:literal) => { #[path = $p] mod a; } }",
        "level2/src/race.rs:1",
    );
    is_refused("include!(\"../../elsewhere.rs\");", "level2/src/race.rs:1: include!");
    is_refused("include!(concat!(\"a\", \".rs\"));", "level2/src/race.rs:1: include!");
    is_refused("use std::include as take;\ntake!(\"a.rs\");", "level2/src/race.rs:1: include");
    is_refused("fn a() { include_bytes!(\"/dev/zero\"); }", "level2/src/race.rs:1: include_bytes!");
    is_refused("const A: &str = include_str!(\"../../elsewhere.rs\");", "level2/src/race.rs:1");
}

#[test]
fn honest_code_is_not() {
    is_fine("mod rest;\nfn include(path: &str) -> bool { let path = 5; path == 5 }");
    is_fine("#[cfg(test)]\n#[path = \"race_tests.rs\"]\nmod tests;");
    is_fine("const A: &str = include_str!(\"../own.txt\");");
    is_fine("// #[path = \"../../elsewhere.rs\"]\n/// include!(\"a.rs\")\nfn a() {}");
    is_fine("fn path() { let path = \"a\"; }");
}

#[cfg(unix)]
#[test]
fn links_and_pipes_are_refused() {
    let folder = workspace("src/race.rs", "");
    let src = folder.path().join("level2/src");
    std::os::unix::fs::symlink("race.rs", src.join("any.rs")).expect("a link");
    assert_eq!(refused(folder.path(), level2()), []);
    std::os::unix::fs::symlink("../../elsewhere.rs", src.join("cache.rs")).expect("a link");
    let pipe = src.join("queue.rs");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let found: Vec<_> = refused(folder.path(), level2()).into_iter().map(|f| f.file).collect();
    assert_eq!(found, ["level2/src/cache.rs", "level2/src/queue.rs"]);
}

#[test]
fn the_reference_of_every_level_is_built() {
    let root = crate::workspace::of_this_run().expect("the workspace");
    for level in LEVELS {
        assert_eq!(refused(&root, level), [], "{}", level.name);
    }
}

#[test]
fn files_that_the_compiler_read_elsewhere_are_named() {
    let folder = workspace("src/race.rs", "");
    let listing = "target/debug/liblevel2.rlib: level2/src/race.rs elsewhere.rs\n\n\
                   level2/src/race.rs:\n\nelsewhere.rs:\n\n# env-dep:A=1\n";
    let found = outside_files(folder.path(), level2(), listing);
    assert_eq!(found, [Path::new("elsewhere.rs")]);
}

#[test]
fn what_a_teacher_ought_to_see_is_listed() {
    let text = "
        fn a() { std::env::args(); tokio::time::advance(b); rt.enter(); }
        impl PartialEq for Outcome { fn eq(&self, _: &Self) -> bool { true } }
        #[track_caller] fn c() { std::panic::Location::caller(); }
        fn d<'a, 'b>(_: &'a &'b (), x: &'b u8) -> &'a u8 { x }
        const E: &str = \"/proc/self/cmdline\";
        const F: &str = \"a literal of the fakes\";
        impl Outcome { fn honest(&self) -> bool { self.a == self.b } }
        #[derive(PartialEq, Clone)] struct G;
    ";
    let folder = workspace("src/race.rs", text);
    let checks = folder.path().join("grader/checks/level2/src");
    fs::create_dir_all(&checks).expect("folders");
    fs::write(checks.join("fake.rs"), "const A: &str = \"a literal of the fakes\";")
        .expect("a file");
    let (files, _) = Files::read(folder.path(), level2()).expect("files");
    let found = suspicious(folder.path(), level2(), &files);
    let found: Vec<_> = found.iter().map(|f| (f.line, f.what.as_str())).collect();
    assert_eq!(
        found,
        [
            (2, ".enter()"),
            (2, "std::env"),
            (2, "time::advance"),
            (3, "impl PartialEq"),
            (4, "Location::caller"),
            (4, "track_caller"),
            (5, "&'a &'b"),
            (6, "\"/proc/self/cmdline\""),
            (7, "\"a literal of the fakes\""),
        ]
    );
}
