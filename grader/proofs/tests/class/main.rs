//! A class from its forks to its gradebook: what is honest gets its points, what is hostile changes nothing.
//!
//! The forks are of level 1 alone, since each distinct one is a build.
#![cfg(target_os = "linux")]

mod bombs;
mod support;
mod unfinished;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use grader::class::result::{ForkResult, LevelState};
use grader::class::store::read;
use grader::report::Status;
use support::{Bench, git, lay, snapshot, words, write};

/// Makes the class. Whatever of it is run leaves a file called `trap`.
fn make(root: &Path, class: &Path, trap: &Path) {
    let evil = format!("#!/bin/sh\ntouch '{}'\nexec \"$@\"\n", trap.display());
    let anna = class.join("anna");
    lay(root, &anna, &["errors.rs", "callbacks.rs"]);
    // Everything that cargo would run or obey.
    write(&anna.join("wrapper.sh"), &evil);
    fs::set_permissions(anna.join("wrapper.sh"), fs::Permissions::from_mode(0o755))
        .expect("permissions");
    let wrapper = format!("[build]\nrustc-wrapper = '{}'\n", anna.join("wrapper.sh").display());
    write(&anna.join(".cargo/config.toml"), &wrapper);
    let build =
        format!("fn main() {{ std::fs::write({:?}, \"\").unwrap(); }}", trap.display().to_string());
    write(&anna.join("level1/build.rs"), &build);
    write(
        &anna.join("level1/Cargo.toml"),
        "[package]\nname = \"level1\"\nversion = \"9.9.9\"\nbuild = \"build.rs\"\n",
    );
    write(&anna.join("grader/src/lib.rs"), "compile_error!(\"a grader of the fork's own\");");
    write(&class.join("secret.rs"), "pub fn secret() {}");
    symlink(class.join("secret.rs"), anna.join("level1/src/secret.rs")).expect("a link");

    lay(root, &class.join("Ξένη"), &["errors.rs", "callbacks.rs"]);

    let carl = class.join("carl");
    lay(root, &carl, &["errors.rs"]);
    write(&carl.join("level1/src/errors.rs"), "fn errors( {");

    let dora = class.join("dora");
    lay(root, &dora, &["errors.rs"]);
    git(&dora, "2027-01-01T00:00:00Z", &["init", "-q", "-b", "main"]);
    git(&dora, "2027-01-01T00:00:00Z", &["add", "--all"]);
    git(&dora, "2027-01-01T00:00:00Z", &["commit", "-q", "-m", "in time"]);
    lay(root, &dora, &["errors.rs", "callbacks.rs", "combinators.rs"]);
    git(&dora, "2027-01-03T00:00:00Z", &["add", "--all"]);
    git(&dora, "2027-01-03T00:00:00Z", &["commit", "-q", "-m", "late"]);
    for hook in ["post-checkout", "reference-transaction", "post-index-change"] {
        write(&dora.join(".git/hooks").join(hook), &evil);
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(dora.join(".git/hooks").join(hook), executable).expect("permissions");
    }
    let config =
        format!("[core]\n\tfsmonitor = {0}\n\tpager = {0}\n", anna.join("wrapper.sh").display());
    write(&dora.join(".git/config"), &config);

    fs::create_dir(class.join("empty")).expect("a folder");
    fs::create_dir_all(class.join("many/level1/src")).expect("folders");
    for number in 0..100_000 {
        fs::write(class.join(format!("many/level1/src/m{number}.rs")), "").expect("a file");
    }
}

#[test]
fn a_class_is_graded_and_no_fork_reaches_out() {
    let bench = Bench::take();
    let Bench { root, grader, out, .. } = &bench;
    let folder = tempfile::tempdir().expect("a folder");
    let (class, trap) = (folder.path().join("class"), folder.path().join("trap"));
    fs::create_dir(&class).expect("a folder");
    make(root, &class, &trap);
    let mut before = BTreeMap::new();
    snapshot(folder.path(), &mut before);

    let run = || {
        let mut command = bench.class(&class);
        command.args(["--deadline", "2027-01-02T00:00:00Z"]).output().expect("the grader")
    };
    let first = run();
    assert_eq!(first.status.code(), Some(1), "one fork cannot be read: {}", words(&first));
    let store = bench.store();
    let result = |name: &str| -> ForkResult {
        let result = store.result(name).unwrap_or_else(|why| panic!("{why}"));
        result.unwrap_or_else(|| panic!("no result of {name}: {}", words(&first)))
    };
    let passed = |name: &str| -> Vec<String> {
        let result = result(name);
        let passed = result.criteria().filter(|criterion| criterion.status == Status::Passed);
        passed.map(|criterion| criterion.id.clone()).collect()
    };
    let solved = passed("anna");
    assert!(solved.iter().any(|id| id.starts_with("level1/callbacks/")), "{solved:?}");
    assert!(solved.iter().all(|id| !id.starts_with("level1/combinators/")), "{solved:?}");
    assert_eq!(passed("Ξένη"), solved);
    let in_time = passed("dora");
    assert!(in_time.iter().all(|id| id.starts_with("level1/errors/")), "{in_time:?}");
    assert_eq!(result("dora").commit.expect("a commit").time.to_string(), "2027-01-01T00:00:00Z");
    let state = |name: &str| result(name).levels[0].state;
    assert_eq!(state("carl"), LevelState::DoesNotCompile);
    assert_eq!(state("many"), LevelState::Unreadable);
    assert_eq!(
        result("empty").reason.as_deref(),
        Some("it has no levelN/src: is it a fork of the course?")
    );

    let changes = result("anna").changes;
    assert_eq!(changes.no_files.first, ["level1/src/secret.rs"]);
    let changed = [".cargo/config.toml", "grader/src/lib.rs", "level1/Cargo.toml"];
    assert_eq!(changes.changed.first, changed);
    assert_eq!(changes.added.first, ["level1/build.rs", "wrapper.sh"]);
    let book = fs::read_to_string(out.join("gradebook.csv")).expect("a gradebook");
    assert!(
        book.lines().any(|line| line.starts_with("Ξένη,graded,") && line.contains(",anna,")),
        "{book}"
    );

    // The same fork has the same points when it is graded by itself: it was the last one in its lane.
    let lane = out.join("work/lane-0");
    let alone = Command::new(grader)
        .args(["level1", "--format", "json", "--seed", "7", "--root"])
        .arg(lane.join("workspace"))
        .env("CARGO_TARGET_DIR", lane.join("target"))
        .output()
        .expect("the grader");
    let report: serde_json::Value = serde_json::from_slice(&alone.stdout).expect("a report");
    let score = serde_json::to_value(result("dora").levels[0].score).expect("a score");
    assert_eq!(report["levels"][0]["score"], score, "{}", words(&alone));

    // A result of the same conditions is not graded again, and one that is gone comes from its twin.
    fs::remove_file(store.folder("Ξένη").join("result.json")).expect("removed");
    write(&store.folder("empty").join("result.json"), "half of a res");
    let again = words(&run());
    for known in ["anna", "Ξένη", "carl", "dora"] {
        assert!(
            again.lines().any(|line| line.contains(known) && line.contains(", known")),
            "{again}"
        );
    }
    assert!(read(&store.folder("empty").join("result.json")).is_ok_and(|result| result.is_some()));
    let regraded = Command::new(grader)
        .arg("regrade")
        .arg(store.folder("anna").join("result.json"))
        .current_dir(root)
        .output()
        .expect("the grader");
    assert_eq!(regraded.status.code(), Some(0), "{}", words(&regraded));
    let level = grader::catalog::level("level1").expect("level 1");
    let criteria: usize = level.exercises.iter().map(|exercise| exercise.criteria.len()).sum();
    let same = format!("anna: nothing differs in {criteria} criteria");
    assert!(words(&regraded).contains(&same), "{}", words(&regraded));

    assert!(!trap.exists(), "something of a fork was run");
    let mut after = BTreeMap::new();
    snapshot(folder.path(), &mut after);
    assert_eq!(before, after, "something outside the output folder was changed");
    bench.nothing_is_left();
}
