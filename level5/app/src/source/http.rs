//! Events over HTTP.
//!
//! | request | answer |
//! |---|---|
//! | `POST /events`, lines of JSON | 200 when the journal has every event: `{"accepted": 2, "duplicates": 0}` |
//! | the same with a line that is no event | 400, and no event of the request is accepted: `{"line": 2, "why": "..."}` |
//! | while too many events are pending | 503 with Retry-After: `{"accepted": 1, ...}` |
//!
//! A client repeats a request that has no answer, or another one than 200 and 400. The events of it that the journal has
//! are duplicates then, as long as the processor remembers their ids, so no event is lost and none is taken twice.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _, poll};
use jiff::Timestamp;
use level5::event_processor::{Event, Rejected};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::{BadLine, LINE_BYTES, parse};
use crate::ingest::Ingest;

/// The media type of lines of JSON. A page of another origin cannot send it without asking first, and nothing here
/// answers such a question.
pub const LINES: &str = "application/x-ndjson";
/// The most bytes of a request.
const BODY: usize = 8 << 20;
/// The most requests at once: with their bodies they take a quarter of a GiB.
const AT_ONCE: usize = 32;
/// How long a request may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);
/// How long a request waits for room before its client has to come back.
const PATIENCE: Duration = Duration::from_secs(2);
/// When the client has to come back.
const LATER: &str = "1";
/// How long requests that are under way may take at the end of a run.
const FAREWELL: Duration = Duration::from_secs(5);

/// A source that listens and takes no events yet.
#[derive(Debug)]
pub struct HttpSource {
    listener: TcpListener,
    address: SocketAddr,
    now: fn() -> Timestamp,
}

/// What the handler needs.
#[derive(Clone)]
struct Context {
    ingest: Ingest,
    room: Arc<Semaphore>,
    now: fn() -> Timestamp,
}

/// How the events of a request ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Taken {
    accepted: u64,
    duplicates: u64,
    /// Events that were not accepted, because there was no room or the journal has failed.
    left: u64,
}

impl HttpSource {
    /// Listens. `now` is the time of events that have none.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn bind(address: SocketAddr, now: fn() -> Timestamp) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, now })
    }

    /// Where events are taken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes events until the run is asked to stop, and then answers the requests that are under way.
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes the listener. Requests that are under way go on until the runtime ends.
    pub async fn run(self, ingest: Ingest) {
        let stopping = ingest.stopping.clone();
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let context = Context { ingest, room, now: self.now };
        let routes = Router::new().route("/events", post(take)).with_state(context);
        let served = axum::serve(self.listener, routes)
            .with_graceful_shutdown(stopping.clone().cancelled_owned());
        tokio::select! {
            ended = async { served.await } => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the source has ended");
                }
            }
            () = async {
                stopping.cancelled().await;
                sleep(FAREWELL).await;
            } => {}
        }
    }
}

async fn take(State(context): State<Context>, request: Request) -> Response {
    let Ok(_room) = context.room.clone().try_acquire_owned() else {
        return later(Taken::default(), "too many requests at once");
    };
    let (head, body) = request.into_parts();
    if !are_lines(&head.headers) {
        let why = format!("send Content-Type: {LINES}");
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, axum::Json(json!({ "why": why })))
            .into_response();
    }
    let events = match timeout(ARRIVAL, read(body, context.now)).await {
        Ok(Ok(events)) => events,
        Ok(Err(refused)) => return refused,
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    // In a task of its own: a client that goes away withdraws no event whose call is under way, since it may have been
    // accepted at that moment.
    let ingest = context.ingest.clone();
    let taken = tokio::spawn(async move { ingest.take_all(events).await }).await;
    match taken {
        Ok(Taken { accepted, duplicates, left: 0 }) => {
            axum::Json(json!({ "accepted": accepted, "duplicates": duplicates })).into_response()
        }
        Ok(taken) if context.ingest.stopping.is_cancelled() => later(taken, "the run ends"),
        Ok(taken) => later(taken, "too many events are pending"),
        Err(error) => {
            tracing::error!(%error, "a request has failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn are_lines(headers: &HeaderMap) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = given.and_then(|value| value.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case(LINES))
}

/// Asks the client to come back with the same request.
fn later(taken: Taken, why: &str) -> Response {
    let Taken { accepted, duplicates, left } = taken;
    let body = json!({ "accepted": accepted, "duplicates": duplicates, "left": left, "why": why });
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, LATER)], axum::Json(body)).into_response()
}

/// Reads all events of a body, or refuses it as a whole.
async fn read(body: Body, now: fn() -> Timestamp) -> Result<Vec<Event>, Response> {
    let Ok(body) = to_bytes(body, BODY).await else {
        let why = format!("a request has at most {BODY} bytes");
        return Err(
            (StatusCode::PAYLOAD_TOO_LARGE, axum::Json(json!({ "why": why }))).into_response()
        );
    };
    lines(&body, now()).map_err(|bad| {
        let body = json!({ "line": bad.line, "why": bad.what, "help": bad.help });
        (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
    })
}

fn lines(body: &[u8], now: Timestamp) -> Result<Vec<Event>, BadLine> {
    let numbered = body.split(|byte| *byte == b'\n').zip(1..);
    let filled = numbered.filter(|(text, _)| !text.trim_ascii().is_empty());
    filled
        .map(|(text, line)| {
            if text.len() > LINE_BYTES {
                let what = format!("it has more than {LINE_BYTES} bytes");
                return Err(BadLine { line, what, help: "send events with less data" });
            }
            parse(line, text, now)
        })
        .collect()
}

impl Ingest {
    /// Takes events in their order, as far as there is room within two seconds.
    async fn take_all(self, events: Vec<Event>) -> Taken {
        let mut taken = Taken::default();
        let mut calls = FuturesUnordered::new();
        let begun = Instant::now();
        let count = events.len() as u64;
        'events: for event in events {
            loop {
                let at = Instant::now();
                let (ingest, event) = (&self, event.clone());
                let call = async move { (ingest.processor.ingest(event).await, at) };
                let mut call = call.boxed();
                // The first poll gives the event its place, so that the events of a key keep their order.
                match poll!(call.as_mut()) {
                    Poll::Pending => {
                        calls.push(call);
                        break;
                    }
                    Poll::Ready((Err(Rejected::Backpressure { retry_after }), _)) => {
                        drop(call);
                        self.figures.waits.fetch_add(1, Ordering::Relaxed);
                        if begun.elapsed() + retry_after > PATIENCE || self.stopping.is_cancelled()
                        {
                            break 'events;
                        }
                        // Room comes when events are delivered, which the processor's own tasks do; the calls that are
                        // under way wait for the journal only.
                        sleep(retry_after).await;
                    }
                    Poll::Ready(ended) => {
                        drop(call);
                        self.count(ended, &mut taken);
                        break;
                    }
                }
            }
            while calls.len() >= self.at_once {
                if let Some(ended) = calls.next().await {
                    self.count(ended, &mut taken);
                }
            }
        }
        while let Some(ended) = calls.next().await {
            self.count(ended, &mut taken);
        }
        taken.left = count - taken.accepted - taken.duplicates;
        taken
    }

    fn count(&self, (result, begun): (Result<(), Rejected>, Instant), taken: &mut Taken) {
        match result {
            Ok(()) => {
                taken.accepted += 1;
                self.figures.accepted.fetch_add(1, Ordering::Relaxed);
                self.figures.took(&[begun.elapsed()]);
            }
            Err(Rejected::Duplicate) => {
                taken.duplicates += 1;
                self.figures.duplicates.fetch_add(1, Ordering::Relaxed);
            }
            Err(Rejected::Journal(error)) => {
                // The first one is the reason; those that follow are often about it.
                let _ = self.failure.set(error);
                self.stopping.cancel();
            }
            // Not accepted: its client has the event, and sends it again.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_a_whole_or_not_at_all() {
        let now = Timestamp::UNIX_EPOCH;
        let read = |text: &str| lines(text.as_bytes(), now);
        let two = "{\"id\":\"1\",\"kind\":\"a\"}\n\n {\"id\":\"2\",\"kind\":\"a\"}\r\n";
        assert_eq!(read(two).map(|events| events.len()), Ok(2));
        assert_eq!(read("").map(|events| events.len()), Ok(0));
        let bad = read(&format!("{two}{{\"id\":\"3\"}}\n")).unwrap_err();
        assert_eq!(bad.line, 4);
        let long = format!("{{\"id\":\"1\",\"kind\":\"{}\"}}", "x".repeat(LINE_BYTES));
        assert_eq!(read(&long).unwrap_err().line, 1);
    }
}
