//! The forms of output. Each is made from a [`ForkResult`] and the teacher's [`Settings`], a module each.

mod classroom;
mod exercism;
pub mod gradebook;
mod gradescope;
mod html;
mod junit;
pub(super) mod markdown;
#[cfg(test)]
pub(super) mod tests;
mod text;

pub use gradebook::Row;
pub(super) use text::{block, cell};

use thiserror::Error;

use super::result::ForkResult;
use super::settings::Settings;

/// A form of output that cannot be made.
#[derive(Debug, Error)]
pub enum FormError {
    /// A JSON document.
    #[error("a JSON document cannot be made: {0}")]
    Json(#[from] serde_json::Error),
    /// A page.
    #[error("a page cannot be made: {0}")]
    Page(#[from] minijinja::Error),
}

/// The files of a fork besides its result, by their names.
///
/// # Errors
///
/// Only if a form is wrong: what a fork holds does not make it fail.
pub fn of_fork(
    result: &ForkResult,
    settings: &Settings,
) -> Result<Vec<(&'static str, String)>, FormError> {
    Ok(vec![
        ("summary.md", markdown::render(result, settings)),
        ("index.html", html::render(result, settings)?),
        ("gradescope.json", gradescope::render(result, settings)?),
        ("classroom.json", classroom::render(result, settings)?),
        ("exercism.json", exercism::render(result)?),
        ("junit.xml", junit::render(result, settings)),
    ])
}
