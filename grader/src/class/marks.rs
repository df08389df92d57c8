//! From what was judged to points: what counts, what it weighs, what lateness costs.
use super::moment::Moment;
use super::result::{ForkResult, ForkStatus, LevelResult, LevelState};
use super::settings::{Late, Settings};
use crate::catalog::Kind;
use crate::report::{Score, Status};

/// Seconds of a day.
const DAY: i64 = 86_400;

/// The points of a fork.
#[derive(Debug, Clone, PartialEq)]
pub struct Marks {
    /// Points in all, after weights and lateness.
    pub total: f64,
    /// The total of a fork with every core point, without bonus.
    pub of: f64,
    /// In the order of the course.
    pub levels: Vec<LevelMarks>,
    /// Days after the due time, each that has begun; `None` where nothing says when it was handed in.
    pub late_days: Option<u32>,
    /// What is left of the total, from 0 to 1.
    pub kept: f64,
}

/// The points of a level, not weighed.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelMarks {
    /// `level2`.
    pub name: String,
    /// What counts of it.
    pub score: Score,
}

/// The points of a fork under these settings.
#[must_use]
pub fn marks(result: &ForkResult, settings: &Settings) -> Marks {
    let levels: Vec<LevelMarks> = result
        .levels
        .iter()
        .map(|level| LevelMarks { name: level.name.clone(), score: score(level, settings) })
        .collect();
    let (mut won, mut of) = (0.0, 0.0);
    for level in &levels {
        let weight = settings.weight(&level.name);
        won +=
            weight * (f64::from(level.score.core) + settings.bonus * f64::from(level.score.bonus));
        of += weight * f64::from(level.score.core_of);
    }
    let (late_days, kept) = match &settings.late {
        None => (Some(0), 1.0),
        Some(late) => match result.submitted {
            None => (None, 1.0),
            Some(submitted) => lateness(late, &result.name, submitted),
        },
    };
    Marks { total: won * kept, of, levels, late_days, kept }
}

/// Whether a criterion is worth points here: it passed, it counts, and the level is the learner's.
#[must_use]
pub fn is_won(level: &LevelResult, id: &str, status: Status, settings: &Settings) -> bool {
    let own = !level.is_reference || settings.reference_counts;
    status == Status::Passed && own && settings.counts(id)
}

fn score(level: &LevelResult, settings: &Settings) -> Score {
    let mut score = Score::default();
    for criterion in level.criteria.iter().filter(|criterion| settings.counts(&criterion.id)) {
        let won = is_won(level, &criterion.id, criterion.status, settings);
        let points = if won { criterion.points } else { 0 };
        match criterion.kind {
            Kind::Core => {
                score.core += points;
                score.core_of += criterion.points;
            }
            Kind::Bonus => {
                score.bonus += points;
                score.bonus_of += criterion.points;
            }
        }
    }
    score
}

/// Days late, and what is left of the total.
fn lateness(late: &Late, name: &str, submitted: Moment) -> (Option<u32>, f64) {
    let seconds = (submitted.0 - late.due.0).max(0);
    let days = u32::try_from((seconds + DAY - 1) / DAY).unwrap_or(u32::MAX);
    let extension = late.extensions.get(name).copied().unwrap_or_default();
    let most = late.most_days.map(|most| most.saturating_add(extension));
    let kept = if most.is_some_and(|most| days > most) {
        0.0
    } else {
        let counted = days.saturating_sub(late.free_days.saturating_add(extension));
        (1.0 - f64::from(counted) * late.percent_per_day / 100.0).max(0.0)
    };
    (Some(days), kept)
}

/// A number of points: at most two digits after the point, and none that is not needed.
#[must_use]
pub fn points(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What a teacher should know about a fork before its points, in a few words each.
#[must_use]
pub fn remarks(result: &ForkResult, marks: &Marks) -> Vec<String> {
    let mut remarks: Vec<String> = result.reason.iter().cloned().collect();
    if result.status == ForkStatus::Unreadable {
        return remarks;
    }
    for level in &result.levels {
        let name = &level.name;
        match level.state {
            LevelState::Judged if level.is_reference => {
                remarks.push(format!("{name} is the course's reference"));
            }
            LevelState::Judged => {}
            LevelState::DoesNotCompile => remarks.push(format!("{name} does not compile")),
            LevelState::Refused => remarks.push(format!("{name} takes in what is not its own")),
            LevelState::Missing => remarks.push(format!("{name} is missing")),
            LevelState::Unreadable => remarks.push(format!("{name} cannot be read")),
            LevelState::Stopped => remarks.push(format!("{name} took too long")),
            LevelState::NotJudged => remarks.push(format!("{name} could not be judged")),
        }
        if !level.look_at.is_empty() {
            remarks.push(format!("{name}: {} to look at", level.look_at.len()));
        }
    }
    match marks.late_days {
        None => remarks.push("when it was handed in is not known".to_owned()),
        Some(0) => {}
        Some(days) => {
            let lost = points((1.0 - marks.kept) * 100.0);
            remarks.push(format!(
                "{} late, less {lost} %",
                crate::report::count(days as usize, "day", "days")
            ));
        }
    }
    remarks
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::class::formats::tests::example;

    fn late() -> Late {
        let extensions = BTreeMap::from([("bruno".to_owned(), 2)]);
        Late { due: Moment(0), free_days: 1, percent_per_day: 10.0, most_days: Some(3), extensions }
    }

    #[test]
    fn a_day_counts_when_it_has_begun_and_free_days_cost_nothing() {
        for (name, seconds, days, kept) in [
            ("anna", -5, 0, 1.0),
            ("anna", 0, 0, 1.0),
            ("anna", 1, 1, 1.0),
            ("anna", DAY, 1, 1.0),
            ("anna", DAY + 1, 2, 0.9),
            ("anna", 3 * DAY, 3, 0.8),
            ("anna", 3 * DAY + 1, 4, 0.0),
            ("bruno", 3 * DAY + 1, 4, 0.9),
            ("bruno", 9 * DAY, 9, 0.0),
        ] {
            assert_eq!(
                lateness(&late(), name, Moment(seconds)),
                (Some(days), kept),
                "{name} {seconds}"
            );
        }
    }

    #[test]
    fn weights_exclusions_and_bonus_make_the_total() {
        let mut fork = example("anna");
        let plain = marks(&fork, &Settings::default());
        let core: u32 = fork.levels.iter().map(|level| level.score.core).sum();
        assert_eq!(plain.total, f64::from(core));
        let one = &fork.levels[0];
        let passed =
            one.criteria.iter().find(|c| c.status == Status::Passed && c.kind == Kind::Core);
        let passed = passed.expect("a passed core criterion").clone();
        let without = Settings { exclude: vec![passed.id.clone()], ..Settings::default() };
        let less = marks(&fork, &without);
        assert_eq!(less.total, plain.total - f64::from(passed.points));
        assert_eq!(less.of, plain.of - f64::from(passed.points));
        let double =
            Settings { weights: BTreeMap::from([(one.name.clone(), 2.0)]), ..Settings::default() };
        assert_eq!(marks(&fork, &double).total, plain.total + f64::from(one.score.core));
        let bonus: u32 = fork.levels.iter().map(|level| level.score.bonus).sum();
        let with_bonus = marks(&fork, &Settings { bonus: 0.5, ..Settings::default() });
        assert_eq!(with_bonus.total, plain.total + 0.5 * f64::from(bonus));
        assert_eq!(with_bonus.of, plain.of);

        fork.levels.iter_mut().for_each(|level| level.is_reference = true);
        assert_eq!(marks(&fork, &Settings::default()).total, 0.0);
        let counts = Settings { reference_counts: true, ..Settings::default() };
        assert_eq!(marks(&fork, &counts).total, plain.total);
    }

    #[test]
    fn points_are_written_with_the_digits_that_they_need() {
        assert_eq!(
            [0.0, 12.0, 7.5, 1.0 / 3.0, 100.0].map(points),
            ["0", "12", "7.5", "0.33", "100"]
        );
    }

    #[test]
    fn an_unknown_time_costs_nothing_and_is_remarked() {
        let mut fork = example("anna");
        fork.submitted = None;
        let settings = Settings { late: Some(late()), ..Settings::default() };
        let found = marks(&fork, &settings);
        assert_eq!((found.late_days, found.kept), (None, 1.0));
        assert!(remarks(&fork, &found).iter().any(|remark| remark.contains("not known")));
        fork.submitted = Some(Moment(2 * DAY));
        let found = marks(&fork, &settings);
        assert!(remarks(&fork, &found).contains(&"2 days late, less 10 %".to_owned()));
    }
}
