//! The page of a fork, for a browser.

use minijinja::value::Serde;
use minijinja::{Error, context};

use crate::catalog;
use crate::class::marks::{is_won, marks, points, remarks};
use crate::class::result::{CriterionResult, ForkResult, LevelResult};
use crate::class::settings::Settings;
use crate::page::environment;
use crate::page::view::{Criterion, Exercise, Failure, Level};
use crate::report::{Score, Status};

use super::gradebook::status;

/// The page of a fork, with the points that these settings give.
pub(super) fn render(result: &ForkResult, settings: &Settings) -> Result<String, Error> {
    let marks = marks(result, settings);
    let levels = result.levels.iter().zip(&marks.levels);
    let levels: Vec<Level<'_>> =
        levels.map(|(level, marks)| of_level(level, marks.score, settings)).collect();
    let look_at = result.levels.iter().flat_map(|level| &level.look_at);
    environment()?.get_template("fork.html")?.render(context! {
        levels => Serde(levels),
        name => result.name.as_str(),
        status => status(result.status),
        total => points(marks.total),
        of => points(marks.of),
        remarks => remarks(result, &marks),
        commit => result.commit.as_ref().map(|commit| format!("{} of {}", commit.id, commit.time)),
        look_at => look_at.map(ToString::to_string).collect::<Vec<_>>(),
        conditions => Serde(&result.conditions),
    })
}

/// Criteria that do not count are left out.
fn of_level<'a>(level: &'a LevelResult, score: Score, settings: &Settings) -> Level<'a> {
    let mut exercises: Vec<Exercise<'a>> = Vec::new();
    for criterion in level.criteria.iter().filter(|it| settings.counts(&it.id)) {
        let name = criterion.id.split('/').nth(1).unwrap_or(&criterion.id);
        if exercises.last().is_none_or(|last| last.name != name) {
            exercises.push(Exercise::new(&level.name, name, &criterion.file));
        }
        if let Some(exercise) = exercises.last_mut() {
            let won = is_won(level, &criterion.id, criterion.status, settings);
            exercise.add(of_criterion(criterion), won);
        }
    }
    let mut notes = Vec::new();
    if level.is_reference {
        notes.push("Its files are the course's reference.".to_owned());
    }
    Level {
        name: &level.name,
        title: catalog::level(&level.name).map_or("", |known| known.title),
        score,
        notes,
        words: level.words.as_deref(),
        exercises,
    }
}

fn of_criterion(criterion: &CriterionResult) -> Criterion<'_> {
    let failed = criterion.status == Status::Failed;
    let failure = failed.then(|| Failure {
        headline: criterion.headline.as_deref(),
        message: Some(criterion.message.as_str()).filter(|message| !message.is_empty()),
        ..Failure::default()
    });
    Criterion {
        id: &criterion.id,
        title: &criterion.title,
        points: criterion.points,
        kind: criterion.kind,
        status: criterion.status,
        failure,
        hints: &[],
    }
}
