//! How long the thread was really blocked.
//!
//! Time in which a full pipe to the grader kept the thread does not count: the grader may be the slow one.
//!
//! Wall time cannot tell a `std::thread::sleep` from a machine under load. The scheduler can: it
//! counts the time a thread ran and the time it waited for a core; what is left, it slept, or the machine
//! was not there: a hypervisor had given its core to another machine. A thread that slept has left its core of its
//! own will, and the scheduler counts that too.
use std::time::Duration;

/// Measures the calling thread. Made before the jail closes, since it opens a file.
#[derive(Debug)]
pub(crate) struct Meter {
    #[cfg(target_os = "linux")]
    schedstat: Option<std::fs::File>,
    #[cfg(target_os = "linux")]
    io: Option<std::fs::File>,
    #[cfg(target_os = "linux")]
    status: Option<std::fs::File>,
}

/// The thread's figures at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    wall: std::time::Instant,
    /// On a core, and waiting for one; `None` where it cannot be known.
    busy: Option<Duration>,
    /// Bytes that the thread has written.
    written: Option<u64>,
    /// How often the thread has left its core of its own will.
    sleeps: Option<u64>,
}

/// Real time asleep in the kernel that no single-threaded runtime on a paused clock needs. Measured
/// on good solutions at a load of 20: at most 1.5 ms.
pub(crate) const MOST_BLOCKED: Duration = Duration::from_millis(20);

/// Bytes that a pipe takes at once on Linux. A thread that writes more may have to wait for the reader.
const PIPE: u64 = 64 << 10;

/// How long a thread that has filled the pipe may have waited for its reader.
const WAITS_FOR_READER: Duration = Duration::from_secs(2);

impl Meter {
    #[cfg(target_os = "linux")]
    pub(crate) fn new() -> Self {
        let open = |name| std::fs::File::open(format!("/proc/thread-self/{name}")).ok();
        Meter { schedstat: open("schedstat"), io: open("io"), status: open("status") }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new() -> Self {
        Meter {}
    }

    /// The two clocks cannot be read in one instant, and the thread may lose its core between them.
    /// So the wall clock is read last here and first in [`blocked_since`](Meter::blocked_since):
    /// whatever happens in between is missing from the wall time, never from the busy time.
    pub(crate) fn start(&self) -> Reading {
        let (busy, written, sleeps) = (self.busy(), self.written(), self.sleeps());
        Reading { wall: std::time::Instant::now(), busy, written, sleeps }
    }

    /// How long the thread was asleep in the kernel since `start`; zero where it cannot be known.
    pub(crate) fn blocked_since(&self, start: &Reading) -> Duration {
        let wall = start.wall.elapsed();
        let blocked = match (start.busy, self.busy()) {
            (Some(before), Some(after)) => wall.saturating_sub(after.saturating_sub(before)),
            _ => Duration::ZERO,
        };
        let filled_the_pipe = || match (start.written, self.written()) {
            (Some(before), Some(after)) => after.saturating_sub(before) >= PIPE,
            _ => false,
        };
        let never_slept = || match (start.sleeps, self.sleeps()) {
            (Some(before), Some(after)) => before == after,
            _ => false,
        };
        let waited = || blocked < WAITS_FOR_READER && filled_the_pipe();
        // What comes after this asks the kernel again, and few calls are blocked.
        if blocked > MOST_BLOCKED && (never_slept() || waited()) { Duration::ZERO } else { blocked }
    }

    /// Bytes that the thread has written so far, wherever to.
    #[cfg(target_os = "linux")]
    fn written(&self) -> Option<u64> {
        field(self.io.as_ref()?, "wchar:")
    }

    #[cfg(not(target_os = "linux"))]
    fn written(&self) -> Option<u64> {
        None
    }

    /// How often the thread has left its core of its own will.
    #[cfg(target_os = "linux")]
    fn sleeps(&self) -> Option<u64> {
        field(self.status.as_ref()?, "voluntary_ctxt_switches:")
    }

    #[cfg(not(target_os = "linux"))]
    fn sleeps(&self) -> Option<u64> {
        None
    }

    #[cfg(target_os = "linux")]
    fn busy(&self) -> Option<Duration> {
        use rustix::time::{ClockId, clock_gettime};

        let mut text = [0u8; 96];
        let read = rustix::io::pread(self.schedstat.as_ref()?, &mut text, 0).ok()?;
        // "ns on a core, ns waiting for one, turns": the first is only brought up to date at a
        // tick, so the thread's own clock stands in for it.
        let queued: u64 =
            std::str::from_utf8(&text[..read]).ok()?.split_whitespace().nth(1)?.parse().ok()?;
        let cpu = clock_gettime(ClockId::ThreadCPUTime);
        let cpu = Duration::new(u64::try_from(cpu.tv_sec).ok()?, u32::try_from(cpu.tv_nsec).ok()?);
        Some(cpu + Duration::from_nanos(queued))
    }

    #[cfg(not(target_os = "linux"))]
    fn busy(&self) -> Option<Duration> {
        None
    }
}

/// The number behind `name` in a file of the thread's.
#[cfg(target_os = "linux")]
fn field(file: &std::fs::File, name: &str) -> Option<u64> {
    // `status` has lists of cores and of memory nodes before the line that is wanted.
    let mut text = [0u8; 8192];
    let read = rustix::io::pread(file, &mut text, 0).ok()?;
    let text = std::str::from_utf8(&text[..read]).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Far longer than a busy machine keeps a thread waiting between two looks at the clocks: that time is missing.
    const SLEPT: Duration = Duration::from_millis(500);

    #[test]
    fn sleep_is_blocked_time_and_work_is_not() {
        let meter = Meter::new();
        let start = meter.start();
        std::thread::sleep(SLEPT);
        assert!(meter.blocked_since(&start) >= MOST_BLOCKED);

        // A page that is read from the disk is a sleep too; not each time.
        let works = || {
            let start = meter.start();
            let mut x = 1u64;
            while start.wall.elapsed() < Duration::from_millis(60) {
                x = std::hint::black_box(x.wrapping_mul(3));
            }
            meter.blocked_since(&start) < MOST_BLOCKED
        };
        assert!((0..50).any(|_| works()));
    }

    /// What a hypervisor takes away looks like sleep but for the count.
    #[test]
    fn a_thread_that_has_not_slept_was_not_blocked() {
        let meter = Meter::new();
        let away = || {
            let mut start = meter.start();
            start.wall -= SLEPT;
            start
        };
        // A page that is read from the disk is a sleep too; not each time.
        assert!((0..50).any(|_| meter.blocked_since(&away()) == Duration::ZERO));
        let start = away();
        std::thread::sleep(Duration::from_millis(1));
        assert!(meter.blocked_since(&start) >= MOST_BLOCKED);
    }
}
