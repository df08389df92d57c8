//! The command line of the grader: `cargo run -p grader`, or `cargo grade` for short.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    grader::interrupt::install();
    cli::run(&arguments).into()
}
