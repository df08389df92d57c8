//! Criterion on two clocks.
//!
//! Criterion measures wall time unless it is given another [`Measurement`]. Here are two: the virtual time
//! of a paused tokio runtime, in which a load of two seconds is exactly that and takes microseconds, and
//! the CPU time of the thread, which a busy machine disturbs less than wall time. [`plot`] draws how a
//! cost grows.

mod clocks;
pub mod plot;

use std::time::Duration;

use bench_kit::contest::Case;
use criterion::measurement::Measurement;
use criterion::{Criterion, SamplingMode};

pub use clocks::{CpuTime, VirtualTime};

/// A criterion that measures virtual time.
///
/// Samples are few and short: every one of them is the same.
#[must_use]
pub fn virtual_time() -> Criterion<VirtualTime> {
    short(Criterion::default().with_measurement(VirtualTime))
        .measurement_time(Duration::from_millis(50))
        .configure_from_args()
}

/// A criterion that measures CPU time.
#[must_use]
pub fn cpu_time() -> Criterion<CpuTime> {
    short(Criterion::default().with_measurement(CpuTime))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args()
}

fn short<M: Measurement>(criterion: Criterion<M>) -> Criterion<M> {
    criterion
        // Criterion's least.
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        // Its 100 000 resamples of ten samples take two seconds of CPU time for each benchmark, and
        // tell nothing that 5000 do not.
        .nresamples(5000)
}

/// Measures every case of a contest for criterion's pages.
pub fn pages(criterion: &mut Criterion<CpuTime>, group: &str, cases: &mut [Case<'_>]) {
    let mut group = criterion.benchmark_group(group);
    group.sampling_mode(SamplingMode::Flat);
    for case in cases {
        let name = case.name().to_owned();
        group.bench_function(name, |bencher| bencher.iter_custom(|times| case.time(times)));
    }
    group.finish();
}
