//! `cargo run -q -p grader-proofs --example scenes -- --write` records what the reference does in the scenes of the
//! report. `--check` says whether the record is out of date.
use std::process::ExitCode;

use grader::scene::{RECORD, recorded};
use grader_proofs::prove::Failure;
use grader_proofs::scenes::record;

fn main() -> Result<ExitCode, Failure> {
    let write = match std::env::args().nth(1).as_deref() {
        Some("--write") => true,
        Some("--check") => false,
        _ => return Err("usage: scenes --write | --check".into()),
    };
    let root = grader::workspace::find(&std::env::current_dir()?)?;
    let now = record(&root)?;
    if &now == recorded() {
        return Ok(ExitCode::SUCCESS);
    }
    if !write {
        println!("{RECORD} is out of date: run it with --write");
        return Ok(ExitCode::from(1));
    }
    // One scene a line: a change of one is a change of one line.
    let scenes: Result<Vec<String>, _> = now
        .iter()
        .map(|(id, figure)| Ok(format!("{:?}: {}", id, serde_json::to_string(figure)?)))
        .collect::<Result<_, serde_json::Error>>();
    std::fs::write(root.join(RECORD), format!("{{\n{}\n}}\n", scenes?.join(",\n")))?;
    println!("{RECORD} is written");
    Ok(ExitCode::SUCCESS)
}
