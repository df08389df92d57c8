//! Exercism's `results.json`, version 3.
use serde::Serialize;

use crate::class::result::{CriterionResult, ForkResult};
use crate::report::Status;

/// What the interface allows, in characters.
const LONGEST_MESSAGE: usize = 65_535;

#[derive(Serialize)]
struct Results {
    version: u32,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    tests: Vec<Test>,
}

#[derive(Serialize)]
struct Test {
    name: String,
    test_code: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    task_id: usize,
}

/// The results of a fork. A task is an exercise, numbered in the order of the course. `error` means that no
/// criterion could be tried.
///
/// # Errors
///
/// Only if serializing fails, which plain data does not.
pub(super) fn render(result: &ForkResult) -> serde_json::Result<String> {
    let tried = |criterion: &&CriterionResult| {
        matches!(criterion.status, Status::Passed | Status::Failed | Status::NotStarted)
    };
    let any = result.reason.is_none() && result.criteria().any(|criterion| tried(&criterion));
    let mut tests = Vec::new();
    let (mut task_id, mut exercise) = (0, "");
    for criterion in result.criteria().filter(|_| any) {
        let of = criterion.id.rsplit_once('/').map_or("", |(exercise, _)| exercise);
        if of != exercise {
            (task_id, exercise) = (task_id + 1, of);
        }
        let status = match criterion.status {
            Status::Passed => "pass",
            Status::Failed | Status::NotStarted => "fail",
            Status::DoesNotCompile | Status::NotJudged => "error",
        };
        let said = if criterion.message.is_empty() {
            criterion.headline.as_ref()
        } else {
            Some(&criterion.message)
        };
        tests.push(Test {
            name: criterion.title.clone(),
            test_code: format!("cargo grade {}", criterion.id),
            status,
            message: said.filter(|_| status != "pass").map(|text| cut(text)),
            task_id,
        });
    }
    let words = result.reason.clone().into_iter();
    let words: Vec<String> =
        words.chain(result.levels.iter().filter_map(|level| level.words.clone())).collect();
    let status = match any {
        false => "error",
        true if tests.iter().all(|test| test.status == "pass") => "pass",
        true => "fail",
    };
    let message = (!any).then(|| cut(&words.join("\n")));
    serde_json::to_string_pretty(&Results { version: 3, status, message, tests })
        .map(|text| text + "\n")
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_MESSAGE).collect()
}
