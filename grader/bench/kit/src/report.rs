//! The documents that benchmarks write.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, io};

use crate::process::{self, ProcessError};
use crate::stats::Bounded;

/// What stands before and after the part of a document that was measured on a machine.
pub const MARKS: [&str; 2] = [
    "<!-- measured: differs between machines, not checked -->",
    "<!-- end of what was measured -->",
];

/// Why a document could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The system said no.
    #[error("cannot read or write {}: {source}", .path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The exact part of the report could not be written again.
    #[error("`cargo run --release -p {package} --example {example}` {how}")]
    Exact {
        /// The package of the level.
        package: String,
        /// The example that writes it.
        example: String,
        /// How the command ended.
        how: String,
    },
    /// It has no place for what was measured.
    #[error("{} has no lines `{}` and `{}`", .path.display(), MARKS[0], MARKS[1])]
    NoMarks {
        /// The path of the file.
        path: PathBuf,
    },
}

impl ReportError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { path, source }
    }
}

/// Brings a whole document up to date: lets the example of the level that simulates write the exact part,
/// then puts `measured` in its place.
///
/// # Errors
///
/// [`ReportError`].
pub fn bring_up_to_date(
    path: &Path,
    package: &str,
    example: &str,
    measured: &str,
) -> Result<(), ReportError> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--release", "--package", package, "--example", example]);
    // Cargo looks for the workspace from here on upwards.
    command.current_dir(path.parent().unwrap_or(Path::new(".")));
    let failed = |how| ReportError::Exact { package: package.into(), example: example.into(), how };
    let output = process::run(&mut command, Duration::from_secs(900))
        .map_err(|error: ProcessError| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(format!("ended with {}: {}", output.status, output.err.trim())));
    }
    replace_measured(path, measured)
}

/// Puts `text` between the [`MARKS`] of a document and leaves the rest as it is.
///
/// # Errors
///
/// [`ReportError`]; the document is then as it was.
pub fn replace_measured(path: &Path, text: &str) -> Result<(), ReportError> {
    let old = fs::read_to_string(path).map_err(ReportError::file(path))?;
    let new = between_marks(&old, text)
        .ok_or_else(|| ReportError::NoMarks { path: path.to_path_buf() })?;
    write(path, &new)
}

fn between_marks(document: &str, text: &str) -> Option<String> {
    let [begin, end] = MARKS;
    let (head, rest) = document.split_once(begin)?;
    let (_, tail) = rest.split_once(end)?;
    Some(format!("{head}{begin}\n{}\n{end}{tail}", text.trim_end()))
}

/// Writes a file beside its place and renames it: an interrupted run leaves no half of one.
///
/// # Errors
///
/// [`ReportError::File`].
pub fn write(path: &Path, text: &str) -> Result<(), ReportError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(ReportError::file(folder))?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = PathBuf::from(name);
    fs::write(&fresh, text).map_err(ReportError::file(&fresh))?;
    fs::rename(&fresh, path).map_err(ReportError::file(path))
}

/// The part of a document between the [`MARKS`].
///
/// # Errors
///
/// [`ReportError`].
pub fn measured(path: &Path) -> Result<String, ReportError> {
    let text = fs::read_to_string(path).map_err(ReportError::file(path))?;
    let [begin, end] = MARKS;
    let part = text.split_once(begin).and_then(|(_, rest)| rest.split_once(end));
    let (part, _) = part.ok_or_else(|| ReportError::NoMarks { path: path.to_path_buf() })?;
    Ok(part.trim().to_owned())
}

/// Today in UTC, as reports show it: `2026-11-29`.
#[must_use]
pub fn today() -> String {
    day(SystemTime::now())
}

/// The day of a moment in UTC. Moments before 1970 count as its first day.
fn day(moment: SystemTime) -> String {
    let days = moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400;
    // Years that begin in March have their leap day at the end. 400 of them are 146 097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + next)
}

/// A table of Markdown: its columns after the first are aligned to the right.
#[derive(Debug, Clone)]
pub struct Table {
    text: String,
}

impl Table {
    /// An empty one with this head.
    #[must_use]
    pub fn new(head: &[&str]) -> Self {
        let mut table = Self { text: String::new() };
        table.row(head);
        let rule =
            head.iter().enumerate().map(|(index, _)| if index == 0 { "---" } else { "---:" });
        table.text.push_str(&format!("|{}|\n", rule.collect::<Vec<_>>().join("|")));
        table
    }

    /// Adds a row.
    pub fn row(&mut self, cells: &[impl AsRef<str>]) {
        let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
        self.text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }

    /// The Markdown.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A ratio as the reports write it: `0.45 (0.43 to 0.47)`.
#[must_use]
pub fn ratio(ratio: Bounded) -> String {
    let digits = if ratio.median < 10.0 { 2 } else { 0 };
    format!("{:.digits$} ({:.digits$} to {:.digits$})", ratio.median, ratio.low, ratio.high)
}

/// A time that was measured, with two significant digits: `63 ns`, `5.2 us`, `12 ms`.
#[must_use]
pub fn nanos(nanos: f64) -> String {
    let (value, unit) = match nanos {
        ..1e3 => (nanos, "ns"),
        ..1e6 => (nanos / 1e3, "us"),
        ..1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_the_marks_stays() {
        let [begin, end] = MARKS;
        let old = format!("head\n\n{begin}\nold\n{end}\n\ntail\n");
        let new = between_marks(&old, "new\n\n").expect("it has marks");
        assert_eq!(new, format!("head\n\n{begin}\nnew\n{end}\n\ntail\n"));
        assert_eq!(between_marks("no marks", "new"), None);
    }

    #[test]
    fn a_moment_has_its_day() {
        let at = |seconds| day(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01");
        assert_eq!(at(951_782_400 - 1), "2000-02-28");
        assert_eq!(at(951_782_400), "2000-02-29");
        assert_eq!(at(1_709_251_200), "2024-03-01");
        assert_eq!(at(1_798_761_599), "2026-12-31");
        assert_eq!(at(4_107_542_400), "2100-03-01");
    }

    #[test]
    fn a_table_aligns_its_figures() {
        let mut table = Table::new(&["what", "ns"]);
        table.row(&["this", "5"]);
        assert_eq!(table.text(), "| what | ns |\n|---|---:|\n| this | 5 |\n");
    }

    #[test]
    fn figures_have_as_many_digits_as_they_deserve() {
        assert_eq!(nanos(5.24), "5.2 ns");
        assert_eq!(nanos(63.4), "63 ns");
        assert_eq!(nanos(24_600.0), "25 us");
        assert_eq!(nanos(9_960_000.0), "10 ms");
        let bounds = Bounded { median: 0.456, low: 0.4, high: 0.5 };
        assert_eq!(ratio(bounds), "0.46 (0.40 to 0.50)");
    }
}
