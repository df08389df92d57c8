//! Gradescope's `results.json`.
use serde::Serialize;

use crate::catalog::Kind;
use crate::class::marks::{is_won, marks, remarks};
use crate::class::result::ForkResult;
use crate::class::settings::Settings;
use crate::report::Status;

#[derive(Serialize)]
struct Results {
    score: f64,
    execution_time: f64,
    output: String,
    output_format: &'static str,
    visibility: &'static str,
    stdout_visibility: &'static str,
    tests: Vec<Test>,
}

#[derive(Serialize)]
struct Test {
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_score: Option<f64>,
    status: &'static str,
    name: String,
    number: String,
    output: String,
    output_format: &'static str,
    tags: Vec<&'static str>,
    visibility: &'static str,
}

/// The results of a fork. The score is the total; a criterion that counts nothing has none of its own.
///
/// # Errors
///
/// Only if serializing fails, which plain data does not.
pub(super) fn render(result: &ForkResult, settings: &Settings) -> serde_json::Result<String> {
    let marks = marks(result, settings);
    let mut tests = Vec::new();
    for level in &result.levels {
        for criterion in &level.criteria {
            let (tag, each) = match criterion.kind {
                Kind::Core => ("core", settings.weight(&level.name)),
                Kind::Bonus => ("bonus", settings.weight(&level.name) * settings.bonus),
            };
            let of = f64::from(criterion.points) * each;
            let counts = settings.counts(&criterion.id) && of > 0.0;
            let won = is_won(level, &criterion.id, criterion.status, settings);
            tests.push(Test {
                score: counts.then_some(if won { of } else { 0.0 }),
                max_score: counts.then_some(of),
                status: if criterion.status == Status::Passed { "passed" } else { "failed" },
                name: criterion.title.clone(),
                number: criterion.id.clone(),
                output: criterion.message.clone(),
                output_format: "text",
                tags: vec![tag],
                visibility: "visible",
            });
        }
    }
    let words = result.levels.iter().filter_map(|level| level.words.clone());
    let output: Vec<String> = remarks(result, &marks).into_iter().chain(words).collect();
    let micros: u64 = result.criteria().map(|criterion| criterion.real_us).sum();
    let text = serde_json::to_string_pretty(&Results {
        score: (marks.total * 100.0).round() / 100.0,
        execution_time: micros as f64 / 1e6,
        output: output.join("\n"),
        output_format: "text",
        visibility: "visible",
        stdout_visibility: "hidden",
        tests,
    })?;
    Ok(text + "\n")
}
