//! What a run writes: each fork's result as it is known, and the forms of the class.
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Class, ClassError, How, Progress, Shared, lock};
use crate::class::formats::{self, Row};
use crate::class::overview;
use crate::class::result::ForkResult;
use crate::class::settings::Settings;
use crate::class::similar;
use crate::class::store::Store;
use crate::submission::Files;

/// How often the gradebook is brought up to date while forks are graded.
const UPDATE: Duration = Duration::from_secs(20);

/// The rows of the gradebook so far.
pub(super) struct Board {
    /// By the place of the fork in the roster.
    pub(super) rows: BTreeMap<usize, Row>,
    graded: usize,
    start: Instant,
    updated: Instant,
}

impl Board {
    pub(super) fn new() -> Board {
        let now = Instant::now();
        Board { rows: BTreeMap::new(), graded: 0, start: now, updated: now }
    }

    /// What went before was preparation: it says nothing about the time that is left.
    pub(super) fn starts_now(&mut self) {
        self.start = Instant::now();
    }
}

/// Writes a fork's result, and reports the progress.
pub(super) fn finish(
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
            if let Some(key) = key {
                known.is_written(&key, &path);
            }
        }
    }
    let mut board = lock(&shared.board);
    board.rows.insert(at, Row::of(result, class.settings));
    board.graded += usize::from(how != How::Known);
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
pub(super) fn form(why: impl ToString) -> ClassError {
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

pub(super) fn write_class(class: &Class<'_>, board: &Board) -> Result<(), ClassError> {
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
}
