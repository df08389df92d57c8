//! Proves that starters compile without a warning: the fixtures of the generator and the starter of
//! every level. `cargo test -p grader-proofs --test blanks`.
//!
//! That a starter scores nothing is proved beside this, in `starters`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use grader::catalog::LEVELS;
use grader::starter::{blank, plan};
use grader::submission::Scratch;
use serde_json::Value;

fn workspace() -> PathBuf {
    grader::workspace::of_this_run().expect("the workspace")
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("blanks").join(name)
}

/// What rustc says of `packages` in the workspace at `root`, warnings and errors.
fn diagnostics(root: &Path, packages: &[&str], arguments: &[&str]) -> Vec<String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg("check").args(["--offline", "--message-format=json"]).args(arguments);
    cargo.args(packages.iter().flat_map(|package| ["-p", package]));
    // One target folder for all: the dependencies are checked once. Lints come from the manifest.
    cargo.current_dir(root).env("CARGO_TARGET_DIR", folder("target")).env_remove("RUSTFLAGS");
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
    let said = diagnostics(&references, &["fixtures"], &["--lib"]);
    assert!(said.is_empty(), "references:\n{}", said.join("\n"));
    let blanks = fixture_package("fixtures", |source| blank(source).expect("a blank"));
    let said = diagnostics(&blanks, &["fixtures"], &["--lib"]);
    assert!(said.is_empty(), "blanks:\n{}", said.join("\n"));
}

#[test]
fn starters_of_all_levels_compile_without_warnings() {
    let root = workspace();
    let scratch = Scratch::create(&root, &folder("levels")).expect("a copy");
    let mut packages = Vec::new();
    for level in LEVELS {
        let plan = plan(&root, level).unwrap_or_else(|error| panic!("{}: {error}", level.name));
        plan.write_onto(scratch.root()).expect("the starter");
        packages.extend([level.name.to_owned(), format!("check-{}", level.name)]);
    }
    let packages: Vec<_> = packages.iter().map(String::as_str).collect();
    let said = diagnostics(scratch.root(), &packages, &["--lib", "--bins"]);
    assert!(said.is_empty(), "{}", said.join("\n"));
}
