//! Proves the grader.
//!
//! `grader/planted/levelN/wrong` holds wrong solutions, each naming the criteria it must fail;
//! `right` holds differently written right ones. [`planted`] reads them, [`prove`] grades one and
//! compares. The tests of this package run them all, and the starters of every level.

pub mod batch;
pub mod changed;
pub mod influence;
pub mod mutants;
pub mod planted;
pub mod program;
pub mod prose;
pub mod prove;
pub mod run;
pub mod schemata;
pub mod tables;
