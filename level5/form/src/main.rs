//! The program: reads the command line, serves until Ctrl-C, and ends with an exit code.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser as _;
use tokio_util::sync::CancellationToken;

use registration_page::args::Cli;
use registration_page::server::{Server, ServerError};

fn main() -> ExitCode {
    match start(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Nothing else can be done when stderr takes no text.
            let _ = writeln!(io::stderr(), "registration-page: {why}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: &Cli) -> Result<(), ServerError> {
    // A part that the learner has not written is named on stderr, and is no panic here.
    demo_kit::watch();
    let stop = CancellationToken::new();
    let asked = stop.clone();
    ctrlc::set_handler(move || asked.cancel())
        .map_err(|why| ServerError::System(io::Error::other(why)))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let server = Server::bind(SocketAddr::new(cli.host, cli.port)).await?;
        say(&format!("The page is at http://{}/. Ctrl-C ends the program.", server.address()));
        server.serve(stop).await
    });
    // Connections that did not end in time end here.
    runtime.shutdown_background();
    ended?;
    say("The program has ended.");
    Ok(())
}

/// Prints a line. A reader that has closed stdout needs none.
fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}
