//! Writes `comparison-report.md`: the three styles side by side.
//!
//! `cargo run --release -p level1 --example comparison` counts, measures and writes the report.
//! With `--check` it writes nothing: it counts again and exits with 1 when the committed report says
//! otherwise. What was measured is not compared: it differs from machine to machine.
//!
//! The reasoning is prose in `template.md`; `{{counted}}`, `{{paced}}` and `{{measured}}` in it are
//! replaced by the tables.

#![allow(
    clippy::disallowed_methods,
    reason = "a report measures real time, and finds its files where cargo says the package is"
)]

mod measure;
mod pace;
mod syntax;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

/// The errors of this program.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("cannot read or write {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} cannot be parsed: {source}", path.display())]
    Parse { path: PathBuf, source: syn::Error },
    #[error("{function} is not in {}", path.display())]
    Missing { path: PathBuf, function: &'static str },
    #[error("comparison-report.md is stale: write it again with this command without --check")]
    Stale,
    #[error("unknown argument {0:?}: there is only --check")]
    Argument(String),
}

/// One way to load a profile: where it is written, and under which name.
struct Style {
    name: &'static str,
    file: &'static str,
    entry: &'static str,
    /// The functions of the file that are not part of this style.
    others: &'static [&'static str],
}

const STYLES: [Style; 4] = [
    Style { name: "callbacks", file: "callbacks.rs", entry: "fetch_user_profile", others: &[] },
    Style { name: "combinators", file: "combinators.rs", entry: "fetch_user_profile", others: &[] },
    Style {
        name: "async/await, sequential",
        file: "async_await.rs",
        entry: "fetch_user_profile",
        others: &["fetch_user_profile_parallel"],
    },
    Style {
        name: "async/await, parallel",
        file: "async_await.rs",
        entry: "fetch_user_profile_parallel",
        others: &["fetch_user_profile"],
    },
];

/// Between these two lines stands what differs from run to run.
const BEGIN: &str = "<!-- measured: not compared by --check -->";
const END: &str = "<!-- end of what was measured -->";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), ReportError> {
    let mut check = false;
    for argument in env::args().skip(1) {
        match argument.as_str() {
            "--check" => check = true,
            _ => return Err(ReportError::Argument(argument)),
        }
    }
    // Cargo says where the package is; without cargo it is the workspace's folder of that name.
    let level = env::var_os("CARGO_MANIFEST_DIR").map_or("level1".into(), PathBuf::from);
    let report = level.join("comparison-report.md");
    let measured = if check { String::new() } else { measure::table() };
    let text = read(&level.join("examples/comparison/template.md"))?
        .replace("{{counted}}", &counted(&level)?)
        .replace("{{paced}}", &pace::table())
        .replace("{{measured}}", &format!("{BEGIN}\n{measured}{END}\n"));
    if check {
        let committed = read(&report)?;
        return if fixed(&committed) == fixed(&text) { Ok(()) } else { Err(ReportError::Stale) };
    }
    // Beside it first, then in one step: a reader never sees half a report.
    let draft = level.join("comparison-report.md.new");
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| ReportError::File { path, source }
    };
    fs::write(&draft, text).map_err(file(&draft))?;
    fs::rename(&draft, &report).map_err(file(&report))?;
    println!("{} is written", report.display());
    Ok(())
}

fn read(path: &Path) -> Result<String, ReportError> {
    fs::read_to_string(path).map_err(|source| ReportError::File { path: path.to_owned(), source })
}

/// The report without what was measured.
fn fixed(report: &str) -> String {
    let mut kept = String::new();
    let mut within = false;
    for line in report.lines() {
        within = (within || line == BEGIN) && line != END;
        if !within && line != END {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn counted(level: &Path) -> Result<String, ReportError> {
    let mut table = String::from(
        "| style | lines of code | of them in the load itself | deepest nesting | error sites |\n\
         | --- | ---: | ---: | ---: | ---: |\n",
    );
    for style in STYLES {
        let path = level.join("src").join(style.file);
        let count = syntax::count(&read(&path)?, style.entry, style.others)
            .map_err(|source| ReportError::Parse { path: path.clone(), source })?
            .ok_or(ReportError::Missing { path, function: style.entry })?;
        let syntax::Count { lines, entry_lines, depth, error_sites } = count;
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| {} | {lines} | {entry_lines} | {depth} | {error_sites} |",
            style.name
        );
    }
    Ok(table)
}
