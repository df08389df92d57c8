//! Which levels of which files have been judged: by an earlier run, by another lane, or for the same files of
//! another fork.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Class, ClassError};
use crate::class::result::{LevelResult, LevelState};
use crate::class::store;

/// A level with the files of the hash.
pub(super) type Key = (&'static str, String);

/// Which levels have been judged, and which are being judged now.
#[derive(Default)]
pub(super) struct Known {
    levels: BTreeMap<Key, Place>,
    under_way: BTreeSet<Key>,
}

/// Where a judged level is: in memory until its fork's result is written.
enum Place {
    Memory(Arc<LevelResult>),
    File(PathBuf),
}

/// The levels that an earlier run has judged under the same conditions.
pub(super) fn known_levels(class: &Class<'_>) -> Result<Known, ClassError> {
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

impl Known {
    /// The result of a level with these files. One whose file can be read no more is not known.
    pub(super) fn find(&self, (name, files): &Key) -> Option<LevelResult> {
        match self.levels.get(&(*name, files.clone()))? {
            Place::Memory(level) => Some(LevelResult::clone(level)),
            Place::File(path) => {
                let result = store::read(path).ok()??;
                result.levels.into_iter().find(|level| level.name == *name && level.files == *files)
            }
        }
    }

    /// Marks a level as one that is being judged. False if another lane judges it.
    pub(super) fn begin(&mut self, key: &Key) -> bool {
        self.under_way.insert(key.clone())
    }

    /// A level is not being judged any more.
    pub(super) fn end(&mut self, key: &Key) {
        self.under_way.remove(key);
    }

    /// Keeps a result in memory, if the same files would have the same one again.
    pub(super) fn keep(&mut self, key: &Key, level: &LevelResult) {
        if is_worth_keeping(level) {
            self.levels.insert(key.clone(), Place::Memory(Arc::new(level.clone())));
        }
    }

    /// The result stands in this file now, so it need not stay in memory.
    pub(super) fn is_written(&mut self, key: &Key, path: &Path) {
        if let Some(place) = self.levels.get_mut(key)
            && matches!(place, Place::Memory(_))
        {
            *place = Place::File(path.to_path_buf());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
