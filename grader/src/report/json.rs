//! The report for machines. Its schema is documented in `grader/README.md`.
use serde::Serialize;

use super::Report;

/// Raised when a field changes its meaning or goes away; a new field does not raise it.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    grader: &'static str,
    full_core_marks: bool,
    #[serde(flatten)]
    report: &'a Report,
}

/// The report as JSON.
///
/// # Errors
///
/// Only if serializing fails, which plain data does not.
pub fn render(report: &Report) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&Document {
        schema_version: SCHEMA_VERSION,
        grader: env!("CARGO_PKG_VERSION"),
        full_core_marks: report.has_full_core_marks(),
        report,
    })
}
