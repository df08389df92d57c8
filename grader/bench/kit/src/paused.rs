//! Time that takes no time.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// A runtime on whose clock nothing takes real time: when every task waits, it jumps to the next timer.
///
/// # Errors
///
/// What the system says when it has no room for a runtime.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_time().start_paused(true).build()
}

/// A runtime of one thread whose clock runs, for what costs CPU time.
///
/// # Errors
///
/// What the system says when it has no room for a runtime.
pub fn running() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_time().build()
}
