//! A measurement in a process of its own.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, fmt};

use bench_kit::process::{self, ProcessError};

use crate::{Figures, Subject};

/// Names the subject that a process is to measure.
const VARIABLE: &str = "BENCH_SUBJECT";

/// Begins the line with the figures. Code that is measured may print what it wants besides.
const MARK: &str = "bench figures ";

/// A measurement takes a tenth of a second.
const LIMIT: Duration = Duration::from_secs(10);

/// Why there are no figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoFigures {
    /// A `todo!()` is still there.
    NotWritten,
    /// The run never ended.
    NoAnswer,
    /// The process could not be started, or ended without figures; the words say how.
    Failed(String),
}

impl fmt::Display for NoFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWritten => f.write_str("not written yet"),
            Self::NoAnswer => write!(f, "gives no answer within {} s", LIMIT.as_secs()),
            Self::Failed(how) => f.write_str(how),
        }
    }
}

/// The subject that this process is to measure, if it was started for that.
pub(super) fn asked_for() -> Option<String> {
    env::var(VARIABLE).ok()
}

/// Measures the subject and tells the parent.
pub(super) fn answer(subject: Option<&Subject>) -> ExitCode {
    let figures = match subject {
        Some(subject) => (subject.measure)(subject.name),
        None => Err("there is no such subject".to_owned()),
    };
    match figures.and_then(|figures| serde_json::to_string(&figures).map_err(|e| e.to_string())) {
        Ok(json) => {
            println!("\n{MARK}{json}");
            ExitCode::SUCCESS
        }
        Err(how) => {
            eprintln!("\n{how}");
            ExitCode::FAILURE
        }
    }
}

/// Measures one subject in a process of `executable`.
pub(super) fn run(executable: &Path, subject: &str) -> Result<Figures, NoFigures> {
    let mut command = Command::new(executable);
    command.env(VARIABLE, subject);
    let output = process::run(&mut command, LIMIT).map_err(|error| match error {
        ProcessError::TooLong { .. } => NoFigures::NoAnswer,
        ProcessError::Io(error) => NoFigures::Failed(format!("cannot be run: {error}")),
    })?;
    figures(&output.out).ok_or_else(|| no_figures(&output.err, &output.status.to_string()))
}

fn figures(output: &str) -> Option<Figures> {
    let line = output.lines().rev().find_map(|line| line.strip_prefix(MARK))?;
    serde_json::from_str(line).ok()
}

fn no_figures(errors: &str, status: &str) -> NoFigures {
    // The words of `todo!()` and of `unimplemented!()`.
    if errors.contains("not yet implemented") || errors.contains("not implemented") {
        return NoFigures::NotWritten;
    }
    let is_said = |line: &&str| {
        !line.is_empty() && !line.starts_with("note:") && !line.starts_with("thread '")
    };
    let said = errors.lines().map(str::trim).rfind(is_said);
    NoFigures::Failed(said.unwrap_or(status).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_figures_among_what_was_printed() {
        let output =
            format!("loading...\n{MARK}{{\"behaviour\":\"at 5 ms\",\"nanos\":7.5}}\nbye\n");
        let expected = Figures { behaviour: "at 5 ms".to_owned(), nanos: 7.5 };
        assert_eq!(figures(&output), Some(expected));
        assert_eq!(figures("nothing"), None);
    }

    #[test]
    fn a_blank_is_not_written_yet() {
        let errors =
            "thread 'main' panicked at level2/src/race.rs:5:5:\nnot yet implemented\nnote: run";
        assert_eq!(no_figures(errors, "exit status: 101"), NoFigures::NotWritten);
    }

    #[test]
    fn a_panic_is_told_in_its_own_words() {
        let errors = "thread 'main' panicked at x.rs:5:5:\nindex out of bounds\nnote: run with";
        assert_eq!(no_figures(errors, "101"), NoFigures::Failed("index out of bounds".to_owned()));
        assert_eq!(no_figures("", "signal: 9"), NoFigures::Failed("signal: 9".to_owned()));
    }
}
