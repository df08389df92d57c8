//! A server whose answers are scripted, and which notes what it is asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use grader_kit::{lock, ms};
use http::{HeaderMap, HeaderValue, StatusCode};
use level5::orchestrator::http_client::{Request, Response, Transport, TransportError};
use tokio::time::{Instant, sleep};

/// What a request ends with, after so many milliseconds.
#[derive(Debug, Clone)]
pub enum Ends {
    With(u64, u16),
    /// This status with `Retry-After`, in seconds.
    After(u16, u64),
    /// 200 with `Cache-Control` of this value.
    Controlled(&'static str),
    NoAnswer(TransportError),
    Panic,
}

/// One request. Times are milliseconds since the server was made.
#[derive(Debug, Clone)]
pub struct Seen {
    pub url: String,
    pub began: u64,
    /// When it ended, and whether it did so by itself.
    pub ended: Option<(u64, bool)>,
}

struct State {
    since: Instant,
    length: u64,
    scripts: HashMap<String, VecDeque<Ends>>,
    seen: Vec<Seen>,
    running: usize,
    most: usize,
}

/// A clone is a handle to the same server.
#[derive(Clone)]
pub struct Server(Arc<Mutex<State>>);

impl Server {
    /// A server that answers after so many milliseconds: 200 with `answer 1`, `answer 2` and so on.
    pub fn new(length: u64) -> Self {
        let (since, scripts, seen) = (Instant::now(), HashMap::new(), Vec::new());
        let state = State { since, length, scripts, seen, running: 0, most: 0 };
        Self(Arc::new(Mutex::new(state)))
    }

    /// The next answers for this URL.
    pub fn next(&self, url: &str, answers: impl IntoIterator<Item = Ends>) {
        lock(&self.0).scripts.entry(url.to_owned()).or_default().extend(answers);
    }

    pub fn now(&self) -> u64 {
        u64::try_from(lock(&self.0).since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.0).seen.clone()
    }

    pub fn count(&self) -> usize {
        lock(&self.0).seen.len()
    }

    /// When the requests of this URL began.
    pub fn began(&self, url: &str) -> Vec<u64> {
        self.seen().iter().filter(|seen| seen.url == url).map(|seen| seen.began).collect()
    }

    /// The paths in the order in which their requests began.
    pub fn order(&self) -> Vec<String> {
        let last = |url: &str| url.rsplit('/').next().unwrap_or_default().to_owned();
        self.seen().iter().map(|seen| last(&seen.url)).collect()
    }

    /// The most requests that were on their way at once.
    pub fn most(&self) -> usize {
        lock(&self.0).most
    }

    pub fn running(&self) -> usize {
        lock(&self.0).running
    }
}

impl Transport for Server {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let began = self.now();
        let (call, ends, length, number) = {
            let mut state = lock(&self.0);
            let ends = state.scripts.get_mut(&request.url).and_then(VecDeque::pop_front);
            let index = state.seen.len();
            state.seen.push(Seen { url: request.url, began, ended: None });
            state.running += 1;
            state.most = state.most.max(state.running);
            (Call { server: self.clone(), index }, ends, state.length, index + 1)
        };
        let ends = ends.unwrap_or(Ends::With(length, 200));
        let wait = if let Ends::With(length, _) = ends { length } else { length };
        if wait > 0 {
            sleep(ms(wait)).await;
        }
        call.ends(true);
        match ends {
            Ends::With(_, status) => Ok(response(status, &format!("answer {number}"))),
            Ends::After(status, seconds) => {
                let mut answer = response(status, "later");
                answer.headers.insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
                Ok(answer)
            }
            Ends::Controlled(value) => {
                let mut answer = response(200, &format!("answer {number}"));
                let value = HeaderValue::from_static(value);
                answer.headers.insert(http::header::CACHE_CONTROL, value);
                Ok(answer)
            }
            Ends::NoAnswer(error) => Err(error),
            Ends::Panic => panic!("the transport's own panic"),
        }
    }
}

fn response(status: u16, body: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or_default();
    Response { status, headers: HeaderMap::new(), body: body.as_bytes().into() }
}

struct Call {
    server: Server,
    index: usize,
}

impl Call {
    fn ends(&self, itself: bool) {
        let now = self.server.now();
        let mut state = lock(&self.server.0);
        if let Some(seen) = state.seen.get_mut(self.index).filter(|seen| seen.ended.is_none()) {
            seen.ended = Some((now, itself));
            state.running -= 1;
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.ends(false);
    }
}
