//! `cargo grade lesson`
use std::io::{IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

use grader::catalog;
use grader::select::{exercise, one};

use super::{Arguments, Exit, Failure, write};

/// A text wider than this is hard to read.
const WIDEST: usize = 100;

pub(super) fn run(arguments: &Arguments, name: Option<&str>) -> Result<Exit, Failure> {
    let root = super::root(arguments)?;
    let started = super::started(arguments);
    let name = super::read::named(arguments, name)?;
    let (level, exercise) = match (catalog::level(&name), exercise(&name, &started)?) {
        (Some(level), _) => (level, None),
        (None, Some((level, exercise))) => (level, Some(exercise)),
        (None, None) => {
            let entry = one(&name, &started)?;
            (entry.level, Some(entry.exercise))
        }
    };
    let (path, markdown) = grader::lesson::read(&root, level, exercise)?;
    if !std::io::stdout().is_terminal() {
        write::to_stdout(&markdown)?;
        return Ok(Exit::Success);
    }
    let (columns, _) = crossterm::terminal::size().unwrap_or((80, 24));
    let mut text = grader::lesson::render(&markdown, usize::from(columns).min(WIDEST));
    text += &format!("\n{path}\n");
    if !page(&text) {
        write::to_stdout(&text)?;
    }
    Ok(Exit::Success)
}

/// Shows a text through `$PAGER` or `less`; whether there is one.
fn page(text: &str) -> bool {
    let pager = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
    let pager = pager.unwrap_or_else(|| "less".to_owned());
    let mut words = pager.split_whitespace();
    let Some(program) = words.next() else { return false };
    // less: leave colours alone, and the screen when the text fits on it.
    let child = Command::new(program)
        .args(words)
        .env("LESS", std::env::var("LESS").unwrap_or_else(|_| "FRX".to_owned()))
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else { return false };
    if let Some(mut input) = child.stdin.take() {
        // The reader may end before the text does.
        let _ = input.write_all(text.as_bytes());
    }
    child.wait().is_ok()
}
