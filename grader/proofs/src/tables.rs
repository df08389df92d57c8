//! The tables of criteria in the levels' READMEs, generated from the catalog.
use std::fmt::Write as _;

use grader::catalog::{Criterion, Exercise, Kind, Level};

/// The line above the generated part.
pub const BEGIN: &str = "<!-- criteria: begin -->";
/// The line below the generated part.
pub const END: &str = "<!-- criteria: end -->";

/// `readme` with the tables of `level` between the two marks.
///
/// # Errors
///
/// What is wrong with the marks.
pub fn replace(readme: &str, level: &Level) -> Result<String, String> {
    let split = |text: &str, mark: &str| {
        let (before, after) = text.split_once(mark).ok_or_else(|| format!("has no `{mark}`"))?;
        Ok::<_, String>((before.to_owned(), after.to_owned()))
    };
    let (before, rest) = split(readme, BEGIN)?;
    let (_, after) = split(&rest, END)?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", of_level(level)))
}

/// The sums and the tables of all exercises of a level, as Markdown.
#[must_use]
pub fn of_level(level: &Level) -> String {
    let criteria = level.exercises.iter().flat_map(|exercise| exercise.criteria);
    let mut text = String::from(
        "<!-- Generated: cargo run -q -p grader-proofs --example readme-tables -- --write -->\n\n",
    );
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

fn of_exercise(out: &mut String, level: &Level, exercise: &Exercise) -> std::fmt::Result {
    let file = exercise.file.strip_prefix(level.name).unwrap_or(exercise.file);
    let file = file.trim_start_matches('/');
    writeln!(out, "\n### {} ({})\n", exercise.title, worth(exercise.criteria.iter()))?;
    writeln!(out, "[`{file}`]({file})\n")?;
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
