//! Proves that a starter is a place to work in: it compiles without a warning, rustc's or clippy's, its
//! documentation has no dead link, its tests compile, and the programs that the READMEs name run.
//! `cargo test -p grader-proofs --test blanks`.
//!
//! That a starter scores nothing is proved beside this, in `starters`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use grader::starter::{blank, plan};
use grader::submission::{Scratch, seed};
use grader_proofs::chosen_levels;
use serde_json::Value;

fn workspace() -> PathBuf {
    grader::workspace::of_this_run().expect("the workspace")
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("blanks").join(name)
}

/// The target folder of the blanks, with everything of other people that the workspace has built.
///
/// Not that of the workspace: cargo tells a package of a copy from that of the workspace by the times of its files only,
/// and the blank's are newer. The workspace's commands would run the blank from then on.
fn target() -> &'static Path {
    static TARGET: LazyLock<(PathBuf, File)> = LazyLock::new(|| {
        let target = folder("built");
        fs::create_dir_all(&target).expect("a folder");
        // Held to the end: another process that builds blanks waits.
        let lock = File::create(folder("lock")).expect("a file");
        lock.lock().expect("a lock");
        // This program is `target/PROFILE/deps/blanks-...`.
        let program = std::env::current_exe().expect("this program");
        if let Some(profile) = program.parent().and_then(Path::parent) {
            seed(&workspace(), profile, &target).expect("what other people's crates were built to");
        }
        (target, lock)
    });
    &TARGET.0
}

fn cargo(root: &Path, command: &str) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Nothing is built twice here, so what rustc would keep for the second time only needs room: 1 GB.
    cargo.env("CARGO_INCREMENTAL", "0");
    // Lints come from the manifest.
    cargo.current_dir(root).env("CARGO_TARGET_DIR", target()).env_remove("RUSTFLAGS");
    cargo.args([command, "--offline"]);
    cargo
}

/// What rustc, clippy or rustdoc say of `packages` in the workspace at `root`, warnings and errors.
fn diagnostics(mut cargo: Command, packages: &[&str], arguments: &[&str]) -> Vec<String> {
    cargo.arg("--message-format=json").args(arguments);
    cargo.args(packages.iter().flat_map(|package| ["-p", package]));
    let output = cargo.output().expect("cargo");
    let said = String::from_utf8_lossy(&output.stdout);
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found: Vec<_> = messages
        .filter(|message| message["reason"] == "compiler-message")
        .map(|message| message["message"]["rendered"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert!(
        output.status.success() || !found.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    found
}

/// A package of the fixtures: with its own workspace, and with this one's lints and dependencies.
fn fixture_package(name: &str, text: impl Fn(&str) -> String) -> PathBuf {
    let (workspace, root) = (workspace(), folder(name));
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("fixtures/src")).expect("a folder");
    let manifest = fs::read_to_string(workspace.join("Cargo.toml")).expect("the manifest");
    let shared = manifest.find("[workspace.package]").expect("what its packages share");
    let members = "[workspace]\nresolver = \"3\"\nmembers = [\"fixtures\"]\n\n";
    let manifest = format!("{members}{}", &manifest[shared..]);
    fs::write(root.join("Cargo.toml"), manifest).expect("the manifest");
    fs::copy(workspace.join("Cargo.lock"), root.join("Cargo.lock")).expect("the lock file");
    let package = "[package]\nname = \"fixtures\"\nedition.workspace = true\n\n[dependencies]\n\
                   futures.workspace = true\nserde.workspace = true\nthiserror.workspace = true\n\
                   tokio.workspace = true\n\n[lints]\nworkspace = true\n";
    fs::write(root.join("fixtures/Cargo.toml"), package).expect("a manifest");
    let mut lib = String::from("//! The fixtures.\n");
    let fixtures = workspace.join("grader/tests/fixtures/starter/reference");
    for entry in fs::read_dir(fixtures).expect("fixtures") {
        let path = entry.expect("a fixture").path();
        let module = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let source = fs::read_to_string(&path).expect("a fixture");
        lib += &format!("pub mod {module};\n");
        fs::write(root.join(format!("fixtures/src/{module}.rs")), text(&source)).expect("a module");
    }
    fs::write(root.join("fixtures/src/lib.rs"), lib).expect("a library");
    root
}

#[test]
fn fixtures_compile_without_warnings() {
    // The references too: a fixture that is wrong itself proves nothing.
    let references = fixture_package("references", str::to_owned);
    let said = diagnostics(cargo(&references, "check"), &["fixtures"], &["--all-targets"]);
    assert!(said.is_empty(), "references:\n{}", said.join("\n"));
    let blanks = fixture_package("fixtures", |source| blank(source).expect("a blank"));
    let said = diagnostics(cargo(&blanks, "check"), &["fixtures"], &["--all-targets"]);
    assert!(said.is_empty(), "blanks:\n{}", said.join("\n"));
}

#[test]
fn starters_of_all_levels_are_a_place_to_work_in() {
    let root = workspace();
    let scratch = Scratch::create(&root, &folder("levels")).expect("a copy");
    for level in chosen_levels() {
        let plan = plan(&root, level).unwrap_or_else(|error| panic!("{}: {error}", level.name));
        plan.write_onto(scratch.root()).expect("the starter");
        let src = scratch.root().join(level.name).join("src");
        assert_eq!(empty_folders(&src), Vec::<PathBuf>::new(), "empty folders");
    }
    // Everything that is built on a level, with its tests, examples and benchmarks. The checks are not for
    // learners; that they compile is proved in `starters`.
    let mut packages = above_the_levels(scratch.root());
    packages.retain(|package| !package.starts_with("check-"));
    let packages: Vec<_> = packages.iter().map(String::as_str).collect();
    let clippy = cargo(scratch.root(), "clippy");
    let said = diagnostics(clippy, &packages, &["--all-targets"]);
    assert!(said.is_empty(), "clippy:\n{}", said.join("\n"));

    let levels: Vec<_> = chosen_levels().map(|level| level.name).collect();
    let doc = cargo(scratch.root(), "doc");
    let said = diagnostics(doc, &levels, &["--no-deps", "--no-default-features"]);
    assert!(said.is_empty(), "rustdoc:\n{}", said.join("\n"));

    // The programs belong to levels 2 and 3.
    if ["level2", "level3"].iter().all(|program| levels.contains(program)) {
        programs_run(scratch.root());
    }
}

/// What a learner sees first, as the READMEs say, on a blank.
fn programs_run(root: &Path) {
    let ran = |arguments: &[&str]| {
        let output = cargo(root, "run").arg("-q").args(arguments).output().expect("cargo");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).expect("a text")
    };
    let demo = ran(&["-p", "level2"]);
    for (strategy, file) in [
        ("sequential", "sequential"),
        ("parallel", "parallel"),
        ("race", "race"),
        ("all-settled", "all_settled"),
    ] {
        let part = format!("{strategy}\n");
        let told = format!("not written yet: level2/src/{file}.rs:");
        assert!(demo.contains(&part) && demo.contains(&told), "{demo}");
    }
    for example in ["ride", "order", "post", "data_sync"] {
        let run = fs::read_to_string(root.join(format!("level3/examples/recorded/{example}.txt")));
        let shown = ran(&["-p", "level3", "--example", example]);
        assert!(shown.starts_with("not written yet: level3/src/"), "{shown}");
        assert!(shown.ends_with(&run.expect("a recorded run")), "{shown}");
    }
    for case in ["confirm=lose-reply", "save=lose-reply+refund=hang"] {
        let file = format!("{}.txt", case.replace(['=', '+'], "-"));
        let run = fs::read_to_string(root.join("level3/harness/examples/recorded").join(file));
        let shown = ran(&["-p", "level3-harness", "--example", "sweep", "--", "--case", case]);
        assert!(shown.starts_with("not written yet: level3/src/"), "{shown}");
        assert!(shown.ends_with(&run.expect("a recorded run")), "{shown}");
    }
}

/// The levels, and the packages of the workspace that depend on one.
fn above_the_levels(root: &Path) -> Vec<String> {
    let mut metadata = cargo(root, "metadata");
    let output = metadata.args(["--no-deps", "--format-version", "1"]).output().expect("cargo");
    let all: Value = serde_json::from_slice(&output.stdout).expect("metadata");
    let uses = |package: &Value| -> Vec<String> {
        let dependencies = package["dependencies"].as_array().expect("a list");
        let names = dependencies.iter().map(|it| it["name"].as_str().expect("a name").to_owned());
        names.collect()
    };
    let mut found: Vec<String> = chosen_levels().map(|level| level.name.to_owned()).collect();
    loop {
        let more = all["packages"].as_array().expect("a list").iter().find(|package| {
            let name = package["name"].as_str().expect("a name");
            !found.iter().any(|it| it == name) && uses(package).iter().any(|it| found.contains(it))
        });
        match more {
            Some(package) => found.push(package["name"].as_str().expect("a name").to_owned()),
            None => return found,
        }
    }
}

fn empty_folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let entries: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    if entries.is_empty() {
        return vec![folder.to_owned()];
    }
    entries.iter().filter(|path| path.is_dir()).flat_map(|path| empty_folders(path)).collect()
}
