//! Grades planted solutions and compares.
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use grader::build::{Breadth, Built, Options};
use grader::catalog::Level;
use grader::grade::{Quiet, build, judge_built};
use grader::report::explain::{self, Place};
use grader::report::{Report, Status};
use grader::seed::{Seed, VARIABLE};
use grader::select::{Entry, select};
use grader::submission::{Files, Scratch, seed};
use grader::supervise::Limits;

use crate::batch::{Batch, Sample, batches, criteria_of, settle};
use crate::changed::Changed;
use crate::influence::Influence;
use crate::schemata::each;

/// What can stand in the way of a proof.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a proof found, by the name of the planted solution.
pub type Proofs = Vec<(String, Result<(), String>)>;

/// How much work a build is for. Without optimisation it takes half the time, which is best where little is
/// judged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// One judgement by criteria that are quick.
    Once,
    /// Many judgements, or one that the trials are part of.
    Often,
}

/// What the work of a bench has taken.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    builds: usize,
    building: Duration,
    judgements: usize,
    judging: Duration,
}

/// A workspace to grade solutions in, one after the other.
#[derive(Debug)]
pub struct Bench {
    pristine: PathBuf,
    folder: PathBuf,
    scratch: Scratch,
    options: Options,
    spent: Cell<Spent>,
    /// Held as long as the bench is: another process that grades in the same folder waits.
    _lock: File,
}

impl Bench {
    /// Copies the workspace at `root` into `folder`, once no other bench has it.
    ///
    /// # Errors
    ///
    /// When the copy cannot be made.
    pub fn new(root: &Path, folder: &Path) -> Result<Bench, Failure> {
        std::fs::create_dir_all(folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.lock()?;
        let scratch = Scratch::create(root, folder)?;
        // Other people's crates were built for the program that runs: `target/debug/deps/planted-...`
        let program = std::env::current_exe()?;
        if let Some(profile) = program.parent().and_then(Path::parent) {
            seed(root, profile, &folder.join("target"))?;
        }
        let options = scratch.options();
        Ok(Bench {
            pristine: root.to_path_buf(),
            folder: folder.to_path_buf(),
            scratch,
            options,
            spent: Cell::default(),
            _lock: lock,
        })
    }

    /// The reference's files of a level.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub fn reference(&self, level: &Level) -> Result<Files, Failure> {
        Ok(Files::read(&self.pristine, level)?.0)
    }

    /// Grades a level with these files by all its criteria.
    ///
    /// # Errors
    ///
    /// When they cannot be laid out or cargo cannot run.
    pub fn grade(&self, level: &Level, files: &Files) -> Result<Report, Failure> {
        self.grade_by(&select(&[level.name.to_owned()])?, level, files)
    }

    /// Grades a level with these files by some of its criteria.
    ///
    /// # Errors
    ///
    /// When they cannot be laid out or cargo cannot run.
    pub fn grade_by(
        &self,
        entries: &[Entry],
        level: &Level,
        files: &Files,
    ) -> Result<Report, Failure> {
        let trials = entries.iter().any(|entry| entry.exercise.trial);
        let purpose = if trials { Purpose::Often } else { Purpose::Once };
        let built = self.build(entries, level, files, purpose)?;
        self.judge(entries, level, files, &built)
    }

    /// Builds what judging a level with these files by some of its criteria needs.
    ///
    /// # Errors
    ///
    /// When the files cannot be laid out or cargo cannot run.
    pub fn build(
        &self,
        entries: &[Entry],
        level: &Level,
        files: &Files,
        purpose: Purpose,
    ) -> Result<Built, Failure> {
        self.scratch.lay(level, files)?;
        let mut options = self.options.clone();
        // A build of the exercises that judge takes a third of the time of one of the level's checks, also
        // where cargo has compiled the latter before.
        options.breadth = Breadth::Exact;
        if purpose == Purpose::Once && level.exercises.iter().any(|exercise| exercise.trial) {
            // Each solution gets its own build of the harness, as of the level.
            for package in [level.name.to_owned(), format!("{}-harness", level.name)] {
                options.config.push(format!("profile.dev.package.{package}.opt-level=0"));
            }
        }
        let built = build(self.scratch.root(), entries, &options, &Quiet)?;
        let mut spent = self.spent.get();
        spent.builds += 1;
        spent.building += built.took;
        self.spent.set(spent);
        Ok(built)
    }

    /// Judges what was built, with these files as the level's sources.
    ///
    /// # Errors
    ///
    /// When the files cannot be laid out or there is no seed.
    pub fn judge(
        &self,
        entries: &[Entry],
        level: &Level,
        files: &Files,
        built: &Built,
    ) -> Result<Report, Failure> {
        self.scratch.lay(level, files)?;
        let seed = Seed::of_this_run()?;
        let start = Instant::now();
        let limits = Limits::default();
        let report = judge_built(self.scratch.root(), entries, built, &limits, seed, &Quiet);
        let mut spent = self.spent.get();
        spent.judgements += 1;
        spent.judging += start.elapsed();
        self.spent.set(spent);
        Ok(report)
    }

    /// Removes what rustc keeps to build a changed crate again faster: 3 GB for each level, and of no use for the
    /// next one.
    pub fn forget_increments(&self) {
        let target = self.folder.join("target");
        // Where it cannot be removed, it only needs room.
        let _ = std::fs::remove_dir_all(target.join("debug").join("incremental"));
    }

    /// The folder of this bench.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Proves a batch. One that does not behave as its solutions say is split until each solution has a
    /// verdict: its own, or that of a batch that behaves as they all say.
    ///
    /// # Errors
    ///
    /// When the solutions cannot be laid out or cargo cannot run.
    pub fn prove(
        &self,
        level: &Level,
        influence: &Influence,
        batch: Batch,
    ) -> Result<Proofs, Failure> {
        let reference = self.reference(level)?;
        let Batch { samples, criteria } = batch;
        let all = samples.len();
        let settled = settle(samples, |part| -> Result<Result<(), String>, Failure> {
            let some = if part.len() == all {
                criteria.clone()
            } else {
                criteria_of(part, level, influence)?
            };
            let mut files = reference.clone();
            part.iter().for_each(|sample| sample.changed.lay(&mut files));
            let found = attempts(part, || self.grade_by(&some, level, &files))?;
            if let (Err(why), true) = (&found, part.len() > 1) {
                let names: Vec<&str> = part.iter().map(|s| s.planted.name.as_str()).collect();
                let why = why.lines().next().unwrap_or_default();
                eprintln!("split, because {why}: {}", names.join(", "));
            }
            Ok(found)
        })?;
        Ok(settled.into_iter().map(|(sample, found)| (sample.planted.name, found)).collect())
    }

    /// Proves solutions that can share a tree, each by itself. Those that rustc refuses there are
    /// proved in batches.
    ///
    /// # Errors
    ///
    /// When the solutions cannot be laid out or cargo cannot run.
    pub fn prove_shared(
        &self,
        level: &'static Level,
        influence: &Influence,
        samples: &[Sample],
    ) -> Result<Proofs, Failure> {
        let criteria = criteria_of(samples, level, influence)?;
        let changed: Vec<&Changed> = samples.iter().map(|sample| &sample.changed).collect();
        let mut proofs = Proofs::new();
        let alone = each(self, level, &changed, &criteria, |schema, at| {
            let one = &samples[at..=at];
            let criteria = criteria_of(one, level, influence)?;
            let found = attempts(one, || schema.judge(at, changed[at], &criteria))?;
            proofs.push((samples[at].planted.name.clone(), found));
            Ok(())
        })?;
        if !alone.is_empty() {
            eprintln!("{} of {} solutions could not share a build", alone.len(), samples.len());
        }
        let alone = alone.into_iter().map(|at| samples[at].clone()).collect();
        for batch in batches(alone, level, influence)? {
            proofs.extend(self.prove(level, influence, batch)?);
        }
        Ok(proofs)
    }
}

/// Says where the time went: what makes the proofs slow is seen in every run.
impl Drop for Bench {
    fn drop(&mut self) {
        let Spent { builds, building, judgements, judging } = self.spent.get();
        if builds > 0 {
            eprintln!(
                "one bench: {builds} builds in {} s, {judgements} judgements in {} s",
                building.as_secs(),
                judging.as_secs()
            );
        }
    }
}

/// How often a race is looked for: its threads meet by chance.
const MOST_ATTEMPTS: usize = 10;

/// Judges solutions once, and one that only races can find until they have.
fn attempts(
    samples: &[Sample],
    mut judge: impl FnMut() -> Result<Report, Failure>,
) -> Result<Result<(), String>, Failure> {
    let is_race = matches!(samples, [one] if one.planted.is_race);
    let mut left = if is_race { MOST_ATTEMPTS } else { 1 };
    loop {
        left -= 1;
        let found = compare(samples, &judge()?);
        if found.is_ok() || left == 0 {
            return Ok(found);
        }
    }
}

/// What the report says otherwise than the solutions that were graded together.
fn compare(samples: &[Sample], report: &Report) -> Result<(), String> {
    let expected: BTreeSet<&str> =
        samples.iter().flat_map(|sample| sample.planted.fails.iter().copied()).collect();
    let broken = report.levels.iter().find_map(|level| level.broken.as_ref());
    if let Some(broken) = broken
        && report.criteria().any(|criterion| !expected.contains(criterion.id))
    {
        return Err(format!("{} does not compile\n{}", broken.package, broken.errors));
    }
    let mut wrong = Vec::new();
    for criterion in report.criteria() {
        let passed = criterion.status == Status::Passed;
        let must_fail = expected.contains(criterion.id);
        if passed && must_fail {
            wrong.push(format!("{} passes and must fail", criterion.id));
        } else if !passed && !must_fail {
            wrong.push(format!(
                "{} fails and must pass\n{}",
                criterion.id,
                told(report, criterion.id)
            ));
        }
    }
    for Sample { planted, .. } in samples {
        let (Some(says), Some(first)) = (&planted.says, planted.fails.first()) else { continue };
        let told = told(report, first);
        if !told.contains(says.as_str()) {
            wrong.push(format!("the learner is not told `{says}` for {first}, but\n{told}"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    wrong.push(format!("{VARIABLE}={} judges with the same values", report.seed));
    Err(wrong.join("\n"))
}

/// What the learner is told about a criterion.
#[must_use]
pub fn told(report: &Report, id: &str) -> String {
    if let Some(broken) = report.levels.iter().find_map(|level| level.broken.as_ref()) {
        return broken.errors.clone();
    }
    let told = report.levels.iter().find_map(|level| {
        let mut criteria = level.exercises.iter().flat_map(|exercise| &exercise.criteria);
        let criterion = criteria.find(|criterion| criterion.id == id)?;
        let place = Place { level: level.name, file: criterion.file };
        let mut text = String::new();
        explain::failure(&mut text, criterion.verdict.as_ref()?, place).ok()?;
        Some(anstream::adapter::strip_str(&text).to_string())
    });
    told.unwrap_or_default()
}
