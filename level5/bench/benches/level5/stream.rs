//! The journal in a stream beside the client that it uses, on a server of this machine.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the server is a program, which is started before anything is measured"
)]

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use futures::StreamExt as _;
use level5::event_processor::{End, Event, EventId, Journal as _};
use level5_jetstream::{Address, JetStreamConfig, JetStreamJournal};
use tokio::runtime::Builder;
use tokio::time::Instant;

use crate::Failed;
use crate::events;
use crate::rates::{CALL, CALLS, ROUNDS, padded};

/// The bytes of a stream, which the server reserves on the disk.
const STREAM_BYTES: u64 = 256 << 20;

fn config() -> JetStreamConfig {
    JetStreamConfig { max_bytes: STREAM_BYTES, ..JetStreamConfig::default() }
}

/// Events a second.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Acknowledged by the journal.
    pub journal: f64,
    /// The journal over the client with the same messages and as many under way.
    pub over_client: f64,
    /// Recorded as delivered by the journal.
    pub done: f64,
    /// Read by a process that takes a lane over.
    pub taken_over: f64,
}

/// Measures with so many events. `None` where nats-server is not installed.
pub fn all(events: usize) -> Result<Option<Rates>, Failed> {
    let folder = tempfile::tempdir_in(".")?;
    let Some(server) = Server::start(folder.path())? else { return Ok(None) };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut found = Vec::new();
    for round in 0..ROUNDS {
        found.push(runtime.block_on(measured(&server, round, events))?);
    }
    let median = |figure: fn(&Rates) -> f64| {
        let mut all: Vec<f64> = found.iter().map(figure).collect();
        all.sort_unstable_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Ok(Some(Rates {
        journal: median(|it| it.journal),
        over_client: median(|it| it.over_client),
        done: median(|it| it.done),
        taken_over: median(|it| it.taken_over),
    }))
}

async fn measured(server: &Server, round: usize, count: usize) -> Result<Rates, Failed> {
    let events: Vec<_> = (0..count).map(|_| Arc::new(padded(events::event()))).collect();
    let address = server.address(&format!("journal-{round}"))?;
    let journal = JetStreamJournal::open(&address, config()).await?;
    let begun = Instant::now();
    let calls = futures::stream::iter(events.chunks(CALL)).map(|chunk| journal.append(chunk));
    let mut calls = calls.buffer_unordered(CALLS);
    while let Some(kept) = calls.next().await {
        kept?;
    }
    let kept = count as f64 / begun.elapsed().as_secs_f64();
    drop(calls);
    let client = client(server, round, &events).await?;
    journal.close().await;

    let begun = Instant::now();
    let journal = JetStreamJournal::open(&address, config()).await?;
    let taken_over = journal.recovered().pending as f64 / begun.elapsed().as_secs_f64();
    let ends: Vec<(EventId, End)> =
        events.iter().map(|event| (event.id.clone(), End::Delivered)).collect();
    let begun = Instant::now();
    let calls = futures::stream::iter(ends.chunks(CALL)).map(|chunk| journal.done(chunk));
    let mut calls = calls.buffer_unordered(CALLS);
    while let Some(done) = calls.next().await {
        done?;
    }
    let done = count as f64 / begun.elapsed().as_secs_f64();
    drop(calls);
    journal.close().await;
    Ok(Rates { journal: kept, over_client: kept / client, done, taken_over })
}

/// The client by itself: messages of the same size, each with an id, and as many under way.
async fn client(server: &Server, round: usize, events: &[Arc<Event>]) -> Result<f64, Failed> {
    let client = async_nats::connect(&server.url).await?;
    let under_way = CALL * CALLS;
    let context = ContextBuilder::new().max_ack_inflight(2 * under_way).build(client);
    let stream = format!("client-{round}");
    let of_stream = Config {
        name: stream.clone(),
        subjects: vec![format!("{stream}.>")],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_bytes: STREAM_BYTES as i64,
        ..Config::default()
    };
    context.create_stream(of_stream).await?;
    // What the line of the fields adds.
    let payload = bytes::Bytes::from(vec![b'x'; 200 + 110]);
    let subject = format!("{stream}.0.pending");
    let begun = Instant::now();
    let publishes = futures::stream::iter(0..events.len()).map(|number| {
        let (context, subject, payload) = (&context, subject.clone(), payload.clone());
        async move {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", format!("1-{number}"));
            context.publish_with_headers(subject, headers, payload).await?.await
        }
    });
    let mut publishes = publishes.buffer_unordered(under_way);
    while let Some(published) = publishes.next().await {
        published?;
    }
    Ok(events.len() as f64 / begun.elapsed().as_secs_f64())
}

/// A server that ends with this value.
struct Server {
    url: String,
    child: std::process::Child,
}

impl Server {
    fn start(folder: &Path) -> Result<Option<Self>, Failed> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = std::process::Command::new("nats-server");
        command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(folder);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let child = match command.spawn() {
            Ok(child) => child,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(why.into()),
        };
        let server = Self { url: format!("nats://127.0.0.1:{port}"), child };
        for _ in 0..1000 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(Some(server));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("nats-server does not start".into())
    }

    fn address(&self, stream: &str) -> Result<Address, Failed> {
        Ok(format!("{}/{stream}", self.url).parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
