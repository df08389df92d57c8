//! Prints a user's profile as JSON, fetched in the style of your choice.
//!
//! Exit codes: 0 the profile was printed; 1 it could not be written; 2 wrong arguments; then by the
//! class of the error: 3 validation, 4 not found, 5 authentication, 6 network, 7 database, 8 a bug;
//! 9 a part of the level is not written yet.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use level1::errors::FetchError;
use level1::http::{HttpConfig, HttpSource, SetupError};
use level1::model::{Profile, UserId};
use level1::source::{CallbackAdapter, Request, SourceError};
use level1::{async_await, callbacks, combinators};
use tokio::sync::oneshot;

/// Fetches the profile of a user over HTTP and prints it as JSON.
#[derive(Debug, Parser)]
#[command(
    name = "level1",
    after_help = "Exit codes:\n  0  the profile was printed\n  1  the profile could not be \
                  written\n  2  wrong arguments\n  3  validation error\n  4  not found\n  5  \
                  authentication failed\n  6  network failure\n  7  database failure\n  8  a bug: \
                  one of the programs is wrong\n  9  a part of the level is not written yet"
)]
struct Arguments {
    /// Scheme, host and port of the server, for example http://localhost:3000
    #[arg(long, value_name = "URL")]
    base_url: String,

    /// The user's number, from 1
    #[arg(long, value_name = "ID")]
    user: UserId,

    /// How the two requests are put together
    #[arg(long, value_enum)]
    style: Style,

    /// What stands between the base URL and /users; "" for JSONPlaceholder itself
    #[arg(long, value_name = "PATH", default_value = "/api")]
    prefix: String,

    /// The time limit of each request, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    timeout: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Style {
    /// Error-first callbacks, one request after the other
    Callbacks,
    /// Future combinators, one request after the other
    Combinators,
    /// async/await, one request after the other
    Sequential,
    /// async/await, both requests at once
    Parallel,
}

/// What can end the program early.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("cannot write the profile: {0}")]
    Output(#[from] io::Error),
    #[error("{0}")]
    Unwritten(demo_kit::Unwritten),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Output(_) => 1,
            Self::Setup(_) => 2,
            Self::Fetch(FetchError::Validation { .. }) => 3,
            Self::Fetch(FetchError::NotFound { .. }) => 4,
            Self::Fetch(FetchError::Authentication { .. }) => 5,
            Self::Fetch(FetchError::Network { .. }) => 6,
            Self::Fetch(FetchError::Database { .. }) => 7,
            Self::Fetch(FetchError::Bug { .. }) => 8,
            Self::Unwritten(_) => 9,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let ended = demo_kit::written(run(Arguments::parse())).await;
    let ended = match (ended, demo_kit::take()) {
        // In a task of its own it shows as another failure.
        (Err(part), _) | (Ok(Err(_)), Some(part)) => Err(Failure::Unwritten(part)),
        (Ok(ended), _) => ended,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard error may be closed too; then the exit code has to do.
            let _ = writeln!(io::stderr(), "error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = HttpConfig {
        prefix: arguments.prefix,
        timeout: Duration::from_millis(arguments.timeout),
        ..HttpConfig::new(arguments.base_url)
    };
    let source = HttpSource::new(config)?;
    let profile = fetch(source, arguments.user, arguments.style).await?;
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &profile).map_err(io::Error::from)?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

async fn fetch(source: HttpSource, id: UserId, style: Style) -> Result<Profile, FetchError> {
    let source = Arc::new(source);
    match style {
        Style::Callbacks => {
            let (sender, receiver) = oneshot::channel();
            let source = Arc::new(CallbackAdapter::new(source));
            callbacks::fetch_user_profile(source, id, move |result| {
                // Fails only when the program is ending: then the receiver is gone.
                let _ = sender.send(result);
            });
            receiver.await.unwrap_or_else(|_| {
                // Callbacks that break their promise are a bug, and the tool says so.
                Err(FetchError::new(Request::User(id), SourceError::CallbackDropped))
            })
        }
        Style::Combinators => combinators::fetch_user_profile(source, id).await,
        Style::Sequential => async_await::fetch_user_profile(source, id).await,
        Style::Parallel => async_await::fetch_user_profile_parallel(source, id).await,
    }
}
