//! A source that does what a script says, and notes what it is asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::stream::BoxStream;
use grader_kit::{Cx, Timeline, lock, ms};
use jiff::Timestamp;
use level5::conflict::SourceId;
use level5::multi_source_cache::{CacheSource, SourceError, Stamped, Update};
use tokio::time::sleep;

/// What a source has for a key.
#[derive(Debug, Clone)]
pub enum Has {
    Value(Stamped<String>),
    Nothing,
    Error(&'static str),
    /// It never answers.
    Hangs,
    Panics,
}

/// A value that was written at this millisecond of its source.
pub fn written(at: i64, value: &str) -> Stamped<String> {
    let at = Timestamp::from_millisecond(at).unwrap_or_default();
    Stamped { value: value.to_owned(), at, version: 1, ttl: None }
}

pub fn value(at: i64, value: &str) -> Has {
    Has::Value(written(at, value))
}

struct State {
    has: HashMap<String, Has>,
    otherwise: Has,
    length: u64,
    /// How long the next answers take, in place of `length`.
    next_lengths: VecDeque<u64>,
    calls: Vec<(u64, String)>,
    running: usize,
    most: usize,
    dropped: usize,
    /// Whether it can report updates; and to whom it does.
    reports: bool,
    readers: Vec<UnboundedSender<Update<String, String>>>,
    streams_alive: usize,
}

/// A clone is a handle to the same source.
#[derive(Clone)]
pub struct Fake {
    id: &'static str,
    priority: u8,
    timeline: Timeline,
    state: Arc<Mutex<State>>,
}

impl Fake {
    /// A source that has nothing and answers at once.
    pub fn new(cx: &Cx, id: &'static str, priority: u8) -> Self {
        let state = State {
            has: HashMap::new(),
            otherwise: Has::Nothing,
            length: 0,
            next_lengths: VecDeque::new(),
            calls: Vec::new(),
            running: 0,
            most: 0,
            dropped: 0,
            reports: false,
            readers: Vec::new(),
            streams_alive: 0,
        };
        Self { id, priority, timeline: cx.timeline().clone(), state: Arc::new(Mutex::new(state)) }
    }

    /// It can report its updates.
    pub fn with_updates(self) -> Self {
        lock(&self.state).reports = true;
        self
    }

    /// An answer takes this long.
    pub fn takes(self, length: u64) -> Self {
        lock(&self.state).length = length;
        self
    }

    /// The next answers take so long.
    pub fn next_take(&self, lengths: impl IntoIterator<Item = u64>) {
        lock(&self.state).next_lengths.extend(lengths);
    }

    /// What it has for every key that is not named.
    pub fn otherwise(self, has: Has) -> Self {
        self.all(has);
        self
    }

    pub fn all(&self, has: Has) {
        let mut state = lock(&self.state);
        state.has.clear();
        state.otherwise = has;
    }

    pub fn has(&self, key: &str, has: Has) {
        lock(&self.state).has.insert(key.to_owned(), has);
    }

    pub fn id(&self) -> SourceId {
        SourceId::new(self.id)
    }

    /// Sends an update to all who read it.
    pub fn push(&self, key: &str, value: Stamped<String>) {
        self.timeline.record(self.id, format!("reports {key} = {}", value.value));
        self.send(Update::Changed(key.to_owned(), value));
    }

    pub fn lose(&self, count: u64) {
        self.timeline.record(self.id, format!("reports that {count} updates were lost"));
        self.send(Update::Lost(count));
    }

    fn send(&self, update: Update<String, String>) {
        lock(&self.state).readers.retain(|reader| reader.unbounded_send(update.clone()).is_ok());
    }

    /// Its stream ends.
    pub fn end(&self) {
        self.timeline.record(self.id, "ends its updates");
        lock(&self.state).readers.clear();
    }

    /// The loads so far: `0 a, 300 b`.
    pub fn calls(&self) -> String {
        let calls = lock(&self.state).calls.clone();
        grader_kit::list(calls.iter().map(|(at, key)| format!("{at} {key}")))
    }

    /// The loads since the last look, sorted within a millisecond.
    pub fn take_calls(&self) -> String {
        let mut calls = std::mem::take(&mut lock(&self.state).calls);
        calls.sort();
        grader_kit::list(calls.iter().map(|(at, key)| format!("{at} {key}")))
    }

    pub fn count(&self) -> usize {
        lock(&self.state).calls.len()
    }

    /// How many loads run, the most that ran at once, and how many were dropped.
    pub fn running(&self) -> (usize, usize, usize) {
        let state = lock(&self.state);
        (state.running, state.most, state.dropped)
    }

    pub fn streams_alive(&self) -> usize {
        lock(&self.state).streams_alive
    }
}

/// A load that is running.
struct Running {
    source: Fake,
    answered: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = lock(&self.source.state);
        state.running -= 1;
        if !self.answered {
            state.dropped += 1;
            drop(state);
            self.source.timeline.record(self.source.id, "is dropped before it answers");
        }
    }
}

struct Alive(Fake);

impl Drop for Alive {
    fn drop(&mut self) {
        lock(&self.0.state).streams_alive -= 1;
        self.0.timeline.record(self.0.id, "has its updates dropped");
    }
}

impl CacheSource<String, String> for Fake {
    fn id(&self) -> SourceId {
        Self::id(self)
    }

    fn priority(&self) -> u8 {
        self.priority
    }

    fn load(
        &self,
        key: &String,
    ) -> impl Future<Output = Result<Option<Stamped<String>>, SourceError>> + Send {
        let source = self.clone();
        let key = key.clone();
        async move {
            let now = source.timeline.now_ms();
            source.timeline.record(source.id, format!("is asked for {key}"));
            let (has, length) = {
                let mut state = lock(&source.state);
                state.calls.push((now, key.clone()));
                state.running += 1;
                state.most = state.most.max(state.running);
                let length = state.next_lengths.pop_front().unwrap_or(state.length);
                (state.has.get(&key).unwrap_or(&state.otherwise).clone(), length)
            };
            let mut running = Running { source: source.clone(), answered: false };
            if length > 0 {
                sleep(ms(length)).await;
            }
            if matches!(has, Has::Hangs) {
                std::future::pending::<()>().await;
            }
            running.answered = true;
            match has {
                Has::Value(value) => {
                    source.timeline.record(source.id, format!("answers {key} = {}", value.value));
                    Ok(Some(value))
                }
                Has::Nothing | Has::Hangs => Ok(None),
                Has::Error(text) => Err(SourceError(text.to_owned())),
                // Without a report: the grader shows no panic of its own.
                Has::Panics => std::panic::resume_unwind(Box::new("a bug of the source")),
            }
        }
    }

    fn updates(&self) -> Option<BoxStream<'static, Update<String, String>>> {
        let stream = {
            let mut state = lock(&self.state);
            if !state.reports {
                return None;
            }
            let (sender, stream) = unbounded();
            state.readers.push(sender);
            state.streams_alive += 1;
            stream
        };
        let alive = Alive(self.clone());
        let stream = stream.map(move |update| {
            let _alive = &alive;
            update
        });
        Some(stream.boxed())
    }
}
