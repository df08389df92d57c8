//! The forms of output. Each is made from a [`ForkResult`] and the teacher's [`Settings`], a module each.

mod classroom;
mod exercism;
pub mod gradebook;
mod gradescope;
mod junit;
pub(super) mod markdown;
#[cfg(test)]
pub(super) mod tests;
mod text;

pub use gradebook::Row;
pub(super) use text::{block, cell};

use super::result::ForkResult;
use super::settings::Settings;

/// The files of a fork besides its result, by their names.
///
/// # Errors
///
/// Only if serializing fails, which plain data does not.
pub fn of_fork(
    result: &ForkResult,
    settings: &Settings,
) -> serde_json::Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("summary.md", markdown::render(result, settings)),
        ("gradescope.json", gradescope::render(result, settings)?),
        ("classroom.json", classroom::render(result, settings)?),
        ("exercism.json", exercism::render(result)?),
        ("junit.xml", junit::render(result, settings)),
    ])
}
