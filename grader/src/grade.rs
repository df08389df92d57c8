//! Builds and judges: from a selection of criteria to a report.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::build::{self, BuildError, Built, LevelBuild, Part, Step};
use crate::catalog;
use crate::inspect::suspicious;
use crate::report::Report;
use crate::scene;
use crate::seed::Seed;
use crate::select::Entry;
use crate::submission::Files;
use crate::supervise::{Limits, Subject, Verdict, judge};

/// Told about what goes on, for a progress display. Called from several threads.
pub trait Progress: Sync {
    /// The nested cargo begins.
    fn building(&self, parts: &[Part]) {
        let _ = parts;
    }
    /// The nested cargo has finished a package.
    fn built(&self, package: &str) {
        let _ = package;
    }
    /// The nested cargo has nothing to tell for a while, and why.
    fn waiting(&self, why: &str) {
        let _ = why;
    }
    /// The judging begins.
    fn judging(&self, criteria: usize) {
        let _ = criteria;
    }
    /// One criterion is judged.
    fn judged(&self, entry: &Entry, verdict: &Verdict) {
        let _ = (entry, verdict);
    }
}

/// Ignores every notification.
#[derive(Debug)]
pub struct Quiet;

impl Progress for Quiet {}

/// Builds what `entries` need and judges each of them with the values of `seed`.
///
/// # Errors
///
/// [`BuildError`] when cargo could not even try.
pub fn grade(
    root: &Path,
    entries: &[Entry],
    options: &build::Options,
    limits: &Limits,
    seed: Seed,
    progress: &dyn Progress,
) -> Result<Report, BuildError> {
    let built = build(root, entries, options, progress)?;
    Ok(judge_and_look(root, entries, &built, limits, seed, progress))
}

/// As [`grade`], and plays the scenes of the same exercises: the report has what its pictures show.
///
/// # Errors
///
/// As [`grade`].
pub fn grade_with_scenes(
    root: &Path,
    entries: &[Entry],
    options: &build::Options,
    limits: &Limits,
    seed: Seed,
    progress: &dyn Progress,
) -> Result<Report, BuildError> {
    let built = build(root, entries, options, progress)?;
    let mut report = judge_and_look(root, entries, &built, limits, seed, progress);
    scene::add(&mut report, root, entries, &built, limits);
    Ok(report)
}

fn judge_and_look(
    root: &Path,
    entries: &[Entry],
    built: &Built,
    limits: &Limits,
    seed: Seed,
    progress: &dyn Progress,
) -> Report {
    let mut report = judge_built(root, entries, built, limits, seed, progress);
    for level in &mut report.levels {
        // Files that cannot be read have not been compiled either.
        if let Some(known) = catalog::level(level.name)
            && let Ok((files, _)) = Files::read(root, known)
        {
            level.look_at = suspicious(root, known, &files);
        }
    }
    report
}

/// Builds what `entries` need.
///
/// # Errors
///
/// [`BuildError`] when cargo could not even try.
pub fn build(
    root: &Path,
    entries: &[Entry],
    options: &build::Options,
    progress: &dyn Progress,
) -> Result<Built, BuildError> {
    let parts = Part::of(entries, options.breadth);
    progress.building(&parts);
    build::build(root, &parts, options, &mut |step| match step {
        Step::Built(package) => progress.built(package),
        Step::Waiting(why) => progress.waiting(why),
    })
}

/// Judges `entries` by what was built for them, with the values of `seed`. The sources at `root` are those
/// that it was built from. The report does not say what a teacher should look at.
pub fn judge_built(
    root: &Path,
    entries: &[Entry],
    built: &Built,
    limits: &Limits,
    seed: Seed,
    progress: &dyn Progress,
) -> Report {
    let judging = Instant::now();
    progress.judging(entries.len());
    let verdicts = judge_all(root, entries, built, limits, seed, progress);
    Report::new(entries, built, verdicts, judging.elapsed(), seed)
}

/// Judges the entries whose level compiles, as many at a time as there are cores. An entry without
/// a verdict is one whose level does not compile.
fn judge_all(
    root: &Path,
    entries: &[Entry],
    built: &Built,
    limits: &Limits,
    seed: Seed,
    progress: &dyn Progress,
) -> BTreeMap<&'static str, Verdict> {
    let ready: Vec<(&Entry, &Path)> = entries
        .iter()
        .filter_map(|entry| match built.levels.get(entry.level.name)? {
            LevelBuild::Ready { binary, .. } => Some((entry, binary.as_path())),
            LevelBuild::Broken { .. } => None,
        })
        .collect();
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(BTreeMap::new());
    let work = || {
        while let Some((entry, binary)) = ready.get(next.fetch_add(1, Ordering::Relaxed)) {
            let limits = limits.of(entry.criterion);
            let verdict = judge(binary, Subject::of(entry, seed), root, &limits);
            progress.judged(entry, &verdict);
            let mut verdicts = verdicts.lock().unwrap_or_else(PoisonError::into_inner);
            verdicts.insert(entry.criterion.id, verdict);
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(ready.len()) {
            scope.spawn(work);
        }
    });
    verdicts.into_inner().unwrap_or_else(PoisonError::into_inner)
}
