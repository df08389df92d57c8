//! Every planted solution is one test: `cargo test -p grader-proofs --test planted [FILTER]`.
//!
//! A wrong solution must fail exactly the criteria that it names, with the words it names; a right
//! one must get full marks. And for every criterion there is a solution that fails only there.
//!
//! Trials (whole gateways under load, random scripts) judge only the solutions that name one and
//! those that are right: `grader_proofs::planted` says why.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use grader::catalog::{LEVELS, Level};
use grader::report::Status;
use grader::select::select;
use grader_proofs::planted::{Planted, of_level};
use grader_proofs::prove::{Bench, Failure};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    grader::interrupt::install();
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit(),
        Err(why) => {
            eprintln!("error: {why}");
            std::process::exit(101)
        }
    }
}

fn trials() -> Result<Vec<Trial>, Failure> {
    let root = grader::workspace::of_this_run()?;
    let bench =
        Arc::new(Pool { root: root.clone(), free: Mutex::default(), made: AtomicUsize::new(0) });
    let mut trials = Vec::new();
    for level in LEVELS {
        let planted = of_level(&root, level)?;
        let lone: BTreeSet<&str> = planted
            .iter()
            .filter(|p| p.fails.len() == 1)
            .flat_map(|p| p.fails.iter().copied())
            .collect();
        for entry in select(&[level.name.to_owned()])? {
            let id = entry.criterion.id;
            let found = lone.contains(id);
            trials.push(Trial::test(format!("{id} has a fault of its own"), move || {
                if found { Ok(()) } else { Err("no planted solution fails only there".into()) }
            }));
        }
        trials.push(reference(level, &bench));
        trials.extend(planted.into_iter().map(|planted| trial(level, planted, &bench)));
    }
    Ok(trials)
}

fn reference(level: &'static Level, bench: &Arc<Pool>) -> Trial {
    let bench = Arc::clone(bench);
    Trial::test(format!("{}/reference", level.name), move || {
        bench.with(|bench| {
            let report = bench.grade(level, &bench.reference(level)?)?;
            let failed: Vec<&str> =
                report.criteria().filter(|c| c.status != Status::Passed).map(|c| c.id).collect();
            if failed.is_empty() { Ok(()) } else { Err(failed.join(", ").into()) }
        })
    })
}

fn trial(level: &'static Level, planted: Planted, bench: &Arc<Pool>) -> Trial {
    let bench = Arc::clone(bench);
    Trial::test(planted.name.clone(), move || bench.with(|bench| bench.prove(level, &planted)))
}

/// Benches that no test uses now. There are as many as tests run at a time, made when they are needed:
/// a filter may keep none that does.
struct Pool {
    root: PathBuf,
    free: Mutex<Vec<Bench>>,
    made: AtomicUsize,
}

impl Pool {
    fn with(&self, work: impl FnOnce(&Bench) -> Result<(), Failure>) -> Result<(), Failed> {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = free().pop();
        let bench = match taken {
            Some(bench) => bench,
            None => {
                let name = format!("planted-{}", self.made.fetch_add(1, Ordering::Relaxed));
                Bench::new(&self.root, &Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))?
            }
        };
        let result = work(&bench).map_err(Failed::from);
        free().push(bench);
        result
    }
}
