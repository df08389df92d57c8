//! The figures in real time within the report: they differ between machines, and are not compared.

/// The lines before and after the figures.
const MARKS: [&str; 2] =
    ["<!-- real time: differs between machines, not checked -->", "<!-- end of real time -->"];

/// Returns what stands between the marks, if the report has them.
#[allow(dead_code, reason = "each example uses one of the two")]
pub fn block(report: &str) -> Option<&str> {
    let (_, rest) = report.split_once(MARKS[0])?;
    Some(rest.split_once(MARKS[1])?.0.trim_matches('\n'))
}

/// Returns the report with these figures between the marks, if it has them.
#[allow(dead_code, reason = "each example uses one of the two")]
pub fn with_block(report: &str, figures: &str) -> Option<String> {
    let (before, rest) = report.split_once(MARKS[0])?;
    let (_, after) = rest.split_once(MARKS[1])?;
    Some(format!("{before}{}{after}", marked(figures)))
}

/// Returns the figures between their marks.
pub fn marked(figures: &str) -> String {
    let [begin, end] = MARKS;
    format!("{begin}\n{}\n{end}", figures.trim_matches('\n'))
}
