//! What documents take from the catalog: contracts, the tables in the levels' READMEs, the criteria that a lesson's
//! steps name, the changelog's sums; and what the inspection of a submission takes from the references.
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use grader::catalog::{Criterion, Exercise, Kind, LEVELS, Level};
use grader::inspect::Ruled;
use grader::submission::Files;

use crate::lessons;

/// The line above the generated part.
pub const BEGIN: &str = "<!-- criteria: begin -->";
/// The line below the generated part.
pub const END: &str = "<!-- criteria: end -->";

/// Every document that takes something from the criteria: its path, and the text that it should have.
///
/// # Errors
///
/// A document that cannot be read, or what is wrong with its marks.
pub fn generated(root: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let marks = |path: &Path, what: String| format!("{} {what}", path.display());
    let mut documents = Vec::new();
    for level in LEVELS {
        let folder = root.join(level.name);
        let path = folder.join("README.md");
        let text = replace(&read(&path)?, level).map_err(|what| marks(&path, what))?;
        documents.push((path, text));
        let contracts = level.exercises.iter().filter(|exercise| !exercise.clauses.is_empty());
        documents.extend(contracts.map(|exercise| {
            (folder.join("contract").join(format!("{}.md", exercise.name)), contract(exercise))
        }));
    }
    for (level, exercise) in LEVELS.iter().flat_map(|it| it.exercises.iter().map(move |e| (it, e)))
    {
        let Some(path) = lessons::of(root, level, exercise) else { continue };
        let names = exercise.criteria.iter().filter_map(|it| it.id.rsplit('/').next());
        let names: Vec<&str> = names.collect();
        let text = lessons::with_all(&read(&path)?, &names).map_err(|what| marks(&path, what))?;
        documents.push((path, text));
    }
    let path = root.join("CHANGELOG.md");
    let text = replace_sums(&read(&path)?, LEVELS).map_err(|what| marks(&path, what))?;
    documents.push((path, text));
    let mut rules = String::from(
        "# What each level's reference derives for its public types, and what its types write by hand.\n\
         # Generated: cargo run -q -p grader-proofs --example readme-tables -- --write\n",
    );
    for level in LEVELS {
        let (files, _) = Files::read(root, level).map_err(|error| error.to_string())?;
        rules += &Ruled::of_reference(level, &files).lines(level.name);
    }
    documents.push((root.join("grader/src/inspect/derived.txt"), rules));
    Ok(documents)
}

/// `readme` with the tables of `level` between the two marks.
///
/// # Errors
///
/// What is wrong with the marks.
pub fn replace(readme: &str, level: &Level) -> Result<String, String> {
    between_the_marks(readme, &of_level(level))
}

/// `changelog` with the sums of `levels` between the first two marks, those of the newest version.
///
/// # Errors
///
/// What is wrong with the marks.
pub fn replace_sums(changelog: &str, levels: &[&Level]) -> Result<String, String> {
    between_the_marks(changelog, &sums(levels))
}

fn between_the_marks(document: &str, generated: &str) -> Result<String, String> {
    let split = |text: &str, mark: &str| {
        let (before, after) = text.split_once(mark).ok_or_else(|| format!("has no `{mark}`"))?;
        Ok::<_, String>((before.to_owned(), after.to_owned()))
    };
    let (before, rest) = split(document, BEGIN)?;
    let (_, after) = split(&rest, END)?;
    Ok(format!("{before}{BEGIN}\n{generated}\n{END}{after}"))
}

/// How many criteria the levels have and what they are worth, and a fingerprint of ids, points and kinds.
fn sums(levels: &[&Level]) -> String {
    let mut text = String::from(GENERATED);
    text += "| level | criteria | core points | bonus points |\n| --- | ---: | ---: | ---: |\n";
    let mut all = String::new();
    for level in levels {
        let criteria: Vec<_> = level.exercises.iter().flat_map(|it| it.criteria).collect();
        let points = |kind| -> u32 {
            criteria.iter().filter(|it| it.kind == kind).map(|it| it.points).sum()
        };
        let (count, core, bonus) = (criteria.len(), points(Kind::Core), points(Kind::Bonus));
        let _ = writeln!(text, "| {} | {count} | {core} | {bonus} |", level.name);
        for it in criteria {
            let _ = writeln!(all, "{} {} {:?}", it.id, it.points, it.kind);
        }
    }
    // FNV-1a: it has to be the same on every machine, and nothing more.
    let fingerprint = all.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let _ = writeln!(text, "\nFingerprint of ids, points and kinds: `{fingerprint:016x}`");
    text
}

const GENERATED: &str =
    "<!-- Generated: cargo run -q -p grader-proofs --example readme-tables -- --write -->\n\n";

/// The sums and the tables of all exercises of a level, as Markdown.
#[must_use]
pub fn of_level(level: &Level) -> String {
    let criteria = level.exercises.iter().flat_map(|exercise| exercise.criteria);
    let mut text = String::from(GENERATED);
    // Writing into a string does not fail.
    let _ = writeln!(
        text,
        "{}. Core is what the assignment asks; bonus goes beyond it and is scored apart.",
        worth(criteria)
    );
    for exercise in level.exercises {
        let _ = of_exercise(&mut text, level, exercise);
    }
    text
}

/// The contract of an exercise as Markdown: `levelN/contract/EXERCISE.md`, which the module's
/// documentation includes.
#[must_use]
pub fn contract(exercise: &Exercise) -> String {
    let mut text = String::from(GENERATED);
    text += "What a right solution promises. `cargo grade show` repeats it; each clause names the criteria \
             that judge it.\n\n";
    for (at, clause) in exercise.clauses.iter().enumerate() {
        let ids = clause.criteria.iter().map(|id| {
            let (_, short) = id.split_once('/').unwrap_or_default();
            let own = short.strip_prefix(exercise.name).and_then(|rest| rest.strip_prefix('/'));
            format!("`{}`", own.unwrap_or(short))
        });
        let ids = ids.collect::<Vec<_>>().join(", ");
        // Writing into a string does not fail.
        let _ = writeln!(text, "{}. {} *({ids})*", at + 1, clause.text);
    }
    text
}

fn of_exercise(out: &mut String, level: &Level, exercise: &Exercise) -> std::fmt::Result {
    let file = exercise.file.strip_prefix(level.name).unwrap_or(exercise.file);
    let file = file.trim_start_matches('/');
    writeln!(out, "\n### {} ({})\n", exercise.title, worth(exercise.criteria.iter()))?;
    if exercise.clauses.is_empty() {
        writeln!(out, "[`{file}`]({file})\n")?;
    } else {
        writeln!(out, "[`{file}`]({file}), [contract](contract/{}.md)\n", exercise.name)?;
    }
    writeln!(out, "| criterion | what is demanded | points |\n| --- | --- | ---: |")?;
    for criterion in exercise.criteria {
        let bonus = if criterion.kind == Kind::Bonus { " bonus" } else { "" };
        let (id, title, points) = (criterion.id, criterion.title, criterion.points);
        writeln!(out, "| `{id}` | {title} | {points}{bonus} |")?;
    }
    Ok(())
}

/// `68 core points, 57 bonus points`, without what is 0.
fn worth<'a>(criteria: impl Iterator<Item = &'a Criterion> + Clone) -> String {
    let parts =
        [(Kind::Core, "core"), (Kind::Bonus, "bonus")].into_iter().filter_map(|(kind, name)| {
            let points: u32 = criteria.clone().filter(|c| c.kind == kind).map(|c| c.points).sum();
            let plural = if points == 1 { "" } else { "s" };
            (points > 0).then(|| format!("{points} {name} point{plural}"))
        });
    parts.collect::<Vec<_>>().join(", ")
}
