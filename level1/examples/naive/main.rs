//! Runs the naive versions of the lessons and prints what happens, and when.
//!
//! `cargo run -p level1 --example naive -- callbacks` runs the version of `lessons/callbacks.md`;
//! without a name, all of them run. Time is virtual: the figures are the same on every machine. The
//! lessons quote this output, and `cargo test -p level1 --example naive` checks that they do.
//!
//! Nothing here uses an exercise, so that the example also runs before the exercises are written.

mod background;
mod callbacks;
mod combinators;
mod errors;
mod pages;
mod parallel;
mod promise;
mod promisify;
mod sequential;
mod source;
mod timeline;
mod transport;

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use futures::future::{FutureExt, LocalBoxFuture};

use crate::timeline::Timeline;

/// Runs one naive version and notes what happens.
type Run = fn(Timeline) -> LocalBoxFuture<'static, ()>;

/// The lessons with a naive version, and what runs it.
const LESSONS: &[(&str, Run)] = &[
    ("errors", |timeline| errors::run(timeline).boxed_local()),
    ("sequential", |timeline| sequential::run(timeline).boxed_local()),
    ("parallel", |timeline| parallel::run(timeline).boxed_local()),
    ("combinators", |timeline| combinators::run(timeline).boxed_local()),
    ("callbacks", |timeline| callbacks::run(timeline).boxed_local()),
    ("promisify", |timeline| promisify::run(timeline).boxed_local()),
    ("promise", |timeline| promise::run(timeline).boxed_local()),
    ("pages", |timeline| pages::run(timeline).boxed_local()),
    ("background", |timeline| background::run(timeline).boxed_local()),
    ("transport", |timeline| transport::run(timeline).boxed_local()),
];

fn main() -> ExitCode {
    match print(env::args().nth(1).as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed too; then the exit code has to do.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the timelines of the lesson with this name, or of all lessons.
fn print(name: Option<&str>) -> Result<(), Box<dyn Error>> {
    let lessons: Vec<_> =
        LESSONS.iter().filter(|(lesson, _)| name.is_none_or(|name| name == *lesson)).collect();
    if lessons.is_empty() {
        let names: Vec<_> = LESSONS.iter().map(|(lesson, _)| *lesson).collect();
        return Err(format!("there is no such lesson; there are {}", names.join(", ")).into());
    }
    let mut out = io::stdout().lock();
    for (lesson, run) in lessons {
        writeln!(out, "{lesson}\n")?;
        for part in timelines(*run)? {
            writeln!(out, "{part}")?;
        }
    }
    Ok(())
}

/// What one version notes, one text for each of its parts.
fn timelines(run: Run) -> io::Result<Vec<String>> {
    let timeline = Timeline::default();
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?
        .block_on(run(timeline.clone()));
    Ok(timeline.parts())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_lessons_quote_what_the_versions_print() {
        let folder = Path::new("lessons");
        for (lesson, run) in LESSONS {
            let text = fs::read_to_string(folder.join(format!("{lesson}.md"))).unwrap();
            for part in timelines(*run).unwrap() {
                assert!(text.contains(&part), "lessons/{lesson}.md does not quote\n{part}");
            }
        }
    }
}
