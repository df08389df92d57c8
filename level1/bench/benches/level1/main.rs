//! Level 1 measured.
//!
//! ```text
//! cargo bench -p level1-bench                # criterion's pages, and the tables on the screen
//! cargo bench -p level1-bench -- --quick     # the same in seconds, with wider bounds
//! cargo bench -p level1-bench -- --write     # brings level1/performance-report.md up to date
//! ```
//!
//! How long a load *takes* in each style is in `comparison-report.md`; here is what the styles and the
//! promise written by hand *cost*: CPU time with a source that answers at once, in turns, told as ratios.

mod promises;
mod styles;

use std::path::Path;

use bench_kit::args::Args;
use bench_kit::contest::{self, Case, Outcome};
use bench_kit::paused;
use bench_kit::report::{self, Table};
use tokio::runtime::Runtime;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let args = Args::of_process();
    let runtime = paused::running()?;
    if !args.write {
        let mut criterion = bench_criterion::cpu_time();
        bench_criterion::pages(&mut criterion, "level1", &mut cases(&runtime));
        criterion.final_summary();
    }
    if args.all {
        let outcome = contest::run(&mut cases(&runtime), args.quick);
        let text = text(&outcome);
        if args.write {
            // Cargo tells a program where its package is.
            let package = std::env::var_os("CARGO_MANIFEST_DIR")
                .ok_or("start me with `cargo bench -p level1-bench`")?;
            let path = Path::new(&package).with_file_name("performance-report.md");
            report::replace_measured(&path, &text)?;
        } else {
            println!("\n{text}");
        }
    }
    Ok(())
}

fn cases(runtime: &Runtime) -> Vec<Case<'_>> {
    let mut cases = styles::cases(runtime);
    cases.extend(promises::cases(runtime));
    cases
}

fn text(outcome: &Outcome) -> String {
    let mut styles = Table::new(&["style", "CPU time of a load", "over async/await"]);
    for style in styles::NAMES {
        let ratio = match style {
            styles::PLAIN => "1".to_owned(),
            _ => report::ratio(outcome.ratio(style, styles::PLAIN)),
        };
        styles.row(&[style.to_owned(), report::nanos(outcome.nanos(style).median), ratio]);
    }
    let mut promises =
        Table::new(&["peer", "its CPU time", "the promise", "the promise over the peer"]);
    for (own, peer) in promises::PAIRS {
        promises.row(&[
            peer.to_owned(),
            report::nanos(outcome.nanos(peer).median),
            format!("{own}: {}", report::nanos(outcome.nanos(own).median)),
            report::ratio(outcome.ratio(own, peer)),
        ]);
    }
    format!("## Styles\n\n{}\n## The promise written by hand\n\n{}", styles.text(), promises.text())
}
