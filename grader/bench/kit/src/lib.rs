//! What the benchmarks of the levels share.
//!
//! Two clocks, never mixed. What happens *in time* (when a strategy returns, how long a payment takes) is
//! measured on tokio's paused clock: exact, the same on every machine ([`paused`]). What a call *costs* is
//! measured in CPU time of the thread, in turns with a peer, and told as a ratio with bounds
//! ([`contest`]): on a machine that others use too, a nanosecond means little and a ratio something.
//!
//! This crate knows nothing of criterion, so that `cargo test` need not build it; `bench-criterion` does.

pub mod args;
pub mod contest;
pub mod cpu;
pub mod fit;
pub mod grading;
pub mod instructions;
pub mod javascript;
pub mod memory;
pub mod paused;
pub mod process;
pub mod report;
pub mod stats;
pub mod work;

use std::path::{Path, PathBuf};
use std::{env, io};

/// Cargo's target folder, in which this program lies: `target` of `target/release/deps/level2-1234`.
///
/// # Errors
///
/// When the system does not tell where the program is, or it lies nowhere in a target folder.
pub fn target_folder() -> io::Result<PathBuf> {
    let own = env::current_exe()?;
    let folder = own.ancestors().nth(3).map(Path::to_path_buf);
    folder.ok_or_else(|| io::Error::other("this program lies in no target folder"))
}
