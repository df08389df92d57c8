//! The criteria that a lesson's "What to write" names.
use std::path::{Path, PathBuf};

use grader::catalog::{Exercise, Level};

/// The heading of the part of a lesson that assigns each criterion to a step.
const HEADING: &str = "\n## What to write\n";

/// The lesson of `exercise`, if it has one.
#[must_use]
pub fn of(root: &Path, level: &Level, exercise: &Exercise) -> Option<PathBuf> {
    let folder = root.join(level.name).join("lessons");
    let names = [exercise.name.to_owned(), exercise.name.replace('-', "_")];
    names.iter().map(|name| folder.join(format!("{name}.md"))).find(|path| path.is_file())
}

/// The part of `lesson` that assigns each criterion to a step, without its heading.
#[must_use]
pub fn steps(lesson: &str) -> Option<&str> {
    let begin = lesson.find(HEADING)? + HEADING.len();
    let rest = &lesson[begin..];
    Some(rest.find("\n## ").map_or(rest, |end| &rest[..end]))
}

/// `lesson` with each of `criteria` in its steps. A criterion that is missing joins the one that stands before it in
/// `criteria`, and one at the beginning joins the one after it. The author of a criterion may move it to another step.
///
/// # Errors
///
/// What is wrong with the lesson: it has no steps, or they name none of the criteria.
pub fn with_all(lesson: &str, criteria: &[&str]) -> Result<String, String> {
    let named = |lesson: &str, name: &str| place(lesson, name).is_some();
    steps(lesson).ok_or("has no part \"What to write\"")?;
    let first = criteria.iter().position(|name| named(lesson, name));
    let first = first.ok_or("names no criterion of its exercise in \"What to write\"")?;
    let mut whole = lesson.to_owned();
    for at in (0..first).rev() {
        if let Some((begin, _)) = place(&whole, criteria[at + 1]) {
            whole.insert_str(begin, &format!("`{}`, ", criteria[at]));
        }
    }
    for pair in criteria.windows(2) {
        if named(&whole, pair[1]) {
            continue;
        }
        if let Some((_, end)) = place(&whole, pair[0]) {
            whole.insert_str(end, &format!(", `{}`", pair[1]));
        }
    }
    Ok(whole)
}

/// Where the steps of `lesson` name a criterion: the first byte of the code span, and the first byte after it.
fn place(lesson: &str, name: &str) -> Option<(usize, usize)> {
    let part = steps(lesson)?;
    let span = format!("`{name}`");
    let begin = lesson.find(HEADING)? + HEADING.len() + part.find(&span)?;
    Some((begin, begin + span.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LESSON: &str = "# L\n\n`a-b` is a name.\n\n## What to write\n\n| step | wins |\n|---|---|\n| 1 | `b-c` |\n\
                          | 2 | `d-e`, `f-g` |\n\n## Questions\n\n`c-d`\n";

    #[test]
    fn a_new_criterion_joins_its_neighbour() {
        let all = ["a-b", "b-c", "c-d", "c-e", "d-e", "f-g", "g-h"];
        let whole = with_all(LESSON, &all).expect("a lesson");
        let wanted =
            LESSON.replace("`b-c`", "`a-b`, `b-c`, `c-d`, `c-e`").replace("`f-g`", "`f-g`, `g-h`");
        assert_eq!(whole, wanted);
        assert_eq!(with_all(&whole, &all).expect("a lesson"), whole);
    }

    #[test]
    fn a_lesson_without_steps_is_refused() {
        assert!(with_all("# L\n", &["a-b"]).is_err());
        assert!(with_all(LESSON, &["x-y"]).is_err());
    }
}
