//! Grades the forks of a class, several at a time.
mod fork;
mod known;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;

use super::conditions::Conditions;
use super::lane::{Lane, LaneError, Rules};
use super::result::{ForkResult, ForkStatus};
use super::roster::Roster;
use super::settings::Settings;
use super::store::{Store, StoreError};
use super::take::{Pristine, State};
use crate::catalog::Level;
use crate::interrupt;
use crate::starter::FileError;
use crate::submission::{Files, ReadError};
use fork::{judge_fork, read_fork};
use known::{Known, known_levels};
use write::{Board, finish, write_class};
pub use write::{write_fork, write_similar};

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
    Graded {
        /// CPU time that it took, the compiler's included; zero where it cannot be known.
        cpu: Duration,
    },
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
    /// What a learner begins with, for forks of an older course.
    blanks: Mutex<BTreeMap<&'static str, Arc<Files>>>,
    next: AtomicUsize,
    known: Mutex<Known>,
    changed: Condvar,
    board: Mutex<Board>,
    /// Target folders with other people's crates, for a new lane. One lane is made at a time.
    profiles: Mutex<Vec<PathBuf>>,
    failure: Mutex<Option<ClassError>>,
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
    let shared = Shared {
        class,
        events,
        pristine,
        references,
        blanks: Mutex::default(),
        next: AtomicUsize::new(0),
        known: Mutex::new(known_levels(class)?),
        changed: Condvar::new(),
        board: Mutex::new(Board::new()),
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
