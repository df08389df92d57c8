//! Lessons in the terminal: `levelN/lessons/EXERCISE.md`.
use std::io;
use std::path::{Path, PathBuf};

use termimad::MadSkin;
use thiserror::Error;

use crate::catalog::{Criterion, Exercise, Level};

/// A lesson that cannot be read.
#[derive(Debug, Error)]
#[error("{}: {source}. Does your clone have the folder of lessons?", .path.display())]
pub struct LessonError {
    path: PathBuf,
    source: io::Error,
}

/// The lesson of an exercise, or the level's first page where the exercise has none of its own: the path,
/// relative to the workspace, and the Markdown.
///
/// # Errors
///
/// [`LessonError`] when there is neither.
pub fn read(
    root: &Path,
    level: &Level,
    exercise: Option<&Exercise>,
) -> Result<(String, String), LessonError> {
    let first = format!("{}/lessons/README.md", level.name);
    let own = exercise.map(|it| format!("{}/lessons/{}.md", level.name, it.name.replace('-', "_")));
    let path = own.filter(|own| root.join(own).is_file()).unwrap_or(first);
    let text = std::fs::read_to_string(root.join(&path))
        .map_err(|source| LessonError { path: root.join(&path), source })?;
    Ok((path, text))
}

/// Returns the step of the lesson that wins a criterion: `step 2 of 5: Keep failures in a list of their own`.
#[must_use]
pub fn place(exercise: &Exercise, criterion: &Criterion) -> Option<String> {
    let step = exercise.steps.get(criterion.step)?.replace('`', "");
    Some(format!("step {} of {}: {step}", criterion.step + 1, exercise.steps.len()))
}

/// Markdown as lines for a terminal of so many columns, with ANSI styles.
#[must_use]
pub fn render(markdown: &str, columns: usize) -> String {
    let skin = MadSkin::default();
    skin.text(&prepared(markdown), Some(columns.max(20))).to_string()
}

/// The lesson for a renderer that knows neither links nor paragraphs of several lines: links become their text,
/// definitions of links go, and each paragraph and list item stands on one line. Code and tables stay.
fn prepared(markdown: &str) -> String {
    let mut out = String::new();
    let mut fenced = false;
    for line in markdown.lines() {
        let start = line.trim_start();
        let fence = start.starts_with("```") || start.starts_with("~~~");
        let definition = start.starts_with('[') && start.contains("]: ");
        if !fenced && (definition || start.starts_with("<!--")) {
            continue;
        }
        let code = fenced || fence;
        let joins = !code && continues(start) && ends_in_text(&out);
        if joins {
            out.push(' ');
        } else if !out.is_empty() {
            out.push('\n');
        }
        match code {
            true => out.push_str(line),
            false => link_texts(if joins { start } else { line }, &mut out),
        }
        fenced ^= fence;
    }
    out + "\n"
}

/// Whether a line can go on a paragraph or an item.
fn continues(line: &str) -> bool {
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let item = line.starts_with(['-', '*', '+']) && line.chars().nth(1) == Some(' ');
    let numbered = number.len() < line.len() && number.starts_with(". ");
    !(line.is_empty() || item || numbered || line.starts_with(['#', '|', '>']))
}

/// Whether the last line is one that a paragraph or an item may go on from.
fn ends_in_text(out: &str) -> bool {
    let last = out.lines().last().unwrap_or_default().trim_start();
    let fence = last.starts_with("```") || last.starts_with("~~~");
    !(out.ends_with('\n') || last.is_empty() || fence || last.starts_with(['#', '|']))
}

fn link_texts(line: &str, out: &mut String) {
    let mut rest = line;
    while let Some(open) = rest.find('[') {
        let (before, from) = rest.split_at(open);
        out.push_str(before);
        let link = from.find(']').and_then(|close| {
            let (text, after) = (&from[1..close], &from[close + 1..]);
            let end = match after.chars().next()? {
                '[' => after.find(']')?,
                '(' => after.find(')')?,
                _ => return None,
            };
            Some((text, &after[end + 1..]))
        });
        match link {
            Some((text, after)) => {
                out.push_str(text);
                rest = after;
            }
            None => {
                out.push('[');
                rest = &from[1..];
            }
        }
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_criterion_has_a_place_in_its_lesson() {
        let level = crate::catalog::level("level3").expect("level 3");
        let saga = level.exercises.iter().find(|it| it.name == "saga").expect("the saga");
        let first = saga.criteria.iter().find(|it| it.step == 0).expect("a criterion of step 1");
        let found = place(saga, first).expect("a place");
        assert!(found.starts_with("step 1 of ") && !found.contains('`'), "{found}");
    }

    #[test]
    fn links_become_their_text() {
        let text = "See [`race`][race] and [the book](b.md), not [0] or a[i].\n\n[race]: race.md\n";
        assert_eq!(prepared(text), "See `race` and the book, not [0] or a[i].\n\n");
    }

    #[test]
    fn paragraphs_and_items_become_lines() {
        let text = "# A\n\nOne\n[two][b].\n\n1. First\n   item.\n2. Second.\n";
        assert_eq!(prepared(text), "# A\n\nOne two.\n\n1. First item.\n2. Second.\n");
    }

    #[test]
    fn code_and_tables_stay() {
        let text =
            "Text.\n\n```rust\n#[derive(Debug)] // [a](b)\n// [a]: b\n```\n\n| a |\n| --- |\n";
        assert_eq!(prepared(text), text);
    }

    #[test]
    fn a_paragraph_fits_the_terminal() {
        let words = "word ".repeat(50);
        let shown = render(&format!("# Title\n\n{words}\n"), 40);
        let plain = anstream::adapter::strip_str(&shown).to_string();
        assert!(plain.contains("Title") && plain.matches("word").count() == 50, "{plain}");
        assert!(plain.lines().all(|line| line.chars().count() <= 40), "{plain}");
    }
}
