//! What a check process may use.

/// Address space. A check needs a few MiB; the paused runtime reserves little.
pub(crate) const MEMORY_MIB: u64 = 1024;

/// CPU seconds after which the kernel ends the process. The grader stops it long before; this is
/// for the case that the grader cannot look (no `/proc`) or is gone.
#[cfg(unix)]
const CPU_SECONDS: u64 = 20;

/// Sets the limits of this process, as far as the platform knows them.
#[cfg(unix)]
pub(crate) fn set() {
    use rustix::process::{Resource, Rlimit, setrlimit};

    let limit = |what, most: u64| {
        // A limit below ours that is already set, and may not be raised, serves as well.
        let _ = setrlimit(what, Rlimit { current: Some(most), maximum: Some(most) });
    };
    limit(Resource::As, MEMORY_MIB << 20);
    limit(Resource::Cpu, CPU_SECONDS);
    limit(Resource::Fsize, 1 << 20);
    limit(Resource::Core, 0);
    limit(Resource::Nofile, 64);
    // A grader that is killed takes the process along, which sits in a process group of its own.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

/// Elsewhere the grader's backstop of real time has to do.
#[cfg(not(unix))]
pub(crate) fn set() {}
