//! Records what the reference does in the scenes of the report.
use std::path::Path;

use grader::build::{LevelBuild, Options};
use grader::grade::{Quiet, build};
use grader::scene::{Recorded, play};
use grader::select::{Entry, all};
use grader::supervise::Limits;

use crate::prove::Failure;

/// Builds the levels of the workspace at `root`, whose reference has to be in place, and plays every scene.
///
/// # Errors
///
/// When a level does not compile, or a scene fails.
pub fn record(root: &Path) -> Result<Recorded, Failure> {
    let mut entries: Vec<Entry> = all().filter(|entry| !entry.exercise.scenes.is_empty()).collect();
    entries.dedup_by_key(|entry| (entry.level.name, entry.exercise.name));
    let built = build(root, &entries, &Options::default(), &Quiet)?;
    let mut recorded = Recorded::new();
    for Entry { level, exercise, .. } in entries {
        let Some(LevelBuild::Ready { binary, .. }) = built.levels.get(level.name) else {
            return Err(format!("{} does not compile", level.name).into());
        };
        for scene in exercise.scenes {
            let played = play(binary, root, exercise, scene, &Limits::default());
            let why = || played.why.clone().unwrap_or_default();
            let figure = played.own.ok_or_else(|| format!("{}: {}", scene.id, why()))?;
            recorded.insert(scene.id.to_owned(), figure);
        }
    }
    Ok(recorded)
}
