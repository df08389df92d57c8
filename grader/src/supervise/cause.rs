//! Why a check process ended without a verdict.
use std::process::ExitStatus;
use std::time::Duration;

use grader_protocol::limits::{CPU_SECONDS, MEMORY_MIB};
use grader_protocol::{Diagnosis, PANIC_MARK, PanicSite};

/// The standard library's last words before it aborts, as the beginning and the end of a line of the
/// error output.
const LAST_WORDS: &[(&str, &str)] =
    &[("thread '", "has overflowed its stack"), ("memory allocation of ", " failed")];

/// How many of the last lines can hold them.
const LAST_LINES: usize = 4;

/// What the status, the error output and the CPU time say.
///
/// The output may be the judged code's own. It only decides about a process that aborted, and only with
/// its last lines: what a program prints before it does something else says nothing.
pub(super) fn of(status: ExitStatus, errors: &str, cpu: Duration) -> Diagnosis {
    match (status.code(), signal(status)) {
        (_, Some(6)) => aborted(errors),
        // At the soft limit, or at the hard one, which must not be confused with a SIGKILL of another origin.
        (_, Some(24)) => used_up(),
        (_, Some(9)) if cpu + Duration::from_secs(2) >= Duration::from_secs(CPU_SECONDS) => {
            used_up()
        }
        (_, Some(signal)) => Diagnosis::Killed { signal },
        (Some(code), None) => Diagnosis::Exited { code },
        (None, None) => Diagnosis::Aborted,
    }
}

fn used_up() -> Diagnosis {
    Diagnosis::EndlessLoop { cpu_ms: CPU_SECONDS * 1000 }
}

fn aborted(errors: &str) -> Diagnosis {
    let lines = || errors.lines().rev().filter(|line| !line.trim().is_empty()).take(LAST_LINES);
    let said = |&(begin, end): &(&str, &str)| {
        lines().any(|line| line.starts_with(begin) && line.trim_end().ends_with(end))
    };
    match LAST_WORDS.iter().position(said) {
        Some(0) => Diagnosis::StackOverflow,
        Some(_) => Diagnosis::OutOfMemory { limit_mib: MEMORY_MIB },
        None => Diagnosis::Aborted,
    }
}

/// Takes the panics that led to an abort out of the error output: the first one first. With them the standard
/// library's last line goes, which says no more.
pub(super) fn panics(errors: &str) -> (Vec<PanicSite>, String) {
    let mut panics = Vec::new();
    let mut rest = String::new();
    for line in errors.split_inclusive('\n') {
        match line.strip_prefix(PANIC_MARK).map(serde_json::from_str) {
            Some(Ok(panic)) => panics.push(panic),
            _ => rest.push_str(line),
        }
    }
    let last = rest.trim_end().rfind('\n').map_or(0, |at| at + 1);
    if !panics.is_empty() && rest[last..].contains("caused non-unwinding panic") {
        rest.truncate(last);
    }
    (panics, rest)
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_status: ExitStatus) -> Option<i32> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    const OVERFLOW: &str = "\nthread 'judge' (77) has overflowed its stack\nfatal runtime error: stack overflow, aborting\n";
    const MEMORY: &str = "memory allocation of 16777216 bytes failed\n";

    fn cause(wait_status: i32, errors: &str, cpu_seconds: u64) -> Diagnosis {
        of(ExitStatus::from_raw(wait_status), errors, Duration::from_secs(cpu_seconds))
    }

    #[test]
    fn an_abort_is_told_by_the_last_words() {
        assert_eq!(cause(6, OVERFLOW, 0), Diagnosis::StackOverflow);
        assert_eq!(cause(6, MEMORY, 0), Diagnosis::OutOfMemory { limit_mib: MEMORY_MIB });
        assert_eq!(cause(6, "", 0), Diagnosis::Aborted);
        let long_before = format!("{OVERFLOW}{}", "and then I abort\n".repeat(9));
        assert_eq!(cause(6, &long_before, 0), Diagnosis::Aborted);
    }

    #[test]
    fn the_panics_before_an_abort_are_taken_out() {
        let panic = r#"{"message":"m","file":"level1/src/a.rs","line":3}"#;
        let said = format!(
            "hello\n{PANIC_MARK}{panic}\n{PANIC_MARK}no panic\nthread caused non-unwinding panic. aborting.\n"
        );
        let (found, rest) = panics(&said);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].file.as_str(), found[0].line), ("level1/src/a.rs", 3));
        assert_eq!(rest, format!("hello\n{PANIC_MARK}no panic\n"));
        assert_eq!(panics("aborting\n"), (Vec::new(), "aborting\n".to_owned()));
    }

    #[test]
    fn words_alone_are_no_cause() {
        assert_eq!(cause(1 << 8, OVERFLOW, 0), Diagnosis::Exited { code: 1 });
        assert_eq!(cause(11, MEMORY, 0), Diagnosis::Killed { signal: 11 });
    }

    #[test]
    fn a_kill_from_outside_is_no_endless_loop() {
        assert_eq!(cause(9, "", 1), Diagnosis::Killed { signal: 9 });
        assert_eq!(cause(9, "", CPU_SECONDS), used_up());
        assert_eq!(cause(24, "", 0), used_up());
    }
}
