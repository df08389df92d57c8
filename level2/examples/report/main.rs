//! Writes `level2/performance-report.md`.
//!
//! ```text
//! cargo run --release -p level2 --example report              # simulate and write
//! cargo run --release -p level2 --example report -- --check   # is the file fresh?
//! ```
//!
//! Everything that happens in virtual time is the same in every run; `--check` compares that part with
//! the file and ends with exit code 1 when they differ. What was measured on a machine stands between two
//! marks; it is neither compared nor changed. `cargo bench -p level2-bench -- --write` measures it again.

mod simulate;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs, io};

use clap::Parser;

/// Writes the performance report of level 2, or checks it.
#[derive(Debug, Parser)]
#[command(name = "report")]
struct Args {
    /// Compare the part in virtual time with the file instead of writing it
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("report: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> io::Result<ExitCode> {
    // Cargo tells a program that it runs where its package is.
    let folder = env::var_os("CARGO_MANIFEST_DIR")
        .ok_or_else(|| io::Error::other("start me with `cargo run -p level2 --example report`"))?;
    let path = PathBuf::from(folder).join("performance-report.md");
    let simulated = simulate::all()?;
    let committed = fs::read_to_string(&path)?;
    if args.check {
        return Ok(if text::is_fresh(&committed, &simulated) {
            println!("performance-report.md is fresh");
            ExitCode::SUCCESS
        } else {
            println!("performance-report.md is stale: run the report again without --check");
            ExitCode::FAILURE
        });
    }
    // Written beside the old file and renamed: an interrupted run leaves no half of a report.
    let fresh = path.with_extension("md.new");
    fs::write(&fresh, text::report(&simulated, text::measured(&committed)))?;
    fs::rename(&fresh, &path)?;
    println!("wrote performance-report.md");
    Ok(ExitCode::SUCCESS)
}
