//! Criterion on two clocks.
//!
//! Criterion measures wall time unless it is given another [`Measurement`]. Here are two: the virtual time
//! of a paused tokio runtime, in which a load of two seconds is exactly that and takes microseconds, and
//! the CPU time of the thread, which a busy machine disturbs less than wall time. [`plot`] draws how a
//! cost grows.

mod clocks;
pub mod plot;

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use bench_kit::contest::Case;
use criterion::measurement::Measurement;
use criterion::{Criterion, SamplingMode};

pub use clocks::{CpuTime, VirtualTime};

/// A criterion that measures virtual time. Its pages are in `target/criterion-virtual`.
///
/// Samples are few and short: every one of them is the same.
///
/// # Errors
///
/// When its folder cannot be read or written.
pub fn virtual_time() -> io::Result<Criterion<VirtualTime>> {
    let folder = bench_kit::target_folder()?.join("criterion-virtual");
    forget_earlier_runs(&folder)?;
    Ok(short(Criterion::default().with_measurement(VirtualTime))
        .measurement_time(Duration::from_millis(50))
        .output_directory(&folder)
        .configure_from_args())
}

/// Removes what criterion would compare with. Two runs of exact figures differ or they do not; criterion
/// draws a t test of them, divides by a variance of zero, and panics.
fn forget_earlier_runs(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        match entry.file_name() == "base" {
            true => fs::remove_dir_all(entry.path())?,
            false => forget_earlier_runs(&entry.path())?,
        }
    }
    Ok(())
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
