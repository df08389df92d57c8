//! The program: reads the command line, and ends with an exit code.

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser as _;
use program_kit::log;
use program_kit::stop::Shutdown;
use serde_json::json;

use event_processor::args::Cli;
use event_processor::problem::ProgramError;
use event_processor::run::{print, run};
use event_processor::view::say;

/// The exit code for a wrong command line.
const USAGE: u8 = 2;

/// Runs the program as the command line asks.
fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let json = cli.processor.json;
    match start(&cli) {
        Ok(code) => code,
        // The reader of the output has closed it, as `head` does in `event-processor dead-letters | head`.
        Err(ProgramError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(problem) => {
            if json {
                print_error(&problem.to_string(), problem.exit_code());
            }
            say(&format!("event-processor: {problem}"));
            problem.exit_code().into()
        }
    }
}

fn start(cli: &Cli) -> Result<ExitCode, ProgramError> {
    log::start(cli.processor.log_format)?;
    let stop = Shutdown::listen().map_err(ProgramError::System)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(ProgramError::System)?;
    let outcome = runtime.block_on(demo_kit::written(run(cli, &stop)));
    // After a second Ctrl-C the program does not wait for tasks that are under way.
    runtime.shutdown_background();
    let outcome = outcome.unwrap_or_else(|part| Err(ProgramError::Unwritten(part)));
    if let Some(part) = demo_kit::take() {
        say(&format!("event-processor: some events needed a part that is {part}"));
    }
    Ok(outcome?.into())
}

/// Reports an error of the command line, or shows the help, which is not an error.
fn refuse(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    if error.use_stderr() && wants_json {
        // The lines after the first blank line only explain how to get help.
        let text = error.to_string();
        let what = text.split("\n\n").next().unwrap_or_default();
        print_error(what.trim_start_matches("error: "), USAGE);
    }
    // Nothing else can be done when neither stream takes it.
    let _ = error.print();
    if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS }
}

/// Prints an error for programs instead of the result. A reader that closed stdout still has the exit code.
fn print_error(what: &str, exit_code: u8) {
    let _ = print(&json!({ "error": what, "exit_code": exit_code }).to_string());
}
