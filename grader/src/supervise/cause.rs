//! Why a check process ended without a verdict.
use std::process::ExitStatus;

use grader_protocol::Diagnosis;
use grader_protocol::limits::{CPU_SECONDS, MEMORY_MIB};

/// What the status and the runtime's last words say. The words may be the judged code's own, so they
/// only choose between kinds of failure.
pub(super) fn of(status: ExitStatus, output: &str) -> Diagnosis {
    if output.contains("has overflowed its stack") {
        return Diagnosis::StackOverflow;
    }
    if output.contains("memory allocation of") {
        return Diagnosis::OutOfMemory { limit_mib: MEMORY_MIB };
    }
    match (status.code(), signal(status)) {
        (_, Some(6)) => Diagnosis::Aborted,
        // SIGXCPU, or SIGKILL at the hard limit.
        (_, Some(9 | 24)) => Diagnosis::EndlessLoop { cpu_ms: CPU_SECONDS * 1000 },
        (_, Some(signal)) => Diagnosis::Killed { signal },
        (Some(code), None) => Diagnosis::Exited { code },
        (None, None) => Diagnosis::Aborted,
    }
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_status: ExitStatus) -> Option<i32> {
    None
}
