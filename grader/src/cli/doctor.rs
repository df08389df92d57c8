//! `cargo grade doctor`: whether this machine can grade, and what to do where it cannot.
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use grader::doctor::{Diagnosis, Facts, Verdict, judge};

use super::{Arguments, Exit, Failure, write};

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let root = super::root(arguments)?;
    let found = judge(&Facts::gather(&root));
    write::to_stdout(&render(&found)?)?;
    let worst = found.iter().map(|diagnosis| diagnosis.verdict).max();
    Ok(if worst == Some(Verdict::Problem) { Exit::CouldNotGrade } else { Exit::Success })
}

fn render(found: &[Diagnosis]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for Diagnosis { subject, verdict, seen, advice } in found {
        let (word, color) = match verdict {
            Verdict::Fine => ("fine", AnsiColor::Green),
            Verdict::Warning => ("warn", AnsiColor::Yellow),
            Verdict::Problem => ("stop", AnsiColor::Red),
        };
        let style: Style = color.on_default();
        writeln!(text, "{style}{word}{style:#}  {subject:<10}  {seen}")?;
        if let Some(advice) = advice {
            writeln!(text, "{:<18}{advice}", "")?;
        }
    }
    let problems = found.iter().filter(|found| found.verdict == Verdict::Problem).count();
    let last = match problems {
        0 => "this machine can grade".to_owned(),
        1 => "one thing stands in the way of grading: it is marked `stop`".to_owned(),
        number => format!("{number} things stand in the way of grading: they are marked `stop`"),
    };
    writeln!(text, "\n{last}")?;
    Ok(text)
}
