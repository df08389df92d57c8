//! A learner's solution of a level over a pristine copy of the workspace.
//!
//! A submission is only the learner's own `.rs` files below `levelN/src`. Manifests, build scripts,
//! the course's own files and the grader always come from the pristine copy, whatever a fork did to
//! them. Every file is written again, with a fresh modification time: cargo trusts those times, and a
//! copied time would judge one submission by the binary of another.

pub(crate) mod files;
mod scratch;
mod seed;

pub use files::{Files, Finding, ReadError};
pub use scratch::{Scratch, ScratchError};
pub use seed::seed;
