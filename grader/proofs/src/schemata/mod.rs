//! Many planted solutions in one build.
//!
//! Most planted solutions differ from the reference in the bodies of a few functions. One source tree can hold
//! them all: each such body becomes a `match` over a number, with one arm for each solution and the
//! reference's own body as the last arm. The tree is built once. The number stands in the binary, so each
//! solution is the same binary with another number, and is judged alone. The method is known from mutation
//! testing as mutant schemata (Untch, Offutt, Harrold: Mutation analysis using mutant schemata, 1993).
//!
//! What cannot stand in an arm is built alone: a changed type or signature, a `const fn`, a function that returns
//! `impl Trait`, a removed file. So is a solution that rustc refuses in the shared tree. With the number 0
//! the tree must get full marks as the reference does; where it does not, it is split.
use std::collections::{BTreeMap, BTreeSet};

use grader::build::{Built, LevelBuild};
use grader::catalog::Level;
use grader::report::{Report, Status};
use grader::select::Entry;
use grader::submission::Files;

use crate::changed::Changed;
use crate::prove::{Bench, Failure, Purpose};

mod errors;
mod merge;
mod shape;
mod switch;
#[cfg(test)]
mod tests;

use merge::Merged;
pub use merge::{Changes, Group, Shapes};
use switch::Switched;

/// So many solutions share a build at most. With 64 in place of 32 the proofs of `level4/http-client` and
/// `level5/form-validator` take 10 and 14 % less CPU time; with more, one bench would still judge when the others are
/// done.
pub const MOST_SHARED: usize = 64;

/// Solutions that were built together.
#[derive(Debug)]
pub struct Schema<'a> {
    bench: &'a Bench,
    level: &'a Level,
    reference: Files,
    switched: Switched,
    built: Built,
    /// The number of each solution, by its place in the list that was given.
    numbers: BTreeMap<usize, u32>,
}

/// Why solutions cannot be built together.
enum Refused {
    /// rustc's errors show the text of these, by their places in the list.
    Blamed(BTreeSet<usize>),
    /// One of them is in the way of the others, and which one is not known.
    Unknown,
}

/// Builds solutions together, as many as rustc accepts, and hands each to `judge` with the schema that holds it:
/// its place in the list. `entries` are the criteria that must pass where no solution is switched on. The
/// answer is the places of the solutions that cannot be built with others.
///
/// A group whose build fails for a reason that blames no solution is halved, and both halves are built.
///
/// # Errors
///
/// Those of `judge`, and when a tree cannot be laid out or cargo cannot run.
pub fn each(
    bench: &Bench,
    level: &Level,
    solutions: &[&Changed],
    entries: &[Entry],
    mut judge: impl FnMut(&mut Schema<'_>, usize) -> Result<(), Failure>,
) -> Result<Vec<usize>, Failure> {
    let shapes = Shapes::new(bench.reference(level)?);
    let mut alone = Vec::new();
    let mut open: Vec<Vec<usize>> = vec![(0..solutions.len()).collect()];
    while let Some(mut places) = open.pop() {
        if places.len() < 2 {
            alone.extend(places);
            continue;
        }
        let members: Vec<(usize, &Changed)> =
            places.iter().map(|at| (*at, solutions[*at])).collect();
        match Schema::build(bench, level, &shapes, &members, entries)? {
            Ok(mut schema) => {
                for at in places {
                    judge(&mut schema, at)?;
                }
            }
            Err(Refused::Blamed(blamed)) => {
                places.retain(|at| !blamed.contains(at));
                alone.extend(blamed);
                open.push(places);
            }
            Err(Refused::Unknown) => {
                let second = places.split_off(places.len() / 2);
                open.extend([second, places]);
            }
        }
    }
    Ok(alone)
}

impl<'a> Schema<'a> {
    /// Builds the solutions in one tree.
    fn build(
        bench: &'a Bench,
        level: &'a Level,
        shapes: &Shapes,
        members: &[(usize, &Changed)],
        entries: &[Entry],
    ) -> Result<Result<Schema<'a>, Refused>, Failure> {
        let merged = Merged::new(shapes, level, members);
        let built = bench.build(entries, level, &merged.files, Purpose::Often)?;
        match built.levels.get(level.name) {
            Some(LevelBuild::Ready { binary, .. }) => {
                let switched = Switched::copy(binary, bench.folder())?;
                let numbers = (1..).zip(members).map(|(number, (at, _))| (*at, number)).collect();
                let reference = shapes.files().clone();
                let mut schema = Schema { bench, level, reference, switched, built, numbers };
                let neutral = schema.is_neutral(entries)?;
                Ok(if neutral { Ok(schema) } else { Err(Refused::Unknown) })
            }
            Some(LevelBuild::Broken { errors, .. }) => {
                let blamed = merged.blamed(errors);
                if blamed.is_empty() {
                    let first = errors.lines().take(3).collect::<Vec<_>>().join(" ");
                    eprintln!("split, because no solution of {} is blamed: {first}", members.len());
                }
                Ok(Err(if blamed.is_empty() { Refused::Unknown } else { Refused::Blamed(blamed) }))
            }
            None => Err(format!("{} was not built", level.name).into()),
        }
    }

    /// Judges the solution at this place of the list, which the schema holds.
    ///
    /// # Errors
    ///
    /// When the solution is not there, or the system refuses a file.
    pub fn judge(
        &mut self,
        at: usize,
        solution: &Changed,
        entries: &[Entry],
    ) -> Result<Report, Failure> {
        let number = self.numbers.get(&at).ok_or("the solution was not built with the others")?;
        // The sources that the grader reads to explain a failure are the solution's own.
        let mut files = self.reference.clone();
        solution.lay(&mut files);
        self.run(*number, &files, entries)
    }

    /// Whether the reference passes, built among the others.
    fn is_neutral(&mut self, entries: &[Entry]) -> Result<bool, Failure> {
        let reference = self.reference.clone();
        let report = self.run(0, &reference, entries)?;
        let failed = report.criteria().find(|it| it.status != Status::Passed);
        if let Some(failed) = failed {
            eprintln!("split, because {} fails for the reference in a shared build", failed.id);
        }
        Ok(failed.is_none())
    }

    fn run(&mut self, number: u32, files: &Files, entries: &[Entry]) -> Result<Report, Failure> {
        let set = self.switched.set(number)?.to_path_buf();
        if let Some(LevelBuild::Ready { binary, .. }) = self.built.levels.get_mut(self.level.name) {
            *binary = set;
        }
        self.bench.judge(entries, self.level, files, &self.built)
    }
}
