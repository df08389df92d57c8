//! Does a verdict ever depend on the seed, or on how busy the machine is?
//!
//! `cargo run --release -p grader-proofs --example soak -- --rounds 1000 --busy 4 [NAME ...]` judges
//! every criterion (or those that are named) a thousand times while four threads do nothing but use
//! the cores, and reports each verdict that differs from the first one. Every round has a seed of its
//! own; if the variable `GRADER_SEED` is set, all rounds have that one. Exit code 1 if a verdict differs.
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use grader::build::{Breadth, LevelBuild, Options, Part, build};
use grader::seed::Seed;
use grader::select::select;
use grader::supervise::{Limits, Subject, judge};

/// Judges the same criteria again and again on a busy machine.
#[derive(Parser)]
struct Arguments {
    /// Levels, exercises or criteria; all if none is named
    names: Vec<String>,
    /// How often each is judged
    #[arg(long, default_value_t = 1000)]
    rounds: usize,
    /// Threads that use the cores meanwhile
    #[arg(long, default_value_t = 4)]
    busy: usize,
    /// Criteria that are judged at a time
    #[arg(long, default_value_t = 4)]
    at_a_time: usize,
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    grader::interrupt::install();
    let root = grader::workspace::of_this_run()?;
    let entries = select(&arguments.names)?;
    let rounds = (0..arguments.rounds).map(|_| Seed::of_this_run());
    let seeds = rounds.collect::<Result<Vec<_>, _>>()?;
    let built =
        build(&root, &Part::of(&entries, Breadth::default()), &Options::default(), &mut |_| {})?;
    let mut work = Vec::new();
    for entry in &entries {
        match &built.levels[entry.level.name] {
            LevelBuild::Ready { binary, .. } => work.push((entry, binary)),
            LevelBuild::Broken { errors, .. } => return Err(errors.clone().into()),
        }
    }
    let begin = Instant::now();
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let first: Mutex<BTreeMap<&str, bool>> = Mutex::default();
    let differing = AtomicUsize::new(0);
    let slowest = Mutex::new(Duration::ZERO);
    let total = work.len() * arguments.rounds;
    let worker = || {
        loop {
            let nr = next.fetch_add(1, Ordering::Relaxed);
            if nr >= total {
                return;
            }
            let (entry, binary) = work[nr % work.len()];
            let id = entry.criterion.id;
            let seed = seeds[nr / work.len()];
            let limits = Limits::default().of(entry.criterion);
            let verdict = judge(binary, Subject::of(entry, seed), &root, &limits);
            let expected = *first.lock().expect("no panic").entry(id).or_insert(verdict.passed());
            if verdict.passed() != expected {
                differing.fetch_add(1, Ordering::Relaxed);
                println!("{id}, seed {seed}: {verdict:?}");
            }
            let mut slowest = slowest.lock().expect("no panic");
            *slowest = slowest.max(Duration::from_micros(verdict.real_us));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.busy {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let workers: Vec<_> = (0..arguments.at_a_time).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            worker.join().expect("no panic");
        }
        over.store(true, Ordering::Relaxed);
    });
    let differing = differing.into_inner();
    println!(
        "{total} verdicts in {:.0?} beside {} busy threads: {differing} differ; {} criteria, slowest run {:.0?}",
        begin.elapsed(),
        arguments.busy,
        work.len(),
        slowest.into_inner()?,
    );
    Ok(if differing == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
