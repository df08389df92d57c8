//! The jail on Linux: a seccomp allow list. Every other call fails with EPERM, so that the judged
//! code sees an ordinary error and the learner gets a message instead of a dead process.
use std::collections::BTreeMap;

use libc::{
    SYS_brk, SYS_clock_getres, SYS_clock_gettime, SYS_clock_nanosleep, SYS_close, SYS_epoll_pwait,
    SYS_exit, SYS_exit_group, SYS_futex, SYS_getpid, SYS_getrandom, SYS_getrusage, SYS_gettid,
    SYS_gettimeofday, SYS_madvise, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_munmap, SYS_nanosleep,
    SYS_pread64, SYS_read, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,
    SYS_sched_getaffinity, SYS_sched_yield, SYS_sigaltstack, SYS_tgkill, SYS_write, SYS_writev,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

/// What a single-threaded program on a paused runtime needs: its memory, its open descriptors, its
/// clocks, its end. No opening, no sockets, no threads, no processes.
const ALLOWED: &[i64] = &[
    // descriptors that are open: output, the verdict, the scheduler's figures
    SYS_read,
    SYS_pread64,
    SYS_write,
    SYS_writev,
    SYS_close,
    // memory
    SYS_brk,
    SYS_mmap,
    SYS_mremap,
    SYS_mprotect,
    SYS_munmap,
    SYS_madvise,
    // signals: a panic's unwinding, the guard page, abort
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_tgkill,
    // time and waiting
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_gettimeofday,
    SYS_nanosleep,
    SYS_clock_nanosleep,
    SYS_futex,
    SYS_sched_yield,
    SYS_epoll_pwait,
    // what the standard library asks about itself
    SYS_getpid,
    SYS_gettid,
    SYS_getrandom,
    SYS_getrusage,
    SYS_sched_getaffinity,
    // the end
    SYS_exit,
    SYS_exit_group,
];

/// Calls that only older architectures have.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[i64] = &[libc::SYS_epoll_wait];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[i64] = &[];

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

/// Closes the jail around the calling thread.
pub(super) fn close() -> Result<(), Box<dyn std::error::Error>> {
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        ALLOWED.iter().chain(ALLOWED_HERE).map(|nr| (*nr, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, refuse, SeccompAction::Allow, ARCH)?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program)?;
    Ok(())
}
