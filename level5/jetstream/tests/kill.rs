//! `kill -9` at random moments: two processes on one stream, and the server.
//!
//! ```text
//! cargo test -p level5-jetstream --test kill                                     # some kills, within seconds
//! EVENT_PROCESSOR_KILLS=30 cargo test -p level5-jetstream --test kill -- --nocapture
//! EVENT_PROCESSOR_SEED=7 ...                                                     # the same moments again
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "starts programs, kills them and waits for them; what a test unwraps fails the test"
)]

#[path = "../../journal/tests/support/events.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod events;
mod support;

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::hash::BuildHasher as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures::future::join_all;
use level5::event_processor::{
    Ack, Batch, Config, Event, Processor, Rejected, SendError, Service, Sink,
};
use level5_jetstream::{Address, JetStreamConfig, JetStreamJournal};
use process_kit::Dice;

use events::event;
use support::{Nats, STREAM_BYTES};

/// How many times something is killed, without `EVENT_PROCESSOR_KILLS`.
const KILLS: u64 = 10;
/// The most events that a process has pending.
const PENDING: u64 = 1000;
/// Longer than anything here needs, by far, whatever else runs on the machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn what_was_accepted_is_delivered() {
    let Some(nats) = Nats::start() else { return };
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("EVENT_PROCESSOR_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("EVENT_PROCESSOR_SEED={seed}");
    let kills = number("EVENT_PROCESSOR_KILLS").unwrap_or(KILLS);
    let (mut chance, folder) = (Dice::from(seed), tempfile::tempdir().unwrap());
    let place = Place { address: nats.address("events"), out: folder.path().join("out") };
    let mut accepted = HashSet::new();
    let mut processes = [place.start("0-0"), place.start("1-0")];
    let (mut of_processes, mut of_server) = (0, 0);
    for round in 1..=kills {
        // Every second time when both have accepted something, however slow the machine is.
        if round % 2 == 0 {
            processes.iter().for_each(Process::accepts);
        }
        thread::sleep(Duration::from_millis(chance.below(400)));
        let victim = chance.below(4);
        // One of the two, the server, or the server and one at once.
        if victim >= 2 {
            nats.kill();
            of_server += 1;
        }
        if victim != 2 {
            let which = (victim % 2) as usize;
            let next = place.start(&format!("{which}-{round}"));
            accepted.extend(std::mem::replace(&mut processes[which], next).kill());
            of_processes += 1;
        }
        if victim >= 2 {
            thread::sleep(Duration::from_millis(chance.below(300)));
            nats.restart();
        }
    }
    for process in processes {
        accepted.extend(process.kill());
    }
    // Takes over what they have left, and delivers it.
    place.finish();
    let delivered = place.delivered();
    let lost: Vec<_> = accepted.iter().filter(|id| !delivered.contains_key(*id)).collect();
    let repeated: u64 = delivered.values().map(|times| times - 1).sum();
    println!(
        "killed {of_processes} processes and {of_server} servers: {} accepted, {} delivered, {repeated} repeated",
        accepted.len(),
        delivered.len()
    );
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), accepted.len());
    assert!(accepted.len() as u64 > kills * 10, "hardly anything was accepted");
    assert_eq!(messages(&place.address), 0, "the stream has what was delivered");
    // A repeat is an event whose end was not recorded when its process died, or whose end the server had not written yet.
    // The two at the end were killed too.
    let bound = (of_processes + 2 + 2 * of_server) * PENDING;
    assert!(repeated <= bound, "{repeated} were delivered again");
}

/// The messages of the stream.
fn messages(address: &Address) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = address.to_string();
        let client = async_nats::connect(url.rsplit_once('/').unwrap().0).await.unwrap();
        let context = async_nats::jetstream::new(client);
        context.get_stream(address.stream()).await.unwrap().cached_info().state.messages
    })
}

/// Where the processes find each other.
struct Place {
    address: Address,
    /// Gets a line for each event that is delivered.
    out: PathBuf,
}

impl Place {
    /// Starts a process that accepts events until it is killed.
    fn start(&self, prefix: &str) -> Process {
        Process::start(self.program(prefix))
    }

    /// Runs a process that accepts nothing and ends when nothing is left.
    fn finish(&self) {
        let mut child = self.program("").spawn().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
        panic!("it does not end");
    }

    /// This test, as a program of its own.
    fn program(&self, prefix: &str) -> Command {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "the_process", "--ignored", "--nocapture"]);
        program.env("JETSTREAM_ADDRESS", self.address.to_string());
        program.env("JETSTREAM_PREFIX", prefix).env("JETSTREAM_OUT", &self.out);
        program.stdin(Stdio::null()).stdout(Stdio::piped());
        program
    }

    /// How many times each event was delivered.
    fn delivered(&self) -> HashMap<String, u64> {
        let mut delivered = HashMap::new();
        for line in std::fs::read_to_string(&self.out).unwrap().lines() {
            // A line that was cut when its process died has no end.
            if let Some(id) = line.strip_suffix(';') {
                *delivered.entry(id.to_owned()).or_insert(0) += 1;
            }
        }
        delivered
    }
}

/// A process that accepts events, and the thread that reads what it prints.
struct Process {
    child: Child,
    accepted: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    fn start(mut program: Command) -> Self {
        let mut child = program.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&accepted);
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The last line may be cut, and the test's own lines are not of this form.
                if let Some(id) = line.strip_prefix("accepted ").and_then(|it| it.strip_suffix(';'))
                {
                    read.lock().unwrap().push(id.to_owned());
                }
            }
        });
        Self { child, accepted, reader: Some(reader) }
    }

    /// Waits until it has accepted something. One that is treated as dead ends by itself.
    fn accepts(&self) {
        let begun = Instant::now();
        let ended = || self.reader.as_ref().is_none_or(JoinHandle::is_finished);
        while self.accepted.lock().unwrap().is_empty() && !ended() {
            assert!(begun.elapsed() < PATIENCE, "it accepts nothing");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// `kill -9`. Returns what it had accepted.
    fn kill(mut self) -> Vec<String> {
        let _ = self.child.kill();
        self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        std::mem::take(&mut self.accepted.lock().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails for one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a line for each event.
struct Lines(Mutex<File>);

impl Lines {
    fn open(path: &Path) -> Self {
        Self(Mutex::new(OpenOptions::new().create(true).append(true).open(path).unwrap()))
    }
}

impl Sink for Lines {
    async fn send(&self, _: &Service, batch: &Batch) -> Result<Vec<Ack>, SendError> {
        // Another process may have died in the middle of a line.
        let mut lines = "\n".to_owned();
        for event in batch.events() {
            lines.push_str(event.id.as_str());
            lines.push_str(";\n");
        }
        self.0.lock().unwrap().write_all(lines.as_bytes()).unwrap();
        Ok(vec![Ack::Ok; batch.events().len()])
    }
}

#[test]
#[ignore = "another test starts it in a process of its own"]
fn the_process() -> ExitCode {
    let variable = |name: &str| std::env::var(name).unwrap();
    let address = variable("JETSTREAM_ADDRESS").parse().unwrap();
    let sink = Lines::open(Path::new(&variable("JETSTREAM_OUT")));
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    match runtime.block_on(run(&address, sink, &variable("JETSTREAM_PREFIX"))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Accepts events until an error, or without a prefix ends when nothing is left.
async fn run(address: &Address, sink: Lines, prefix: &str) -> Result<(), String> {
    let config = JetStreamConfig {
        lease: Duration::from_secs(1),
        answer_within: Duration::from_millis(500),
        max_bytes: STREAM_BYTES,
        ..JetStreamConfig::default()
    };
    let journal = opened(address, config).await?;
    let processor_config = Config {
        batch_size: 50.try_into().unwrap(),
        flush: Duration::from_millis(5),
        threshold: (PENDING as usize).try_into().unwrap(),
        critical_reserve: 0,
        ..Config::default()
    };
    let route = |_: &Event| Service::new("out");
    let started = Processor::start(processor_config, sink, journal.clone(), route).await;
    let processor = started.map_err(|why| why.to_string())?;
    let taking = async {
        loop {
            let taken = tokio::select! {
                // What was taken over comes before everything is settled.
                biased;
                taken = journal.taken_over() => taken.ok_or("the lane is lost")?,
                () = journal.settled(), if prefix.is_empty() => return Ok(()),
            };
            for event in taken {
                match ingest(&processor, (*event).clone()).await {
                    Ok(()) => {}
                    Err(Rejected::Duplicate) => journal.decline(&event.id),
                    Err(why) => return Err(why.to_string()),
                }
            }
        }
    };
    let making = async {
        for number in 0_u64.. {
            if prefix.is_empty() {
                std::future::pending::<()>().await;
            }
            let events = (0..40).map(|part| (*event(&format!("{prefix}-{number}-{part}"))).clone());
            let calls = events.map(|event| async {
                let id = event.id.clone();
                (id, ingest(&processor, event).await)
            });
            let mut lines = String::new();
            for (id, result) in join_all(calls).await {
                result.map_err(|why: Rejected| why.to_string())?;
                lines.push_str(&format!("accepted {id};\n"));
            }
            std::io::stdout().lock().write_all(lines.as_bytes()).unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok::<(), String>(())
    };
    tokio::select! {
        ended = taking => ended?,
        ended = making => ended?,
    }
    let report = processor.shutdown(PATIENCE).await;
    drop(processor);
    journal.close().await;
    if report.left.is_empty() { Ok(()) } else { Err(format!("{} are left", report.left.len())) }
}

/// Opens the journal, also if the server is just being killed.
async fn opened(address: &Address, config: JetStreamConfig) -> Result<JetStreamJournal, String> {
    let begun = Instant::now();
    loop {
        match JetStreamJournal::open(address, config).await {
            Ok(journal) => return Ok(journal),
            Err(why) if begun.elapsed() > PATIENCE => return Err(why.to_string()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Waits while too many events are pending.
async fn ingest(
    processor: &Processor<Lines, JetStreamJournal>,
    event: Event,
) -> Result<(), Rejected> {
    loop {
        match processor.ingest(event.clone()).await {
            Err(Rejected::Backpressure { retry_after }) => tokio::time::sleep(retry_after).await,
            result => return result,
        }
    }
}
