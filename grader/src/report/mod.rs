//! What the grader found: the one typed result that every form of output shows.

pub mod after;
pub mod explain;
pub mod json;
pub mod scoreboard;
pub(crate) mod style;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use grader_protocol::{Diagnosis, Jail};
use serde::{Deserialize, Serialize};

use after::After;

use crate::build::{Built, LevelBuild};
use crate::catalog::{self, Criterion, Exercise, Kind};
use crate::inspect::Finding;
use crate::scene::Played;
use crate::seed::Seed;
use crate::select::Entry;
use crate::supervise::Verdict;

/// The result of one run of the grader.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The levels that were graded, in the order of the course.
    pub levels: Vec<LevelReport>,
    /// The sum over all levels.
    pub score: Score,
    /// The seed from which the checks drew their values.
    pub seed: Seed,
    /// What comes next, where every criterion that was graded is met and the learner's record is known.
    #[serde(skip)]
    pub after: Option<After>,
    /// How the judged code was confined: the weakest of all processes.
    pub jail: Jail,
    /// Real time of the nested build, in milliseconds.
    pub build_ms: u64,
    /// Real time of the judging, in milliseconds.
    pub judge_ms: u64,
}

/// Points: the assignment's and those beyond it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Points won for what the assignment asks.
    pub core: u32,
    /// Points there are for what the assignment asks.
    pub core_of: u32,
    /// Points won beyond it.
    pub bonus: u32,
    /// Points there are beyond it.
    pub bonus_of: u32,
}

/// One level.
#[derive(Debug, Serialize)]
pub struct LevelReport {
    /// `level2`.
    pub name: &'static str,
    /// One line about it.
    pub title: &'static str,
    /// What rustc refuses, if it does not compile.
    pub broken: Option<Broken>,
    /// Whether it is still the course's reference: its points are not in the report's score.
    pub untouched: bool,
    /// Whether the learner has started it, as their record says.
    #[serde(skip)]
    pub started: bool,
    /// Points of criteria that have passed in an earlier run, where the level does not compile now.
    pub won_before: Option<Score>,
    /// rustc's warnings about it.
    pub warnings: Vec<String>,
    /// What a teacher ought to look at before the grade counts.
    pub look_at: Vec<Finding>,
    /// Its exercises, in the order to work in.
    #[serde(rename = "groups")]
    pub exercises: Vec<ExerciseReport>,
    /// Runs of its exercises as pictures show them; only where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scenes: Vec<Played>,
    /// The sum over its exercises.
    pub score: Score,
}

/// Why a level does not compile.
#[derive(Debug, Clone, Serialize)]
pub struct Broken {
    /// The package that rustc refuses: the level, or the checks that call it.
    pub package: String,
    /// rustc's words, or the grader's.
    pub errors: String,
    /// Whether the grader refused to build it: its code would not be the level's own, or would answer for its values.
    pub refused: bool,
}

impl LevelReport {
    /// Why the points of a level that is still the reference are not in the score.
    pub(crate) fn why_not_counted(&self) -> Option<String> {
        let name = self.name;
        self.untouched.then(|| {
            format!(
                "the course's reference: not counted until you begin with cargo grade start {name}"
            )
        })
    }

    /// What was won before the level stopped compiling.
    pub(crate) fn won_earlier(&self) -> Option<String> {
        let won = self.won_before.as_ref()?;
        Some(format!("before it stopped compiling, it had won {won}"))
    }
}

impl Broken {
    /// What that means for the level's criteria.
    pub(crate) fn meaning(&self) -> &'static str {
        if self.refused {
            "is not judged: the grader does not build it as long as the places below stand in it"
        } else {
            "does not compile: no criterion of it could be judged"
        }
    }
}

/// One exercise.
#[derive(Debug, Serialize)]
pub struct ExerciseReport {
    /// `race`.
    pub name: &'static str,
    /// One line about it.
    pub title: &'static str,
    /// The file to write.
    pub file: &'static str,
    /// Its criteria, in the order to work in.
    pub criteria: Vec<CriterionReport>,
    /// The sum over its criteria.
    pub score: Score,
}

/// One criterion.
#[derive(Debug, Serialize)]
pub struct CriterionReport {
    /// `level2/race/returns-at-the-third`.
    pub id: &'static str,
    /// The title of the criterion.
    pub title: &'static str,
    /// The number of points.
    pub points: u32,
    /// `core` or `bonus`.
    pub kind: Kind,
    /// The file to write.
    pub file: &'static str,
    /// The status of the criterion.
    pub status: Status,
    /// The judgement; `null` if its level does not compile.
    pub verdict: Option<Verdict>,
    /// Of a criterion that is not met: the exercises of levels below that it is built on and that do not
    /// have all core points, such as `level3/retry`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<&'static str>,
}

impl CriterionReport {
    /// Whether the `todo!()` that was reached is that of a level below: what the exercise is built on is not written.
    #[must_use]
    pub fn waits_for_a_level_below(&self) -> bool {
        let fail = self.verdict.as_ref().and_then(|verdict| verdict.fail.as_ref());
        let reached = fail.and_then(|fail| fail.panics.iter().find(|panic| panic.is_todo()));
        let level = |file: &str| file.split('/').next().map(str::to_owned);
        self.status == Status::NotStarted
            && !self.unfinished.is_empty()
            && reached.is_some_and(|panic| level(&panic.file) != level(self.file))
    }
}

/// The status of a criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Met.
    Passed,
    /// The criterion is not met.
    Failed,
    /// The exercise is still the starter's `todo!()`.
    NotStarted,
    /// Its level does not compile.
    DoesNotCompile,
    /// The grader could not judge it.
    NotJudged,
}

/// As the scoreboard shows it: `3/8  + bonus 1/2`.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Score { core, core_of, bonus, bonus_of } = self;
        match (core_of, bonus_of) {
            (_, 0) => write!(f, "{core}/{core_of}"),
            (0, _) => write!(f, "bonus {bonus}/{bonus_of}"),
            _ => write!(f, "{core}/{core_of}  + bonus {bonus}/{bonus_of}"),
        }
    }
}

impl Score {
    /// Counts one criterion.
    pub(crate) fn add(&mut self, criterion: &Criterion, status: Status) {
        let won = if status == Status::Passed { criterion.points } else { 0 };
        match criterion.kind {
            Kind::Core => {
                self.core += won;
                self.core_of += criterion.points;
            }
            Kind::Bonus => {
                self.bonus += won;
                self.bonus_of += criterion.points;
            }
        }
    }

    fn sum(scores: impl Iterator<Item = Score>) -> Score {
        scores.fold(Score::default(), |a, b| Score {
            core: a.core + b.core,
            core_of: a.core_of + b.core_of,
            bonus: a.bonus + b.bonus,
            bonus_of: a.bonus_of + b.bonus_of,
        })
    }

    /// Core and bonus together: won, and in all.
    #[must_use]
    pub fn total(&self) -> (u32, u32) {
        (self.core + self.bonus, self.core_of + self.bonus_of)
    }
}

impl Report {
    /// Puts the verdicts in the catalog's order. A criterion of a level that compiles and for which
    /// there is no verdict was not judged, which is a failure.
    #[must_use]
    pub fn new(
        entries: &[Entry],
        built: &Built,
        mut verdicts: BTreeMap<&'static str, Verdict>,
        judging: Duration,
        seed: Seed,
    ) -> Report {
        let mut levels: Vec<LevelReport> = Vec::new();
        for entry in entries {
            let (broken, warnings) = match built.levels.get(entry.level.name) {
                Some(LevelBuild::Ready { warnings, .. }) => (None, warnings.clone()),
                Some(LevelBuild::Broken { package, errors, refused }) => {
                    let (package, errors) = (package.clone(), errors.clone());
                    (Some(Broken { package, errors, refused: *refused }), Vec::new())
                }
                None => (None, Vec::new()), // not built: its criteria are not judged
            };
            let verdict = verdicts.remove(entry.criterion.id);
            let status = status(broken.is_none(), verdict.as_ref());
            if levels.last().is_none_or(|level| level.name != entry.level.name) {
                levels.push(LevelReport {
                    name: entry.level.name,
                    title: entry.level.title,
                    broken,
                    warnings,
                    untouched: false,
                    started: false,
                    won_before: None,
                    look_at: Vec::new(),
                    exercises: Vec::new(),
                    scenes: Vec::new(),
                    score: Score::default(),
                });
            }
            let Some(level) = levels.last_mut() else { continue };
            if level.exercises.last().is_none_or(|last| last.name != entry.exercise.name) {
                level.exercises.push(ExerciseReport {
                    name: entry.exercise.name,
                    title: entry.exercise.title,
                    file: entry.exercise.file,
                    criteria: Vec::new(),
                    score: Score::default(),
                });
            }
            let Some(exercise) = level.exercises.last_mut() else { continue };
            exercise.score.add(entry.criterion, status);
            exercise.criteria.push(CriterionReport {
                id: entry.criterion.id,
                title: entry.criterion.title,
                points: entry.criterion.points,
                kind: entry.criterion.kind,
                file: entry.criterion.file,
                status,
                verdict,
                unfinished: Vec::new(),
            });
        }
        for level in &mut levels {
            level.score = Score::sum(level.exercises.iter().map(|exercise| exercise.score));
        }
        let score = Score::sum(levels.iter().map(|level| level.score));
        let mut report = Report {
            levels,
            score,
            seed,
            after: None,
            jail: Jail::Syscalls,
            build_ms: millis(built.took),
            judge_ms: millis(judging),
        };
        let weakest = |c: &CriterionReport| {
            c.verdict.as_ref().is_some_and(|v| v.virtual_us > 0 && v.jail == Jail::None)
        };
        if report.criteria().any(weakest) {
            report.jail = Jail::None;
        }
        report.name_unfinished(|_| false);
        report
    }

    /// Names at each criterion that is not met what it is built on and does not have all core points. This report says which
    /// criteria are met; `is_open` is asked about those that it does not have.
    pub fn name_unfinished(&mut self, is_open: impl Fn(&str) -> bool) {
        let met: BTreeMap<&str, bool> = self
            .criteria()
            .map(|criterion| (criterion.id, criterion.status == Status::Passed))
            .collect();
        let is_open = |criterion: &Criterion| {
            met.get(criterion.id).map_or_else(|| is_open(criterion.id), |met| !met)
        };
        for level in &mut self.levels {
            let Some(known) = catalog::level(level.name) else { continue };
            for exercise in &mut level.exercises {
                let below = known.exercises.iter().filter(|it| it.name == exercise.name);
                let open = below.flat_map(Exercise::below).filter(|(_, exercise)| {
                    let mut core = exercise.criteria.iter().filter(|it| it.kind == Kind::Core);
                    core.any(is_open)
                });
                let unfinished: Vec<_> = open.map(|(full, _)| full).collect();
                let failed = exercise.criteria.iter_mut().filter(|it| it.status != Status::Passed);
                failed.for_each(|criterion| criterion.unfinished.clone_from(&unfinished));
            }
        }
    }

    /// Leaves the levels that are not the learner's own out of the score, unless there is no other one.
    pub fn leave_out(&mut self, untouched: &BTreeSet<String>) {
        for level in &mut self.levels {
            level.untouched = untouched.contains(level.name);
        }
        let own = || self.levels.iter().filter(|level| !level.untouched);
        if own().next().is_some() {
            self.score = Score::sum(own().map(|level| level.score));
        }
    }

    /// Says of each level that does not compile what it had won before: `passed` knows the criteria that
    /// have passed in an earlier run.
    pub fn remember_won(&mut self, passed: impl Fn(&str) -> bool) {
        for level in self.levels.iter_mut().filter(|level| level.broken.is_some()) {
            let mut won = Score::default();
            for criterion in level.exercises.iter().flat_map(|exercise| &exercise.criteria) {
                let points = if passed(criterion.id) { criterion.points } else { 0 };
                match criterion.kind {
                    Kind::Core => won.core += points,
                    Kind::Bonus => won.bonus += points,
                }
            }
            (won.core_of, won.bonus_of) = (level.score.core_of, level.score.bonus_of);
            level.won_before = (won.core + won.bonus > 0).then_some(won);
        }
    }

    /// All criteria, in the catalog's order.
    pub fn criteria(&self) -> impl Iterator<Item = &CriterionReport> {
        self.levels
            .iter()
            .flat_map(|level| &level.exercises)
            .flat_map(|exercise| &exercise.criteria)
    }

    /// Whether every core criterion is met.
    #[must_use]
    pub fn has_full_core_marks(&self) -> bool {
        self.score.core == self.score.core_of
    }

    /// Whether the grader itself failed somewhere.
    #[must_use]
    pub fn has_not_judged(&self) -> bool {
        self.criteria().any(|criterion| criterion.status == Status::NotJudged)
    }
}

fn status(compiles: bool, verdict: Option<&Verdict>) -> Status {
    let Some(verdict) = verdict else {
        return if compiles { Status::NotJudged } else { Status::DoesNotCompile };
    };
    let diagnosis = verdict.fail.as_ref().and_then(|fail| fail.diagnosis.as_ref());
    match diagnosis {
        _ if verdict.passed() => Status::Passed,
        Some(Diagnosis::NotStarted) => Status::NotStarted,
        _ if verdict.is_not_judged() => Status::NotJudged,
        _ => Status::Failed,
    }
}

/// A number with its word: `1 criterion`, `2 criteria`.
#[must_use]
pub fn count(number: usize, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
