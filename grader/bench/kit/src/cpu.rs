//! The CPU time of the calling thread, or of the process.
//!
//! Not the wall clock: a benchmark that has to share its core is not slower, it only waits. What others
//! do to the caches and to the clock rate remains, hence the ratios of [`contest`](crate::contest).

use std::time::Duration;

/// The CPU time that the calling thread has used so far.
///
/// Costs some 300 ns to read (a system call), so it is read around batches.
#[cfg(unix)]
#[must_use]
pub fn thread_time() -> Duration {
    read(rustix::time::ClockId::ThreadCPUTime)
}

/// The CPU time that all threads of this process have used so far: for what has threads of its own.
#[cfg(unix)]
#[must_use]
pub fn process_time() -> Duration {
    read(rustix::time::ClockId::ProcessCPUTime)
}

#[cfg(unix)]
fn read(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    // CPU time is never negative.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Where processes have no clock of their own: the time since the first call.
#[cfg(not(unix))]
#[must_use]
pub fn process_time() -> Duration {
    thread_time()
}

/// Where threads have no clock of their own: the time since the first call.
#[cfg(not(unix))]
#[must_use]
pub fn thread_time() -> Duration {
    static BEGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    BEGIN.get_or_init(std::time::Instant::now).elapsed()
}

/// The CPU time of `work` on this thread.
pub fn time(work: impl FnOnce()) -> Duration {
    let before = thread_time();
    work();
    thread_time().saturating_sub(before)
}
