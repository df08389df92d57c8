//! The log of a program, on stderr.

use std::env;
use std::io;

use clap::ValueEnum;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

pub use tracing_subscriber::filter::ParseError;

/// The environment variable that selects what is logged.
const VARIABLE: &str = "RUST_LOG";

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text for people
    Text,
    /// One JSON object per line
    Json,
}

/// Logs to stderr from now on what `RUST_LOG` names, errors without it.
///
/// # Errors
///
/// If the value of the variable is invalid.
pub fn start(format: LogFormat) -> Result<(), ParseError> {
    let wanted = env::var(VARIABLE).unwrap_or_default();
    let filter = match wanted.trim() {
        "" => Targets::new().with_default(Level::ERROR),
        wanted => wanted.parse()?,
    };
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    // Fails only if a subscriber is there already; this is the only one.
    let _ = registry().with(lines.with_filter(filter)).try_init();
    Ok(())
}
