//! Time and memory of one load on this machine, with a source that answers at once: what is left is
//! the style itself.

use std::alloc::System;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use crate::pace::{Delayed, future_sizes, load};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Loads in one measurement; long enough that the clock's grain does not matter.
const LOADS: u32 = 20_000;

/// Measurements of each style. The least is told: whatever disturbs a measurement adds to it.
const ROUNDS: usize = 7;

/// The table of what was measured.
pub fn table() -> String {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        return "no runtime\n".to_owned();
    };
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let mut table = format!(
        "Least of {ROUNDS} rounds of {LOADS} loads, {build} build, one thread, a source that answers \
         at once.\n\n| style | time per load | allocations per load | bytes allocated per load | \
         size of the future |\n| --- | ---: | ---: | ---: | ---: |\n"
    );
    let source = Arc::new(Delayed { delay: Duration::ZERO, user_fails: false, posts_fail: false });
    for ((index, style), size) in crate::STYLES.iter().enumerate().zip(future_sizes()) {
        let mut least = Duration::MAX;
        let (mut allocations, mut bytes) = (usize::MAX, usize::MAX);
        for _ in 0..ROUNDS {
            let region = Region::new(ALLOCATOR);
            let begin = Instant::now();
            runtime.block_on(async {
                for _ in 0..LOADS {
                    let _ = load(index, &source).await;
                }
            });
            least = least.min(begin.elapsed());
            let change = region.change();
            allocations = allocations.min(change.allocations);
            bytes = bytes.min(change.bytes_allocated);
        }
        let (loads, per_load) = (LOADS as usize, least / LOADS);
        let size = size.map_or("none".to_owned(), |size| format!("{size} B"));
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| {} | {} ns | {} | {} B | {size} |",
            style.name,
            per_load.as_nanos(),
            allocations / loads,
            bytes / loads,
        );
    }
    table
}
