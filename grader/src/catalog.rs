//! What is graded: pure data, generated at build time from the files of `grader/criteria`. How each
//! criterion is judged stands in `grader/checks/levelN`.
use std::collections::BTreeSet;

/// One level of the course.
#[derive(Debug)]
pub struct Level {
    /// The package's name, which is also its folder: `level2`.
    pub name: &'static str,
    /// One line for the scoreboard.
    pub title: &'static str,
    /// The package whose benchmarks compare a finished level.
    pub bench: &'static str,
    /// What the course provides below `src/`: files, or folders with a slash at their end, relative to
    /// the level's folder. A starter leaves them as they are and a submission cannot replace them.
    /// Everything else below `src/` is the learner's.
    pub provided: &'static [&'static str],
    /// In the order in which they are best worked on.
    pub exercises: &'static [Exercise],
}

impl Level {
    /// The levels below whose code a solution uses.
    #[must_use]
    pub fn below(&self) -> BTreeSet<&'static str> {
        let foundations = self.exercises.iter().flat_map(|exercise| exercise.foundation);
        foundations.filter_map(|full| Some(full.split_once('/')?.0)).collect()
    }

    /// Whether the course provides this file, named relative to the level's folder: `src/lib.rs`.
    #[must_use]
    pub fn provides(&self, path: &str) -> bool {
        self.provided.iter().any(|provided| match provided.strip_suffix('/') {
            Some(folder) => path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
            None => *provided == path,
        })
    }
}

/// One thing to write, usually a module, with its criteria: a strategy, a style, a pattern.
#[derive(Debug)]
pub struct Exercise {
    /// The middle part of the criteria's ids: `race`.
    pub name: &'static str,
    /// One line for the scoreboard.
    pub title: &'static str,
    /// The file to write, relative to the workspace: `level2/src/race.rs`.
    pub file: &'static str,
    /// Whether its criteria try everything at once: whole gateways under load, a fault at every call, a
    /// crash at every point, random scripts. A trial fails for a fault of any part, beside the
    /// criterion that is about it.
    pub trial: bool,
    /// The exercises of levels below whose code a solution uses: `level3/retry`.
    pub foundation: &'static [&'static str],
    /// The steps of its lesson, in Markdown: the first column of its table "What to write".
    pub steps: &'static [&'static str],
    /// The contract: what a right solution promises, in the order of the clauses' numbers.
    pub clauses: &'static [Clause],
    /// In the order in which a learner should meet them.
    pub criteria: &'static [Criterion],
    /// What the report shows of it in pictures.
    pub scenes: &'static [Scene],
}

/// A run of an exercise at fixed values that the report shows as a picture. It is worth nothing.
#[derive(Debug)]
pub struct Scene {
    /// As the check binary knows it: `level2/race/scene/page`.
    pub id: &'static str,
    /// What the picture shows.
    pub title: &'static str,
}

impl Exercise {
    /// The exercises of the foundation, each with its full name.
    pub fn below(&self) -> impl Iterator<Item = (&'static str, &'static Exercise)> {
        self.foundation.iter().filter_map(|full| {
            let (above, name) = full.split_once('/')?;
            let exercise = level(above)?.exercises.iter().find(|exercise| exercise.name == name)?;
            Some((*full, exercise))
        })
    }

    /// The numbers of the clauses that a criterion judges, and their texts.
    pub fn clauses_of(&self, id: &str) -> impl Iterator<Item = (usize, &'static Clause)> {
        let numbered = self.clauses.iter().enumerate().map(|(at, clause)| (at + 1, clause));
        numbered.filter(move |(_, clause)| clause.criteria.contains(&id))
    }
}

/// One promise that a right solution keeps.
#[derive(Debug)]
pub struct Clause {
    /// The promise, in Markdown.
    pub text: &'static str,
    /// The ids of the criteria that judge it; never empty.
    pub criteria: &'static [&'static str],
}

/// One thing that a solution must do, judged on its own.
#[derive(Debug)]
pub struct Criterion {
    /// `level2/race/returns-at-the-third`.
    pub id: &'static str,
    /// What is demanded, as a short clause: "returns at the third success".
    pub title: &'static str,
    /// The number of points.
    pub points: u32,
    /// Whether the assignment asks for it or it goes beyond.
    pub kind: Kind,
    /// The file to write, relative to the workspace; mostly the exercise's.
    pub file: &'static str,
    /// The row of the table "What to write" in its lesson that wins it, counted from 0; one more than the last row for a
    /// criterion that stands in none.
    pub step: usize,
    /// How much CPU time a right solution may need in a debug build, where the usual limit is too low:
    /// about four times what the reference takes.
    pub cpu_seconds: Option<u64>,
    /// The help where the solution reaches the limit of CPU time, for a criterion about the cost of a call.
    pub too_slow: Option<&'static str>,
    /// Whether it looks for races: it meets a fault at some interleavings of its threads and not at others.
    pub races: bool,
    /// The demand in full, with its source in the assignment.
    pub requirement: &'static str,
    /// One to three hints, each saying more than the one before.
    pub hints: &'static [&'static str],
    /// Where to read: a heading of the level's README, a documentation page.
    pub read: &'static [&'static str],
}

/// Whether a criterion counts for the assignment as given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The assignment asks for it.
    Core,
    /// It goes beyond the assignment and is scored apart.
    Bonus,
}

/// Every level, in the order of the course.
pub const LEVELS: &[&Level] = include!(concat!(env!("OUT_DIR"), "/catalog.rs"));

/// Criteria whose id has changed, the old id and the one that it has now: `grader/criteria/renamed.toml`.
pub const RENAMED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/renamed.rs"));

/// The id that a criterion has now, where `id` is one that it had; `id` itself otherwise.
#[must_use]
pub fn current_id(id: &str) -> &str {
    RENAMED.iter().find(|(from, _)| *from == id).map_or(id, |(_, to)| to)
}

/// The level called `name`; a slash at its end does not count.
#[must_use]
pub fn level(name: &str) -> Option<&'static Level> {
    LEVELS.iter().find(|level| level.name == name.trim_end_matches('/')).copied()
}

/// The module that a file of a level belongs to: `breaker` for `src/breaker/core.rs`, relative to the
/// level's folder or to the workspace.
#[must_use]
pub fn module_of(file: &str) -> &str {
    let below = file.split_once("src/").map_or(file, |(_, below)| below);
    below.split('/').next().map_or(below, |first| first.strip_suffix(".rs").unwrap_or(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_belong_to_modules() {
        assert_eq!(module_of("src/race.rs"), "race");
        assert_eq!(module_of("src/breaker/core.rs"), "breaker");
        assert_eq!(module_of("level3/src/breaker/core.rs"), "breaker");
    }

    #[test]
    fn an_old_id_leads_to_a_criterion_and_no_criterion_has_one() {
        let ids = || LEVELS.iter().flat_map(|it| it.exercises).flat_map(|it| it.criteria);
        for (from, to) in RENAMED {
            assert!(ids().all(|criterion| criterion.id != *from), "{from}");
            assert!(ids().any(|criterion| criterion.id == *to), "{to}");
            assert_eq!(current_id(from), *to);
        }
        assert_eq!(current_id("level2/race/of-my-own"), "level2/race/of-my-own");
    }

    #[test]
    fn a_criterion_knows_the_row_of_its_lesson() {
        let criteria = || LEVELS.iter().flat_map(|level| level.exercises).flat_map(|e| e.criteria);
        let step = |id| criteria().find(|criterion| criterion.id == id).map(|it| it.step);
        assert_eq!(step("level3/saga/runs-in-order"), Some(0));
        assert!(step("level3/saga/undoes-the-unknown") > step("level3/saga/contains-panics"));
    }

    /// The kernel ends a check process at its own limit, which says less than the grader does.
    #[test]
    fn the_grader_stops_a_criterion_before_the_kernel_does() {
        let criteria = LEVELS.iter().flat_map(|level| level.exercises).flat_map(|e| e.criteria);
        for criterion in criteria {
            let seconds = criterion.cpu_seconds.unwrap_or_default();
            assert!(
                seconds < grader_protocol::limits::CPU_SECONDS,
                "{}: {seconds} s",
                criterion.id
            );
        }
    }
}
