//! Every planted solution is one test: `cargo test -p grader-proofs --test planted [FILTER]`.
//!
//! A wrong solution must fail exactly the criteria that it names, with the words it names; a right
//! one must get full marks. And for every criterion there is a solution that fails only there.
//!
//! Trials (whole gateways under load, random scripts) judge only the solutions that name one and
//! those that are right: `grader_proofs::planted` says why. Solutions that differ from the reference in the
//! bodies of functions share a build and are judged one by one (`grader_proofs::schemata`). Of the others, those
//! that cannot influence one another are built and judged together: `grader_proofs::batch` says which.
//!
//! `cargo test -p grader-proofs --test planted -- --one-by-one [FILTER]` builds and judges each solution
//! alone. With `--record` the results become the sections of `grader/planted/one-by-one.md`: those of all levels
//! without a filter, that of one level with its name as the filter.
#[path = "planted/one_by_one.rs"]
mod one_by_one;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use grader::catalog::{LEVELS, Level, module_of};
use grader::select::{Entry, select};
use grader::submission::Files;
use grader_proofs::batch::{Batch, Sample, batches, shared};
use grader_proofs::influence::Influence;
use grader_proofs::planted::edit::Reference;
use grader_proofs::planted::{Planted, of_level};
use grader_proofs::prove::Failure;
use grader_proofs::run::{Job, Pending, Queue};
use grader_proofs::schemata::MOST_SHARED;
use libtest_mimic::{Arguments, Failed, Trial};

const TABLE: &str = "grader/planted/one-by-one.md";
const WITHOUT: &str = "grader/planted/without-a-fault-of-its-own.txt";

fn main() {
    grader::interrupt::install();
    match run() {
        Ok(code) => code.exit(),
        Err(why) => {
            eprintln!("error: {why}");
            std::process::exit(101)
        }
    }
}

fn run() -> Result<libtest_mimic::Conclusion, Failure> {
    let given: Vec<String> = std::env::args().collect();
    let has = |flag: &str| given.iter().any(|argument| argument == flag);
    let (one_by_one, record) = (has("--one-by-one"), has("--record"));
    let ours = ["--one-by-one", "--record"];
    let arguments =
        Arguments::from_iter(given.iter().filter(|argument| !ours.contains(&argument.as_str())));
    let filter = arguments.filter.as_deref();
    let is_whole = filter.is_none_or(|name| LEVELS.iter().any(|level| level.name == name));
    if record && (!one_by_one || !is_whole || !arguments.skip.is_empty()) {
        return Err("--record needs --one-by-one and no filter but the name of a level: a section of the table \
                    is about all solutions of its level"
            .into());
    }
    let root = grader::workspace::of_this_run()?;
    let start = Instant::now();
    let plan = Plan::new(&root, &arguments, one_by_one)?;
    let proved = Arc::clone(&plan.proved);
    let threads = arguments.test_threads.or(available_parallelism().ok().map(NonZero::get));
    if !arguments.list {
        eprintln!("{} planted solutions in {} builds", plan.solutions, plan.builds);
        plan.queue.start(threads.unwrap_or(1), &root, Path::new(env!("CARGO_TARGET_TMPDIR")));
    }
    let conclusion = libtest_mimic::run(&arguments, plan.trials);
    if record {
        let proved = proved.lock().unwrap_or_else(PoisonError::into_inner);
        let levels: Vec<&Level> = LEVELS
            .iter()
            .copied()
            .filter(|level| filter.is_none_or(|name| level.name == name))
            .collect();
        one_by_one::record(&root.join(TABLE), &levels, &proved, start.elapsed())?;
    }
    Ok(conclusion)
}

/// The result for each planted solution, by its name.
type Proved = BTreeMap<String, (Planted, Result<(), String>, Duration)>;

/// The tests, and the jobs that those of them wait for that the arguments select.
struct Plan {
    solutions: usize,
    builds: usize,
    trials: Vec<Trial>,
    queue: Queue,
    proved: Arc<Mutex<Proved>>,
}

impl Plan {
    fn new(root: &Path, arguments: &Arguments, one_by_one: bool) -> Result<Plan, Failure> {
        let selected = |name: &str| !arguments.is_filtered_out(&Trial::test(name, || Ok(())));
        let mut plan = Plan {
            solutions: 0,
            builds: 0,
            trials: Vec::new(),
            queue: Queue::default(),
            proved: Arc::default(),
        };
        for level in LEVELS {
            let planted = of_level(root, level)?;
            plan.trials.extend(lone(root, level, &planted)?);
            let mut pending = BTreeMap::new();
            let reference = format!("{}/reference", level.name);
            if selected(&reference) {
                pending.extend(plan.queue.add(Job::Reference(level))?);
            }
            // Solutions that are not selected are still listed, so that the runner can count them.
            let (wanted, rest): (Vec<_>, Vec<_>) =
                planted.into_iter().partition(|planted| selected(&planted.name));
            plan.trials.push(trial(&reference, pending.remove(&reference), None));
            plan.trials.extend(rest.iter().map(|planted| trial(&planted.name, None, None)));
            if arguments.list || wanted.is_empty() {
                plan.trials.extend(wanted.iter().map(|planted| trial(&planted.name, None, None)));
                continue;
            }
            let influence = Arc::new(Influence::read(root, level)?);
            let reference_files = Reference::new(Files::read(root, level)?.0);
            let samples = wanted
                .into_iter()
                .map(|planted| Sample::new(planted, &reference_files, level))
                .collect::<Result<Vec<_>, _>>()?;
            let all: Vec<Planted> = samples.iter().map(|sample| sample.planted.clone()).collect();
            let (mut samples, shareable): (Vec<_>, Vec<_>) =
                samples.into_iter().partition(|it| one_by_one || it.planted.loses_all(level));
            // A right solution is judged by all criteria. Among wrong ones it would bring the checks of the whole
            // level into a build that needs those of two exercises.
            let (right, wrong): (Vec<_>, Vec<_>) =
                shareable.into_iter().partition(|it| it.planted.fails.is_empty());
            let mut together = Vec::new();
            for some in [right, wrong] {
                let files = reference_files.files();
                let (groups, rest) = shared(some, |sample| &sample.changed, files, MOST_SHARED);
                together.extend(groups);
                samples.extend(rest);
            }
            let mut groups = if one_by_one {
                samples
                    .into_iter()
                    .map(|s| Batch::of_many(vec![s], level, &influence))
                    .collect::<Result<_, _>>()?
            } else {
                batches(samples, level, &influence)?
            };
            // The long ones first: no bench is left alone with one at the end.
            groups.sort_by_key(|batch| std::cmp::Reverse(batch.criteria.len()));
            plan.solutions += all.len();
            plan.builds += groups.len() + together.len();
            for samples in together {
                pending.extend(plan.queue.add(Job::Shared(
                    level,
                    Arc::clone(&influence),
                    samples,
                ))?);
            }
            for batch in groups {
                pending.extend(plan.queue.add(Job::Batch(level, Arc::clone(&influence), batch))?);
            }
            for planted in all {
                let pending = pending.remove(&planted.name);
                let record = (planted.clone(), Arc::clone(&plan.proved));
                plan.trials.push(trial(&planted.name, pending, Some(record)));
            }
        }
        Ok(plan)
    }
}

/// For every criterion there is a solution that fails only there, or it is listed as one for which such a
/// solution is still to be written.
fn lone(root: &Path, level: &'static Level, planted: &[Planted]) -> Result<Vec<Trial>, Failure> {
    let entries = select(&[level.name.to_owned()])?;
    let influence = Influence::read(root, level)?;
    let lone: BTreeSet<&str> =
        planted.iter().filter_map(|planted| lone_of(planted, &entries, &influence)).collect();
    let listed = std::fs::read_to_string(root.join(WITHOUT))?;
    let listed: BTreeSet<&str> = listed.lines().filter(|line| !line.starts_with('#')).collect();
    let test = |id: &str| {
        let (found, excused) = (lone.contains(id), listed.contains(id));
        Trial::test(format!("{id} has a fault of its own"), move || match (found, excused) {
            (true, false) | (false, true) => Ok(()),
            (false, false) => Err("no planted solution fails only there".into()),
            (true, true) => Err(format!("it has one now: take it off {WITHOUT}").into()),
        })
    };
    Ok(entries.iter().map(|entry| test(entry.criterion.id)).collect())
}

/// The criterion that a wrong solution fails alone. What stands on its exercise may fail with it.
fn lone_of(planted: &Planted, entries: &[Entry], influence: &Influence) -> Option<&'static str> {
    let named = |id: &&'static str| entries.iter().find(|entry| entry.criterion.id == *id);
    let first = named(planted.fails.first()?)?;
    let module = module_of(first.criterion.file);
    let stands_on_it = |other: &Entry| {
        other.exercise.name != first.exercise.name && influence.sees(other.exercise.name, module)
    };
    let rest = planted.fails.iter().skip(1).filter_map(named);
    rest.into_iter().all(stands_on_it).then_some(first.criterion.id)
}

fn trial(
    name: &str,
    pending: Option<Pending>,
    record: Option<(Planted, Arc<Mutex<Proved>>)>,
) -> Trial {
    let test = name.to_owned();
    Trial::test(name, move || {
        let Some(pending) = pending else { return Err("it was not selected".into()) };
        let (found, took) = pending.wait();
        if let Some((planted, proved)) = record {
            let mut proved = proved.lock().unwrap_or_else(PoisonError::into_inner);
            proved.insert(test, (planted, found.clone(), took));
        }
        found.map_err(Failed::from)
    })
}
