//! How long the thread was really blocked.
//!
//! Wall time cannot tell a `std::thread::sleep` from a machine under load. The scheduler can: it
//! counts the time a thread ran and the time it waited for a core; what is left, it slept.
use std::time::Duration;

/// Measures the calling thread. Made before the jail closes, since it opens a file.
#[derive(Debug)]
pub(crate) struct Meter {
    #[cfg(target_os = "linux")]
    schedstat: Option<std::fs::File>,
}

/// The thread's figures at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    wall: std::time::Instant,
    /// On a core, and waiting for one; `None` where nobody counts it.
    busy: Option<Duration>,
}

impl Meter {
    #[cfg(target_os = "linux")]
    pub(crate) fn new() -> Self {
        Meter { schedstat: std::fs::File::open("/proc/thread-self/schedstat").ok() }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new() -> Self {
        Meter {}
    }

    /// The two clocks cannot be read in one instant, and the thread may lose its core between them.
    /// So the wall clock is read last here and first in [`blocked_since`](Meter::blocked_since):
    /// whatever happens in between is missing from the wall time, never from the busy time.
    pub(crate) fn start(&self) -> Reading {
        let busy = self.busy();
        Reading { wall: std::time::Instant::now(), busy }
    }

    /// How long the thread was asleep in the kernel since `start`; zero where it cannot be known.
    pub(crate) fn blocked_since(&self, start: &Reading) -> Duration {
        let wall = start.wall.elapsed();
        match (start.busy, self.busy()) {
            (Some(before), Some(after)) => wall.saturating_sub(after.saturating_sub(before)),
            _ => Duration::ZERO,
        }
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn sleep_is_blocked_time_and_work_is_not() {
        let meter = Meter::new();
        let start = meter.start();
        std::thread::sleep(Duration::from_millis(60));
        assert!(meter.blocked_since(&start) >= Duration::from_millis(50));

        let start = meter.start();
        let mut x = 1u64;
        while start.wall.elapsed() < Duration::from_millis(60) {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(meter.blocked_since(&start) < Duration::from_millis(20));
    }
}
