//! What a check binary is built from: known before the build, and said by the binary after it.
//!
//! See [`grader_fingerprint`]. A build from other files than those that lie there is never judged: the
//! variables make cargo compile again what has changed, and the binary is asked what it was built from.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use grader_fingerprint::{GRADER, of, variable};

use crate::catalog::{self, Level};

/// Fingerprints by their variables.
pub(super) type Sources = BTreeMap<String, String>;

/// Whether this grader was built from the files in the workspace at `root`.
pub(super) fn grader_is_current(root: &Path) -> bool {
    of(root, GRADER).to_string() == env!("GRADER_BUILT_FROM")
}

/// The packages that the check binary of `level` is built from, in the workspace at `root`: those of the levels below
/// too that its exercises use.
pub(super) fn of_level(root: &Path, level: &str) -> Sources {
    let mut sources = Sources::new();
    let mut add = |folder: &str, parts: &[&str]| {
        sources.insert(variable(folder), of(root, parts).to_string());
    };
    add("grader/kit", &["grader/kit"]);
    add("grader/protocol", &["grader/protocol"]);
    let checks = format!("grader/checks/{level}");
    add(&checks, &[&checks, "grader/criteria"]);
    let below = catalog::level(level).map(Level::below).unwrap_or_default();
    for level in below.into_iter().chain([level]) {
        add(level, &[&format!("{level}/Cargo.toml"), &format!("{level}/src")]);
        // What the course provides for the level: its domain, its simulator.
        for entry in fs::read_dir(root.join(level)).into_iter().flatten().flatten() {
            let is_package = entry.path().join("Cargo.toml").is_file()
                && entry.path().join("src/lib.rs").is_file();
            if is_package && let Ok(name) = entry.file_name().into_string() {
                let folder = format!("{level}/{name}");
                add(&folder, &[&format!("{folder}/Cargo.toml"), &format!("{folder}/src")]);
            }
        }
    }
    sources
}

/// What `binary` says that it was built from, where that is not what lies there: the variables, or what
/// else stands in the way. `None` if all is as it should be.
pub(super) fn differing(binary: &Path, level: &str, sources: &Sources) -> Option<String> {
    let said = match Command::new(binary).arg("--built-from").stdin(Stdio::null()).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(why) => return Some(format!("it cannot be started: {why}")),
    };
    let said: BTreeMap<&str, &str> = said.lines().filter_map(|line| line.split_once(' ')).collect();
    let checks = format!("grader/checks/{level}");
    let differing: Vec<&str> = ["grader/kit", checks.as_str(), level]
        .into_iter()
        .filter(|folder| {
            let variable = variable(folder);
            said.get(variable.as_str()).copied() != sources.get(&variable).map(String::as_str)
        })
        .collect();
    (!differing.is_empty()).then(|| differing.join(", "))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn this_grader_is_current_in_its_own_workspace_and_in_no_other() {
        let root = crate::workspace::of_this_run().expect("the workspace");
        assert!(grader_is_current(&root));
        let empty = tempfile::tempdir().expect("a folder");
        assert!(!grader_is_current(empty.path()));
    }

    #[test]
    fn a_level_has_a_fingerprint_of_each_package_that_it_is_built_from() {
        let root = crate::workspace::of_this_run().expect("the workspace");
        let sources = of_level(&root, "level3");
        for folder in
            ["level3", "level3/domain", "level3/sim", "grader/kit", "grader/checks/level3"]
        {
            assert!(sources.contains_key(&variable(folder)), "{folder}: {sources:?}");
        }
    }

    /// Without them level 3 would be compiled once more whenever level 4 is graded after it.
    #[test]
    fn a_level_has_the_fingerprints_of_the_levels_below_that_it_uses() {
        let root = crate::workspace::of_this_run().expect("the workspace");
        let (own, below) = (of_level(&root, "level4"), of_level(&root, "level3"));
        for folder in ["level3", "level3/domain"] {
            assert_eq!(own.get(&variable(folder)), below.get(&variable(folder)), "{folder}");
        }
    }

    /// What is said of a binary that claims to be built from these.
    fn said_of(claims: &[(&str, &str)]) -> Option<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let binary = folder.path().join("check");
        let lines: String = claims
            .iter()
            .map(|(folder, fingerprint)| format!("echo {} {fingerprint}\n", variable(folder)))
            .collect();
        fs::write(&binary, format!("#!/bin/sh\n{lines}")).expect("a script");
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).expect("permissions");
        let current = [("grader/kit", "1"), ("grader/checks/level9", "2"), ("level9", "3")];
        let sources = current.map(|(folder, value)| (variable(folder), value.to_owned()));
        differing(&binary, "level9", &sources.into())
    }

    #[test]
    fn a_binary_of_other_sources_is_noticed() {
        let all = [("grader/kit", "1"), ("grader/checks/level9", "2"), ("level9", "3")];
        assert_eq!(said_of(&all), None);
        let old = [("grader/kit", "1"), ("grader/checks/level9", "2"), ("level9", "7")];
        assert_eq!(said_of(&old).as_deref(), Some("level9"));
        assert_eq!(said_of(&all[..2]).as_deref(), Some("level9"));
        let nothing = differing(Path::new("/no/such/binary"), "level9", &Sources::new());
        assert!(nothing.is_some_and(|why| why.contains("cannot be started")));
    }
}
