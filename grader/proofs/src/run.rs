//! Proves many batches on several benches at a time.
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use grader::catalog::Level;
use grader::report::Status;
use grader::select::{SelectError, select};

use crate::batch::{Batch, Sample, criteria_of};
use crate::influence::Influence;
use crate::prove::{Bench, Failure, Proofs};

/// What a proof found, and how long its bench needed for it.
pub type Outcome = (Result<(), String>, Duration);

/// A proof that has not been made yet.
#[derive(Debug)]
pub enum Job {
    /// The reference passes every criterion.
    Reference(&'static Level),
    /// The solutions behave as they say, judged together.
    Batch(&'static Level, Arc<Influence>, Batch),
    /// The solutions behave as they say, built together and each judged by itself.
    Shared(&'static Level, Arc<Influence>, Vec<Sample>),
}

/// Where the outcome of a proof arrives. It never arrives when the bench panicked.
#[derive(Debug)]
pub struct Pending(Receiver<Outcome>);

impl Pending {
    /// Waits for the outcome.
    pub fn wait(self) -> Outcome {
        let lost = |_| (Err("the bench ended without a verdict".to_owned()), Duration::ZERO);
        self.0.recv().unwrap_or_else(lost)
    }
}

/// The level and the exercises whose checks a job builds.
type Checks = (&'static str, BTreeSet<&'static str>);

/// A job, and where the outcome of each of its tests is sent, by the test's name.
#[derive(Debug)]
struct Planned {
    job: Job,
    checks: Checks,
    outcomes: Vec<(String, Sender<Outcome>)>,
}

/// Jobs in the order in which they are begun, but for one thing: a bench goes on with a job that builds the same
/// checks as its last one where there is one. cargo has compiled those checks for it: 1 s in place of 9 s for a
/// solution of `level5/pipeline`.
#[derive(Debug, Default)]
pub struct Queue {
    jobs: VecDeque<Planned>,
}

impl Queue {
    /// Adds a job; the outcome for each of its tests, by the test's name.
    ///
    /// # Errors
    ///
    /// [`SelectError`] when the catalog does not have the job's level.
    pub fn add(&mut self, job: Job) -> Result<Vec<(String, Pending)>, SelectError> {
        let names = |samples: &[Sample]| -> Vec<String> {
            samples.iter().map(|sample| sample.planted.name.clone()).collect()
        };
        let (level, names, criteria) = match &job {
            Job::Reference(level) => (
                level.name,
                vec![format!("{}/reference", level.name)],
                select(&[level.name.to_owned()])?,
            ),
            Job::Batch(level, _, batch) => {
                (level.name, names(&batch.samples), batch.criteria.clone())
            }
            Job::Shared(level, influence, samples) => {
                (level.name, names(samples), criteria_of(samples, level, influence)?)
            }
        };
        let checks = (level, criteria.iter().map(|entry| entry.exercise.name).collect());
        let (outcomes, pending) = names
            .into_iter()
            .map(|name| {
                let (sender, receiver) = channel();
                ((name.clone(), sender), (name, Pending(receiver)))
            })
            .unzip();
        self.jobs.push_back(Planned { job, checks, outcomes });
        Ok(pending)
    }

    /// Takes the next job for a bench that has built these checks last.
    fn next(&mut self, last: Option<&Checks>) -> Option<Planned> {
        let same = self.jobs.iter().position(|planned| Some(&planned.checks) == last);
        self.jobs.remove(same.unwrap_or(0))
    }

    /// Begins to work on the jobs with so many benches at a time. Each has a folder below `target`.
    pub fn start(self, benches: usize, root: &Path, target: &Path) {
        let queue = Arc::new(Mutex::new(self));
        for number in 0..benches {
            let (queue, root) = (Arc::clone(&queue), root.to_path_buf());
            let folder = target.join(format!("planted-{number}"));
            thread::spawn(move || work(&queue, &root, &folder));
        }
    }
}

fn work(queue: &Mutex<Queue>, root: &Path, folder: &Path) {
    let mut bench: Option<Bench> = None;
    let mut last: Option<Checks> = None;
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next(last.as_ref());
        let Some(Planned { job, checks, outcomes: senders }) = next else { return };
        if let (Some(bench), Some(last)) = (&bench, &last)
            && last.0 != checks.0
        {
            bench.forget_increments();
        }
        last = Some(checks);
        let start = Instant::now();
        let outcomes = match &bench {
            Some(bench) => prove(bench, job),
            None => Bench::new(root, folder).and_then(|made| prove(bench.insert(made), job)),
        };
        for (name, sender) in senders {
            let outcome = match &outcomes {
                Ok(outcomes) => outcomes.iter().find(|(of, _)| *of == name).map_or_else(
                    || Err("it was not judged".to_owned()),
                    |(_, found)| found.clone(),
                ),
                Err(why) => Err(why.to_string()),
            };
            // At once: the runner prints failures when all are done, and a run may be stopped before.
            if let Err(why) = &outcome {
                eprintln!("{name}: {why}\n");
            }
            let _ = sender.send((outcome, start.elapsed())); // a test that ended waits for nothing
        }
    }
}

fn prove(bench: &Bench, job: Job) -> Result<Proofs, Failure> {
    match job {
        Job::Reference(level) => {
            let report = bench.grade(level, &bench.reference(level)?)?;
            let failed: Vec<&str> =
                report.criteria().filter(|c| c.status != Status::Passed).map(|c| c.id).collect();
            let found = if failed.is_empty() { Ok(()) } else { Err(failed.join(", ")) };
            Ok(vec![(format!("{}/reference", level.name), found)])
        }
        Job::Batch(level, influence, batch) => bench.prove(level, &influence, batch),
        Job::Shared(level, influence, samples) => bench.prove_shared(level, &influence, &samples),
    }
}
