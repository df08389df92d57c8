//! `cargo run -q -p grader-proofs --example trials -- LEVEL` lists the exercises of a level that try
//! everything at once, one a line, for tools that leave them for last: `level3/sweep/`.
use std::process::ExitCode;

use grader::catalog::LEVELS;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let Some(level) = LEVELS.iter().find(|level| level.name == name) else {
        eprintln!("there is no level `{name}`");
        return ExitCode::from(2);
    };
    for exercise in level.exercises.iter().filter(|exercise| exercise.trial) {
        println!("{}/{}/", level.name, exercise.name);
    }
    ExitCode::SUCCESS
}
