//! What marks rest on besides the learner's files. Marks are comparable if this is the same.
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use grader_fingerprint::of;
use serde::{Deserialize, Serialize};

use crate::catalog::LEVELS;
use crate::seed::Seed;
use crate::supervise::Limits;

/// Everything besides the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// The version of the course.
    pub version: String,
    /// A hash of the grader, the criteria and the checks.
    pub judge: String,
    /// A hash of what the course provides for the levels.
    pub course: String,
    /// A hash of `Cargo.lock`.
    pub lock: String,
    /// What `rustc --version` says, and the platform.
    pub toolchain: String,
    /// From which the checks draw their values.
    pub seed: Seed,
    /// The limits of one criterion, unless it states a larger one.
    pub limits: CriterionLimits,
    /// Real seconds that the build and the judging of one fork may take.
    pub seconds: u64,
    /// `bubblewrap`, or `none`.
    pub sandbox: Sandbox,
}

/// Limits of one criterion, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CriterionLimits {
    /// CPU time.
    pub cpu_ms: u64,
    /// Asleep without progress.
    pub asleep_ms: u64,
    /// Real time.
    pub real_ms: u64,
}

/// What stands between a fork and the machine, besides the jail of each check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// No network, nothing to write but the target folder, no other processes.
    Bubblewrap,
    /// Nothing.
    None,
}

impl Conditions {
    /// The conditions of a run with the workspace at `root`.
    #[must_use]
    pub fn of_run(root: &Path, seed: Seed, seconds: u64, sandbox: Sandbox) -> Conditions {
        let mut course = vec!["Cargo.toml".to_owned(), "clippy.toml".to_owned()];
        course.extend(LEVELS.iter().map(|level| level.name.to_owned()));
        let course: Vec<&str> = course.iter().map(String::as_str).collect();
        let judge = [
            "grader/src",
            "grader/protocol",
            "grader/criteria",
            "grader/fingerprint",
            "grader/kit",
            "grader/checks",
        ];
        let limits = Limits::default();
        Conditions {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            judge: of(root, &judge).to_string(),
            course: of(root, &course).to_string(),
            lock: of(root, &["Cargo.lock"]).to_string(),
            toolchain: toolchain(),
            seed,
            limits: CriterionLimits {
                cpu_ms: millis(limits.cpu),
                asleep_ms: millis(limits.asleep),
                real_ms: millis(limits.real),
            },
            seconds,
            sandbox,
        }
    }

    /// What is otherwise in `other`, a line each: what it is, here and there.
    #[must_use]
    pub fn differences(&self, other: &Conditions) -> Vec<String> {
        let fields = |all: &Conditions| match serde_json::to_value(all) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let (one, two) = (fields(self), fields(other));
        let differs = one.iter().filter(|(name, value)| two.get(*name) != Some(value));
        differs
            .map(|(name, value)| {
                let there = two.get(name).unwrap_or(&serde_json::Value::Null);
                format!("{name}: {value} and now {there}")
            })
            .collect()
    }
}

/// The compiler that cargo uses; empty where it does not say.
fn toolchain() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(rustc).arg("-vV").stdin(Stdio::null()).output();
    let said = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let host = said.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    format!("{} {host}", said.lines().next().unwrap_or_default()).trim().to_owned()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named_with_both_values() {
        let root = crate::workspace::of_this_run().expect("the workspace");
        let seed: Seed = "7".parse().expect("a seed");
        let one = Conditions::of_run(&root, seed, 600, Sandbox::None);
        assert!(one.toolchain.starts_with("rustc 1."), "{}", one.toolchain);
        assert_eq!(one.differences(&one), Vec::<String>::new());
        let two = Conditions { seed: "8".parse().expect("a seed"), ..one.clone() };
        assert_eq!(one.differences(&two), ["seed: 7 and now 8"]);
    }
}
