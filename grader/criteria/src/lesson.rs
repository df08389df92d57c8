//! The order in which a lesson says to write an exercise.

/// A row of a lesson's table "What to write".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What to write, in Markdown.
    pub step: String,
    /// The criteria that it wins, without their exercise.
    pub wins: Vec<String>,
}

/// The rows of the first table of "What to write": its first column, and the code spans of its last one.
#[must_use]
pub fn rows(lesson: &str) -> Vec<Row> {
    let section = lesson.split("\n## ").find(|section| section.starts_with("What to write"));
    let lines = section.unwrap_or_default().lines().skip_while(|line| !line.starts_with('|'));
    let table = lines.take_while(|line| line.starts_with('|')).skip(2);
    let row = |line: &str| {
        let line = line.trim_end().trim_matches('|');
        let step = line.split('|').next().unwrap_or_default().trim().to_owned();
        let last = line.rsplit('|').next().unwrap_or_default();
        Row { step, wins: last.split('`').skip(1).step_by(2).map(str::to_owned).collect() }
    };
    table.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_column_of_each_row_are_read() {
        let lesson = "# L\n\n## What to write\n\nText.\n\n| step | wins |\n|---|---|\n| 1. `new` | `a-b`, `c` |\n\
                      | 2. x | `d` |\n\nMore `text`.\n\n## Questions\n\n| a | `b` |\n";
        let row = |step: &str, wins: &[&str]| Row {
            step: step.to_owned(),
            wins: wins.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(rows(lesson), [row("1. `new`", &["a-b", "c"]), row("2. x", &["d"])]);
        assert!(rows("# L\n").is_empty());
    }
}
