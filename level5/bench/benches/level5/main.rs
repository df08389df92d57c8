//! Level 5 measured.
//!
//! ```text
//! cargo bench -p level5-bench                # criterion's pages, and the tables on the screen
//! cargo bench -p level5-bench -- --quick     # the same with smaller sizes and wider bounds
//! cargo bench -p level5-bench -- --write     # brings level5/performance-report.md up to date
//! cargo bench -p level5-bench -- --check     # its headings and rows are those of this program
//! ```
//!
//! Costs are CPU time, in turns with plainer ways to do the same, and told as ratios. Rates are on the real clock, beside
//! what the same disk does. Wake-ups are counted, and memory is that of a process for each kind.

mod decisions;
mod document;
mod events;
mod growth;
mod idle;
mod rates;
mod requests;
mod stream;
mod systems;
mod users;

use std::path::{Path, PathBuf};

use bench_kit::args::Args;
use bench_kit::contest::{self, Case};
use bench_kit::work::{Group, Work};
use bench_kit::{paused, report};
use tokio::runtime::Runtime;

use document::Document;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    if let Some(done) = idle::child() {
        return done;
    }
    let args = Args::of_process();
    let runtime = paused::running()?;
    if args.check {
        return check(&measure(&runtime, true)?);
    }
    if !args.write {
        let mut criterion = bench_criterion::cpu_time();
        let mut cases = Prepared::new(&runtime)?.cases;
        bench_criterion::pages(&mut criterion, "level5", &mut cases);
        criterion.final_summary();
    }
    if !args.all {
        return Ok(());
    }
    let Document { text, picture } = document::write(&measure(&runtime, args.quick)?)?;
    let level = level_folder()?;
    let folder = match args.write {
        true => level.join("bench"),
        false => bench_kit::target_folder()?.join("bench").join("level5"),
    };
    report::write(&folder.join("cost-by-size.svg"), &picture)?;
    if args.write {
        report::replace_measured(&level.join("performance-report.md"), &text)?;
    } else {
        println!("\n{text}");
    }
    Ok(())
}

/// What is to be measured in turns.
struct Prepared<'a> {
    groups: Vec<Group>,
    cases: Vec<Case<'a>>,
}

impl<'a> Prepared<'a> {
    fn new(runtime: &'a Runtime) -> Result<Self, Failed> {
        let (mut cases, mut groups) = (Vec::new(), Vec::new());
        let mut group = |title, unit, works: Vec<Work<'a>>| {
            let (rows, own): (Vec<_>, Vec<_>) = works.into_iter().map(Work::split).unzip();
            cases.extend(own.into_iter().flatten());
            groups.push(Group { title, unit, rows });
        };
        let decision = "For an item, a record or a keystroke.";
        group("Decisions", decision, decisions::all(runtime)?);
        let one = "For an item, a read, a request, an event or a notification, with everything that it passes through.";
        group("Systems", one, systems::all(runtime)?);
        Ok(Self { groups, cases })
    }
}

/// Everything that one run measures for the report.
struct Measured {
    outcome: contest::Outcome,
    groups: Vec<Group>,
    growths: Vec<growth::Growth>,
    rates: rates::Rates,
    /// `None` where nats-server is not installed.
    stream: Option<stream::Rates>,
    /// For each of [`idle::WAITING`] its bytes, or why there is no figure.
    bytes: Vec<Result<f64, String>>,
    /// For each of [`idle::SYSTEMS`].
    wake_ups: Vec<(&'static str, u64)>,
}

fn measure(runtime: &Runtime, quick: bool) -> Result<Measured, Failed> {
    let Prepared { groups, mut cases } = Prepared::new(runtime)?;
    let outcome = contest::run(&mut cases, quick);
    drop(cases);
    let growths = growth::all(runtime, quick)?;
    let rates = rates::all(if quick { 20_000 } else { 400_000 })?;
    let stream = stream::all(if quick { 5_000 } else { 100_000 })?;
    let bytes = idle::WAITING.iter().map(|name| idle::bytes(name)).collect();
    let count = |name: &'static str| idle::wake_ups(name).map(|count| (name, count));
    let wake_ups = idle::SYSTEMS.into_iter().map(count).collect::<Result<_, _>>()?;
    Ok(Measured { outcome, groups, growths, rates, stream, bytes, wake_ups })
}

/// Whether the report has the rows that this program would write.
fn check(measured: &Measured) -> Result<(), Failed> {
    let text = document::write(measured)?.text;
    let written = report::measured(&level_folder()?.join("performance-report.md"))?;
    if document::structure(&written) != document::structure(&text) {
        let command = "cargo bench -p level5-bench -- --write";
        return Err(format!("level5/performance-report.md has other rows: {command}").into());
    }
    Ok(())
}

/// The folder of level 5, above this package.
fn level_folder() -> Result<PathBuf, Failed> {
    // Cargo tells a program where its package is.
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .ok_or("start me with `cargo bench -p level5-bench`")?;
    let level = Path::new(&package).parent().ok_or("the package lies in the level's folder")?;
    Ok(level.to_path_buf())
}
