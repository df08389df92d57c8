//! The table of the strict form: each planted solution built and judged alone.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use grader::catalog::{LEVELS, Level};
use grader_proofs::prove::Failure;

use crate::Proved;

const HEAD: &str = "# Planted solutions, one by one

Each planted solution was built and judged alone, a wrong one by the criteria about the modules that it changes and \
those that it names, a right one by every criterion of its level. One command writes a level's section:

```sh
cargo test -p grader-proofs --test planted -- --one-by-one --record level1
```
";

/// Writes the sections of `levels` into the table at `path`. The sections of other levels stay as they are.
pub fn record(
    path: &Path,
    levels: &[&Level],
    proved: &Proved,
    took: Duration,
) -> Result<(), Failure> {
    let before = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(why) if why.kind() == io::ErrorKind::NotFound => String::new(),
        Err(why) => return Err(why.into()),
    };
    let mut text = HEAD.to_owned();
    for level in LEVELS {
        let is_new = levels.iter().any(|one| one.name == level.name);
        let section =
            if is_new { section(level, proved, took)? } else { kept(&before, level.name) };
        text.push_str(&section);
    }
    Ok(fs::write(path, text)?)
}

/// The heading of a level's section.
fn heading(level: &str) -> String {
    format!("\n## {level}\n")
}

/// The section of a level in an earlier table, or nothing.
fn kept(before: &str, level: &str) -> String {
    let Some(start) = before.find(&heading(level)) else { return String::new() };
    let rest = &before[start..];
    let end = rest[1..].find("\n## ").map_or(rest.len(), |end| end + 1);
    rest[..end].to_owned()
}

/// The results of one level.
fn section(level: &Level, proved: &Proved, took: Duration) -> Result<String, Failure> {
    let of_level = format!("{}/", level.name);
    let proved: Vec<_> = proved.iter().filter(|(name, _)| name.starts_with(&of_level)).collect();
    let rustc = Command::new("rustc").arg("--version").output()?;
    let date = httpdate::fmt_http_date(SystemTime::now());
    let right = proved.iter().filter(|(_, (planted, ..))| planted.fails.is_empty()).count();
    let failed = proved.iter().filter(|(_, (_, found, _))| found.is_err()).count();
    let mut text = format!(
        "{}\n| | |\n| --- | --- |\n| date | {date} |\n| toolchain | {} |\n| wrong solutions | {} |\n\
         | right solutions | {right} |\n| not as described | {failed} |\n| wall time | {} min |\n\n\
         | planted solution | criteria that must fail | as described | seconds |\n\
         | --- | --- | --- | ---: |\n",
        heading(level.name),
        String::from_utf8_lossy(&rustc.stdout).trim(),
        proved.len() - right,
        took.as_secs().div_ceil(60),
    );
    for (name, (planted, found, took)) in proved {
        let fails = match planted.fails.as_slice() {
            [] => "none".to_owned(),
            [one] => format!("`{one}`"),
            [first, rest @ ..] => format!("`{first}` and {} more", rest.len()),
        };
        let verdict = if found.is_ok() { "yes" } else { "**no**" };
        writeln!(text, "| {name} | {fails} | {verdict} | {:.1} |", took.as_secs_f64())?;
    }
    Ok(text)
}
