//! Durable payments per second: how many payments the gateway answers when every step of each is on disk
//! before the next begins.
//!
//! ```text
//! cargo run --release -p level3-adapters --example throughput              # measure
//! cargo run --release -p level3-adapters --example throughput -- --write   # and write throughput-report.md
//! ```
//!
//! `--seconds S` sets how long each figure is measured (1), `--rounds N` how often (5).

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs};

use level3::gateway::{Gateway, GatewayConfig};
use level3::nonzero;
use level3_adapters::postgres::{PostgresOptions, PostgresStore};
use level3_adapters::sqlite::{SqliteOptions, SqliteStore};
use level3_domain::answer::Status;
use level3_domain::event::NoObserver;
use level3_domain::journal::Journal;
use level3_domain::provider::{Ledger, Providers};
use level3_harness::request;
use level3_sim::{Latencies, NoFaults, World};
use tokio::time::{Instant, sleep};

#[path = "../tests/support/postgres.rs"]
mod postgres;

use postgres::{Flush, Server};

type Failure = Box<dyn Error + Send + Sync>;

const IN_FLIGHT: [usize; 4] = [1, 16, 64, 256];
/// How long a payment may take here.
const PATIENCE: Duration = Duration::from_secs(300);
/// Flushes of one block that a figure is the median of.
const FLUSHES: usize = 50;

/// A store, and how it commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Sqlite { group: usize },
    Postgres { connections: usize, group: usize },
}

const KINDS: [Kind; 6] = [
    Kind::Sqlite { group: 1 },
    Kind::Sqlite { group: 256 },
    Kind::Postgres { connections: 16, group: 1 },
    Kind::Postgres { connections: 1, group: 256 },
    Kind::Postgres { connections: 4, group: 256 },
    Kind::Postgres { connections: 16, group: 256 },
];

impl Kind {
    fn name(self) -> String {
        let one_by_one = |group| if group == 1 { "one by one" } else { "group commit" };
        match self {
            Self::Sqlite { group } => format!("SQLite, {}", one_by_one(group)),
            Self::Postgres { connections: 1, group } => {
                format!("PostgreSQL, 1 connection, {}", one_by_one(group))
            }
            Self::Postgres { connections, group } => {
                format!("PostgreSQL, {connections} connections, {}", one_by_one(group))
            }
        }
    }

    /// What the ratios of this kind's store are ratios to.
    fn is_baseline(self) -> bool {
        matches!(self, Self::Sqlite { group: 1 } | Self::Postgres { group: 1, .. })
    }
}

struct Arguments {
    write: bool,
    seconds: f64,
    rounds: usize,
}

fn arguments() -> Result<Arguments, Failure> {
    let mut found = Arguments { write: false, seconds: 1.0, rounds: 5 };
    let mut given = env::args().skip(1);
    while let Some(name) = given.next() {
        match name.as_str() {
            "--write" => found.write = true,
            "--seconds" => found.seconds = given.next().unwrap_or_default().parse()?,
            "--rounds" => found.rounds = given.next().unwrap_or_default().parse()?,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    Ok(found)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = arguments()?;
    // Beside the program: where temporary files go may be memory, which has nothing to flush.
    let program = env::current_exe()?;
    let beside = program.parent().ok_or("the program is in no folder")?;
    let folder = tempfile::tempdir_in(beside)?;
    let server = Server::start(Flush::Disk)?;
    let kinds: Vec<Kind> = KINDS
        .into_iter()
        .filter(|kind| server.is_some() || matches!(kind, Kind::Sqlite { .. }))
        .collect();
    let (mut figures, mut flushes) = (Figures::default(), Vec::new());
    let length = Duration::from_secs_f64(arguments.seconds);
    for round in 1..=arguments.rounds {
        for in_flight in IN_FLIGHT {
            // Measured each time, because other processes may use the disk.
            flushes.push(flush_time(folder.path())?);
            // One after another in each round, so that whatever else the machine does meets all alike.
            for &kind in &kinds {
                let rate = measure(kind, in_flight, length, folder.path(), server.as_ref()).await?;
                eprintln!("round {round}, {in_flight} in flight, {}: {rate:.0}/s", kind.name());
                figures.add(kind, in_flight, rate);
            }
        }
    }
    let report = report(&figures, &kinds, &mut flushes, &arguments);
    println!("{report}");
    if arguments.write {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .ok_or("start me with `cargo run -p level3-adapters --example throughput`")?;
        fs::write(PathBuf::from(package).with_file_name("throughput-report.md"), report)?;
    }
    Ok(())
}

/// Every figure that was measured.
#[derive(Default)]
struct Figures(Vec<(Kind, usize, f64)>);

impl Figures {
    fn add(&mut self, kind: Kind, in_flight: usize, rate: f64) {
        self.0.push((kind, in_flight, rate));
    }

    /// The median of the rounds.
    fn median(&self, kind: Kind, in_flight: usize) -> f64 {
        let mut rates: Vec<f64> = self
            .0
            .iter()
            .filter(|(of, at, _)| (*of, *at) == (kind, in_flight))
            .map(|(_, _, rate)| *rate)
            .collect();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or_default()
    }
}

/// The median time of a block that is written and flushed.
fn flush_time(folder: &Path) -> Result<Duration, Failure> {
    use std::io::{Seek as _, SeekFrom, Write as _};
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        file.seek(SeekFrom::Start(0))?;
        let begun = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times[FLUSHES / 2])
}

/// Paid payments per second on a store of its own.
async fn measure(
    kind: Kind,
    in_flight: usize,
    length: Duration,
    folder: &Path,
    server: Option<&Server>,
) -> Result<f64, Failure> {
    let group = |group| NonZeroUsize::new(group).unwrap_or(NonZeroUsize::MIN);
    match kind {
        Kind::Sqlite { group: size } => {
            let path = folder.join("throughput.db");
            let options = SqliteOptions { group: group(size), ..SqliteOptions::default() };
            let store = SqliteStore::open_with(&path, options).await?;
            let rate = drive(store.clone(), in_flight, length).await;
            store.close().await;
            for suffix in ["", "-wal", "-shm"] {
                let mut name = path.clone().into_os_string();
                name.push(suffix);
                // Closed, the file has no companions.
                let _ = fs::remove_file(name);
            }
            rate
        }
        Kind::Postgres { connections, group: size } => {
            let server = server.ok_or("no PostgreSQL")?;
            let options = PostgresOptions {
                connections: group(connections),
                group: group(size),
                ..PostgresOptions::default()
            };
            let store = PostgresStore::connect_with(&server.database()?, options).await?;
            let rate = drive(store.clone(), in_flight, length).await;
            store.close().await;
            rate
        }
    }
}

/// So many clients, each of which sends its next payment when the last is answered.
async fn drive<S>(store: S, in_flight: usize, length: Duration) -> Result<f64, Failure>
where
    S: Journal + Ledger + Clone + 'static,
{
    let world = World::with(Latencies::NONE, Arc::new(NoFaults), None);
    let providers = Providers { ledger: Arc::new(store.clone()), ..world.providers() };
    // A limit that is never met: the stores are measured here, not the provider's patience.
    let rate = nonzero!(10_000_000);
    let mut config = GatewayConfig { rate, ..GatewayConfig::default() };
    // 256 in flight, one by one, on a slow disk: a payment may wait for longer than its 10 s, and would be
    // undone in the middle of the measurement.
    config.total = PATIENCE;
    config.save.limit = PATIENCE / 2;
    let gateway = Gateway::new(config, providers, Arc::new(store), Arc::new(NoObserver))?;
    let (next, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let begun = Instant::now();
    let clients: Vec<_> = (0..in_flight)
        .map(|_| {
            let (gateway, next, stop) = (gateway.clone(), Arc::clone(&next), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut paid = 0_u32;
                let mut others = HashSet::new();
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    match gateway.pay(request(number)).await {
                        Ok(reply) if matches!(reply.answer.status, Status::Paid { .. }) => {
                            paid += 1
                        }
                        other => drop(others.insert(format!("{other:?}"))),
                    }
                }
                (paid, others)
            })
        })
        .collect();
    sleep(length).await;
    stop.store(true, Ordering::Relaxed);
    let mut paid = 0;
    for client in clients {
        let (mine, others) = client.await?;
        paid += mine;
        if let Some(other) = others.into_iter().next() {
            return Err(format!("a payment was not paid: {other}").into());
        }
    }
    let took = begun.elapsed();
    gateway.drain(PATIENCE).await;
    Ok(f64::from(paid) / took.as_secs_f64())
}

fn report(
    figures: &Figures,
    kinds: &[Kind],
    flushes: &mut [Duration],
    arguments: &Arguments,
) -> String {
    flushes.sort_unstable();
    let flush = |at: usize| flushes.get(at).copied().unwrap_or_default().as_micros();
    let (least, middle) = (flush(0), flush(flushes.len() / 2));
    let most = flush(flushes.len().saturating_sub(1));
    let mut text = format!(
        "# Durable payments per second\n\n\
         Written by `cargo run --release -p level3-adapters --example throughput -- --write`. Each payment goes\n\
         through the whole gateway, with simulated services that answer at once and a real store. Seven\n\
         writes lie between request and answer (the saga is opened, four steps begin, the row is saved,\n\
         the saga ends), each flushed to the disk before the next begins; an eighth takes the receipt off\n\
         the outbox. Median of {} rounds of {} s; within a round one kind is measured right after the\n\
         other. The figures are those of one machine and of what else it did; compare the ratios. To\n\
         write and flush a block of 4096 bytes took between {least} and {most} us in these rounds, {middle} in\n\
         the median.\n\n",
        arguments.rounds, arguments.seconds,
    );
    let heading = |text: &mut String, what: &str| {
        let _ = write!(text, "| {what} |");
        for in_flight in IN_FLIGHT {
            let _ = write!(text, " {in_flight} in flight |");
        }
        text.push_str("\n|---|---:|---:|---:|---:|\n");
    };
    heading(&mut text, "payments per second");
    for &kind in kinds {
        let _ = write!(text, "| {} |", kind.name());
        for in_flight in IN_FLIGHT {
            let _ = write!(text, " {:.0} |", figures.median(kind, in_flight));
        }
        text.push('\n');
    }
    text.push('\n');
    heading(&mut text, "times as many as one by one");
    let mut baseline = kinds.first().copied();
    for &kind in kinds {
        if kind.is_baseline() {
            baseline = Some(kind);
            continue;
        }
        let Some(baseline) = baseline else { continue };
        let _ = write!(text, "| {} |", kind.name());
        for in_flight in IN_FLIGHT {
            let ratio = figures.median(kind, in_flight) / figures.median(baseline, in_flight);
            let _ = write!(text, " {ratio:.1} |");
        }
        text.push('\n');
    }
    text
}
