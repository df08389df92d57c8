//! Forks that are made to hold or to fill the compiler, and forks with an unusual name or an older course.
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use grader::class::result::{ForkResult, LevelState};
use grader::submission::Finding;

use super::support::{Bench, lay, snapshot, words, write};

/// Code at the end of the blank's `errors.rs`, and the outcome of the level.
const BOMBS: &[(&str, &str, LevelState)] = &[
    (
        "endless constant",
        "pub const N: u64 = { let mut n = 0; while n < u64::MAX { n += 1; } n };",
        LevelState::DoesNotCompile,
    ),
    (
        "macro that doubles",
        "macro_rules! m { ($($t:tt)*) => { m!($($t)* $($t)*); } } m!(a);",
        LevelState::DoesNotCompile,
    ),
    (
        "type that grows",
        "pub struct More<T>(T); pub fn more<T>(t: T) { more(More(t)) } pub fn go() { more(()) }",
        LevelState::DoesNotCompile,
    ),
    (
        "array of everything",
        "pub static ALL: [u8; 1 << 46] = [1; 1 << 46];",
        LevelState::DoesNotCompile,
    ),
    ("device", "pub const Z: &[u8] = include_bytes!(\"/dev/zero\");", LevelState::Refused),
    (
        "device behind a macro",
        "macro_rules! m { ($m:ident) => { pub const Z: &[u8] = $m!(\"/dev/zero\"); } } m!(include_bytes);",
        LevelState::DoesNotCompile,
    ),
    (
        "another's file behind a macro",
        "macro_rules! m { ($m:ident) => { pub const Z: &str = $m!(\"/etc/passwd\"); } } m!(include_str);",
        LevelState::Refused,
    ),
];

/// Each name is that of a fork whose folder is called so.
const NAMES: &[&str] =
    &["名前", "محمد", "שרה 🦀", "Zoë \"Q\", O'Neil", "-rf", "$(touch trap)", "=1+1", "two\nlines"];

fn append(fork: &Path, text: &str) {
    let path = fork.join("level1/src/errors.rs");
    let blank = fs::read_to_string(&path).expect("the blank");
    fs::write(path, format!("{blank}\n{text}\n")).expect("a file");
}

#[test]
fn a_bomb_costs_its_own_level_and_any_name_is_a_name() {
    let bench = Bench::take();
    let folder = tempfile::tempdir().expect("a folder");
    let class = folder.path().join("class");
    for (name, bomb, _) in BOMBS {
        lay(&bench.root, &class.join(name), &[]);
        append(&class.join(name), bomb);
    }
    for name in NAMES {
        // Equal files are judged once.
        lay(&bench.root, &class.join(name), &[]);
        append(&class.join(name), "compile_error!(\"not yet\");");
    }
    // Sources that are no files.
    let odd = class.join("no files");
    lay(&bench.root, &odd, &[]);
    for (at, to) in [("zero.rs", "/dev/zero"), ("all.rs", "/"), ("self.rs", "self.rs")] {
        symlink(to, odd.join("level1/src").join(at)).expect("a link");
    }
    let pipe = odd.join("level1/src/pipe.rs");
    assert!(Command::new("mkfifo").arg(pipe).status().expect("mkfifo").success());
    append(&odd, "pub mod pipe;");
    symlink("/", class.join("everything")).expect("a link");
    // An older course: it lacks an exercise and a given file, and has a file that went.
    let older = class.join("older");
    lay(&bench.root, &older, &[]);
    let manifest = fs::read_to_string(bench.root.join("Cargo.toml")).expect("the manifest");
    let version = format!("version = \"{}\"", env!("CARGO_PKG_VERSION"));
    write(&older.join("Cargo.toml"), &manifest.replacen(&version, "version = \"0.0.1\"", 1));
    fs::remove_file(older.join("level1/src/background.rs")).expect("removed");
    append(&older, "compile_error!(\"not yet\");");
    write(&older.join("level1/src/gone.rs"), "pub fn gone() {}");
    let mut before = BTreeMap::new();
    snapshot(folder.path(), &mut before);

    let output = bench.class(&class).output().expect("the grader");
    let said = words(&output);
    let store = bench.store();
    let result = |name: &str| -> ForkResult {
        let result = store.result(name).unwrap_or_else(|why| panic!("{why}"));
        result.unwrap_or_else(|| panic!("no result of {name}: {said}"))
    };
    for (name, _, state) in BOMBS {
        let found = result(name);
        assert_eq!(found.levels[0].state, *state, "{name}: {:?}", found.levels[0].words);
        assert_eq!(found.levels[0].score.core, 0, "{name}");
    }
    for name in NAMES {
        let level = &result(name).levels[0];
        assert_eq!(level.state, LevelState::DoesNotCompile, "{name}: {:?}", level.words);
    }
    let odd = result("no files");
    assert_eq!(odd.levels[0].state, LevelState::DoesNotCompile);
    assert_eq!(odd.changes.no_files.count, 4, "{:?}", odd.changes);
    assert!(result("everything").reason.is_some_and(|why| why.contains("is a link")), "{said}");
    let older = result("older");
    assert_eq!(older.changes.version.as_deref(), Some("0.0.1"));
    let newer = Finding::NewerMissing("src/background.rs".to_owned());
    assert!(older.levels[0].findings.contains(&newer), "{:?}", older.levels[0].findings);
    let errors = older.levels[0].words.clone().unwrap_or_default();
    assert!(errors.contains("not yet") && !errors.contains("background"), "{errors}");

    // A row for each fork, read by a reader of tables: the points possible are the first one.
    let mut book = csv::Reader::from_path(bench.out.join("gradebook.csv")).expect("a gradebook");
    let rows: Vec<csv::StringRecord> = book.records().map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), 1 + BOMBS.len() + NAMES.len() + 3, "{rows:?}");
    let mut after = BTreeMap::new();
    snapshot(folder.path(), &mut after);
    assert_eq!(before, after, "something outside the output folder was changed");
    bench.nothing_is_left();
}

/// A `match` whose patterns overlap in so many ways that rustc does not end. No limit of rustc's own stops it.
fn endless_match() -> String {
    const LENGTH: usize = 60;
    let mut text = format!("pub fn endless(a: [bool; {LENGTH}]) -> u8 {{ match a {{\n");
    for first in 0..LENGTH {
        for second in (first + 1..LENGTH).step_by(5) {
            let mut pattern = ["_"; LENGTH];
            (pattern[first], pattern[second]) = ("true", "false");
            text += &format!("[{}] => 1,\n", pattern.join(", "));
        }
    }
    text + "_ => 0 } }"
}

#[test]
fn a_compiler_without_end_is_stopped_at_the_time_limit() {
    let bench = Bench::take();
    let folder = tempfile::tempdir().expect("a folder");
    let class = folder.path().join("class");
    let endless = class.join("endless");
    lay(&bench.root, &endless, &[]);
    append(&endless, &endless_match());
    let after = class.join("later");
    lay(&bench.root, &after, &[]);
    append(&after, "compile_error!(\"not yet\");");

    let mut command = bench.class(&class);
    let output = command.args(["--time-limit", "12"]).output().expect("the grader");
    let store = bench.store();
    let level = |name: &str| {
        let result = store.result(name).unwrap_or_else(|why| panic!("{why}"));
        result.unwrap_or_else(|| panic!("no result of {name}: {}", words(&output))).levels[0]
            .clone()
    };
    let endless = level("endless");
    assert_eq!(endless.state, LevelState::Stopped, "{:?}", endless.words);
    assert!(endless.words.is_some_and(|words| words.contains("--time-limit")));
    assert_eq!(level("later").state, LevelState::DoesNotCompile);
    bench.nothing_is_left();
}
