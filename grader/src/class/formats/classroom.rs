//! The result that GitHub Classroom's autograding reporter reads, before it is encoded in base64.
use serde::Serialize;

use crate::catalog::Kind;
use crate::class::marks::{is_won, marks};
use crate::class::result::{ForkResult, LevelState};
use crate::class::settings::Settings;
use crate::report::Status;

#[derive(Serialize)]
struct Results {
    version: u32,
    status: &'static str,
    max_score: f64,
    tests: Vec<Test>,
}

#[derive(Serialize)]
struct Test {
    name: String,
    status: &'static str,
    score: f64,
    message: String,
    test_code: String,
    filename: String,
    line_no: u32,
    duration: f64,
}

/// The result of a fork: its core criteria, and the bonus criteria where bonus counts.
///
/// # Errors
///
/// Only if serializing fails, which plain data does not.
pub(super) fn render(result: &ForkResult, settings: &Settings) -> serde_json::Result<String> {
    let mut tests = Vec::new();
    for level in &result.levels {
        for criterion in level.criteria.iter().filter(|criterion| settings.counts(&criterion.id)) {
            let each = match criterion.kind {
                Kind::Core => settings.weight(&level.name),
                Kind::Bonus => settings.weight(&level.name) * settings.bonus,
            };
            if each == 0.0 {
                continue;
            }
            let won = is_won(level, &criterion.id, criterion.status, settings);
            let status = match (criterion.status, level.state) {
                (Status::Passed, _) => "pass",
                (_, LevelState::Judged) => "fail",
                _ => "error",
            };
            tests.push(Test {
                name: criterion.id.clone(),
                status,
                score: if won { f64::from(criterion.points) * each } else { 0.0 },
                message: criterion.message.clone(),
                test_code: format!("cargo grade {}", criterion.id),
                filename: criterion.file.clone(),
                line_no: 0,
                duration: criterion.real_us as f64 / 1e3,
            });
        }
    }
    let status = if tests.iter().all(|test| test.status == "pass") {
        "pass"
    } else if tests.iter().all(|test| test.status == "error") {
        "error"
    } else {
        "fail"
    };
    let max_score = marks(result, settings).of;
    serde_json::to_string_pretty(&Results { version: 1, status, max_score, tests })
        .map(|text| text + "\n")
}
