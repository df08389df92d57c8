//! The finished timeline of a load, for pipes and files.

use std::io::{self, Write as _};
use std::sync::Arc;

use level2::picture;
use level2::strategy::Strategy;
use level2::trace::Trace;

use super::args::Args;

/// Runs one load on the paused clock and prints its timeline.
pub async fn show(strategy: Strategy, args: &Args) -> io::Result<()> {
    let trace = Arc::new(Trace::default());
    let ending = super::load(strategy, args, 1.0, &trace).await;
    let mut out = io::stdout().lock();
    writeln!(out, "{strategy}")?;
    if !ending.is_unwritten() {
        write!(out, "{}", picture::timeline(&trace.spans(), ending.returned(), trace.elapsed()))?;
    }
    for line in ending.lines(1.0) {
        writeln!(out, "  {line}")?;
    }
    out.flush()
}
