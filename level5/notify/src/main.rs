//! The program: reads the command line, and ends with an exit code.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use program_kit::log::{self, LogFormat};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use notifier::args::{Cli, Command, ServeArgs};
use notifier::problem::ProgramError;
use notifier::{day, run};

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        None | Some(Command::Day) => play(),
        Some(Command::Serve(args)) => serve(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the output has closed it, as `head` does.
        Err(ProgramError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(why) => {
            if let Some(part) = demo_kit::take() {
                let _ =
                    writeln!(io::stderr(), "notifier: a notification needed a part that is {part}");
                return ProgramError::Unwritten(part).exit_code().into();
            }
            // Nothing else can be done when stderr takes no text.
            let _ = writeln!(io::stderr(), "notifier: {why}");
            why.exit_code().into()
        }
    }
}

fn play() -> Result<(), ProgramError> {
    log::start(LogFormat::Text)?;
    // A clock that jumps to the next timer whenever all tasks wait: a day takes a moment.
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(ProgramError::System)?;
    let lines = runtime.block_on(demo_kit::written(day::play()));
    let lines = lines.map_err(ProgramError::Unwritten)??;
    let mut stdout = io::stdout().lock();
    for line in lines {
        writeln!(stdout, "{line}").map_err(ProgramError::Output)?;
    }
    Ok(())
}

fn serve(args: &ServeArgs) -> Result<(), ProgramError> {
    log::start(LogFormat::Text)?;
    // A part that the learner has not written is named on stderr, and is no panic here.
    demo_kit::watch();
    let stop = CancellationToken::new();
    let asked = stop.clone();
    ctrlc::set_handler(move || asked.cancel())
        .map_err(|why| ProgramError::System(io::Error::other(why)))?;
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(ProgramError::System)?;
    let ended = runtime.block_on(demo_kit::written(run::serve(args, stop)));
    // Connections that did not end in time end here.
    runtime.shutdown_background();
    ended.map_err(ProgramError::Unwritten)?
}
