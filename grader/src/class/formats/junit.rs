//! JUnit XML, as Jenkins and GitLab read it: a suite for each exercise.
use std::fmt::Write as _;

use super::text::xml;
use crate::class::result::{CriterionResult, ForkResult};
use crate::class::settings::Settings;
use crate::report::Status;

/// The document of a fork. A criterion that does not count is skipped; one whose level does not compile, or
/// that was not judged, is an error.
pub(super) fn render(result: &ForkResult, settings: &Settings) -> String {
    let mut suites: Vec<(&str, Vec<&CriterionResult>)> = Vec::new();
    for criterion in result.criteria() {
        let name = criterion.id.rsplit_once('/').map_or("", |(exercise, _)| exercise);
        match suites.last_mut() {
            Some((last, criteria)) if *last == name => criteria.push(criterion),
            _ => suites.push((name, vec![criterion])),
        }
    }
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all: Vec<&CriterionResult> = result.criteria().collect();
    open(&mut out, "testsuites", &result.name, &all, settings);
    for (name, criteria) in &suites {
        open(&mut out, "testsuite", name, criteria, settings);
        for criterion in criteria {
            case(&mut out, name, criterion, settings);
        }
        out.push_str("</testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// How a criterion is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Passed,
    Failure,
    Error,
    Skipped,
}

fn shown(criterion: &CriterionResult, settings: &Settings) -> Shown {
    match criterion.status {
        _ if !settings.counts(&criterion.id) => Shown::Skipped,
        Status::Passed => Shown::Passed,
        Status::Failed | Status::NotStarted => Shown::Failure,
        Status::DoesNotCompile | Status::NotJudged => Shown::Error,
    }
}

fn open(
    out: &mut String,
    element: &str,
    name: &str,
    criteria: &[&CriterionResult],
    settings: &Settings,
) {
    let count =
        |wanted| criteria.iter().filter(|criterion| shown(criterion, settings) == wanted).count();
    let seconds: f64 = criteria.iter().map(|criterion| criterion.real_us as f64 / 1e6).sum();
    // Writing into a string does not fail.
    let _ = writeln!(
        out,
        "<{element} name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{seconds:.3}\">",
        xml(name),
        criteria.len(),
        count(Shown::Failure),
        count(Shown::Error),
        count(Shown::Skipped),
    );
}

fn case(out: &mut String, suite: &str, criterion: &CriterionResult, settings: &Settings) {
    let name = criterion.id.rsplit('/').next().unwrap_or_default();
    let _ = write!(
        out,
        "<testcase name=\"{}\" classname=\"{}\" file=\"{}\" time=\"{:.3}\"",
        xml(name),
        xml(suite),
        xml(&criterion.file),
        criterion.real_us as f64 / 1e6
    );
    let headline = xml(criterion.headline.as_deref().unwrap_or("not met"));
    let message = xml(&criterion.message);
    let _ = match shown(criterion, settings) {
        Shown::Passed => writeln!(out, "/>"),
        Shown::Skipped => writeln!(out, "><skipped/></testcase>"),
        Shown::Failure => {
            writeln!(out, "><failure message=\"{headline}\">{message}</failure></testcase>")
        }
        Shown::Error => {
            writeln!(out, "><error message=\"{headline}\">{message}</error></testcase>")
        }
    };
}
