//! Sets the limits of a check process.

/// Sets the limits of this process, as far as the platform knows them.
#[cfg(unix)]
pub(crate) fn set() {
    use grader_protocol::limits::{CPU_SECONDS, MEMORY_MIB};
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
