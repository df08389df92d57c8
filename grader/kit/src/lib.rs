//! The child side of the grader.
//!
//! A check binary (`grader/checks/levelN`) links one level, its fakes and its criteria, and hands
//! the table of criteria to [`main`]. Each run of the binary judges **one** criterion:
//!
//! 1. the order is read and the verdict channel taken over from descriptor 0, limits on memory, CPU
//!    time and files are set, the level's sources are read;
//! 2. the thread goes to jail: from there on it can compute, wait and talk on open descriptors;
//! 3. the criterion runs on a paused tokio clock; every call of the learner's code goes through
//!    [`Cx::call`], which measures virtual time and finds out why a call gives no answer;
//! 4. one message with the verdict goes to the grader, and the process ends.
//!
//! # By hand
//!
//! `check-level2 --self level2/race/returns-at-the-third`, started in the workspace's root, judges a
//! criterion without the grader and prints what it found and its seed: for a debugger, or while writing
//! a criterion. `--no-jail` before the id leaves the jail open, `--seed N` repeats a run. Exit code 0 is
//! a pass, 1 a failure.

mod call;
mod channel;
mod child;
mod clock;
mod context;
mod criterion;
mod draw;
mod ensure;
mod helpers;
mod jail;
mod limits;
pub mod marbles;
mod memory;
mod meter;
mod moved;
mod panics;
mod sources;
mod threads;
mod timeline;

pub use call::{Call, VIRTUAL_LIMIT};
pub use child::main;

pub use context::Cx;
pub use criterion::{Body, Criterion, Outcome};
pub use draw::Draw;
pub use grader_protocol::{Diagnosis, Fail, Figure, Jail, PanicSite, figure};
pub use helpers::{
    difference, dropped_at, ensure_still, failed, in_background, list, lock, ms, short,
};
pub use memory::scarce;
pub use moved::moved;
pub use panics::observed as observed_panics;
pub use sources::Source;
pub use threads::{MOST_THREADS, cpu_time};
pub use timeline::Timeline;
