//! `cargo run -q -p grader-proofs --example variants -- LEVEL DIR [FILTER]` grades solutions that the grader
//! has not met before, and counts what slips through.
//!
//! `DIR/wrong` holds wrong solutions and `DIR/right` right ones, in the form of planted solutions without
//! `fails` and `says`. The key `breaks` (`"core"` or `"bonus"`) says which criteria the contract has for the clause
//! that a wrong solution breaks. The last lines are the figures of a round in grader/README.md: wrong solutions with
//! full marks, those that only bonus criteria catch, how many of these break a core clause, and right solutions
//! below full marks. A solution that does not compile or does not fit the reference counts in neither.
//!
//! A wrong solution is judged by the criteria about the modules that it changes, then by the others of its level,
//! and at the end by the trials, which take most of the time: as far as its place in the figures is open.
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use grader::catalog::{Kind, Level, level, module_of};
use grader::report::{CriterionReport, Report, Status};
use grader::select::{Entry, select};
use grader::submission::Files;
use grader_proofs::batch::shared;
use grader_proofs::changed::Changed;
use grader_proofs::planted::edit::Reference;
use grader_proofs::planted::{Planted, unknown};
use grader_proofs::prove::{Bench, Failure, told};
use grader_proofs::schemata::{MOST_SHARED, each};

#[derive(Debug, Default)]
struct Counts {
    wrong: usize,
    full_marks: usize,
    bonus_only: usize,
    /// Of those that only bonus criteria catch: those that break a core clause.
    core_missed: usize,
    right: usize,
    right_below: usize,
    invalid: usize,
}

fn main() -> Result<ExitCode, Failure> {
    grader::interrupt::install();
    let given: Vec<String> = std::env::args().skip(1).collect();
    let (name, dir, filter) = match given.as_slice() {
        [name, dir] => (name, dir, ""),
        [name, dir, filter] => (name, dir, filter.as_str()),
        _ => return Err("usage: variants LEVEL DIR [FILTER]".into()),
    };
    let Some(level) = level(name) else {
        return Err(format!("there is no level `{name}`").into());
    };
    let root = grader::workspace::find(&std::env::current_dir()?)?;
    let reference = Reference::new(Files::read(&root, level)?.0);
    let bench = Bench::new(&root, &root.join("target/tmp/variants"))?;
    let mut counts = Counts::default();
    let mut solutions = Vec::new();
    for solution in unknown(Path::new(dir))?.into_iter().filter(|it| it.name.contains(filter)) {
        match solution.files(&reference, level) {
            Ok(files) => {
                let changed = Changed::between(reference.files(), &files);
                solutions.push(Variant { solution, changed });
            }
            Err(why) => counts.invalid(&solution, &why.to_string()),
        }
    }
    let (rest, trials) = criteria(level)?;
    let mut open = Vec::new();
    let mut place = |variant: &Variant, verdict: Verdict, counts: &mut Counts| {
        if verdict.is_open && !trials.is_empty() {
            let caught: Vec<&str> = lost(&verdict.report).iter().map(|one| one.id).collect();
            let name = &variant.solution.name;
            eprintln!("{name}: left to the trials; lost so far: [{}]", caught.join(", "));
            open.push((variant.clone(), Rc::new(verdict.report)));
        } else {
            counts.add(&variant.solution, &verdict.report);
        }
    };
    let builds = Builds { bench: &bench, level, reference: reference.files() };
    builds.each(
        solutions,
        |variant| &variant.changed,
        &rest,
        |variant, judge| {
            let verdict = decide(variant, &rest, judge)?;
            match verdict.report.levels.iter().find_map(|level| level.broken.as_ref()) {
                Some(broken) => {
                    let why = format!("does not compile\n{}", broken.errors);
                    counts.invalid(&variant.solution, &why);
                }
                None => place(variant, verdict, &mut counts),
            }
            Ok(())
        },
    )?;
    // A build holds the checks that it is asked for: the trials have builds of their own, for what is still open.
    builds.each(
        open,
        |(variant, _)| &variant.changed,
        &trials,
        |(variant, before), judge| {
            let tried = judge(&trials)?;
            counts.add(&variant.solution, weightier(&variant.solution, before, &tried));
            Ok(())
        },
    )?;
    let Counts { wrong, full_marks, bonus_only, core_missed, right, right_below, invalid } = counts;
    println!(
        "\nwrong: {wrong}, with full marks {full_marks}, caught by bonus only {bonus_only} ({core_missed} of them \
         break a core clause)\n\
         right: {right}, below full marks {right_below}\ninvalid: {invalid}"
    );
    Ok(ExitCode::from(u8::from(full_marks + right_below > 0)))
}

/// Judges a solution by some of the criteria that it was built for.
type Judge<'a> = &'a mut dyn FnMut(&[Entry]) -> Result<Report, Failure>;

/// Where solutions are built.
struct Builds<'a> {
    bench: &'a Bench,
    level: &'static Level,
    reference: &'a Files,
}

impl Builds<'_> {
    /// Builds solutions for `entries`, those that can share a build together and the others alone, and hands each to
    /// `with`.
    fn each<T: Clone>(
        &self,
        solutions: Vec<T>,
        changed: impl Fn(&T) -> &Changed,
        entries: &[Entry],
        mut with: impl FnMut(&T, Judge<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (groups, mut alone) = shared(solutions, &changed, self.reference, MOST_SHARED);
        for group in groups {
            let changes: Vec<&Changed> = group.iter().map(&changed).collect();
            let unshared = each(self.bench, self.level, &changes, entries, |schema, at| {
                with(&group[at], &mut |some| schema.judge(at, changes[at], some))
            })?;
            alone.extend(unshared.into_iter().map(|at| group[at].clone()));
        }
        for solution in alone {
            let mut files = self.reference.clone();
            changed(&solution).lay(&mut files);
            with(&solution, &mut |some| self.bench.grade_by(some, self.level, &files))?;
        }
        Ok(())
    }
}

/// A solution and what it changes.
#[derive(Clone)]
struct Variant {
    solution: Planted,
    changed: Changed,
}

/// What the criteria that are no trials say of a solution.
struct Verdict {
    report: Report,
    /// Whether the trials may still change its place in the figures.
    is_open: bool,
}

/// Judges a solution by the criteria that are no trials, until its place in the figures is clear.
fn decide(
    Variant { solution, changed }: &Variant,
    rest: &[Entry],
    judge: Judge<'_>,
) -> Result<Verdict, Failure> {
    if !is_wrong(solution) {
        let report = judge(rest)?;
        let is_open = lost(&report).is_empty();
        return Ok(Verdict { report, is_open });
    }
    let modules: BTreeSet<&str> = changed.modules().collect();
    let (own, others): (Vec<Entry>, Vec<Entry>) =
        rest.iter().partition(|entry| modules.contains(module_of(entry.criterion.file)));
    // Where no core criterion is about the modules, none catches what a bonus criterion catches.
    let has_core = own.iter().any(|entry| entry.criterion.kind == Kind::Core);
    let mut bonus_only = None;
    let mut last = None;
    for entries in [own.as_slice(), others.as_slice()] {
        if entries.is_empty() || bonus_only.is_some() && !has_core {
            continue;
        }
        let report = judge(entries)?;
        let lost = lost(&report);
        if lost.iter().any(|criterion| criterion.kind == Kind::Core) {
            return Ok(Verdict { report, is_open: false });
        }
        if lost.is_empty() {
            last = Some(report);
        } else {
            bonus_only.get_or_insert(report);
        }
    }
    let is_open = bonus_only.is_none() || has_core;
    let report = bonus_only.or(last).ok_or("the level has no criteria but trials")?;
    Ok(Verdict { report, is_open })
}

/// The report that decides about a solution: that of the trials, unless bonus criteria have caught a wrong one before
/// and the trials add no core criterion.
fn weightier<'a>(solution: &Planted, before: &'a Report, tried: &'a Report) -> &'a Report {
    let has_core = lost(tried).iter().any(|criterion| criterion.kind == Kind::Core);
    if is_wrong(solution) && !has_core && !lost(before).is_empty() { before } else { tried }
}

fn is_wrong(solution: &Planted) -> bool {
    solution.name.starts_with("wrong")
}

/// The criteria of a level: those that are no trials, and the trials.
fn criteria(level: &Level) -> Result<(Vec<Entry>, Vec<Entry>), Failure> {
    let entries = select(&[level.name.to_owned()])?;
    let (trials, rest) = entries.into_iter().partition(|entry| entry.exercise.trial);
    Ok((rest, trials))
}

impl Counts {
    /// Counts a solution that cannot be judged.
    fn invalid(&mut self, solution: &Planted, why: &str) {
        println!("{}: INVALID, {why}", solution.name);
        self.invalid += 1;
    }

    /// Counts a solution that was judged and prints a line about it, with the message that a reader has to
    /// judge below.
    fn add(&mut self, solution: &Planted, report: &Report) {
        let name = &solution.name;
        let lost = lost(report);
        let is_wrong = is_wrong(solution);
        *(if is_wrong { &mut self.wrong } else { &mut self.right }) += 1;
        let core = lost.iter().any(|criterion| criterion.kind == Kind::Core);
        let verdict = match (is_wrong, lost.is_empty(), core) {
            (true, true, _) => {
                self.full_marks += 1;
                "FULL MARKS"
            }
            (true, false, false) => {
                self.bonus_only += 1;
                if solution.breaks == Some(Kind::Core) {
                    self.core_missed += 1;
                    "caught by bonus only, but breaks a core clause"
                } else {
                    "caught by bonus only"
                }
            }
            (true, false, true) => "caught",
            (false, true, _) => "full marks",
            (false, false, _) => {
                self.right_below += 1;
                "BELOW FULL MARKS"
            }
        };
        println!("{name}: {verdict} ({})", solution.why);
        for criterion in &lost {
            println!("    {} {:?}", criterion.id, criterion.kind);
        }
        for line in lost.first().map(|first| told(report, first.id)).unwrap_or_default().lines() {
            println!("    | {line}");
        }
    }
}

fn lost(report: &Report) -> Vec<&CriterionReport> {
    report.criteria().filter(|criterion| criterion.status != Status::Passed).collect()
}
