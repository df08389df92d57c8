//! Proves many batches on several benches at a time.
use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use grader::catalog::Level;
use grader::report::Status;

use crate::batch::{Batch, Sample};
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

/// A job, and where the outcome of each of its tests is sent, by the test's name.
type Planned = (Job, Vec<(String, Sender<Outcome>)>);

/// Jobs in the order in which they are done.
#[derive(Debug, Default)]
pub struct Queue {
    jobs: VecDeque<Planned>,
}

impl Queue {
    /// Adds a job; the outcome for each of its tests, by the test's name.
    pub fn add(&mut self, job: Job) -> Vec<(String, Pending)> {
        let names = match &job {
            Job::Reference(level) => vec![format!("{}/reference", level.name)],
            Job::Batch(_, _, batch) => {
                batch.samples.iter().map(|sample| sample.planted.name.clone()).collect()
            }
            Job::Shared(_, _, samples) => {
                samples.iter().map(|sample| sample.planted.name.clone()).collect()
            }
        };
        let (senders, pending) = names
            .into_iter()
            .map(|name| {
                let (sender, receiver) = channel();
                ((name.clone(), sender), (name, Pending(receiver)))
            })
            .unzip();
        self.jobs.push_back((job, senders));
        pending
    }

    /// Begins to work on the jobs with so many benches at a time. Each has a folder below `target`.
    pub fn start(self, benches: usize, root: &Path, target: &Path) {
        let jobs = Arc::new(Mutex::new(self.jobs));
        for number in 0..benches {
            let (jobs, root) = (Arc::clone(&jobs), root.to_path_buf());
            let folder = target.join(format!("planted-{number}"));
            thread::spawn(move || work(&jobs, &root, &folder));
        }
    }
}

fn work(jobs: &Mutex<VecDeque<Planned>>, root: &Path, folder: &Path) {
    let mut bench = None;
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((job, senders)) = next else { return };
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
