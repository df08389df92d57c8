//! The program: reads the command line and the plan, and ends with an exit code.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use serde_json::json;
use tokio::sync::watch;

use request_plan::args::Cli;
use request_plan::run::{ProgramError, Ready};
use request_plan::view::say;

/// 128 plus the number of SIGINT, by the convention of shells.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(&cli) {
        Ok(code) => code.into(),
        // The reader of the output has closed it, as `head` does.
        Err(ProgramError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(problem) => {
            if cli.json {
                let _ = print(&json!({ "error": problem.to_string() }).to_string());
            }
            say(&format!("request-plan: {problem}"));
            2.into()
        }
    }
}

fn start(cli: &Cli) -> Result<u8, ProgramError> {
    let read = std::fs::read_to_string(&cli.file);
    let text = read.map_err(|why| ProgramError::File { path: cli.file.clone(), why })?;
    let ready = Ready::new(cli, &text)?;
    if cli.check {
        print(ready.layers().trim_end())?;
        return Ok(0);
    }
    let (pressed, mut stop) = watch::channel(false);
    ctrlc::set_handler(move || pressed.send_modify(|pressed| *pressed = true))
        .map_err(|why| ProgramError::System(io::Error::other(why)))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(ProgramError::System)?;
    let mut is_complete = true;
    let work = async {
        let each = |report: request_plan::report::Report| {
            is_complete &= report.is_complete();
            if cli.json { print(&report.json().to_string()) } else { print(&report.to_string()) }
        };
        tokio::select! {
            ended = ready.run(cli, each) => ended.map(|()| false),
            // An error says that the handler is gone, which lives as long as the program.
            _ = stop.wait_for(|pressed| *pressed) => Ok(true),
        }
    };
    let ended = runtime.block_on(demo_kit::written(work));
    runtime.shutdown_background();
    let interrupted = ended.unwrap_or_else(|part| Err(ProgramError::Unwritten(part)))?;
    if interrupted {
        say("request-plan: ended. Requests that were under way were dropped.");
        return Ok(INTERRUPTED);
    }
    Ok(u8::from(!is_complete))
}

fn print(text: &str) -> Result<(), ProgramError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(ProgramError::Output)
}
