//! Which planted solutions are built and judged together.
//!
//! A batch is one source tree with several solutions in it. Its criteria must fail exactly where its
//! solutions say, and that proves each of them if no failure can hide another one. So two wrong solutions
//! share a batch only when they change different modules and neither changes a module that a criterion of
//! the other one can see ([`Influence`]). Those that name a trial are alone: a trial sees everything.
//! Right solutions share a batch when they change different modules: there, nothing may fail.
use std::collections::BTreeSet;

use grader::catalog::{Level, module_of};
use grader::select::{Entry, SelectError, select};
use grader::submission::Files;

use crate::changed::Changed;
use crate::influence::Influence;
use crate::planted::edit::Reference;
use crate::planted::{Planted, PlantedError};
use crate::schemata::{Group, Shapes};

/// A planted solution and what it changes.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The solution.
    pub planted: Planted,
    /// What it changes.
    pub changed: Changed,
}

impl Sample {
    /// Applies the solution to the reference.
    ///
    /// # Errors
    ///
    /// [`PlantedError`] when it does not fit.
    pub fn new(
        planted: Planted,
        reference: &Reference,
        level: &Level,
    ) -> Result<Sample, PlantedError> {
        let files = planted.files(reference, level)?;
        let changed = Changed::between(reference.files(), &files);
        Ok(Sample { planted, changed })
    }

    fn is_right(&self) -> bool {
        self.planted.fails.is_empty()
    }

    /// The criteria that it must fail and that cannot see what it changes: the solution is wrong about
    /// them, or [`Influence`] is.
    pub fn unseen(&self, influence: &Influence) -> Vec<&'static str> {
        let unseen = |id: &&str| {
            let exercise = id.split('/').nth(1).unwrap_or(id);
            !self.changed.modules().any(|module| influence.sees(exercise, module))
        };
        self.planted.fails.iter().copied().filter(unseen).collect()
    }
}

/// Solutions that are proved together, and the criteria that judge them.
#[derive(Debug)]
pub struct Batch {
    /// The solutions.
    pub samples: Vec<Sample>,
    /// The criteria, in the order of the course.
    pub criteria: Vec<Entry>,
}

impl Batch {
    /// Solutions that are judged together, by [`criteria_of`] them.
    ///
    /// # Errors
    ///
    /// [`SelectError`] when the catalog does not have the level.
    pub fn of_many(
        samples: Vec<Sample>,
        level: &Level,
        influence: &Influence,
    ) -> Result<Batch, SelectError> {
        let criteria = criteria_of(&samples, level, influence)?;
        Ok(Batch { samples, criteria })
    }
}

/// The criteria that judge solutions together: those that one of them must fail, and those about a
/// module that one of them changes, without the trials and the races. Other criteria may be about what stands
/// on the changed module: which of them fail with it, and at which seed, says nothing about the grader.
/// Where no criterion is about the changed modules, all that can see them judge. Right solutions are judged by
/// every criterion.
///
/// # Errors
///
/// [`SelectError`] when the catalog does not have the level.
pub fn criteria_of(
    samples: &[Sample],
    level: &Level,
    influence: &Influence,
) -> Result<Vec<Entry>, SelectError> {
    let mut criteria = select(&[level.name.to_owned()])?;
    let modules: BTreeSet<&str> =
        samples.iter().flat_map(|sample| sample.changed.modules()).collect();
    let right = samples.iter().any(Sample::is_right);
    let owns = |entry: &Entry| modules.contains(module_of(entry.criterion.file));
    let owned = criteria.iter().any(owns);
    criteria.retain(|entry| {
        let named = samples.iter().any(|s| s.planted.fails.contains(&entry.criterion.id));
        let sees = || modules.iter().any(|it| influence.sees(entry.exercise.name, it));
        let judges = if owned { owns(entry) } else { sees() };
        right || named || (judges && !entry.exercise.trial && !entry.criterion.races)
    });
    Ok(criteria)
}

/// What was found about each of several things.
type Settled<T> = Vec<(T, Result<(), String>)>;

/// Judges all of a row of solutions at once. Where they do not behave as they say, judges each half, and so
/// on, until each solution has a verdict: its own, or that of a part of the row that behaves as it says.
///
/// # Errors
///
/// When `judge` cannot judge.
pub fn settle<T, E>(
    row: Vec<T>,
    mut judge: impl FnMut(&[T]) -> Result<Result<(), String>, E>,
) -> Result<Settled<T>, E> {
    let mut settled = Vec::new();
    let mut open = vec![row];
    while let Some(mut part) = open.pop() {
        let verdict = judge(&part)?;
        if verdict.is_err() && part.len() > 1 {
            let second = part.split_off(part.len() / 2);
            open.extend([second, part]);
        } else {
            settled.extend(part.into_iter().map(|one| (one, verdict.clone())));
        }
    }
    Ok(settled)
}

/// Sorts solutions into groups that share a build (see [`schemata`](crate::schemata)), and those that need one of
/// their own. A group has at most `most` solutions.
///
/// A build holds the checks that one of its solutions needs. So solutions of the same modules come together, and
/// those of other modules only fill up what is left of a group.
#[must_use]
pub fn shared<T>(
    mut solutions: Vec<T>,
    changed: impl Fn(&T) -> &Changed,
    reference: &Files,
    most: usize,
) -> (Vec<Vec<T>>, Vec<T>) {
    let shapes = Shapes::new(reference.clone());
    let mut groups: Vec<(Group, Vec<T>)> = Vec::new();
    let mut alone = Vec::new();
    solutions.sort_by_cached_key(|solution| {
        changed(solution).modules().map(str::to_owned).collect::<BTreeSet<String>>()
    });
    for solution in solutions {
        let Some(changes) = shapes.of(changed(&solution)) else {
            alone.push(solution);
            continue;
        };
        let place =
            groups.iter_mut().find_map(|(group, it)| group.add(&changes, most).then_some(it));
        if let Some(members) = place {
            members.push(solution);
            continue;
        }
        let mut group = Group::default();
        if group.add(&changes, most) {
            groups.push((group, vec![solution]));
        } else {
            alone.push(solution);
        }
    }
    let (groups, single): (Vec<_>, Vec<_>) =
        groups.into_iter().map(|(_, members)| members).partition(|members| members.len() > 1);
    alone.extend(single.into_iter().flatten());
    (groups, alone)
}

/// A solution and the exercises of the criteria that judge it, of a right one none: nothing may fail for it.
struct Judged {
    sample: Sample,
    exercises: BTreeSet<&'static str>,
}

impl Judged {
    fn new(sample: Sample, level: &Level, influence: &Influence) -> Result<Judged, SelectError> {
        let exercises = if sample.is_right() {
            BTreeSet::new()
        } else {
            let criteria = criteria_of(std::slice::from_ref(&sample), level, influence)?;
            criteria.iter().map(|entry| entry.exercise.name).collect()
        };
        Ok(Judged { sample, exercises })
    }

    /// Whether a criterion that judges it could fail for the other one.
    fn is_seen_where(&self, other: &Judged, influence: &Influence) -> bool {
        let sees = |exercise| other.sample.changed.modules().any(|it| influence.sees(exercise, it));
        self.exercises.iter().any(|exercise| sees(exercise))
    }

    /// Whether both can be proved in one tree.
    fn goes_with(&self, other: &Judged, influence: &Influence) -> bool {
        let modules: BTreeSet<&str> = self.sample.changed.modules().collect();
        self.sample.is_right() == other.sample.is_right()
            && other.sample.changed.modules().all(|module| !modules.contains(module))
            && !self.is_seen_where(other, influence)
            && !other.is_seen_where(self, influence)
    }
}

/// Sorts solutions into batches. The same solutions always make the same batches.
///
/// # Errors
///
/// [`SelectError`] when the catalog does not have the level.
pub fn batches(
    samples: Vec<Sample>,
    level: &Level,
    influence: &Influence,
) -> Result<Vec<Batch>, SelectError> {
    let mut groups: Vec<Vec<Judged>> = Vec::new();
    for sample in samples {
        let judged = Judged::new(sample, level, influence)?;
        let fits =
            |batch: &&mut Vec<Judged>| batch.iter().all(|other| judged.goes_with(other, influence));
        match groups.iter_mut().find(fits) {
            Some(batch) => batch.push(judged),
            None => groups.push(vec![judged]),
        }
    }
    let samples = |group: Vec<Judged>| group.into_iter().map(|judged| judged.sample).collect();
    groups.into_iter().map(|group| Batch::of_many(samples(group), level, influence)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::convert::Infallible;

    use super::settle;

    /// A solution: what it says that it fails, what it does fail alone, and what it hides.
    type Fake = (&'static str, &'static [u8], &'static [u8], &'static [u8]);

    /// Settles fakes; the names of those that are not as they say, and how often they were judged.
    fn refused(fakes: &[Fake]) -> (Vec<&'static str>, usize) {
        let mut judged = 0;
        let settled = settle::<_, Infallible>(fakes.to_vec(), |part| {
            judged += 1;
            let all = |pick: fn(&Fake) -> &'static [u8]| -> BTreeSet<u8> {
                part.iter().flat_map(pick).copied().collect()
            };
            let (says, fails, hides) = (all(|f| f.1), all(|f| f.2), all(|f| f.3));
            let seen: BTreeSet<u8> = &fails - &hides;
            Ok(if seen == says { Ok(()) } else { Err("something else".to_owned()) })
        });
        let Ok(settled) = settled;
        (settled.into_iter().filter(|(_, v)| v.is_err()).map(|(f, _)| f.0).collect(), judged)
    }

    #[test]
    fn what_behaves_as_it_says_is_judged_once() {
        let fakes: [Fake; 3] =
            [("a", &[1], &[1], &[]), ("b", &[2], &[2], &[]), ("c", &[3], &[3], &[])];
        assert_eq!(refused(&fakes), (vec![], 1));
    }

    #[test]
    fn the_culprit_alone_is_refused() {
        let fakes: [Fake; 4] = [
            ("a", &[1], &[1], &[]),
            ("dead", &[2], &[], &[]),
            ("c", &[3], &[3], &[]),
            ("d", &[4], &[4], &[]),
        ];
        assert_eq!(refused(&fakes), (vec!["dead"], 5));
        let fakes: [Fake; 3] =
            [("a", &[1], &[1], &[]), ("b", &[2], &[2], &[]), ("too much", &[3], &[3, 9], &[])];
        assert_eq!(refused(&fakes).0, ["too much"]);
    }

    #[test]
    fn one_that_hides_another_is_told_apart() {
        let fakes: [Fake; 2] = [("hidden", &[1], &[1], &[]), ("hides", &[2], &[2], &[1])];
        assert_eq!(refused(&fakes), (vec![], 3));
    }
}
