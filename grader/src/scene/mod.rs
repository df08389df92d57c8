//! Scenes: runs of an exercise at fixed values that the report shows as pictures, beside the same run of the reference.
//!
//! A scene is played by the level's check binary, in a process of its own and under the same limits as a criterion.
//! It is worth nothing and decides nothing. All runs of a scene draw the same values, so that two pictures differ only
//! where two solutions do. The runs of the reference are recorded in `reference.json`;
//! `cargo run -q -p grader-proofs --example scenes -- --write` records them again, and a test of the proofs compares
//! them with what the reference does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use grader_protocol::{Diagnosis, Figure};
use serde::Serialize;

use crate::build::{Built, LevelBuild};
use crate::catalog::{Exercise, Scene};
use crate::report::Report;
use crate::seed::Seed;
use crate::select::Entry;
use crate::supervise::{Limits, Subject, judge};

/// The recorded runs of the reference, by the scene's id.
pub type Recorded = BTreeMap<String, Figure>;

/// The file with the recorded runs, relative to the workspace.
pub const RECORD: &str = "grader/src/scene/reference.json";

/// A scene that was played with the learner's code.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Played {
    /// `level2/race/scene/first-three`.
    pub id: &'static str,
    /// What the picture shows.
    pub title: &'static str,
    /// What the learner's code did; `null` if the scene failed.
    pub own: Option<Figure>,
    /// Why there is nothing to show.
    pub why: Option<String>,
    /// What the reference did at the same values.
    pub reference: Option<Figure>,
}

/// Plays the scenes of every exercise that is in `entries`, and adds them to the report.
pub(crate) fn add(
    report: &mut Report,
    root: &Path,
    entries: &[Entry],
    built: &Built,
    limits: &Limits,
) {
    let mut seen = BTreeSet::new();
    for entry in entries {
        let Entry { level, exercise, .. } = entry;
        if !seen.insert((level.name, exercise.name)) {
            continue;
        }
        let Some(LevelBuild::Ready { binary, .. }) = built.levels.get(level.name) else { continue };
        let Some(of_level) = report.levels.iter_mut().find(|it| it.name == level.name) else {
            continue;
        };
        let scenes = exercise.scenes.iter().map(|it| play(binary, root, exercise, it, limits));
        of_level.scenes.extend(scenes);
    }
}

/// Plays a scene with the code that `binary` was built from, in the workspace at `root`.
#[must_use]
pub fn play(
    binary: &Path,
    root: &Path,
    exercise: &Exercise,
    scene: &Scene,
    limits: &Limits,
) -> Played {
    let subject =
        Subject { id: scene.id, exercise: exercise.name, seed: Seed::of_scenes(), too_slow: None };
    let verdict = judge(binary, subject, root, limits);
    let why = verdict.fail.map(|fail| match fail.diagnosis {
        Some(Diagnosis::NotStarted) => "the exercise is not written yet".to_owned(),
        _ => fail.headline,
    });
    let own = verdict.figure.filter(|_| why.is_none());
    let why = why.or_else(|| own.is_none().then(|| "the scene showed nothing".to_owned()));
    let reference = recorded().get(scene.id).cloned();
    Played { id: scene.id, title: scene.title, own, why, reference }
}

/// The recorded runs of the reference.
pub fn recorded() -> &'static Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    // A test reads the same text: it is a record.
    RECORDED
        .get_or_init(|| serde_json::from_str(include_str!("reference.json")).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::LEVELS;

    #[test]
    fn every_scene_has_a_recorded_run_and_every_record_is_of_a_scene() {
        let text = include_str!("reference.json");
        let record: Recorded = serde_json::from_str(text).expect("a record");
        let recorded: BTreeSet<&str> = record.keys().map(String::as_str).collect();
        let scenes = LEVELS.iter().flat_map(|it| it.exercises).flat_map(|it| it.scenes);
        let known: BTreeSet<&str> = scenes.map(|scene| scene.id).collect();
        assert_eq!(recorded, known);
    }
}
