//! Every planted solution is one test: `cargo test -p grader-proofs --test planted [FILTER]`.
//!
//! A wrong solution must fail exactly the criteria that it names, with the words it names; a right
//! one must get full marks. And for every criterion there is a solution that fails only there.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use grader::catalog::{LEVELS, Level};
use grader::report::Status;
use grader::select::select;
use grader_proofs::planted::{Planted, of_level};
use grader_proofs::prove::{Bench, Failure};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let mut arguments = Arguments::from_args();
    // One workspace for all: solutions are graded one after the other.
    arguments.test_threads = Some(1);
    grader::interrupt::install();
    match trials(&arguments) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit(),
        Err(why) => {
            eprintln!("error: {why}");
            std::process::exit(101)
        }
    }
}

fn trials(arguments: &Arguments) -> Result<Vec<Trial>, Failure> {
    let root = grader::workspace::find(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    let bench = Arc::new(Lazy { root: root.clone(), bench: Mutex::new(None) });
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
    let _ = arguments;
    Ok(trials)
}

fn reference(level: &'static Level, bench: &Arc<Lazy>) -> Trial {
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

fn trial(level: &'static Level, planted: Planted, bench: &Arc<Lazy>) -> Trial {
    let bench = Arc::clone(bench);
    Trial::test(planted.name.clone(), move || bench.with(|bench| bench.prove(level, &planted)))
}

/// A bench that is set up when the first test needs it: a filter may keep none that does.
struct Lazy {
    root: PathBuf,
    bench: Mutex<Option<Bench>>,
}

impl Lazy {
    fn with(&self, work: impl FnOnce(&Bench) -> Result<(), Failure>) -> Result<(), Failed> {
        let mut bench = self.bench.lock().unwrap_or_else(PoisonError::into_inner);
        let bench = match &mut *bench {
            Some(bench) => bench,
            empty => {
                let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("planted");
                empty.insert(Bench::new(&self.root, &folder)?)
            }
        };
        work(bench).map_err(Failed::from)
    }
}
