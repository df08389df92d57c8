//! What the compiler may use. Code that is only compiled can do harm too: a macro or a constant
//! without end, `include_bytes!` of a device.
use std::process::Child;

/// Address space of cargo and of each rustc. The largest crate here needs less than 2 GiB.
#[cfg(target_os = "linux")]
const MEMORY: u64 = 4 << 30;

/// CPU seconds of each process. The slowest package takes 40 on a slow machine.
#[cfg(target_os = "linux")]
const CPU_SECONDS: u64 = 150;

/// Limits cargo, and by inheritance all that it starts. Set from outside, right after the start:
/// cargo reads manifests for longer than this takes before it starts the first rustc.
#[cfg(target_os = "linux")]
pub(crate) fn set(child: &Child) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let pid = Pid::from_child(child);
    for (what, most) in [(Resource::As, MEMORY), (Resource::Cpu, CPU_SECONDS)] {
        // A limit that cannot be set was lower already.
        let _ = prlimit(Some(pid), what, Rlimit { current: Some(most), maximum: Some(most) });
    }
}

/// Elsewhere no process can limit another.
#[cfg(not(target_os = "linux"))]
pub(crate) fn set(_child: &Child) {}
