//! Proves the grader.
//!
//! `grader/planted/levelN/wrong` holds wrong solutions, each naming the criteria it must fail;
//! `right` holds differently written right ones. [`planted`] reads them, [`prove`] grades one and
//! compares. The tests of this package run them all, and the starters of every level.

pub mod batch;
pub mod changed;
pub mod influence;
pub mod lessons;
pub mod mutants;
pub mod planted;
pub mod program;
pub mod prose;
pub mod prove;
pub mod rename;
pub mod run;
pub mod scenes;
pub mod schemata;
pub mod steps;
pub mod tables;

use grader::catalog::{LEVELS, Level};

/// The levels whose blanks the tests `starters` and `blanks` prove: all, or those that `PROOFS_LEVELS` names
/// (`PROOFS_LEVELS=level1,level4`), while one works on them.
pub fn chosen_levels() -> impl Iterator<Item = &'static Level> {
    let chosen = std::env::var("PROOFS_LEVELS").ok();
    let is_chosen = move |level: &&'static Level| {
        chosen.as_ref().is_none_or(|names| names.split(',').any(|name| name == level.name))
    };
    LEVELS.iter().copied().filter(is_chosen)
}
