//! The order in which a lesson says to write an exercise.

/// The code spans in the last column of each row of the first table of "What to write".
#[must_use]
pub fn rows(lesson: &str) -> Vec<Vec<String>> {
    let section = lesson.split("\n## ").find(|section| section.starts_with("What to write"));
    let lines = section.unwrap_or_default().lines().skip_while(|line| !line.starts_with('|'));
    let table = lines.take_while(|line| line.starts_with('|')).skip(2);
    let spans = |line: &str| {
        let last = line.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        last.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    table.map(spans).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_column_of_each_row_is_read() {
        let lesson = "# L\n\n## What to write\n\nText.\n\n| step | wins |\n|---|---|\n| 1. `new` | `a-b`, `c` |\n\
                      | 2. x | `d` |\n\nMore `text`.\n\n## Questions\n\n| a | `b` |\n";
        assert_eq!(rows(lesson), [vec!["a-b", "c"], vec!["d"]]);
        assert!(rows("# L\n").is_empty());
    }
}
