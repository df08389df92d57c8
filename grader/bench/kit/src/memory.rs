//! The memory of a process and of the machine, where the system tells it.

use std::time::Duration;

use crate::process;

/// A child holds its share in less than a second.
const LIMIT: Duration = Duration::from_secs(120);

/// The resident memory of this process in bytes, where the system tells it (Linux, proc_pid_status(5)).
#[must_use]
pub fn resident() -> Option<u64> {
    field("/proc/self/status", "VmRSS:")
}

/// The memory that could be had without swapping, in bytes (Linux, proc_meminfo(5)).
#[must_use]
pub fn available() -> Option<u64> {
    field("/proc/meminfo", "MemAvailable:")
}

/// The bytes that a child of this program prints: this program again, with `variable` set to `name`, which tells it what
/// to hold.
///
/// # Errors
///
/// Why there is no figure.
pub fn held(variable: &str, name: &str) -> Result<f64, String> {
    let output = process::run_self(variable, name, LIMIT)?;
    output.trim().parse().map_err(|_| format!("{name} gave no figure: {output}"))
}

fn field(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}
