//! What the templates show.

use grader_protocol::Event;
use serde::Serialize;

use super::plot::{self, Picture, Row, rows};
use crate::catalog::{self, Exercise as CatalogExercise, Kind};
use crate::report::{
    CriterionReport, ExerciseReport, LevelReport, Score, Status, explain, explain::Fact,
};

/// One level.
#[derive(Debug, Serialize)]
pub(crate) struct Level<'a> {
    pub(crate) name: &'a str,
    pub(crate) title: &'a str,
    pub(crate) score: Score,
    /// What a reader has to know before the points: it does not compile, or is the reference.
    pub(crate) notes: Vec<String>,
    /// The compiler's words.
    pub(crate) words: Option<&'a str>,
    pub(crate) exercises: Vec<Exercise<'a>>,
}

/// One exercise.
#[derive(Debug, Serialize)]
pub(crate) struct Exercise<'a> {
    pub(crate) name: &'a str,
    pub(crate) title: &'a str,
    pub(crate) file: &'a str,
    pub(crate) won: u32,
    pub(crate) of: u32,
    pub(crate) bonus: bool,
    /// Whether something in it is to be read: it is shown open.
    pub(crate) failed: bool,
    pub(crate) criteria: Vec<Criterion<'a>>,
}

/// One criterion.
#[derive(Debug, Serialize)]
pub(crate) struct Criterion<'a> {
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) points: u32,
    pub(crate) kind: Kind,
    pub(crate) status: Status,
    pub(crate) failure: Option<Failure<'a>>,
    pub(crate) hints: &'a [&'a str],
}

/// A failure: as parts where the run is available, as text where only the result is.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Failure<'a> {
    pub(crate) headline: Option<&'a str>,
    pub(crate) facts: Vec<Fact>,
    /// What was expected and what was observed, where a picture shows it.
    pub(crate) pictures: Vec<Picture>,
    /// The timeline as a picture.
    pub(crate) chart: Option<String>,
    pub(crate) rows: Vec<Row<'a>>,
    pub(crate) more: usize,
    pub(crate) message: Option<&'a str>,
}

impl<'a> Level<'a> {
    pub(crate) fn of_report(level: &'a LevelReport) -> Self {
        let broken = level.broken.as_ref();
        let meaning = broken.map(|broken| broken.meaning().to_owned());
        let notes = [level.why_not_counted(), meaning, level.won_earlier()];
        Level {
            name: level.name,
            title: level.title,
            score: level.score,
            notes: notes.into_iter().flatten().collect(),
            words: broken.map(|broken| broken.errors.as_str()),
            exercises: level.exercises.iter().map(|it| of_report(level.name, it)).collect(),
        }
    }
}

/// The level whose failures are about services that call one another: who called whom says more than how long it took.
const SEQUENCES: &str = "level3";

fn of_timeline(level: &str, events: &[Event]) -> Option<String> {
    let sequence = if level == SEQUENCES { plot::sequence(events) } else { None };
    sequence.or_else(|| plot::timeline(events))
}

fn of_report<'a>(level: &'a str, exercise: &'a ExerciseReport) -> Exercise<'a> {
    let known = known(level, exercise.name);
    let hints = |id: &str| -> &'static [&'static str] {
        let mut criteria = known.into_iter().flat_map(|exercise| exercise.criteria);
        criteria.find(|criterion| criterion.id == id).map_or(&[], |criterion| criterion.hints)
    };
    let mut view = Exercise::new(level, exercise.name, exercise.file);
    for criterion in &exercise.criteria {
        let won = criterion.status == Status::Passed;
        view.add(Criterion::of_report(level, criterion, hints(criterion.id)), won);
    }
    view
}

/// The exercise in the catalog. A result of another version of the course may have one that is not there.
fn known(level: &str, exercise: &str) -> Option<&'static CatalogExercise> {
    catalog::level(level)?.exercises.iter().find(|known| known.name == exercise)
}

impl<'a> Exercise<'a> {
    /// Without criteria; title and file are the catalog's where it has the exercise.
    pub(crate) fn new(level: &str, name: &'a str, file: &'a str) -> Self {
        let known = known(level, name);
        let (title, file) = known.map_or((name, file), |known| (known.title, known.file));
        Exercise {
            name,
            title,
            file,
            won: 0,
            of: 0,
            bonus: true,
            failed: false,
            criteria: Vec::new(),
        }
    }

    /// Adds a criterion and its points.
    pub(crate) fn add(&mut self, criterion: Criterion<'a>, won: bool) {
        self.of += criterion.points;
        self.won += if won { criterion.points } else { 0 };
        self.bonus &= criterion.kind == Kind::Bonus;
        self.failed |= criterion.failure.is_some();
        self.criteria.push(criterion);
    }
}

impl<'a> Criterion<'a> {
    fn of_report(level: &str, criterion: &'a CriterionReport, hints: &'a [&'a str]) -> Self {
        let verdict = criterion.verdict.as_ref();
        let shown = matches!(criterion.status, Status::Failed | Status::NotJudged);
        let failure = verdict.filter(|_| shown).and_then(|verdict| {
            let fail = verdict.fail.as_ref()?;
            let place = explain::Place { level, file: criterion.file };
            let (rows, more) = rows(&fail.timeline);
            Some(Failure {
                headline: Some(&fail.headline),
                facts: explain::unfinished(criterion)
                    .into_iter()
                    .chain(explain::facts(verdict, fail, place))
                    .collect(),
                pictures: fail.figure.as_deref().map(plot::of_failure).unwrap_or_default(),
                chart: of_timeline(level, &fail.timeline),
                rows,
                more,
                message: None,
            })
        });
        Criterion {
            id: criterion.id,
            title: criterion.title,
            points: criterion.points,
            kind: criterion.kind,
            status: criterion.status,
            hints: if failure.is_some() { hints } else { &[] },
            failure,
        }
    }
}
