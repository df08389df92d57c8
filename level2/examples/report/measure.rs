//! The part of the report that depends on the machine: CPU time and memory of a load.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use level2::all_settled::Timeouts;
use level2::source::SimulatedSource;
use level2::strategy::Strategy;
use peak_alloc::PeakAlloc;

use crate::simulate::{LOADS, paused_runtime};

/// How often a batch of [`LOADS`] loads is timed; the median of the batches counts.
const BATCHES: usize = 51;

/// What a load costs.
pub struct Measured {
    /// Which strategy.
    pub strategy: Strategy,
    /// CPU time of one load.
    pub cpu: Duration,
    /// Most bytes allocated at once during a load, beyond what was allocated before it.
    pub peak: usize,
}

/// Measures all strategies.
pub fn all(allocator: &PeakAlloc) -> io::Result<Vec<Measured>> {
    Strategy::ALL.into_iter().map(|strategy| measure(strategy, allocator)).collect()
}

fn measure(strategy: Strategy, allocator: &PeakAlloc) -> io::Result<Measured> {
    let runtime = paused_runtime()?;
    let load = || {
        let source = Arc::new(SimulatedSource::default());
        black_box(runtime.block_on(strategy.run(source, Timeouts::default())));
    };
    // The first loads fill caches and the timer wheel.
    (0..LOADS).for_each(|_| load());
    let mut batches: Vec<Duration> = (0..BATCHES)
        .map(|_| {
            let began = real_now();
            (0..LOADS).for_each(|_| load());
            began.elapsed()
        })
        .collect();
    batches.sort_unstable();
    let before = allocator.current_usage();
    allocator.reset_peak_usage();
    load();
    let peak = allocator.peak_usage().saturating_sub(before);
    let loads = u32::try_from(LOADS).map_err(io::Error::other)?;
    Ok(Measured { strategy, cpu: batches[BATCHES / 2] / loads, peak })
}

/// The real clock: nothing waits on a paused one, so the time that passes is the time it computes.
#[expect(clippy::disallowed_methods, reason = "measures real time, not the time of a load")]
fn real_now() -> Instant {
    Instant::now()
}
