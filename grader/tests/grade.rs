//! `cargo test -p grader` grades: every criterion of the catalog is one test.
//!
//! Lines, filters, `--exact`, `--list` and exit codes are libtest's. Only what the filter keeps is built,
//! and nothing for `--list`. Under nextest every test is a process of its own: the first one builds, the
//! others wait for it and use what it built.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use grader::build::{Breadth, Built, LevelBuild, Options, Part, build};
use grader::report::explain::{self, Place};
use grader::seed::{Seed, VARIABLE};
use grader::select::{Entry, all};
use grader::supervise::{Limits, Subject, judge};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    grader::interrupt::install();
    let root = match grader::workspace::of_this_run() {
        Ok(root) => root,
        Err(why) => fail(&why),
    };
    let seed = match Seed::of_this_run() {
        Ok(seed) => seed,
        Err(why) => fail(&why),
    };
    let wanted: Vec<Entry> = all().filter(|entry| keeps(&arguments, entry.criterion.id)).collect();
    let built = if arguments.list || wanted.is_empty() {
        Built { levels: BTreeMap::new(), took: std::time::Duration::ZERO }
    } else {
        match build_once(&root, &wanted) {
            Ok(built) => built,
            Err(why) => fail(why.as_ref()),
        }
    };
    let (built, root) = (Arc::new(built), Arc::new(root));
    let trials = all()
        .map(|entry| {
            let (built, root) = (Arc::clone(&built), Arc::clone(&root));
            Trial::test(entry.criterion.id, move || grade(&entry, &built, &root, seed))
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

/// Could not grade at all: the exit code of failed tests, with the reason.
fn fail(why: &(impl std::fmt::Display + ?Sized)) -> ! {
    eprintln!("error: {why}");
    std::process::exit(101)
}

/// Whether libtest's filters keep the test.
fn keeps(arguments: &Arguments, id: &str) -> bool {
    let hit = |filter: &String| {
        if arguments.exact { id == filter.as_str() } else { id.contains(filter.as_str()) }
    };
    arguments.filter.as_ref().is_none_or(hit) && !arguments.skip.iter().any(hit)
}

fn grade(entry: &Entry, built: &Built, root: &Path, seed: Seed) -> Result<(), Failed> {
    let id = entry.criterion.id;
    match built.levels.get(entry.level.name) {
        // rustc's words stand once, above all tests.
        Some(LevelBuild::Broken { .. }) => {
            Err(format!("{0} does not compile; cargo check -p {0} shows why", entry.level.name)
                .into())
        }
        Some(LevelBuild::Ready { binary, .. }) => {
            let limits = Limits::default().of(entry.criterion);
            let verdict = judge(binary, Subject::of(entry, seed), root, &limits);
            if verdict.passed() {
                return Ok(());
            }
            let mut text = String::new();
            let place = Place { level: entry.level.name, file: entry.criterion.file };
            explain::failure(&mut text, &verdict, place)?;
            text += &format!("seed      {VARIABLE}={seed} repeats the run with the same values\n");
            text += &format!("next      cargo grade hint {id}");
            Err(anstream::adapter::strip_str(&text).to_string().into())
        }
        None => Err(format!("{} was not built", entry.level.name).into()),
    }
}

/// Builds, or takes what another process of the same nextest run has built.
fn build_once(root: &Path, wanted: &[Entry]) -> Result<Built, Box<dyn std::error::Error>> {
    let Ok(run) = std::env::var("NEXTEST_RUN_ID") else { return build_now(root, wanted) };
    // Beside this program. A folder that is fixed when the program is compiled may be another clone's.
    let program = std::env::current_exe()?;
    let folder = program.parent().ok_or("this program lies in no folder")?.to_path_buf();
    let lock = std::fs::File::create(folder.join("nextest-build.lock"))?;
    lock.lock()?;
    let stamp = folder.join("nextest-build.json");
    let stored: Option<(String, Built)> =
        std::fs::read(&stamp).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some((stored_run, built)) = stored
        && run == stored_run
    {
        return Ok(built);
    }
    // All levels: which tests the other processes run is not known here.
    let built = build_now(root, &all().collect::<Vec<_>>())?;
    let file = tempfile::NamedTempFile::new_in(&folder)?;
    serde_json::to_writer(&file, &(run, &built))?;
    file.persist(stamp)?;
    Ok(built)
}

fn build_now(root: &Path, wanted: &[Entry]) -> Result<Built, Box<dyn std::error::Error>> {
    let built =
        build(root, &Part::of(wanted, Breadth::default()), &Options::default(), &mut |_| {})?;
    for (level, result) in &built.levels {
        if let LevelBuild::Broken { errors, .. } = result {
            eprintln!("{level} does not compile\n{errors}");
        }
    }
    Ok(built)
}
