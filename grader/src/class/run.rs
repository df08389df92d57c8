//! Grades the forks of a class, several at a time.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::conditions::Conditions;
use super::formats::{self, Row};
use super::lane::{Lane, LaneError, Rules};
use super::overview;
use super::result::{ForkResult, ForkStatus, LevelResult, LevelState, SCHEMA_VERSION, digest};
use super::roster::{Fork, Roster};
use super::settings::Settings;
use super::similar;
use super::store::{self, Store, StoreError};
use super::take::{Pristine, State, Taken, take};
use crate::catalog::Level;
use crate::inspect::Finding;
use crate::interrupt;
use crate::starter::FileError;
use crate::submission::{Files, ReadError};

/// How often the gradebook is brought up to date while forks are graded.
const UPDATE: Duration = Duration::from_secs(20);

/// What to grade, and how.
#[derive(Debug)]
pub struct Class<'a> {
    /// The teacher's pristine workspace.
    pub root: &'a Path,
    /// The forks.
    pub roster: &'a Roster,
    /// Which state of a git repository counts.
    pub state: State,
    /// The levels that are graded.
    pub levels: &'a [&'static Level],
    /// What the points are made of.
    pub settings: &'a Settings,
    /// Where the results go.
    pub store: &'a Store,
    /// What the marks rest on.
    pub conditions: &'a Conditions,
    /// How a fork is graded.
    pub rules: &'a Rules,
    /// How many forks are graded at a time.
    pub lanes: usize,
}

/// What goes on, for a progress display. Called from several threads.
pub trait Events: Sync {
    /// A workspace is copied and built, which takes minutes the first time.
    fn preparing(&self, lane: usize);
    /// A fork has its result.
    fn finished(&self, result: &ForkResult, how: How, progress: Progress);
}

/// How a fork came to its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Something of it was built and judged.
    Graded,
    /// Everything in it was known: from an earlier run, or from a fork with the same files.
    Known,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Forks that have a result.
    pub done: usize,
    /// All forks.
    pub all: usize,
    /// What is left of the time, as far as can be known.
    pub left: Option<Duration>,
}

/// How a run ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Forks with a result.
    pub done: usize,
    /// Forks of which nothing could be taken.
    pub unreadable: usize,
    /// Forks that the grader could not judge.
    pub not_judged: usize,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

/// The class cannot be graded.
#[derive(Debug, Error)]
pub enum ClassError {
    /// The teacher's workspace has a learner's level.
    #[error(
        "{} is a learner's clone ({} started): grade a class with a clone of the course of its own",
        .root.display(), .levels.join(", ")
    )]
    NotPristine {
        /// The workspace.
        root: PathBuf,
        /// The levels.
        levels: Vec<String>,
    },
    /// The pristine files cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The pristine workspace cannot be read.
    #[error("cannot read {}: {source}", .root.display())]
    Pristine {
        /// The workspace.
        root: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The output folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A result cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A form of output cannot be made.
    #[error("cannot write a result: {0}")]
    Form(String),
    /// No fork can be graded.
    #[error(transparent)]
    Lane(#[from] LaneError),
}

/// What the lanes share.
struct Shared<'a> {
    class: &'a Class<'a>,
    events: &'a dyn Events,
    pristine: Pristine,
    references: BTreeMap<&'static str, Files>,
    next: AtomicUsize,
    known: Mutex<Known>,
    changed: Condvar,
    board: Mutex<Board>,
    /// Target folders with other people's crates, for a new lane. One lane is made at a time.
    profiles: Mutex<Vec<PathBuf>>,
    failure: Mutex<Option<ClassError>>,
}

/// A level with the files of the hash.
type Key = (&'static str, String);

/// Which levels have been judged, and which are being judged now.
#[derive(Default)]
struct Known {
    levels: BTreeMap<Key, Place>,
    under_way: BTreeSet<Key>,
}

/// Where a judged level is: in memory until its fork's result is written.
#[derive(Clone)]
enum Place {
    Memory(Arc<LevelResult>),
    File(PathBuf),
}

/// The rows of the gradebook so far.
struct Board {
    rows: BTreeMap<usize, Row>,
    graded: usize,
    start: Instant,
    updated: Instant,
}

/// Grades the class. Each fork's result is written as it is known; the gradebook follows.
///
/// # Errors
///
/// [`ClassError`] where no fork can be graded, or nothing can be written. What is wrong with one fork is its
/// result.
pub fn run(class: &Class<'_>, events: &dyn Events) -> Result<Outcome, ClassError> {
    let root = class.root;
    let started = crate::starter::started(root).unwrap_or_default();
    if !started.is_empty() {
        let levels = started.into_iter().collect();
        return Err(ClassError::NotPristine { root: root.to_path_buf(), levels });
    }
    let pristine = Pristine::read(root)
        .map_err(|source| ClassError::Pristine { root: root.to_path_buf(), source })?;
    let mut references = BTreeMap::new();
    for level in class.levels {
        references.insert(level.name, Files::read(root, level)?.0);
    }
    let now = Instant::now();
    let shared = Shared {
        class,
        events,
        pristine,
        references,
        next: AtomicUsize::new(0),
        known: Mutex::new(known_levels(class)?),
        changed: Condvar::new(),
        board: Mutex::new(Board { rows: BTreeMap::new(), graded: 0, start: now, updated: now }),
        profiles: Mutex::new(vec![root.join("target/debug")]),
        failure: Mutex::new(None),
    };
    std::thread::scope(|scope| {
        for number in 0..class.lanes.clamp(1, class.roster.forks.len().max(1)) {
            let shared = &shared;
            scope.spawn(move || {
                if let Err(why) = work(shared, number) {
                    // The others end with the fork that they are at.
                    shared.next.store(usize::MAX / 2, Ordering::SeqCst);
                    lock(&shared.failure).get_or_insert(why);
                    shared.changed.notify_all();
                }
            });
        }
    });
    let interrupted = interrupt::is_requested();
    let board = shared.board.into_inner().unwrap_or_else(PoisonError::into_inner);
    write_class(class, &board)?;
    if !interrupted {
        write_similar(class.root, class.store, board.rows.values())?;
    }
    match shared.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(ClassError::Lane(LaneError::Interrupted)) | None => {}
        Some(why) => return Err(why),
    }
    let count = |status| board.rows.values().filter(|row| row.status == status).count();
    Ok(Outcome {
        done: board.rows.len(),
        unreadable: count(ForkStatus::Unreadable),
        not_judged: count(ForkStatus::NotJudged),
        interrupted,
    })
}

/// The levels that an earlier run has judged under the same conditions.
fn known_levels(class: &Class<'_>) -> Result<Known, ClassError> {
    let mut known = Known::default();
    for path in class.store.results()?.into_values() {
        // A result that cannot be read is written again.
        let Ok(Some(result)) = store::read(&path) else { continue };
        if result.conditions != *class.conditions {
            continue;
        }
        for level in &result.levels {
            let name = class.levels.iter().find(|known| known.name == level.name);
            if let Some(of) = name.filter(|_| is_worth_keeping(level)) {
                known.levels.insert((of.name, level.files.clone()), Place::File(path.clone()));
            }
        }
    }
    Ok(known)
}

/// Whether the same files would have the same result.
fn is_worth_keeping(level: &LevelResult) -> bool {
    let settled = matches!(
        level.state,
        LevelState::Judged | LevelState::DoesNotCompile | LevelState::Refused | LevelState::Stopped
    );
    settled && level.is_judged() && !level.files.is_empty()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One lane: a fork after the other, until there is none left.
fn work(shared: &Shared<'_>, number: usize) -> Result<(), ClassError> {
    let mut lane: Option<Lane> = None;
    loop {
        let at = shared.next.fetch_add(1, Ordering::SeqCst);
        let Some(fork) = shared.class.roster.forks.get(at) else { return Ok(()) };
        if interrupt::is_requested() {
            return Err(LaneError::Interrupted.into());
        }
        let (mut result, files) = read_fork(shared, fork);
        let how = if result.status == ForkStatus::Graded {
            judge_fork(shared, number, &mut lane, &mut result, &files)?
        } else {
            How::Known
        };
        finish(shared, at, &result, &files, how)?;
    }
}

/// The result of a fork as far as its files tell, and the files to judge.
fn read_fork(shared: &Shared<'_>, fork: &Fork) -> (ForkResult, BTreeMap<&'static str, Files>) {
    let class = shared.class;
    let mut result = ForkResult {
        schema_version: SCHEMA_VERSION,
        name: fork.name.clone(),
        status: ForkStatus::Graded,
        reason: None,
        commit: None,
        submitted: fork.submitted,
        levels: Vec::new(),
        changes: Default::default(),
        conditions: class.conditions.clone(),
    };
    let mut judged = BTreeMap::new();
    let Taken { mut levels, changes, commit } =
        match take(&fork.path, &class.state, &shared.pristine) {
            Ok(taken) => taken,
            Err(why) => {
                result.status = ForkStatus::Unreadable;
                result.reason = Some(why.to_string());
                let missing = |level: &&Level| {
                    LevelResult::without_marks(level, LevelState::Unreadable, None)
                };
                result.levels = class.levels.iter().map(missing).collect();
                return (result, judged);
            }
        };
    result.submitted = fork.submitted.or(commit.as_ref().map(|commit| commit.time));
    (result.changes, result.commit) = (changes, commit);
    for level in class.levels {
        let without = |state, words| LevelResult::without_marks(level, state, words);
        let (files, found) = match (levels.remove(level.name), shared.references.get(level.name)) {
            (Some(Ok(files)), Some(reference)) => {
                let (files, findings) = files.over(reference, level);
                let mut found = without(LevelState::NotJudged, None);
                found.files = digest(&files);
                found.is_reference = files.same_text(reference);
                found.findings = findings;
                (Some(files), found)
            }
            (Some(Err(why)), _) => (None, without(LevelState::Unreadable, Some(why))),
            (Some(Ok(_)), None) | (None, _) => (None, without(LevelState::Missing, None)),
        };
        judged.extend(files.map(|files| (level.name, files)));
        result.levels.push(found);
    }
    (result, judged)
}

/// Judges what is not known of a fork's levels.
fn judge_fork(
    shared: &Shared<'_>,
    number: usize,
    lane: &mut Option<Lane>,
    result: &mut ForkResult,
    files: &BTreeMap<&'static str, Files>,
) -> Result<How, ClassError> {
    let mut how = How::Known;
    let mut open: Vec<Key> = Vec::new();
    for level in &result.levels {
        if let Some((name, _)) = files.get_key_value(level.name.as_str()) {
            open.push((*name, level.files.clone()));
        }
    }
    let mut found: BTreeMap<&'static str, LevelResult> = BTreeMap::new();
    while !open.is_empty() {
        // Everything that no lane has begun is judged first; only then does the lane wait for others.
        let mut mine: Vec<Key> = Vec::new();
        {
            let mut known = lock(&shared.known);
            open.retain(|key| {
                match known.levels.get(key).cloned().and_then(|place| place.read(key)) {
                    Some(level) => {
                        found.insert(key.0, level);
                        false
                    }
                    None => true,
                }
            });
            for key in &open {
                // A place that could not be read is judged again.
                if known.under_way.insert(key.clone()) {
                    mine.push(key.clone());
                }
            }
            if mine.is_empty() && !open.is_empty() {
                let (guard, _) = shared
                    .changed
                    .wait_timeout(known, Duration::from_millis(200))
                    .unwrap_or_else(PoisonError::into_inner);
                drop(guard);
                if interrupt::is_requested() || lock(&shared.failure).is_some() {
                    return Err(LaneError::Interrupted.into());
                }
                continue;
            }
        }
        if mine.is_empty() {
            break;
        }
        how = How::Graded;
        let judged = judge_levels(shared, number, lane, &mine, files);
        let mut known = lock(&shared.known);
        for key in &mine {
            known.under_way.remove(key);
        }
        if let Ok(levels) = &judged {
            for (key, level) in mine.iter().zip(levels) {
                if is_worth_keeping(level) {
                    known.levels.insert(key.clone(), Place::Memory(Arc::new(level.clone())));
                }
                found.insert(key.0, level.clone());
            }
            open.retain(|key| !mine.contains(key));
        }
        drop(known);
        shared.changed.notify_all();
        judged?;
    }
    for level in &mut result.levels {
        if let Some(judged) = found.remove(level.name.as_str()) {
            let is_reference = level.is_reference;
            let findings = std::mem::take(&mut level.findings);
            *level = LevelResult { is_reference, findings, ..judged };
        }
    }
    if result.levels.iter().any(|level| !level.is_judged()) {
        result.status = ForkStatus::NotJudged;
        let words = result
            .levels
            .iter()
            .filter(|level| !level.is_judged())
            .find_map(|level| level.words.clone());
        let why = words.unwrap_or_else(|| "the grader could not judge some criteria".to_owned());
        result.reason = Some(format!("{why} Run the same command again"));
    }
    Ok(how)
}

impl Place {
    fn read(&self, key: &Key) -> Option<LevelResult> {
        match self {
            Place::Memory(level) => Some(LevelResult::clone(level)),
            Place::File(path) => {
                let result = store::read(path).ok()??;
                result.levels.into_iter().find(|level| level.name == key.0 && level.files == key.1)
            }
        }
    }
}

fn judge_levels(
    shared: &Shared<'_>,
    number: usize,
    lane: &mut Option<Lane>,
    keys: &[Key],
    files: &BTreeMap<&'static str, Files>,
) -> Result<Vec<LevelResult>, ClassError> {
    let lane = match lane {
        Some(lane) => lane,
        None => {
            let mut profiles = lock(&shared.profiles);
            if interrupt::is_requested() {
                return Err(LaneError::Interrupted.into());
            }
            shared.events.preparing(number);
            let folder = shared.class.store.work().join(format!("lane-{number}"));
            let class = shared.class;
            let made = Lane::prepare(class.root, &folder, &profiles, class.levels, class.rules)?;
            profiles.insert(0, made.profile());
            lock(&shared.board).start = Instant::now();
            lane.insert(made)
        }
    };
    let level = |name: &str| shared.class.levels.iter().copied().find(|level| level.name == name);
    let wanted: Vec<(&'static Level, &Files)> =
        keys.iter().filter_map(|(name, _)| Some((level(name)?, files.get(name)?))).collect();
    let mut found = lane.grade(&wanted, shared.class.rules)?;
    for (level, (name, hash)) in found.iter_mut().zip(keys) {
        level.files.clone_from(hash);
        if let (Some(files), Some(reference)) = (files.get(name), shared.references.get(name)) {
            level.look_at.retain(|finding| !is_the_courses(finding, name, files, reference));
        }
    }
    Ok(found)
}

/// Whether the line of a finding stands in the course's own file of that name: in what a learner begins with.
fn is_the_courses(finding: &Finding, level: &str, files: &Files, reference: &Files) -> bool {
    let below = finding.file.strip_prefix(level).and_then(|rest| rest.strip_prefix('/'));
    let text = |files: &Files| {
        let bytes = below.and_then(|path| files.get(path)).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    };
    let (own, course) = (text(files), text(reference));
    let line = own.lines().nth(finding.line.wrapping_sub(1)).map(str::trim).unwrap_or_default();
    !line.is_empty() && course.lines().any(|known| known.trim() == line)
}

/// Writes a fork's result, and reports the progress.
fn finish(
    shared: &Shared<'_>,
    at: usize,
    result: &ForkResult,
    files: &BTreeMap<&'static str, Files>,
    how: How,
) -> Result<(), ClassError> {
    let class = shared.class;
    for (level, files) in files {
        class.store.keep(&result.name, level, files)?;
    }
    write_fork(class.store, result, class.settings)?;
    {
        let path = class.store.folder(&result.name).join("result.json");
        let mut known = lock(&shared.known);
        for level in &result.levels {
            let key = files
                .get_key_value(level.name.as_str())
                .map(|(name, _)| (*name, level.files.clone()));
            if let Some(place) = key.and_then(|key| known.levels.get_mut(&key))
                && matches!(place, Place::Memory(_))
            {
                *place = Place::File(path.clone());
            }
        }
    }
    let mut board = lock(&shared.board);
    board.rows.insert(at, Row::of(result, class.settings));
    board.graded += usize::from(how == How::Graded);
    let (done, all) = (board.rows.len(), class.roster.forks.len());
    let left = time_left(board.start.elapsed(), board.graded, done, all);
    if board.updated.elapsed() > UPDATE {
        board.updated = Instant::now();
        formats::gradebook::write(class.store, &board.rows, class.settings)?;
    }
    shared.events.finished(result, how, Progress { done, all, left });
    Ok(())
}

/// A form that cannot be made.
fn form(why: impl ToString) -> ClassError {
    ClassError::Form(why.to_string())
}

/// Writes every form of a fork's result; the result itself last, since it says that the fork is done.
///
/// # Errors
///
/// [`ClassError::Form`] and [`ClassError::File`].
pub fn write_fork(
    store: &Store,
    result: &ForkResult,
    settings: &Settings,
) -> Result<(), ClassError> {
    let folder = store.folder(&result.name);
    for (name, text) in formats::of_fork(result, settings).map_err(form)? {
        store.write(&folder.join(name), &text)?;
    }
    let text = serde_json::to_string_pretty(result).map_err(form)? + "\n";
    store.write(&folder.join("result.json"), &text)?;
    Ok(())
}

fn write_class(class: &Class<'_>, board: &Board) -> Result<(), ClassError> {
    formats::gradebook::write(class.store, &board.rows, class.settings)?;
    let text = overview::render(class.store, board.rows.values(), class.settings, class.conditions);
    class.store.write(&class.store.path("class.md"), &text)?;
    Ok(())
}

/// Writes `similar.md`. The starter and the reference, with which it compares, are those of the workspace at
/// `root`.
///
/// # Errors
///
/// [`ClassError::Form`] and [`ClassError::File`].
pub fn write_similar<'a>(
    root: &Path,
    store: &Store,
    rows: impl Iterator<Item = &'a Row> + Clone,
) -> Result<(), ClassError> {
    let text = similar::report(root, store, rows).map_err(form)?;
    store.write(&store.path("similar.md"), &text)?;
    Ok(())
}

/// What is left of the time: as long for each fork as for those that were done since the lanes are ready.
fn time_left(elapsed: Duration, graded: usize, done: usize, all: usize) -> Option<Duration> {
    let left = u32::try_from(all.saturating_sub(done)).ok()?;
    let done = u32::try_from(done).ok().filter(|_| graded > 0)?;
    Some(elapsed / done.max(1) * left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_what_is_done() {
        let seconds = Duration::from_secs;
        assert_eq!(time_left(seconds(10), 0, 5, 10), None);
        assert_eq!(time_left(seconds(10), 5, 5, 10), Some(seconds(10)));
        assert_eq!(time_left(seconds(10), 2, 5, 5), Some(seconds(0)));
    }

    #[test]
    fn a_line_of_the_starter_is_nothing_to_look_at() {
        let files = |text: &str| {
            let mut files = Files::default();
            files.insert("src/race.rs", text);
            files
        };
        let reference = files("#![doc = include_str!(\"a.md\")]\nfn race() { std::env::vars() }\n");
        let own = files("\n#![doc = include_str!(\"a.md\")]\nfn race() { std::env::args() }\n");
        let finding = |line| Finding {
            file: "level2/src/race.rs".to_owned(),
            line,
            what: String::new(),
            why: String::new(),
        };
        let of_the_course =
            [0, 1, 2, 3, 4].map(|line| is_the_courses(&finding(line), "level2", &own, &reference));
        assert_eq!(of_the_course, [false, false, true, false, false]);
    }

    #[test]
    fn what_the_grader_could_not_judge_is_judged_again() {
        let level = crate::catalog::LEVELS[0];
        let mut found = LevelResult::without_marks(level, LevelState::DoesNotCompile, None);
        assert!(!is_worth_keeping(&found), "without files nothing is the same");
        found.files = "hash".to_owned();
        assert!(is_worth_keeping(&found));
        let mut lost = LevelResult::without_marks(level, LevelState::NotJudged, None);
        lost.files = "hash".to_owned();
        assert!(!is_worth_keeping(&lost));
    }
}
