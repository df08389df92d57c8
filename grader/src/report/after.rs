//! What comes after full marks.
use crate::catalog::{self, LEVELS, Level};

/// What a learner does next who has met every criterion that was graded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Goes on with the exercise that was graded, of which criteria that were not graded are open.
    Same {
        /// The level: `level2`.
        level: &'static str,
        /// The exercise: `race`.
        exercise: &'static str,
    },
    /// Goes on with the first exercise of the level that is not complete.
    Exercise {
        /// The level: `level2`.
        level: &'static str,
        /// The exercise: `race`.
        exercise: &'static str,
    },
    /// Has completed the level.
    Level(&'static str),
}

/// How much of a level is won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Won {
    /// All core points.
    Core,
    /// All points.
    All,
}

impl After {
    /// The exercise of `level` to go on with, by the criteria that are met: one with open core criteria comes first,
    /// and of several the one that was `graded`.
    #[must_use]
    pub fn of(level: &'static Level, graded: &str, is_met: impl Fn(&str) -> bool) -> Self {
        let open = |core_only: bool| {
            let is_open = |exercise: &&catalog::Exercise| {
                let mut criteria = exercise.criteria.iter();
                criteria.any(|it| (it.kind == catalog::Kind::Core || !core_only) && !is_met(it.id))
            };
            let same = level.exercises.iter().filter(|exercise| exercise.name == graded);
            same.chain(level.exercises).find(is_open)
        };
        match open(true).or_else(|| open(false)) {
            None => After::Level(level.name),
            Some(same) if same.name == graded => {
                After::Same { level: level.name, exercise: same.name }
            }
            Some(next) => After::Exercise { level: level.name, exercise: next.name },
        }
    }

    /// What to type; `None` after the last level.
    #[must_use]
    pub fn command(self) -> Option<String> {
        match self {
            After::Same { level, exercise } => Some(format!("cargo grade {level}/{exercise}")),
            After::Exercise { level, exercise } => {
                Some(format!("cargo grade lesson {level}/{exercise}"))
            }
            After::Level(name) => Some(format!("cargo grade start {}", above(name)?)),
        }
    }
}

/// The level that follows.
fn above(name: &str) -> Option<&'static str> {
    let at = LEVELS.iter().position(|level| level.name == name)?;
    LEVELS.get(at + 1).map(|level| level.name)
}

/// Congratulates in one line, and says with what to compare.
#[must_use]
pub fn congratulation(name: &str, won: Won) -> String {
    let reached = match won {
        Won::Core => "has all core points",
        Won::All => "is complete",
    };
    let bench = catalog::level(name).map_or("", |level| level.bench);
    format!(
        "{name} {reached}: congratulations! Compare it: cargo bench -p {bench}; read other right solutions: \
         grader/planted/{name}/right"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_exercise_is_the_first_with_open_core_criteria() {
        let level = LEVELS[1];
        let is_bonus = |id: &str| {
            level
                .exercises
                .iter()
                .flat_map(|it| it.criteria)
                .any(|criterion| criterion.id == id && criterion.kind == catalog::Kind::Bonus)
        };
        let after = After::of(level, "sequential", |id| id.starts_with("level2/sequential/"));
        assert_eq!(after, After::Exercise { level: "level2", exercise: "parallel" });
        assert_eq!(after.command().as_deref(), Some("cargo grade lesson level2/parallel"));
        // Of the exercise that was graded, one criterion was graded: the others of it come first.
        let after = After::of(level, "race", |id| id == "level2/race/returns-at-the-third");
        assert_eq!(after, After::Same { level: "level2", exercise: "race" });
        assert_eq!(after.command().as_deref(), Some("cargo grade level2/race"));
        let after = After::of(level, "sequential", |id| {
            !is_bonus(id) || id.starts_with("level2/sequential/")
        });
        assert!(matches!(after, After::Exercise { .. }), "bonus criteria are open: {after:?}");
        let after = After::of(level, "race", |_| true);
        assert_eq!(after.command().as_deref(), Some("cargo grade start level3"));
        let last = LEVELS.last().expect("a level");
        assert_eq!(After::Level(last.name).command(), None);
    }

    #[test]
    fn what_a_finished_level_is_pointed_to_exists() {
        let root = crate::workspace::of_this_run().expect("the workspace");
        for level in LEVELS {
            let folder = match level.bench.strip_suffix("-bench") {
                Some(name) => root.join(name).join("bench/Cargo.toml"),
                None => root.join(level.bench).join("benches"),
            };
            assert!(folder.exists(), "{}", folder.display());
            assert!(root.join("grader/planted").join(level.name).join("right").is_dir());
            assert!(congratulation(level.name, Won::All).contains(level.bench));
        }
    }
}
