//! `.ci/mutants [LEVEL ...] [--resume]` judges the mutants of the levels and writes grader/mutants.md.
//!
//! Needs cargo-mutants, which makes the mutants (`cargo install cargo-mutants --locked`). Results are written
//! to `target/mutants/LEVEL.jsonl` as they come; `--resume` judges only what is missing there, which is right
//! only if nothing has changed since. The table is about every level that has results.
//!
//! `grader/mutants-accepted.txt` lists the mutants that may live, each with its reason; the exit code is 1 when
//! any other one lives.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::thread::{available_parallelism, scope};

use clap::Parser;
use grader::catalog::{LEVELS, Level, level};
use grader::select::{Entry, select};
use grader::submission::Files;
use grader_proofs::batch::shared;
use grader_proofs::changed::Changed;
use grader_proofs::influence::Influence;
use grader_proofs::mutants::{Fate, Mutant};
use grader_proofs::prove::{Bench, Failure};
use grader_proofs::schemata::{MOST_SHARED, each};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
struct Arguments {
    /// The levels; all of them if none is named
    levels: Vec<String>,
    /// Keep the results that are there, and judge only the other mutants
    #[arg(long)]
    resume: bool,
}

/// One line of the results.
#[derive(Serialize, Deserialize)]
struct Judged {
    name: String,
    place: String,
    fate: Fate,
}

fn main() -> Result<ExitCode, Failure> {
    grader::interrupt::install();
    let arguments = Arguments::parse();
    let root = grader::workspace::find(&std::env::current_dir()?)?;
    let results = root.join("target/mutants");
    fs::create_dir_all(&results)?;
    for name in &arguments.levels {
        if level(name).is_none() {
            return Err(format!("there is no level `{name}`").into());
        }
    }
    let wanted = |level: &Level| {
        arguments.levels.is_empty() || arguments.levels.iter().any(|it| it == level.name)
    };
    for level in LEVELS.iter().filter(|level| wanted(level)) {
        let path = results.join(format!("{}.jsonl", level.name));
        if !arguments.resume && path.exists() {
            fs::remove_file(&path)?;
        }
        run(&root, level, &path)?;
    }
    let (table, unexplained) = table(&root, &results)?;
    fs::write(root.join("grader/mutants.md"), table)?;
    Ok(if unexplained == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Judges the mutants of a level that have no result yet.
fn run(root: &Path, level: &'static Level, path: &Path) -> Result<(), Failure> {
    let known: Vec<String> = read(path)?.into_iter().map(|judged| judged.place).collect();
    let mut open = listed(root, level)?;
    let all = open.len();
    open.retain(|(mutant, _)| !known.contains(&mutant.place));
    eprintln!("{}: {all} mutants, {} to judge", level.name, open.len());
    let reference = Files::read(root, level)?.0;
    let (mut rows, alone) = shared(open, |(_, changed)| changed, &reference, MOST_SHARED);
    rows.extend(alone.into_iter().map(|one| vec![one]));
    rows.reverse();
    let influence = Influence::read(root, level)?;
    let results =
        Results { file: Mutex::new(File::options().create(true).append(true).open(path)?) };
    let rows = Mutex::new(rows);
    let benches = available_parallelism().map_or(1, usize::from);
    scope(|scope| {
        let work = |number: usize| -> Result<(), Failure> {
            let bench = Bench::new(root, &root.join(format!("target/tmp/mutants-{number}")))?;
            loop {
                let next = rows.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(row) = next else { return Ok(()) };
                judge(&bench, level, &influence, row, &results)?;
            }
        };
        let threads: Vec<_> =
            (0..benches).map(|number| scope.spawn(move || work(number))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("a bench panicked".into())))
    })
}

/// Judges mutants in one build, and alone those that cannot share it.
fn judge(
    bench: &Bench,
    level: &'static Level,
    influence: &Influence,
    row: Vec<(Mutant, Changed)>,
    results: &Results,
) -> Result<(), Failure> {
    let entries: Vec<Entry> = select(&[level.name.to_owned()])?
        .into_iter()
        .filter(|entry| !entry.exercise.trial)
        .collect();
    let changed: Vec<&Changed> = row.iter().map(|(_, changed)| changed).collect();
    let alone = each(bench, level, &changed, &entries, |schema, at| {
        let (mutant, changed) = &row[at];
        results.add(mutant, mutant.judge_in(schema, at, changed, level, influence)?)
    })?;
    for at in alone {
        let (mutant, _) = &row[at];
        results.add(mutant, mutant.judge(bench, level, influence)?)?;
    }
    Ok(())
}

/// The file that results are added to.
struct Results {
    file: Mutex<File>,
}

impl Results {
    fn add(&self, mutant: &Mutant, fate: Fate) -> Result<(), Failure> {
        if fate == Fate::Lives {
            eprintln!("lives: {} ({})", mutant.name, mutant.place);
        }
        let (name, place) = (mutant.name.clone(), mutant.place.clone());
        let line = serde_json::to_string(&Judged { name, place, fate })?;
        writeln!(self.file.lock().unwrap_or_else(PoisonError::into_inner), "{line}")?;
        Ok(())
    }
}

/// The mutants of the learner's files, in cargo-mutants' order.
fn listed(root: &Path, level: &Level) -> Result<Vec<(Mutant, Changed)>, Failure> {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(["mutants", "--list", "--json", "--package", level.name]);
    for file in level.provided {
        let all = if file.ends_with('/') { "**" } else { "" };
        command.args(["--exclude", &format!("{}/{file}{all}", level.name)]);
    }
    let listed = command.output()?;
    if !listed.status.success() {
        let said = String::from_utf8_lossy(&listed.stderr).into_owned();
        return Err(format!("`cargo mutants` cannot list (is it installed?): {said}").into());
    }
    let reference = Files::read(root, level)?.0;
    // A mutant of a test is judged by nothing.
    let laid = Mutant::read(&listed.stdout, level)?.into_iter().filter_map(|mutant| {
        let files = mutant.lay(&reference).ok()?;
        Some((mutant, Changed::between(&reference, &files)))
    });
    Ok(laid.collect())
}

fn read(path: &Path) -> Result<Vec<Judged>, Failure> {
    let Ok(text) = fs::read_to_string(path) else { return Ok(Vec::new()) };
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// The document, and how many mutants live without a reason.
fn table(root: &Path, results: &Path) -> Result<(String, usize), Failure> {
    let accepted = accepted(&root.join("grader/mutants-accepted.txt"))?;
    let rustc = Command::new("rustc").arg("--version").output()?;
    let mut text = format!(
        "# Mutants of the levels\n\n\
         Written by `.ci/mutants` with mutants of cargo-mutants and {}: the exercises, judged by the grader\n\
         alone. A mutant that does not compile is unviable. One that loops is caught by the grader's limits.\n\n\
         | level | mutants | caught | unviable | let live |\n| --- | ---: | ---: | ---: | ---: |\n",
        String::from_utf8_lossy(&rustc.stdout).trim()
    );
    let mut living = Vec::new();
    let mut used = BTreeMap::new();
    for level in LEVELS {
        let path: PathBuf = results.join(format!("{}.jsonl", level.name));
        let judged = read(&path)?;
        if judged.is_empty() {
            continue;
        }
        let count = |is: fn(&Fate) -> bool| judged.iter().filter(|it| is(&it.fate)).count();
        let caught = count(|fate| matches!(fate, Fate::Caught(_)));
        let (unviable, lives) = (count(|f| *f == Fate::Unviable), count(|f| *f == Fate::Lives));
        writeln!(text, "| {} | {} | {caught} | {unviable} | {lives} |", level.name, judged.len())?;
        living.extend(judged.into_iter().filter(|it| it.fate == Fate::Lives).map(|it| it.name));
    }
    writeln!(text, "\n## Let live\n")?;
    if living.is_empty() {
        writeln!(text, "None.")?;
    }
    let mut unexplained = 0;
    for mutant in &living {
        let reason = accepted.iter().find(|(name, _)| mutant.contains(name.as_str()));
        unexplained += usize::from(reason.is_none());
        let shown = reason.map_or("**no reason given**", |(_, reason)| reason);
        writeln!(text, "- `{mutant}`: {shown}")?;
        used.extend(reason.map(|(name, _)| (name, ())));
    }
    for name in accepted.keys().filter(|name| !used.contains_key(name)) {
        eprintln!("mutants-accepted.txt: nothing that lives is called `{name}`");
    }
    eprintln!("{} mutants live, {unexplained} of them without a reason", living.len());
    Ok((text, unexplained))
}

/// `part of the mutant's name :: reason`, one a line.
fn accepted(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    Ok(lines
        .filter_map(|line| line.split_once(" :: "))
        .map(|(name, reason)| (name.to_owned(), reason.to_owned()))
        .collect())
}
