//! What a check process has used so far, seen from outside.
use std::process::Child;
use std::time::Duration;

/// What a process has used.
pub(super) struct Usage {
    /// CPU time of all its threads.
    pub(super) cpu: Duration,
    /// Whether any of its threads could run now, or waits for a disk.
    pub(super) runnable: bool,
}

/// Linux tells in `/proc`.
#[cfg(target_os = "linux")]
pub(super) fn of(child: &Child) -> Option<Usage> {
    let process = std::path::PathBuf::from(format!("/proc/{}", child.id()));
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    let fields = after_name(&stat);
    // utime and stime: fields 14 and 15 of proc(5), of which the first after the name is the third.
    let ticks: u64 = fields.get(11..13)?.iter().filter_map(|t| t.parse::<u64>().ok()).sum();
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let cpu = Duration::from_millis(ticks * 1000 / per_second);
    let runnable = std::fs::read_dir(process.join("task")).ok()?.flatten().any(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        matches!(after_name(&stat).first(), Some(&"R" | &"D"))
    });
    Some(Usage { cpu, runnable })
}

/// Elsewhere only the backstop of real time is left.
#[cfg(not(target_os = "linux"))]
pub(super) fn of(_child: &Child) -> Option<Usage> {
    None
}

/// The fields of a `stat` file from the state on; the name before it may hold anything.
#[cfg(target_os = "linux")]
fn after_name(stat: &str) -> Vec<&str> {
    stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default()
}
