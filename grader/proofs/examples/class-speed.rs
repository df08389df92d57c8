//! How many forks a minute `cargo grade class` grades on this machine.
//!
//! `cargo run -q -p grader-proofs --example class-speed -- [--forks N] [--kinds N] [--broken] [--jobs N] [--levels
//! level1,level2]`
//!
//! Makes a class in which every fork is another one: in each, every file of the starter is that of the
//! reference by chance, and ends with a comment of its own. The clock runs from the first result to the last
//! one, so the first build of the checks, which a class pays once, does not count. CPU time is that of a fork's
//! worker and of all processes that it started, the compiler's included: it hardly depends on what else the machine
//! does, as the real time does.
//!
//! The last line is about the run itself, without the workers: what it takes to read a fork, to find its result and
//! to write it. `--kinds 10` makes only so many forks differ, so that a class of a thousand costs ten builds, and
//! `--broken` ends each kind with an error, so that nothing of it is judged: what is left is the run.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Parser;
use grader::catalog::{self, Level};
use grader::class::conditions::Conditions;
use grader::class::lane::Rules;
use grader::class::result::ForkResult;
use grader::class::run::{How, Progress};
use grader::class::settings::Settings;
use grader::class::store::Store;
use grader::class::take::State;
use grader::class::{Class, Events, confine, roster, run};
use grader::seed::Seed;
use grader::starter::plan;
use grader_proofs::program;

type Failure = Box<dyn std::error::Error>;

#[derive(Debug, Parser)]
struct Arguments {
    /// How many forks to grade
    #[arg(long, default_value_t = 20)]
    forks: usize,
    /// How many of them differ; by default all
    #[arg(long)]
    kinds: Option<usize>,
    /// No fork compiles
    #[arg(long)]
    broken: bool,
    /// How many at a time; by default as many as there are cores
    #[arg(long)]
    jobs: Option<usize>,
    /// Of which levels
    #[arg(long, value_delimiter = ',', default_value = "level1,level2")]
    levels: Vec<String>,
    /// A folder that keeps what is built, for the next measurement
    #[arg(long)]
    out: Option<PathBuf>,
}

/// When the results came, and the CPU time that each took.
#[derive(Default)]
struct Watch(Mutex<Vec<(Instant, Duration)>>);

impl Events for Watch {
    fn preparing(&self, lane: usize) {
        eprintln!("building the checks of lane {lane}");
    }

    fn finished(&self, result: &ForkResult, how: How, progress: Progress) {
        eprintln!("{}/{} {}", progress.done, progress.all, result.name);
        if let How::Graded { cpu } = how
            && let Ok(mut seen) = self.0.lock()
        {
            seen.push((Instant::now(), cpu));
        }
    }
}

/// CPU time of this process, without that of others; 0 where it cannot be known.
fn own_cpu_ms() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let fields = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    ticks * 10
}

/// The most memory that this process has had; 0 where it cannot be known.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// A number that looks drawn: the same for each run, so that two measurements are of the same class.
fn drawn(fork: usize, file: usize) -> bool {
    let mixed =
        (fork as u64 * 1_000_003 + file as u64 * 7_919 + 17).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed >> 63 == 1
}

fn lay(root: &Path, fork: &Path, kind: usize, broken: bool, level: &Level) -> Result<(), Failure> {
    for (at, file) in plan(root, level)?.files().iter().enumerate() {
        let reference = fs::read_to_string(root.join(&file.path)).ok();
        let text = if drawn(kind, at) { reference } else { file.blank.clone() };
        let Some(text) = text else { continue };
        let path = fork.join(&file.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let end = if broken && at == 0 { "compile_error!(\"broken\");\n" } else { "" };
        fs::write(path, format!("{text}\n// kind {kind}\n{end}"))?;
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    grader::interrupt::install();
    let root = grader::workspace::of_this_run()?;
    let folder = tempfile::tempdir()?;
    let forks = folder.path().join("class");
    let levels: Vec<&'static Level> =
        arguments.levels.iter().filter_map(|name| catalog::level(name)).collect();
    for number in 0..arguments.forks {
        let fork = forks.join(format!("fork-{number:04}"));
        let kind = number % arguments.kinds.unwrap_or(arguments.forks).max(1);
        for level in &levels {
            lay(&root, &fork, kind, arguments.broken, level)?;
        }
    }
    let out = arguments.out.clone().unwrap_or_else(|| folder.path().join("out"));
    let store = Store::open(&out)?;
    let roster = roster::read(&forks)?;
    let (sandbox, missing) = confine::available();
    missing.iter().for_each(|missing| eprintln!("note: {missing}."));
    let seed = Seed::draw()?;
    let time = Duration::from_secs(900);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let lanes = arguments.jobs.unwrap_or(cores);
    let watch = Watch::default();
    let class = Class {
        root: &root,
        roster: &roster,
        state: State::Files,
        levels: &levels,
        settings: &Settings::default(),
        store: &store,
        conditions: &Conditions::of_run(&root, seed, time.as_secs(), sandbox),
        rules: &Rules { program: program::grader()?, sandbox, seed, time },
        lanes,
    };
    let (before, begin) = (own_cpu_ms(), Instant::now());
    run(&class, &watch)?;
    let own = own_cpu_ms() - before;
    let seen = watch.0.into_inner().unwrap_or_default();
    // Each lane's first fork still begins while others are prepared.
    let seen = seen.get(lanes.min(seen.len()).saturating_sub(1)..).unwrap_or_default();
    let (Some(first), Some(last)) = (seen.first(), seen.last()) else {
        return Err("too few forks were graded: name more with --forks and --kinds".into());
    };
    let (graded, real) = (seen.len() - 1, last.0 - first.0);
    let cpu: Duration = seen[1..].iter().map(|(_, cpu)| *cpu).sum();
    let cpu = cpu.as_secs_f64() / graded.max(1) as f64;
    let a_minute = graded as f64 * 60.0 / real.as_secs_f64().max(f64::EPSILON);
    let names: BTreeMap<&str, ()> = levels.iter().map(|level| (level.name, ())).collect();
    let names: Vec<&str> = names.into_keys().collect();
    println!(
        "{} on {cores} cores, {lanes} at a time: {a_minute:.1} distinct forks a minute, {cpu:.2} CPU seconds each \
         ({graded} forks in {:.0} s)",
        names.join(" and "),
        real.as_secs_f64()
    );
    println!(
        "the run itself, {} forks in {:.0} s: {:.1} ms of CPU time for each fork, {} MiB of memory at most",
        arguments.forks,
        begin.elapsed().as_secs_f64(),
        own as f64 / arguments.forks.max(1) as f64,
        peak_kib() / 1024
    );
    Ok(())
}
