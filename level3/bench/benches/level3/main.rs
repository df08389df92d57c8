//! Level 3 measured.
//!
//! ```text
//! cargo bench -p level3-bench                # criterion's pages, and the tables on the screen
//! cargo bench -p level3-bench -- --quick     # the same in seconds, with wider bounds
//! cargo bench -p level3-bench -- --write     # brings level3/performance-report.md up to date
//! ```
//!
//! Latency is virtual and exact. Cost is CPU time, in turns with other people's crates at the same work, and
//! told as ratios. With Node on the path and `ASSIGNMENT` naming the assignment's text (Markdown), the assignment's
//! JavaScript is measured too.

mod curves;
mod document;
mod in_flight;
mod latency;
mod parts;
mod payments;
mod price;
mod promises;
#[cfg(feature = "stores")]
mod stores;

use std::path::{Path, PathBuf};

use bench_kit::args::Args;
use bench_kit::{contest, grading, javascript, report};

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    if let Some(done) = in_flight::child() {
        return done;
    }
    let args = Args::of_process();
    let runtime = parts::runtime()?;
    if !args.write {
        let mut criterion = bench_criterion::virtual_time()?;
        latency::pages(&mut criterion)?;
        criterion.final_summary();
        let mut criterion = bench_criterion::cpu_time();
        bench_criterion::pages(&mut criterion, "level3", &mut parts::cases(&runtime)?);
        bench_criterion::pages(&mut criterion, "level3", &mut [payments::case(&runtime)?]);
        criterion.final_summary();
    }
    if args.all {
        let measured = measure(&runtime, args)?;
        let document::Document { text, pictures } = document::write(&measured)?;
        let level = level_folder()?;
        let folder = match args.write {
            true => level.join("bench"),
            false => bench_kit::target_folder()?.join("bench"),
        };
        for (name, svg) in pictures {
            report::write(&folder.join(name), &svg)?;
        }
        if args.write {
            let path = level.join("performance-report.md");
            report::bring_up_to_date(&path, "level3-harness", "performance", &text)?;
        } else {
            println!("\n{text}");
        }
    }
    Ok(())
}

/// Everything that one run measures for the tables.
struct Measured {
    outcome: contest::Outcome,
    held: Vec<in_flight::Held>,
    /// What could not be measured, and why.
    skipped: Vec<String>,
    curves: Vec<bench_criterion::plot::Curve>,
    javascript: Option<javascript::Figures>,
    grading: Option<grading::Grading>,
}

fn measure(runtime: &tokio::runtime::Runtime, args: Args) -> Result<Measured, Failed> {
    let mut cases = parts::cases(runtime)?;
    cases.push(payments::case(runtime)?);
    cases.extend(price::cases(runtime)?);
    let outcome = contest::run(&mut cases, args.quick);
    drop(cases);
    let mut skipped = Vec::new();
    let sizes: &[u32] =
        if args.quick { &[1000, 10_000] } else { &[1000, 10_000, 100_000, 1_000_000] };
    let mut held = Vec::new();
    for &size in sizes {
        match in_flight::measure(size) {
            Ok(figures) => held.push(figures),
            Err(why) => skipped.push(why),
        }
    }
    if !cfg!(feature = "stores") {
        skipped
            .push("Rows in a store are left out: built without the feature `stores`.".to_owned());
    }
    let curves = curves::all(runtime, &held, args.quick)?;
    // The grader and Node take their time, and only the report has a place for them.
    let (mut javascript, mut graded) = (None, None);
    if args.write {
        let root = level_folder()?.join("..");
        match javascript::level3(&root) {
            Ok(figures) => javascript = Some(figures),
            Err(why) => skipped.push(format!("The assignment's JavaScript is left out: {why}")),
        }
        match grading::measure(&root, "level2/src/race.rs", "level2/race") {
            Ok(figures) => graded = Some(figures),
            Err(why) => skipped.push(format!("Grading is left out: {why}")),
        }
    }
    for why in &skipped {
        println!("{why}");
    }
    Ok(Measured { outcome, held, skipped, curves, javascript, grading: graded })
}

/// The folder of level 3, above this package.
fn level_folder() -> Result<PathBuf, Failed> {
    // Cargo tells a program where its package is.
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .ok_or("start me with `cargo bench -p level3-bench`")?;
    let level = Path::new(&package).parent().ok_or("the package lies in the level's folder")?;
    Ok(level.to_path_buf())
}
