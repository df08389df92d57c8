//! Which package may depend on which, and that the manifests name every package there is.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What a package is for, read off its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// `levelN` for the exercise (the role is empty), `levelN/ROLE` for what stands beside it.
    Level { number: u32, role: String },
    /// `grader/checks/levelN`.
    Checks { number: u32 },
    /// `grader/bench/...`: what the benchmarks of the levels share. `grader/demo`: what their programs show while a part is not written.
    /// `grader/pages`: what those with a page in a browser share. `grader/program`: what the programs share.
    Shared,
    /// `grader/browser`: what the tests of pages share. `grader/process`: what the tests of programs share.
    ForTests,
    /// Everything else below `grader`.
    Grader,
}

/// What a package of a level may use of its own level: its role, its dependencies, and what its tests,
/// examples and benchmarks may use besides. The exercise is the role without a name.
///
/// An arrow that is not here points upwards or sideways. The domain imports no other package. The
/// exercise imports the domain alone, so that a learner builds little and reads little. Adapters do not
/// import the exercise: they work before a learner's retry or saga does.
const MAY_USE: &[(&str, &[&str], &[&str])] = &[
    ("domain", &[], &[]),
    ("sim", &["domain"], &[]),
    ("", &["domain"], &["sim"]),
    ("harness", &["domain", "sim", ""], &[]),
    ("adapters", &["domain"], &["sim", "", "harness"]),
    // What an exercise runs on for real: it implements a trait of it.
    ("http", &[""], &[]),
    ("ws", &[""], &[]),
    ("kv", &[""], &[]),
    // A page that shows the exercise at work, over what it runs on for real.
    ("dashboard", &["", "http", "ws", "kv"], &[]),
    // The same, with a service that is simulated.
    ("form", &[""], &[]),
    // A command that runs the exercise on a file of its user.
    ("plan", &[""], &[]),
    // The exercise on real parts: mail, webhooks, a store.
    ("notify", &[""], &[]),
    ("journal", &[""], &[]),
    // The same in a stream of a server.
    ("jetstream", &[""], &[]),
    // The exercise on real sources, and its store on disk.
    ("sources", &[""], &[]),
    // The gateway behind HTTP. The program starts it, and brings the services.
    ("service", &["domain", "", "adapters"], &["sim"]),
    ("app", &["domain", "sim", "", "harness", "adapters", "journal", "jetstream", "service"], &[]),
    ("bench", &["domain", "sim", "", "harness", "adapters", "journal", "jetstream"], &[]),
    ("instructions", &["domain", "sim", "", "harness"], &[]),
];

/// What the checks of a level may use of it.
const CHECKS_MAY_USE: &[&str] = &["domain", "sim", "", "harness"];

/// Folders of sources, and the modules of their own crate that they may name.
const MODULES: &[(&str, &[&str])] = &[
    // The saga engine knows nothing of payments. `nonzero` is a macro that checks a number.
    ("level3/src/saga", &["deadline", "journal", "nonzero", "retry", "saga"]),
    // Neither does what it writes down.
    ("level3/domain/src/journal", &["journal"]),
];

/// A package of the workspace.
struct Package {
    name: String,
    /// Relative to the root, with `/`.
    folder: String,
    /// Names, and whether only tests, examples and benchmarks use it.
    uses: Vec<(String, bool)>,
    is_default: bool,
}

fn root() -> PathBuf {
    grader::workspace::of_this_run().expect("the workspace")
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).expect("below the root");
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

fn packages() -> Vec<Package> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.current_dir(root()).args(["metadata", "--no-deps", "--format-version", "1"]);
    let output = command.output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: Value = serde_json::from_slice(&output.stdout).expect("metadata");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let defaults: Vec<_> = list(&all["workspace_default_members"]).iter().map(text).collect();
    let package = |package: &Value| {
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        let dependencies = list(&package["dependencies"]);
        let own = dependencies.iter().filter(|dependency| dependency["path"].is_string());
        Package {
            name: text(&package["name"]),
            folder: relative(manifest.parent().expect("a folder")),
            uses: own.map(|uses| (text(&uses["name"]), uses["kind"] == "dev")).collect(),
            is_default: defaults.contains(&text(&package["id"])),
        }
    };
    list(&all["packages"]).iter().map(package).collect()
}

fn place(folder: &str) -> Place {
    let number = |name: &str| name.strip_prefix("level").and_then(|number| number.parse().ok());
    let parts: Vec<&str> = folder.split('/').collect();
    match parts.as_slice() {
        ["grader", "checks", level] => {
            Place::Checks { number: number(level).expect("grader/checks/levelN") }
        }
        ["grader", "bench", ..] | ["grader", "demo" | "pages" | "program"] => Place::Shared,
        ["grader", "browser" | "process"] => Place::ForTests,
        ["grader", ..] => Place::Grader,
        [level, role @ ..] => {
            let number = number(level).unwrap_or_else(|| panic!("{folder}: no place of a package"));
            Place::Level { number, role: role.join("/") }
        }
        [] => panic!("the root is no package"),
    }
}

/// Why a package in one place may not use one in another; `None` if it may.
fn forbidden(from: &Place, to: &Place, only_tests: bool) -> Option<String> {
    let listed = |roles: &[&str]| {
        let name = |role: &&str| if role.is_empty() { "the exercise" } else { *role }.to_owned();
        roles.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    match (from, to) {
        (Place::Level { number, role }, Place::Level { number: other, role: used }) => {
            let Some((_, may, tests_may)) = MAY_USE.iter().find(|(name, ..)| name == role) else {
                return Some(format!("MAY_USE in grader/proofs/tests/layout.rs has no `{role}`"));
            };
            if other > number {
                return Some("a level may use the levels below it, never one above".to_owned());
            }
            if other < number {
                let programs = ["app", "dashboard", "form", "plan", "notify", "bench", "instructions", "service"];
                let top = programs.contains(&used.as_str());
                return top.then(|| "no other level may use a program or a benchmark".to_owned());
            }
            let allowed =
                may.contains(&used.as_str()) || only_tests && tests_may.contains(&used.as_str());
            (!allowed).then(|| {
                let who = if role.is_empty() { "the exercise" } else { role };
                let tests = match tests_may {
                    [] => String::new(),
                    more => format!(", and in tests {}", listed(more)),
                };
                match may {
                    [] => format!("{who} of a level may use nothing of its level{tests}"),
                    may => format!("{who} of a level may use only {}{tests}", listed(may)),
                }
            })
        }
        (Place::Checks { number }, Place::Level { number: other, role }) => {
            let allowed = number == other && CHECKS_MAY_USE.contains(&role.as_str());
            (!allowed).then(|| {
                format!("checks may use only {} of their own level", listed(CHECKS_MAY_USE))
            })
        }
        (Place::Level { .. } | Place::Grader | Place::Shared, Place::ForTests) => {
            (!only_tests).then(|| "grader/browser and grader/process are for tests".to_owned())
        }
        (
            Place::Grader | Place::Shared | Place::ForTests,
            Place::Level { .. } | Place::Checks { .. },
        ) => {
            Some("the grader links no level and no check: it builds and runs them".to_owned())
        }
        (Place::Level { .. }, Place::Grader | Place::Checks { .. }) => Some(
            "a level does not know its judge; of the grader it may use grader/bench, grader/demo, grader/pages and grader/program, and in tests grader/browser and grader/process".to_owned(),
        ),
        (Place::Checks { .. }, Place::Checks { .. } | Place::Shared | Place::ForTests) => {
            Some("checks may use grader-kit and their level".to_owned())
        }
        (Place::ForTests, Place::Grader | Place::Shared | Place::ForTests) => {
            Some("what tests share uses no package of the workspace".to_owned())
        }
        (Place::Level { .. } | Place::Grader | Place::Shared, Place::Shared)
        | (Place::Checks { .. } | Place::Grader | Place::Shared, Place::Grader) => None,
    }
}

#[test]
fn no_package_depends_upwards() {
    let packages = packages();
    let mut wrong = Vec::new();
    for package in &packages {
        for (used, only_tests) in &package.uses {
            let used = packages.iter().find(|other| other.name == *used).expect("a member");
            let rule = forbidden(&place(&package.folder), &place(&used.folder), *only_tests);
            wrong.extend(
                rule.map(|rule| format!("{} depends on {}: {rule}", package.name, used.name)),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_arrow_upwards_is_found() {
    let refused = |from: &str, to: &str, only_tests: bool| {
        forbidden(&place(from), &place(to), only_tests).is_some()
    };
    for (from, to) in [
        ("level3/domain", "level3/sim"),
        ("level3/sim", "level3"),
        ("level3", "level3/harness"),
        ("level3/adapters", "level3"),
        ("level3/harness", "level3/app"),
        ("level2", "level3/domain"),
        ("level3", "grader"),
        ("grader", "level3"),
        ("grader/protocol", "level1"),
        ("grader/checks/level3", "level2"),
        ("grader/checks/level3", "level3/adapters"),
        ("level4", "level3/app"),
        ("level4", "level4/dashboard"),
        ("level5", "level4/dashboard"),
        ("level4/dashboard", "grader/process"),
        ("grader/process", "grader/pages"),
    ] {
        assert!(refused(from, to, false), "{from} may use {to}");
    }
    for (from, to, only_tests) in [
        ("level3", "level3/domain", false),
        ("level3", "level3/sim", true),
        ("level3/adapters", "level3/harness", true),
        ("level4", "level3", false),
        ("level4/dashboard", "level4/ws", false),
        ("level4/dashboard", "grader/demo", false),
        ("level4/dashboard", "grader/process", true),
        ("grader/checks/level3", "level3/harness", false),
        ("level3/bench", "grader/bench/criterion", true),
    ] {
        assert!(!refused(from, to, only_tests), "{from} may not use {to}");
    }
}

/// All sources below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_saga_engine_knows_nothing_of_payments() {
    for (folder, may_name) in MODULES {
        let mut files = Vec::new();
        sources(&root().join(folder), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).expect("a source");
            for rest in text.split("crate::").skip(1) {
                let end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
                let module = rest.split(end).next().unwrap_or_default();
                assert!(
                    may_name.contains(&module),
                    "{} names crate::{module}: {folder} may name only {}",
                    relative(&file),
                    may_name.join(", ")
                );
            }
        }
    }
}

/// The folders below `folder` that hold a manifest.
fn with_manifest(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let is_hidden = name.to_string_lossy().starts_with('.');
        if !path.is_dir() || path.is_symlink() || is_hidden || name == "target" {
            continue;
        }
        if path.join("Cargo.toml").is_file() {
            found.insert(relative(&path));
        }
        with_manifest(&path, found);
    }
}

#[test]
fn every_manifest_is_a_member() {
    let mut folders = BTreeSet::new();
    with_manifest(&root(), &mut folders);
    let members: BTreeSet<_> = packages().into_iter().map(|package| package.folder).collect();
    assert_eq!(members, folders, "`members` in Cargo.toml (left) and the folders (right)");
}

#[test]
fn every_package_of_a_level_is_built_by_default() {
    for package in packages() {
        if let Place::Level { .. } = place(&package.folder) {
            assert!(package.is_default, "{}: not in `default-members`", package.folder);
        }
    }
}

/// Where a level has a harness, it runs tens of thousands of payments on these.
#[test]
fn what_a_harness_runs_is_optimised() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    let packages = packages();
    let harnesses = packages.iter().filter_map(|package| match place(&package.folder) {
        Place::Level { number, role } if role == "harness" => Some(number),
        _ => None,
    });
    let levels: BTreeSet<u32> = harnesses.collect();
    let optimised = packages.iter().filter(|package| match place(&package.folder) {
        Place::Level { number, role } => {
            levels.contains(&number) && CHECKS_MAY_USE.contains(&role.as_str())
        }
        _ => false,
    });
    for package in optimised {
        let section = format!("[profile.dev.package.{}]", package.name);
        let is_there = manifest.lines().any(|line| line == section);
        assert!(is_there, "Cargo.toml has no {section}: the sweep takes twice as long without");
    }
}

/// Crates that a learner compiles for level 3, with those of its tests.
const MOST_CRATES_OF_LEVEL_3: usize = 60;

#[test]
fn a_learners_level_3_stays_small() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["tree", "--locked", "--package", "level3", "--prefix", "none"]);
    let output = cargo.args(["--edges", "normal,build,dev"]).output().expect("cargo");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).expect("a list");
    // A crate that stands a second time is marked `(*)`.
    let crates: BTreeSet<_> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    assert!(crates.len() <= MOST_CRATES_OF_LEVEL_3, "{} crates: {crates:#?}", crates.len());
}
