//! `cargo run -q -p grader-proofs --example readme-tables -- --write` puts the tables of criteria into
//! the READMEs of the levels and their sums into the changelog; `--check` says which of them are out of
//! date.
use std::process::ExitCode;

use grader::catalog::LEVELS;
use grader_proofs::tables;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let write = match std::env::args().nth(1).as_deref() {
        Some("--write") => true,
        Some("--check") => false,
        _ => return Err("usage: readme-tables --write | --check".into()),
    };
    let root = grader::workspace::find(&std::env::current_dir()?)?;
    let mut code = ExitCode::SUCCESS;
    let readmes =
        LEVELS.iter().map(|level| (root.join(level.name).join("README.md"), Some(*level)));
    for (path, level) in readmes.chain([(root.join("CHANGELOG.md"), None)]) {
        let there = std::fs::read_to_string(&path)?;
        let wanted = match level {
            Some(level) => tables::replace(&there, level),
            None => tables::replace_sums(&there, LEVELS),
        };
        let wanted = wanted.map_err(|what| format!("{} {what}", path.display()))?;
        if wanted == there {
            continue;
        }
        if write {
            std::fs::write(&path, wanted)?;
            println!("{} is written", path.display());
        } else {
            println!("{} is out of date: run it with --write", path.display());
            code = ExitCode::from(1);
        }
    }
    Ok(code)
}
