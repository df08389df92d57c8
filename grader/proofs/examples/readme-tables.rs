//! `cargo run -q -p grader-proofs --example readme-tables -- --write` writes what the documents take from
//! the criteria: the contracts and the READMEs' tables of the levels, new criteria in the steps of the lessons, and
//! the sums in the changelog.
//! `--check` says which of them are out of date.
use std::process::ExitCode;

use grader_proofs::tables;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let write = match std::env::args().nth(1).as_deref() {
        Some("--write") => true,
        Some("--check") => false,
        _ => return Err("usage: readme-tables --write | --check".into()),
    };
    let root = grader::workspace::find(&std::env::current_dir()?)?;
    let mut code = ExitCode::SUCCESS;
    for (path, wanted) in tables::generated(&root)? {
        let there = std::fs::read_to_string(&path).ok();
        if there.as_deref() == Some(wanted.as_str()) {
            continue;
        }
        if write {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(&path, wanted)?;
            println!("{} is written", path.display());
        } else {
            println!("{} is out of date: run it with --write", path.display());
            code = ExitCode::from(1);
        }
    }
    Ok(code)
}
