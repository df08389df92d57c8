//! Level 2 measured.
//!
//! ```text
//! cargo bench -p level2-bench                # criterion's pages, and the tables on the screen
//! cargo bench -p level2-bench -- --quick     # the same in seconds, with wider bounds
//! cargo bench -p level2-bench -- --write     # brings level2/performance-report.md up to date
//! ```
//!
//! When a strategy returns is virtual time, exact. What it costs is CPU time, in turns with other people's
//! crates at the same work, and told as ratios.

mod document;
mod strategies;

use std::path::Path;

use bench_kit::args::Args;
use bench_kit::{contest, paused, report};
use peak_alloc::PeakAlloc;

type Failed = Box<dyn std::error::Error>;

/// Counts what is allocated. Its two atomic additions for each allocation are less than a hundredth of
/// what a load costs, and all cases pay them.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn main() -> Result<(), Failed> {
    let args = Args::of_process();
    // Nothing waits on a paused clock: the CPU time that passes is the strategy's own, timers included.
    let runtime = paused::runtime()?;
    if !args.write {
        let mut criterion = bench_criterion::virtual_time()?;
        strategies::pages(&mut criterion, &runtime);
        criterion.final_summary();
        let mut criterion = bench_criterion::cpu_time();
        bench_criterion::pages(&mut criterion, "level2", &mut strategies::cases(&runtime));
        criterion.final_summary();
    }
    if args.all {
        let outcome = contest::run(&mut strategies::cases(&runtime), args.quick);
        let text = document::text(&outcome, &strategies::peaks(&runtime, &ALLOCATOR));
        if args.write {
            // Cargo tells a program where its package is.
            let package = std::env::var_os("CARGO_MANIFEST_DIR")
                .ok_or("start me with `cargo bench -p level2-bench`")?;
            let path = Path::new(&package).with_file_name("performance-report.md");
            report::bring_up_to_date(&path, "level2", "report", &text)?;
        } else {
            println!("\n{text}");
        }
    }
    Ok(())
}
