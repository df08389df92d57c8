//! The CPU time of a thread.

use std::time::Duration;

/// The CPU time of this thread. Where the system does not tell it, the real time, which others on the
/// machine lengthen.
pub fn cpu_time() -> Duration {
    // The first figure is the time on a CPU in nanoseconds (Linux, proc_pid_schedstat(5)).
    let nanos = std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_ascii_whitespace().next()?.parse().ok());
    nanos.map_or_else(real_time, Duration::from_nanos)
}

fn real_time() -> Duration {
    use std::sync::OnceLock;
    static BEGIN: OnceLock<tokio::time::Instant> = OnceLock::new();
    BEGIN.get_or_init(tokio::time::Instant::now).elapsed()
}
