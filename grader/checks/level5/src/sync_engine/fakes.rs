//! A source, a program that decides, and a store, which do what a script says and note what they are asked.

mod disk;
mod program;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use grader_kit::{Cx, Timeline, list, lock, ms};
use jiff::Timestamp;
use level5::conflict::{Fields, SourceId};
use level5::multi_source_cache::SourceError;
use level5::sync_engine::{Incoming, RecordId, Source};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{BASE, DAY};

pub use disk::{Disk, Panics};
pub use program::{Picks, Program};

/// A record that was written at this millisecond of its source, which is of yesterday.
pub fn record(id: &str, at: i64, content: &Value) -> Incoming {
    let yesterday = BASE - i64::try_from(DAY).unwrap_or_default();
    let at = Timestamp::from_millisecond(yesterday + at).unwrap_or_default();
    let content = serde_json::from_value::<Fields>(content.clone()).ok();
    Incoming { id: RecordId::new(id), at, version: 1, content }
}

/// One with the field `v`.
pub fn written(id: &str, at: i64, v: &str) -> Incoming {
    record(id, at, &json!({ "v": v }))
}

pub fn deleted(id: &str, at: i64) -> Incoming {
    record(id, at, &Value::Null)
}

/// How a source answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Answers,
    Error(&'static str),
    /// It never answers.
    Hangs,
    Panics,
    /// Before there is a future.
    PanicsAtOnce,
}

struct State {
    has: BTreeMap<RecordId, Vec<Incoming>>,
    mode: Mode,
    length: u64,
    polls: Vec<u64>,
    fetches: Vec<(u64, String)>,
    running: usize,
    most_polls: usize,
    polling: usize,
    dropped: usize,
}

/// A clone is a handle to the same source.
#[derive(Clone)]
pub struct Fake {
    name: &'static str,
    timeline: Timeline,
    state: Arc<Mutex<State>>,
}

impl Fake {
    /// A source that has nothing and answers at once.
    pub fn new(cx: &Cx, name: &'static str) -> Self {
        let state = State {
            has: BTreeMap::new(),
            mode: Mode::Answers,
            length: 0,
            polls: Vec::new(),
            fetches: Vec::new(),
            running: 0,
            most_polls: 0,
            polling: 0,
            dropped: 0,
        };
        Self { name, timeline: cx.timeline().clone(), state: Arc::new(Mutex::new(state)) }
    }

    pub fn with(self, records: impl IntoIterator<Item = Incoming>) -> Self {
        for record in records {
            self.has(record);
        }
        self
    }

    /// It has this of the record from now on, and nothing else of it.
    pub fn has(&self, record: Incoming) {
        lock(&self.state).has.insert(record.id.clone(), vec![record]);
    }

    /// It delivers this too.
    pub fn has_too(&self, record: Incoming) {
        lock(&self.state).has.entry(record.id.clone()).or_default().push(record);
    }

    pub fn has_nothing(&self) {
        lock(&self.state).has.clear();
    }

    /// From now on an answer takes this long.
    pub fn takes(&self, length: u64) {
        lock(&self.state).length = length;
    }

    pub fn mode(&self, mode: Mode) {
        lock(&self.state).mode = mode;
    }

    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The moments of the polls since the last look.
    pub fn take_polls(&self) -> String {
        list(std::mem::take(&mut lock(&self.state).polls))
    }

    /// The fetches since the last look, with the ids sorted: `30 [x y]`.
    pub fn take_fetches(&self) -> String {
        let fetches = std::mem::take(&mut lock(&self.state).fetches);
        list(fetches.iter().map(|(at, ids)| format!("{at} [{ids}]")))
    }

    pub fn fetches(&self) -> usize {
        lock(&self.state).fetches.len()
    }

    pub fn polls(&self) -> usize {
        lock(&self.state).polls.len()
    }

    /// How many calls are running, and how many were dropped.
    pub fn running(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.running, state.dropped)
    }

    /// The most polls that ran at once.
    pub fn most_polls(&self) -> usize {
        lock(&self.state).most_polls
    }

    async fn answer(
        self,
        what: String,
        poll: bool,
        wanted: Option<Vec<RecordId>>,
    ) -> Result<Vec<Incoming>, SourceError> {
        let now = self.timeline.now_ms();
        self.timeline.record(self.name, format!("is asked for {what}"));
        // What it has at the moment of the question.
        let (mode, length, records) = {
            let mut state = lock(&self.state);
            if poll {
                state.polls.push(now);
                state.polling += 1;
                state.most_polls = state.most_polls.max(state.polling);
            } else {
                state.fetches.push((now, what));
            }
            state.running += 1;
            let is_wanted = |record: &&Incoming| {
                wanted.as_ref().is_none_or(|wanted| wanted.contains(&record.id))
            };
            let records = state.has.values().flatten().filter(is_wanted).cloned().collect();
            (state.mode, state.length, records)
        };
        let mut running = Running { source: self.clone(), poll, answered: false };
        if length > 0 {
            sleep(ms(length)).await;
        }
        if mode == Mode::Hangs {
            std::future::pending::<()>().await;
        }
        running.answered = true;
        drop(running);
        match mode {
            Mode::Answers | Mode::Hangs => {
                self.timeline.record(self.name, "answers");
                Ok(records)
            }
            Mode::Error(text) => Err(SourceError(text.to_owned())),
            // Without a report: the grader shows no panic of its own.
            Mode::Panics | Mode::PanicsAtOnce => {
                std::panic::resume_unwind(Box::new("a bug of the source"))
            }
        }
    }

    /// A source whose call has a bug before it returns its future.
    fn may_panic(&self) {
        if lock(&self.state).mode == Mode::PanicsAtOnce {
            self.timeline.record(self.name, "panics when it is called");
            std::panic::resume_unwind(Box::new("a bug of the source"));
        }
    }
}

/// A call that is running.
struct Running {
    source: Fake,
    poll: bool,
    answered: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = lock(&self.source.state);
        state.running -= 1;
        state.polling -= usize::from(self.poll);
        if !self.answered {
            state.dropped += 1;
            drop(state);
            self.source.timeline.record(self.source.name, "is dropped before it answers");
        }
    }
}

impl Source for Fake {
    fn id(&self) -> SourceId {
        SourceId::new(self.name)
    }

    fn fetch_all(&self) -> impl Future<Output = Result<Vec<Incoming>, SourceError>> + Send {
        self.may_panic();
        self.clone().answer("all".to_owned(), true, None)
    }

    fn fetch(
        &self,
        ids: &[RecordId],
    ) -> impl Future<Output = Result<Vec<Incoming>, SourceError>> + Send {
        self.may_panic();
        let mut sorted: Vec<_> = ids.iter().map(RecordId::as_str).collect();
        sorted.sort_unstable();
        self.clone().answer(sorted.join(" "), false, Some(ids.to_vec()))
    }
}
