//! A run: opens the journal, moves the events, drains, and checks the counts.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use level5::event_processor::{
    Config, Event, EventId, Journal as _, Processor, Rejected, Report, Service, breaker, retry,
};
use program_kit::run_name::new_run;
use program_kit::stop::Shutdown;
use serde_json::json;
use tokio::sync::{OnceCell, mpsc};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::args::{Cli, Command, ProcessorArgs, SinkArgs, SinkKind, SourceKind};
use crate::balance::Counts;
use crate::figures::Figures;
use crate::ingest::{Ingest, Moving, rate_of_lane};
use crate::journal::AnyJournal;
use crate::monitor::{Monitor, Phase};
use crate::problem::{Outcome, ProgramError};
use crate::sink::{AnySink, FileSink, Heard, HttpSink, Listening, Simulated};
use crate::source::{Generator, HttpSource, Lane, Lines};
use crate::summary::{Delivered, RecoveredCounts, Refused, Summary, Written};
use crate::view::{View, say};

/// A lane for each task that takes events: two keep two cores busy.
const LANES: usize = 2;
/// Events of a lane that are on their way to the journal at once. They share syncs.
const AT_ONCE: usize = 8192;
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Batches that fail in a row before a service gets a rest.
pub const TRIP: NonZeroU32 = NonZeroU32::MIN.saturating_add(7);

/// Runs the program as the command line asks. The first Ctrl-C drains, the second ends.
///
/// # Errors
///
/// [`ProgramError`].
///
/// # Panics
///
/// Outside of a tokio runtime with several threads.
///
/// # Cancellation
///
/// Dropping the future ends the run. The journal has what was accepted.
pub async fn run(cli: &Cli, stop: &Shutdown) -> Result<Outcome, ProgramError> {
    let work = async {
        match cli.command {
            None => move_events(cli, stop).await,
            Some(Command::DeadLetters) => dead_letters(&cli.processor).await,
        }
    };
    let times = if cli.command.is_none() { 2 } else { 1 };
    tokio::select! {
        outcome = work => outcome,
        () = stop.asked(times) => {
            say("event-processor: ended at once. The next start delivers what is in the journal.");
            Ok(Outcome::Interrupted)
        }
    }
}

async fn dead_letters(args: &ProcessorArgs) -> Result<Outcome, ProgramError> {
    let letters = AnyJournal::dead_letters(args).await?;
    let mut out = io::stdout().lock();
    for letter in &letters {
        let (id, service) = (letter.event.id.as_str(), letter.service.as_str());
        let written = if args.json {
            let line = json!({ "id": id, "service": service, "attempts": letter.attempts, "reason": letter.reason });
            writeln!(out, "{line}")
        } else {
            writeln!(out, "{id}: {} attempts at {service}: {}", letter.attempts, letter.reason)
        };
        written.map_err(ProgramError::Output)?;
    }
    Ok(if letters.is_empty() { Outcome::Done } else { Outcome::Unsettled })
}

/// The service of an event: its kind up to the first dot.
fn route(event: &Event) -> Service {
    Service::new(event.kind.split('.').next().unwrap_or_default())
}

fn config(args: &ProcessorArgs, compress: bool) -> Result<Config, ProgramError> {
    let base = Duration::from_millis(args.retry_wait.get().into());
    let backoff = retry::Backoff::new(base, 2.0, LONGEST_WAIT.max(base), args.attempts);
    let defaults = Config::default();
    Ok(Config {
        batch_size: args.batch,
        flush: Duration::from_millis(50),
        batches_in_flight: args.in_flight,
        retry: backoff.map_err(|why| ProgramError::Retry(why.to_string()))?,
        breaker: breaker::BreakerConfig {
            // In a row: of a thousand batches a second, five failures within a minute are no outage.
            trip: breaker::Trip::Consecutive(TRIP),
            reset_timeout: Duration::from_secs(5),
            ..defaults.breaker
        },
        threshold: args.threshold,
        critical_reserve: args.threshold.get() / 10,
        compress,
        ..defaults
    })
}

fn sink(args: &SinkArgs, heard: &Arc<Heard>) -> Result<AnySink, ProgramError> {
    Ok(match &args.sink {
        SinkKind::Simulated => AnySink::Simulated(Simulated::new(args, Arc::clone(heard))),
        SinkKind::File(path) => AnySink::File(FileSink::open(path)?),
        SinkKind::Http(url) => AnySink::Http(HttpSink::new(url.clone())?),
    })
}

/// The lanes of the source, and how many events they have, if that is known.
fn lanes(
    cli: &Cli,
    prefix: &str,
    figures: &Arc<Figures>,
    failed: &Arc<OnceCell<ProgramError>>,
) -> Result<(Vec<Lane>, Option<u64>), ProgramError> {
    let args = &cli.source;
    let path = match &args.source {
        SourceKind::Generator => {
            let (events, bytes) = (args.events, args.event_bytes);
            let made = Generator::lanes(prefix, events, bytes, now(), LANES as u64);
            return Ok((made.into_iter().map(Lane::Generator).collect(), Some(events)));
        }
        SourceKind::File(path) => Some(path.clone()),
        SourceKind::Stdin => None,
        SourceKind::Http(_) => return Ok((Vec::new(), None)),
    };
    let input = input(path.as_ref())?;
    let (lines, receivers) = Lines::new(LANES);
    let (figures, failed) = (Arc::clone(figures), Arc::clone(failed));
    let read = move || {
        let bad = |line| {
            if figures.skip(&line) {
                say(&format!("event-processor: {line}"));
            }
        };
        if let Err(why) = lines.read(input, now, bad) {
            let path = path.unwrap_or_else(|| PathBuf::from("standard input"));
            let _ = failed.set(ProgramError::Source { path, why });
        }
    };
    // A thread of its own, since a read of standard input cannot be ended.
    thread::Builder::new().name("source".to_owned()).spawn(read).map_err(ProgramError::System)?;
    Ok((receivers.into_iter().map(Lane::Lines).collect(), None))
}

#[expect(clippy::disallowed_types, reason = "the source is a file")]
fn input(path: Option<&PathBuf>) -> Result<Box<dyn io::Read + Send>, ProgramError> {
    Ok(match path {
        None => Box::new(io::stdin()),
        Some(path) => match std::fs::File::open(path) {
            Ok(file) => Box::new(file),
            Err(why) => return Err(ProgramError::Source { path: path.clone(), why }),
        },
    })
}

#[expect(clippy::disallowed_methods, reason = "the time of an event is that of the calendar")]
fn now() -> Timestamp {
    // A clock outside of the years that a timestamp has is one that was never set.
    Timestamp::try_from(std::time::SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

async fn move_events(cli: &Cli, stop: &Shutdown) -> Result<Outcome, ProgramError> {
    let args = &cli.processor;
    let journal = AnyJournal::open(args).await?;
    let mut recovered = report_recovery(&journal);
    let heard = Arc::new(Heard::default());
    let sink = sink(&cli.sink, &heard)?;
    let compress = matches!(cli.sink.sink, SinkKind::Http(_));
    let figures = Arc::new(Figures::default());
    let source_failed = Arc::new(OnceCell::new());
    let prefix = cli.source.id_prefix.clone().unwrap_or_else(new_run);
    let (lanes, events) = lanes(cli, &prefix, &figures, &source_failed)?;
    // Before the processor is started: an address in use is the most common error.
    let requests = match cli.source.source {
        SourceKind::Http(address) => Some(listen(address).await?),
        _ => None,
    };

    let listening = Listening::new(sink, Arc::clone(&heard));
    let started = Processor::start(config(args, compress)?, listening, journal.clone(), route);
    let processor = Arc::new(started.await?);
    let mut monitor = match args.monitor {
        Some(address) => Some(monitor(address, &processor).await?),
        None => None,
    };
    let begun = Instant::now();
    if cli.source.redrive {
        recovered.redriven = redrive(&processor, stop).await?;
    }
    let printer = cli.source.acks.then(printer).transpose()?;
    let (acks, printer) = printer.unzip();
    let ingest = Ingest {
        processor: Arc::clone(&processor),
        figures: Arc::clone(&figures),
        stopping: CancellationToken::new(),
        failure: Arc::default(),
        acks,
        at_once: AT_ONCE,
        rate: cli.source.rate.map(|rate| rate_of_lane(rate, LANES)),
    };
    tracing::info!(prefix, "the run begins");
    let work = async {
        let mut tasks = JoinSet::new();
        for lane in lanes {
            tasks.spawn(ingest.clone().run(lane));
        }
        if let Some(requests) = requests {
            say(&format!(
                "event-processor: events are taken at http://{}/events",
                requests.address()
            ));
            tasks.spawn(requests.run(ingest.clone()));
        }
        let ended = CancellationToken::new();
        let moved = async {
            let sources = async {
                joined(&mut tasks).await;
                ended.cancel();
            };
            futures::join!(sources, take_over(&ingest, &journal, &ended));
            processor.shutdown(args.drain()).await
        };
        // During the drain too, so that the view says what a second Ctrl-C does.
        let stopped = async {
            stop.asked(1).await;
            ingest.stopping.cancel();
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            report = moved => report,
            never = stopped => match never {},
        }
    };
    let expected = events.map(|events| events + recovered.pending);
    let show = |phase| {
        if let Some(monitor) = &mut monitor {
            monitor.show(&processor, &figures, &heard, phase);
        }
    };
    let report =
        watched(&processor, &figures, &heard, expected, &ingest.stopping, work, show).await;
    if let Some(monitor) = monitor {
        monitor.close().await;
    }
    let took = begun.elapsed();
    let failure = ingest.failure.get().cloned();
    drop(ingest);
    if let Some(printer) = printer {
        // It ends when the last sender is gone.
        let _ = block_in_place(|| printer.join());
    }

    let error = match (failure, source_failed.get()) {
        (Some(error), _) => Some(ProgramError::from(error).to_string()),
        (None, error) => error.map(ToString::to_string),
    };
    let summary =
        summarize(&journal, report, &figures, &heard, recovered, took, prefix, error).await?;
    let outcome = summary.outcome();
    if args.json {
        print(&serde_json::to_string_pretty(&summary).unwrap_or_default())?;
    } else if cli.source.acks {
        say(summary.to_string().trim_end());
    } else {
        print(summary.to_string().trim_end())?;
    }
    if let Some(error) = &summary.error {
        say(&format!("event-processor: {error}"));
    }
    // The processor has a handle too.
    drop(processor);
    journal.close().await;
    Ok(outcome)
}

/// Takes over what dead processes have left in the journal, if it is one that processes share.
async fn take_over(ingest: &Ingest, journal: &AnyJournal, ended: &CancellationToken) {
    #[cfg(feature = "nats")]
    if let Some(stream) = journal.stream() {
        return crate::journal::stream::take_over(ingest, stream, ended).await;
    }
    let _ = (ingest, journal, ended);
}

/// Waits for all tasks. A panic in one goes on here.
async fn joined(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Says what the journal had, and returns it.
fn report_recovery(journal: &AnyJournal) -> RecoveredCounts {
    let Some(recovered) = journal.recovered() else { return RecoveredCounts::default() };
    if recovered.torn_bytes > 0 {
        let bytes = recovered.torn_bytes;
        say(&format!(
            "event-processor: the last run ended in the middle of a write: {bytes} bytes that were not acknowledged are cut off"
        ));
    }
    for damage in &recovered.damages {
        say(&format!("event-processor: {damage}"));
    }
    if !recovered.unreadable.is_empty() {
        let names = recovered.unreadable.join(", ");
        say(&format!(
            "event-processor: these events cannot be read and are not delivered: {names}"
        ));
    }
    if recovered.pending + recovered.dead > 0 {
        let (pending, dead) = (recovered.pending, recovered.dead);
        say(&format!(
            "event-processor: the journal has {pending} pending events and {dead} dead letters"
        ));
    }
    recovered
}

/// Sends all dead letters again, as there is room. Returns how many.
async fn redrive(processor: &Moving, stop: &Shutdown) -> Result<u64, ProgramError> {
    let ids: Vec<EventId> =
        processor.dead_letters().into_iter().map(|letter| letter.event.id.clone()).collect();
    let mut pressed = processor.backpressure();
    let mut done = 0;
    let mut rest = ids.as_slice();
    while !rest.is_empty() {
        match processor.redrive(rest).await {
            Ok(count) => {
                done += count as u64;
                rest = rest.get(count..).unwrap_or_default();
            }
            Err(Rejected::Journal(error)) => return Err(error.into()),
            Err(_) => break,
        }
        if rest.is_empty() {
            break;
        }
        tokio::select! {
            _ = pressed.wait_for(|pressed| !pressed) => tokio::time::sleep(Duration::from_millis(10)).await,
            () = stop.asked(1) => break,
        }
    }
    Ok(done)
}

/// Gets ids, and the thread that prints them. The thread ends when the sender is dropped.
type Printer = (mpsc::Sender<Vec<EventId>>, thread::JoinHandle<()>);

fn printer() -> Result<Printer, ProgramError> {
    let (sender, mut receiver) = mpsc::channel::<Vec<EventId>>(64);
    let print = move || {
        let mut out = io::stdout().lock();
        while let Some(ids) = receiver.blocking_recv() {
            let text: String = ids.iter().flat_map(|id| [id.as_str(), "\n"]).collect();
            if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
                // There is no reader.
                return;
            }
        }
    };
    let spawned = thread::Builder::new().name("acks".to_owned()).spawn(print);
    Ok((sender, spawned.map_err(ProgramError::System)?))
}

/// Shows the progress until the work has ended.
async fn watched(
    processor: &Moving,
    figures: &Figures,
    heard: &Heard,
    events: Option<u64>,
    stopping: &CancellationToken,
    work: impl Future<Output = Report>,
    mut show: impl FnMut(Phase),
) -> Report {
    let mut view = View::new(events);
    let metrics = processor.metrics();
    let mut ticks = interval(view.period());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once.
    ticks.tick().await;
    tokio::pin!(work);
    let report = loop {
        tokio::select! {
            report = &mut work => break report,
            _ = ticks.tick() => {
                let now = metrics.borrow().clone();
                let is_stopping = stopping.is_cancelled();
                view.draw(&now, figures, heard, is_stopping);
                show(if is_stopping { Phase::Draining } else { Phase::Running });
            }
        }
    };
    view.finish();
    report
}

/// Listens for requests.
async fn listen(address: SocketAddr) -> Result<HttpSource, ProgramError> {
    HttpSource::bind(address, now).await.map_err(|why| ProgramError::Listen { address, why })
}

/// Starts the page, and says where it is.
async fn monitor(address: SocketAddr, processor: &Arc<Moving>) -> Result<Monitor, ProgramError> {
    let started = Monitor::start(address, Arc::clone(processor)).await;
    let monitor = started.map_err(|why| ProgramError::Monitor { address, why })?;
    say(&format!("event-processor: the monitor is at http://{}", monitor.address()));
    Ok(monitor)
}

#[expect(clippy::too_many_arguments, reason = "each part of a summary has another origin")]
async fn summarize(
    journal: &AnyJournal,
    report: Report,
    figures: &Figures,
    heard: &Heard,
    recovered: RecoveredCounts,
    took: Duration,
    id_prefix: String,
    error: Option<String>,
) -> Result<Summary, ProgramError> {
    let left = journal.load().await?;
    let accepted = figures.accepted.load(Ordering::Relaxed);
    let taken = heard.taken.load(Ordering::Relaxed);
    let metrics = report.metrics;
    let counts =
        Counts::new(recovered.pending + recovered.dead, accepted, metrics.clone(), taken, &left);
    let seconds = took.as_secs_f64();
    let written = journal.files().map(|files| Written::from(files.figures()));
    Ok(Summary {
        id_prefix,
        seconds,
        events_per_second: metrics.delivered as f64 / seconds.max(f64::MIN_POSITIVE),
        balance: counts.balance(),
        refused: Refused {
            duplicates: figures.duplicates.load(Ordering::Relaxed),
            not_accepted: figures.not_accepted.load(Ordering::Relaxed),
            skipped_lines: figures.skipped.load(Ordering::Relaxed),
            bad_lines: figures.bad_lines(),
        },
        recovered,
        repeated: heard.repeated.load(Ordering::Relaxed),
        waits: figures.waits.load(Ordering::Relaxed),
        batches: metrics.sends,
        failed_batches: metrics.failed_sends,
        accepted_after_ms: figures.percentiles(),
        delivered_after_ms: Delivered {
            mean: metrics.latency.mean.as_secs_f64() * 1000.0,
            p99: metrics.latency.p99.as_secs_f64() * 1000.0,
        },
        journal: written,
        stream: journal.stream_figures(),
        error,
    })
}

/// Writes a line to stdout.
///
/// # Errors
///
/// [`ProgramError::Output`].
pub fn print(text: &str) -> Result<(), ProgramError> {
    writeln!(io::stdout().lock(), "{text}").map_err(ProgramError::Output)
}
