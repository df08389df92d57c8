//! A server whose answers are scripted, and which notes what it is asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use grader_kit::{lock, ms};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use level4::http_client::{Request, Response, Transport, TransportError};
use tokio::time::{Instant, sleep};

use crate::ops::End;
use crate::panics::Payload;

/// What a request ends with.
#[derive(Debug, Clone)]
pub enum Ends {
    /// An answer with this status, these headers and this body.
    With(u16, &'static [(&'static str, &'static str)], &'static str),
    NoAnswer(TransportError),
    Panic(Payload),
}

/// One request. Times are milliseconds since the server was made.
#[derive(Debug, Clone)]
pub struct Seen {
    pub request: Request,
    pub began: u64,
    pub ended: Option<(u64, End)>,
}

impl Seen {
    /// The value of a header, `-` for none.
    pub fn header(&self, name: &str) -> &str {
        self.request.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or("-")
    }
}

struct State {
    since: Instant,
    length: u64,
    /// The next answers, by URL.
    scripts: HashMap<String, VecDeque<Ends>>,
    seen: Vec<Seen>,
    count: usize,
    quiet: bool,
}

/// A clone is a handle to the same server.
#[derive(Clone)]
pub struct Server(Arc<Mutex<State>>);

impl Server {
    /// A server that answers after so many milliseconds: 200 with `answer 1`, `answer 2` and so on, counted over all
    /// requests.
    pub fn new(length: u64) -> Self {
        let (since, scripts, seen) = (Instant::now(), HashMap::new(), Vec::new());
        let state = State { since, length, scripts, seen, count: 0, quiet: false };
        Self(Arc::new(Mutex::new(state)))
    }

    /// The next answers for this URL.
    pub fn next(&self, url: &str, answers: impl IntoIterator<Item = Ends>) {
        lock(&self.0).scripts.entry(url.to_owned()).or_default().extend(answers);
    }

    /// From now on nothing is noted.
    pub fn forget(&self) {
        let mut state = lock(&self.0);
        state.quiet = true;
        state.seen = Vec::new();
    }

    pub fn now(&self) -> u64 {
        u64::try_from(lock(&self.0).since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.0).seen.clone()
    }

    /// How many requests there were.
    pub fn count(&self) -> usize {
        lock(&self.0).count
    }

    /// How many requests are on their way.
    pub fn running(&self) -> usize {
        lock(&self.0).seen.iter().filter(|seen| seen.ended.is_none()).count()
    }
}

impl Transport for Server {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let began = self.now();
        let (call, length, number, ends) = {
            let mut state = lock(&self.0);
            state.count += 1;
            let number = state.count;
            let ends = state.scripts.get_mut(&request.url).and_then(VecDeque::pop_front);
            let index = state.seen.len();
            if !state.quiet {
                state.seen.push(Seen { request, began, ended: None });
            }
            (Call { server: self.clone(), index }, state.length, number, ends)
        };
        if length > 0 {
            sleep(ms(length)).await;
        }
        call.ends(End::Finished);
        match ends {
            None => Ok(response(200, &[], &format!("answer {number}"))),
            Some(Ends::With(status, headers, body)) => Ok(response(status, headers, body)),
            Some(Ends::NoAnswer(error)) => Err(error),
            Some(Ends::Panic(payload)) => payload.throw(),
        }
    }
}

pub fn response(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Response {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let status = StatusCode::from_u16(status).unwrap_or_default();
    Response { status, headers: map, body: body.as_bytes().into() }
}

struct Call {
    server: Server,
    index: usize,
}

impl Call {
    fn ends(&self, end: End) {
        let now = self.server.now();
        if let Some(seen) = lock(&self.server.0).seen.get_mut(self.index) {
            seen.ended.get_or_insert((now, end));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.ends(End::Dropped);
    }
}
