//! Level 4 measured.
//!
//! ```text
//! cargo bench -p level4-bench                # criterion's pages, and the tables on the screen
//! cargo bench -p level4-bench -- --quick     # the same in a minute, with wider bounds
//! cargo bench -p level4-bench -- --write     # brings level4/performance-report.md up to date
//! cargo bench -p level4-bench -- --check     # its headings and rows are those of this program, and nothing wakes up
//! ```
//!
//! Costs are CPU time, in turns with other people's crates at the same work, and told as ratios. Wake-ups are counted,
//! and memory is that of a process for each kind. With Node on the path and RxJS in `target/rxjs`, RxJS is measured too; grader/bench/README.md has
//! the command that installs it.
#![allow(clippy::drop_non_drop, reason = "in a blank, what is dropped may have no destructor yet")]

mod caches;
mod calls;
mod curves;
mod document;
mod idle;
mod memory;
mod notions;
mod states;
mod streams;
mod wire;
mod work;

use std::hint::black_box;
use std::path::{Path, PathBuf};

use bench_kit::args::Args;
use bench_kit::contest::{self, Case};
use bench_kit::work::{Group, Work};
use bench_kit::{javascript, paused, report};
use tokio::runtime::Runtime;

use document::Document;

type Failed = Box<dyn std::error::Error>;

/// The case of what most promises about time begin with.
const CLOCK: &str = "clock, read once";

fn main() -> Result<(), Failed> {
    if let Some(done) = memory::child() {
        return done;
    }
    let args = Args::of_process();
    // One whose clock runs, for what costs CPU time; and one for timers, which jumps from one to the next.
    let (runtime, paused) = (paused::running()?, paused::runtime()?);
    if args.check {
        return check(&measure(&runtime, &paused, true, None)?);
    }
    if !args.write {
        let mut criterion = bench_criterion::cpu_time();
        bench_criterion::pages(
            &mut criterion,
            "level4",
            &mut Prepared::new(&runtime, &paused)?.cases,
        );
        criterion.final_summary();
    }
    if !args.all {
        return Ok(());
    }
    let runs = if args.quick { 3 } else { 5 };
    let measured = measure(&runtime, &paused, args.quick, Some(runs))?;
    let Document { text, lesson, pictures } = document::write(&measured)?;
    let level = level_folder()?;
    let folder = match args.write {
        true => level.join("bench"),
        false => bench_kit::target_folder()?.join("bench").join("level4"),
    };
    for (name, svg) in pictures {
        report::write(&folder.join(name), &svg)?;
    }
    if args.write {
        report::replace_measured(&level.join("performance-report.md"), &text)?;
        report::replace_measured(&level.join("lessons/promise-or-observable.md"), &lesson)?;
    } else {
        println!("\n{text}");
    }
    Ok(())
}

/// What is to be measured in turns.
struct Prepared<'a> {
    groups: Vec<Group>,
    notions: Vec<notions::Notion>,
    cases: Vec<Case<'a>>,
}

impl<'a> Prepared<'a> {
    fn new(runtime: &'a Runtime, paused: &'a Runtime) -> Result<Self, Failed> {
        let mut cases = vec![Case::new(CLOCK, |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    black_box(tokio::time::Instant::now());
                }
            });
        })];
        let (notions, of_notions) = notions::all(runtime);
        cases.extend(of_notions);
        let mut groups = Vec::new();
        let mut group = |title, unit, works: Vec<Work<'a>>| {
            let (rows, own): (Vec<_>, Vec<_>) = works.into_iter().map(Work::split).unzip();
            cases.extend(own.into_iter().flatten());
            groups.push(Group { title, unit, rows });
        };
        let items = "For an item that the source has ready.";
        group("Streams", items, streams::all(runtime, paused)?);
        let operations = "For a call, or for an operation of a composition. The operations succeed at once, or at their second poll \
                          where they are to overlap.";
        group("Calls", operations, calls::all(runtime)?);
        let calls = "For a call.";
        group("Caches and shared runs", calls, caches::all(runtime)?);
        let changes = "For a change, an item or a message.";
        group("States and sockets", changes, states::all(runtime)?);
        Ok(Self { groups, notions, cases })
    }
}

/// What was found of a kind of what waits.
struct Waits {
    name: &'static str,
    own: bool,
    wake_ups: u64,
    /// Resident bytes, or why there is no figure.
    bytes: Result<f64, String>,
}

/// Everything that one run measures for the tables.
struct Measured {
    outcome: contest::Outcome,
    groups: Vec<Group>,
    notions: Vec<notions::Notion>,
    waits: Vec<Waits>,
    /// Bytes of a value in each of [`memory::CACHES`].
    entries: Vec<Result<f64, String>>,
    growths: Vec<curves::Growth>,
    /// RxJS's figures, or why there are none.
    rxjs: Result<javascript::Figures, String>,
}

/// Measures everything, RxJS in so many runs.
fn measure(
    runtime: &Runtime,
    paused: &Runtime,
    quick: bool,
    rxjs: Option<usize>,
) -> Result<Measured, Failed> {
    let Prepared { groups, notions, mut cases } = Prepared::new(runtime, paused)?;
    let outcome = contest::run(&mut cases, quick);
    drop(cases);
    let script = level_folder()?.join("bench/js/rxjs.js");
    let rxjs = match rxjs {
        Some(runs) => {
            let packages = bench_kit::target_folder()?.join("rxjs");
            javascript::script(&script, runs, &packages)
        }
        None => Err("not asked for".to_owned()),
    };
    if let Err(why) = &rxjs {
        println!("RxJS is not measured: {why}");
    }
    let mut waits = Vec::new();
    for kind in idle::kinds()? {
        let (wake_ups, bytes) = (kind.wake_ups()?, memory::bytes(kind.name));
        waits.push(Waits { name: kind.name, own: kind.own, wake_ups, bytes });
    }
    let entries = memory::CACHES.iter().map(|name| memory::bytes(name)).collect();
    let growths = curves::all(runtime, quick)?;
    Ok(Measured { outcome, groups, notions, waits, entries, growths, rxjs })
}

/// Whether the report and the lesson have the rows that this program would write, and nothing wakes up that waits.
fn check(measured: &Measured) -> Result<(), Failed> {
    let document = document::write(measured)?;
    let level = level_folder()?;
    for (name, text) in [
        ("performance-report.md", &document.text),
        ("lessons/promise-or-observable.md", &document.lesson),
    ] {
        let written = report::measured(&level.join(name))?;
        if document::structure(&written) != document::structure(text) {
            return Err(format!(
                "level4/{name} has other rows than the benchmark: cargo bench -p level4-bench -- --write"
            )
            .into());
        }
    }
    match measured.waits.iter().find(|it| it.own && it.wake_ups > 0) {
        Some(it) => Err(format!("{} is woken {} times in a week", it.name, it.wake_ups).into()),
        None => Ok(()),
    }
}

/// The folder of level 4, above this package.
fn level_folder() -> Result<PathBuf, Failed> {
    // Cargo tells a program where its package is.
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .ok_or("start me with `cargo bench -p level4-bench`")?;
    let level = Path::new(&package).parent().ok_or("the package lies in the level's folder")?;
    Ok(level.to_path_buf())
}
