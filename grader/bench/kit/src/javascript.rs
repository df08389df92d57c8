//! JavaScript, measured beside the course's Rust: the assignment's, and scripts of the course.
//!
//! The assignment's text is not part of the course. `ASSIGNMENT` names it (Markdown); its code is unpacked into a
//! temporary folder, run by Node with `grader/bench/javascript/level3.js`, and removed.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::process;
use crate::report::{self, Table};
use crate::stats::Bounded;

/// Five runs of some seconds each, on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// Names the assignment's text.
const VARIABLE: &str = "ASSIGNMENT";

/// The JSON that the script prints.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Figures {
    /// Node's version: `v20.20.2`.
    pub version: String,
    /// How often everything was measured.
    pub runs: usize,
    /// For each name the figures of all runs: nanoseconds of CPU time, or bytes.
    pub figures: BTreeMap<String, Vec<f64>>,
}

/// Measures level 3 of the lesson.
///
/// # Errors
///
/// Why it cannot be: no text, no Node, or what either says.
pub fn level3(root: &Path) -> Result<Figures, String> {
    let lesson = env::var_os(VARIABLE)
        .ok_or_else(|| format!("the variable {VARIABLE} does not name the assignment's text"))?;
    let script = root.join("grader/bench/javascript/level3.js");
    let mut command = Command::new("node");
    command.arg("--expose-gc").arg(script).arg(lesson);
    run(&mut command)
}

/// Measures with a script of the course that prints [`Figures`], in so many runs. The packages that it needs are
/// installed in `packages`.
///
/// # Errors
///
/// Why it cannot: no Node, or the last line of what either says.
pub fn script(path: &Path, runs: usize, packages: &Path) -> Result<Figures, String> {
    run(Command::new("node").arg(path).arg(runs.to_string()).arg(packages))
}

fn run(command: &mut Command) -> Result<Figures, String> {
    let output = process::run(command, LIMIT).map_err(|error| format!("Node {error}"))?;
    if !output.status.success() {
        let last = output.err.lines().rfind(|line| !line.trim().is_empty());
        return Err(format!("Node ended with {}: {}", output.status, last.unwrap_or_default()));
    }
    serde_json::from_str(&output.out).map_err(|error| format!("Node's figures: {error}"))
}

impl Figures {
    /// The median of the runs, with the least and the largest of them as its bounds. `None`: the script has not
    /// measured that.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Bounded> {
        let mut sorted = self.figures.get(name)?.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        Some(Bounded { median: sorted[sorted.len() / 2], low, high })
    }

    /// A table of what both have: `own` gives this course's figure of a name, none where it has none.
    #[must_use]
    pub fn table(&self, own: impl Fn(&str) -> Option<f64>) -> String {
        let head = [
            "what",
            "JavaScript",
            "least to largest",
            "this course",
            "JavaScript over this course",
        ];
        let mut table = Table::new(&head);
        for name in self.figures.keys() {
            let (Some(own), Some(found)) = (own(name), self.get(name)) else { continue };
            let show = |value: f64| match name.starts_with("memory") {
                true => format!("{value:.0} bytes"),
                false => report::nanos(value),
            };
            table.row(&[
                name.clone(),
                show(found.median),
                format!("{} to {}", show(found.low), show(found.high)),
                show(own),
                times(found.median / own),
            ]);
        }
        table.text().to_owned()
    }
}

/// `0.5`, `59`: a digit behind the point where it says something.
#[must_use]
pub fn times(ratio: f64) -> String {
    format!("{ratio:.digits$}", digits = usize::from(ratio < 9.95))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_what_both_have() {
        let json = r#"{"version":"v20","runs":3,"figures":{
            "payment":[99000,96000,106000],"other":[1,2,3],"memory in flight":[8000,8100,7900]}}"#;
        let figures: Figures = serde_json::from_str(json).expect("that is what the script prints");
        let table = figures.table(|name| (name != "other").then_some(1000.0));
        assert!(table.contains("| payment | 99 us | 96 us to 106 us | 1.0 us | 99 |"), "{table}");
        assert!(table.contains("| memory in flight | 8000 bytes |"));
        assert!(times(0.51) == "0.5" && times(59.2) == "59");
        assert!(!table.contains("other"));
        let found = figures.get("payment").map(|it| (it.low, it.median, it.high));
        assert_eq!((found, figures.get("nothing")), (Some((96e3, 99e3, 106e3)), None));
    }
}
