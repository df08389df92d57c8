//! A list of rows: its messages, the service that has it, and a store for its copy.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grader_kit::{lock, ms};
use level4::dashboard::{KeyValue, KeyValueError, Stored};
use level4::realtime::{Keyed, Snapshot, SnapshotApi, SnapshotError};
use level4::socket::Frame;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::panics::Payload;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub id: u32,
    pub text: String,
}

impl Keyed for Row {
    type Key = u32;
    type Patch = String;

    fn key(&self) -> u32 {
        self.id
    }

    fn patch(&mut self, patch: String) {
        self.text = patch;
    }
}

/// Rows from their shown form: `1a 2b`.
pub fn rows(text: &str) -> Vec<Row> {
    let row = |word: &str| {
        let at = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
        let (id, text) = word.split_at(at);
        Row { id: id.parse().unwrap_or_default(), text: text.to_owned() }
    };
    text.split_whitespace().map(row).collect()
}

/// A message of a topic with this change, as JSON.
pub fn message(topic: &str, version: u64, change: impl Display) -> Frame {
    Frame::Text(format!(r#"{{"topic":"{topic}","version":{version},"change":{change}}}"#))
}

fn json(row: &Row) -> String {
    format!(r#"{{"id":{},"text":"{}"}}"#, row.id, row.text)
}

/// One of the topic that is graded.
pub fn insert(version: u64, row: &str) -> Frame {
    let row = rows(row).first().map(json).unwrap_or_default();
    message("orders", version, format!(r#"{{"insert":{row}}}"#))
}

pub fn update(version: u64, key: u32, text: &str) -> Frame {
    message("orders", version, format!(r#"{{"update":{{"key":{key},"patch":"{text}"}}}}"#))
}

pub fn delete(version: u64, key: u32) -> Frame {
    message("orders", version, format!(r#"{{"delete":{key}}}"#))
}

pub fn replace(version: u64, list: &str) -> Frame {
    let list: Vec<String> = rows(list).iter().map(json).collect();
    message("orders", version, format!(r#"{{"replace":[{}]}}"#, list.join(",")))
}

/// How a call for a snapshot ends, after so many milliseconds.
#[derive(Debug, Clone)]
pub enum Answer {
    List(u64, u64, &'static str),
    Fails(u64),
    Panics(u64, Payload),
}

struct State {
    since: Instant,
    answers: VecDeque<Answer>,
    /// For all calls after the script.
    then: Answer,
    calls: Vec<u64>,
    running: usize,
    /// What the next call does while it is being dropped.
    dropped: Option<Box<dyn FnOnce() + Send>>,
}

/// A clone is a handle to the same service.
#[derive(Clone)]
pub struct Api(Arc<Mutex<State>>);

impl Api {
    pub fn new(answers: impl IntoIterator<Item = Answer>, then: Answer) -> Self {
        let answers = answers.into_iter().collect();
        let (since, calls) = (Instant::now(), Vec::new());
        Self(Arc::new(Mutex::new(State { since, answers, then, calls, running: 0, dropped: None })))
    }

    /// Always this list, of version 3, after 50 ms.
    pub fn with(list: &'static str) -> Self {
        Self::new([], Answer::List(50, 3, list))
    }

    /// Always a failure, after 50 ms.
    pub fn failing() -> Self {
        Self::new([], Answer::Fails(50))
    }

    /// The next call that ends or is dropped does this in its destructor.
    pub fn when_dropped(&self, does: impl FnOnce() + Send + 'static) {
        lock(&self.0).dropped = Some(Box::new(does));
    }

    /// When a snapshot was asked for.
    pub fn calls(&self) -> Vec<u64> {
        lock(&self.0).calls.clone()
    }

    /// How many calls are on their way.
    pub fn running(&self) -> usize {
        lock(&self.0).running
    }
}

struct Running(Api);

impl Drop for Running {
    fn drop(&mut self) {
        let does = {
            let mut state = lock(&self.0.0);
            state.running -= 1;
            state.dropped.take()
        };
        // Without the lock: it may ask for a snapshot.
        does.into_iter().for_each(|does| does());
    }
}

impl SnapshotApi for Api {
    type Item = Row;

    async fn snapshot(&self) -> Result<Snapshot<Row>, SnapshotError> {
        let answer = {
            let mut state = lock(&self.0);
            let at = state.since.elapsed().as_millis();
            if state.calls.len() < 1_000 {
                state.calls.push(u64::try_from(at).unwrap_or(u64::MAX));
            }
            state.running += 1;
            state.answers.pop_front().unwrap_or_else(|| state.then.clone())
        };
        let _running = Running(self.clone());
        let (Answer::List(length, ..) | Answer::Fails(length) | Answer::Panics(length, _)) = answer;
        // A sleep of zero would last until the next millisecond.
        if length > 0 {
            sleep(ms(length)).await;
        }
        match answer {
            Answer::List(_, version, list) => Ok(Snapshot { items: rows(list), version }),
            Answer::Fails(_) => Err(SnapshotError("503".to_owned())),
            Answer::Panics(_, payload) => payload.throw(),
        }
    }
}

#[derive(Default)]
struct Kept {
    /// By key.
    texts: Vec<(String, String, Instant)>,
    /// Added to the age of each.
    older: Duration,
    is_broken: bool,
}

/// A clone is a handle to the same store.
#[derive(Clone)]
pub struct Copies(Arc<Mutex<Kept>>);

impl Copies {
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// One that neither reads nor writes.
    pub fn broken() -> Self {
        let copies = Self::new();
        lock(&copies.0).is_broken = true;
        copies
    }

    /// Every text has this age now.
    pub fn ages(&self, age: u64) {
        let mut kept = lock(&self.0);
        kept.older = ms(age);
        kept.texts.iter_mut().for_each(|(_, _, at)| *at = Instant::now());
    }

    /// Every text is this one.
    pub fn spoils(&self, with: &str) {
        lock(&self.0).texts.iter_mut().for_each(|(_, text, _)| *text = with.to_owned());
    }
}

impl KeyValue for Copies {
    fn get(&self, key: &str) -> Result<Option<Stored>, KeyValueError> {
        let kept = lock(&self.0);
        if kept.is_broken {
            return Err(KeyValueError);
        }
        let found = kept.texts.iter().find(|(known, ..)| known == key);
        Ok(found.map(|(_, text, at)| Stored { text: text.clone(), age: at.elapsed() + kept.older }))
    }

    fn put(&self, key: &str, text: String) -> Result<(), KeyValueError> {
        let mut kept = lock(&self.0);
        if kept.is_broken {
            return Err(KeyValueError);
        }
        kept.texts.retain(|(known, ..)| known != key);
        kept.older = Duration::ZERO;
        kept.texts.push((key.to_owned(), text, Instant::now()));
        Ok(())
    }
}
