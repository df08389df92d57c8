//! The run without a command: a stream of payments, and the books at its end.

use std::sync::Arc;
use std::time::Duration;

use level3_adapters::sql::{Counts, StoreError};
use level3_domain::answer::PayError;
use program_kit::run_name;
use program_kit::stop::Shutdown;
use tokio::time::{MissedTickBehavior, interval};

use super::args::Cli;
use super::engine::Engine;
use super::health::Health;
use super::problem::{Outcome, ProgramError};
use super::stream::Stream;
use super::summary::{Run, Settled, Summary};
use super::view::{View, say};
use super::{FINISHING, books, print, print_json};

/// Recovers, pays, drains, and checks the books.
pub async fn pay(cli: &Cli, stop: &Shutdown) -> Result<Outcome, ProgramError> {
    let mut engine = Engine::start(&cli.services).await?;
    let recovered = tokio::select! {
        recovered = engine.recover() => recovered?,
        () = stop.asked(1) => {
            say("payment-gateway: stopped before any payment. The next start continues the recovery.");
            engine.close(FINISHING).await;
            return Ok(Outcome::Done);
        }
    };
    let prefix = match &cli.stream.key_prefix {
        Some(prefix) => prefix.clone(),
        None => run_name::new_run(),
    };
    let payments = cli.stream.payments.get();
    tracing::info!(payments, prefix, rate = cli.stream.rate, "the stream begins");
    say(&format!(
        "Paying {payments} payments, {prefix}-1 to {prefix}-{payments}, {} in a second: charged by {}, \
         kept in {}.",
        cli.stream.rate,
        engine.payments.name(),
        engine.store.store.place()
    ));
    let health = Arc::new(Health::new());
    let stream =
        Stream { args: &cli.stream, prefix: &prefix, engine: &engine, health: Arc::clone(&health) };
    let took = watched(&engine, payments, stop, stream.pay(stop)).await;
    let settled = match health.verdict() {
        None => settle(&mut engine).await,
        Some((error, cause)) => Err(gave_up(&engine, error, cause)),
    };
    let (settled, problem) = match settled {
        Ok(settled) => (Some(settled), None),
        Err(problem) => (None, Some(problem)),
    };
    let args = &cli.stream;
    let error = problem.as_ref().map(ToString::to_string);
    let run = Run { args, prefix, seed: cli.services.seed, recovered, took, error, settled };
    let summary = Summary::new(&engine, run);
    let is_fine = summary.is_fine();
    if cli.services.json {
        print_json(&summary)?;
    } else {
        print(&summary.to_string())?;
    }
    engine.close(FINISHING).await;
    match problem {
        Some(problem) => {
            say(&format!("payment-gateway: {problem}"));
            Ok(Outcome::Stopped(problem.exit_code()))
        }
        None if is_fine => Ok(Outcome::Done),
        None => Ok(Outcome::Unsettled),
    }
}

/// Ends what the stream has left open, and checks the books.
async fn settle(engine: &mut Engine) -> Result<Settled, ProgramError> {
    engine.finish(FINISHING).await?;
    let books = books(engine).await?;
    let Counts { open, parked, .. } = engine.store.store.counts().await?;
    Ok(Settled { open, parked, books })
}

/// Draws the progress while payments are under way.
async fn watched(
    engine: &Engine,
    payments: u32,
    stop: &Shutdown,
    paying: impl Future<Output = Duration>,
) -> Duration {
    let view = View::new(payments);
    let mut ticks = interval(view.period());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // The first tick comes at once, before there is any progress.
    ticks.tick().await;
    let mut paying = std::pin::pin!(paying);
    let took = loop {
        tokio::select! {
            took = &mut paying => break took,
            _ = ticks.tick() => {
                view.draw(engine, stop.is_asked());
                engine.note_failed_receipts().await;
            }
        }
    };
    view.finish();
    engine.note_failed_receipts().await;
    took
}

fn gave_up(engine: &Engine, error: PayError, cause: Option<StoreError>) -> ProgramError {
    say("The stream was stopped. The next start finishes what was under way.");
    match cause {
        Some(cause) => ProgramError::Store(cause),
        None => engine.problem(error),
    }
}
