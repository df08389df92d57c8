//! The log, on stderr.

use std::env;
use std::io;

use tracing::Level;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

/// Logs to stderr from now on what `RUST_LOG` names, errors without it.
///
/// # Errors
///
/// If the value of the variable is invalid.
pub fn start() -> Result<(), ParseError> {
    let wanted = env::var("RUST_LOG").unwrap_or_default();
    let filter = match wanted.trim() {
        "" => Targets::new().with_default(Level::ERROR),
        wanted => wanted.parse()?,
    };
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(false);
    // Fails only if a subscriber is there already; this is the only one.
    let _ = registry().with(lines.with_filter(filter)).try_init();
    Ok(())
}
