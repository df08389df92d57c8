//! Scripted stages and inputs: they note which item was where, and when.

use std::any::Any;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use futures::stream::BoxStream;
use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use grader_kit::{Cx, Timeline, lock, ms};
use level5::pipeline::Stage;
use tokio::time::sleep;

/// What an attempt ends with, after its time.
#[derive(Debug, Clone)]
pub enum Ends {
    /// The item itself.
    Value,
    Error(String),
    Panic(Payload),
    /// Before there is a future.
    PanicInClosure(Payload),
}

/// One attempt: how many milliseconds it takes, and how it ends.
#[derive(Debug, Clone)]
pub struct Plan {
    pub length: u64,
    pub ends: Ends,
}

impl Plan {
    /// Two steps: work that is not polled after the first one stands still.
    async fn passes(length: u64) {
        let first = length / 2;
        for step in [first, length - first] {
            if step > 0 {
                sleep(ms(step)).await;
            }
        }
    }
}

/// An attempt of `length` milliseconds that succeeds.
pub const fn takes(length: u64) -> Plan {
    Plan { length, ends: Ends::Value }
}

/// An attempt of `length` milliseconds that fails.
pub fn fails(length: u64, error: impl Into<String>) -> Plan {
    Plan { length, ends: Ends::Error(error.into()) }
}

/// What a panic carries.
#[derive(Debug, Clone)]
pub enum Payload {
    Literal(&'static str),
    Text(String),
    /// Something that is not a text.
    Number(u32),
}

impl Payload {
    /// The text that a failure has.
    pub fn text(&self) -> &str {
        match self {
            Self::Literal(text) => text,
            Self::Text(text) => text,
            Self::Number(_) => "no message",
        }
    }

    /// Panics with it as a bug of the caller's code would, without a report: the grader shows no panic of its own.
    pub fn throw(self) -> ! {
        let payload: Box<dyn Any + Send> = match self {
            Self::Literal(text) => Box::new(text),
            Self::Text(text) => Box::new(text),
            Self::Number(number) => Box::new(number),
        };
        std::panic::resume_unwind(payload)
    }
}

/// What is known of one attempt. Times are milliseconds since the script began.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub stage: &'static str,
    pub item: u64,
    pub began: u64,
    /// When it was over: with a value, an error, a panic, or because its future was dropped.
    pub ended: Option<u64>,
}

#[derive(Default)]
struct Record {
    seen: Vec<Seen>,
    attempts: HashMap<(&'static str, u64), u32>,
    /// How many run in each stage, and the most that did.
    running: HashMap<&'static str, (usize, usize)>,
    pulled: u64,
    delivered: u64,
    /// The most that had been pulled and not delivered.
    most_inside: u64,
    inputs_dropped: u64,
}

/// A record of stages and inputs. A clone is a handle to the same one.
#[derive(Clone)]
pub struct Works {
    timeline: Timeline,
    since: u64,
    record: Arc<Mutex<Record>>,
}

impl Works {
    pub fn new(cx: &Cx) -> Self {
        let timeline = cx.timeline().clone();
        Self { since: timeline.now_ms(), timeline, record: Arc::default() }
    }

    /// Milliseconds since the record was made.
    pub fn now(&self) -> u64 {
        self.timeline.now_ms() - self.since
    }

    /// A stage whose attempts go as `plan` says of the item and the number of the attempt, which begins with 1.
    pub fn stage(
        &self,
        name: &'static str,
        max: usize,
        plan: impl Fn(u64, u32) -> Plan + Send + Sync + 'static,
    ) -> Stage<u64, u64, String> {
        let works = self.clone();
        Stage::new(name, super::nz(max), move |item| {
            let (run, attempt) = works.begin(name, item);
            let Plan { length, ends } = plan(item, attempt);
            if let Ends::PanicInClosure(payload) = ends {
                drop(run);
                payload.throw();
            }
            async move {
                let _run = run;
                Plan::passes(length).await;
                match ends {
                    Ends::Value => Ok(item),
                    Ends::Error(error) => Err(error),
                    Ends::Panic(payload) | Ends::PanicInClosure(payload) => payload.throw(),
                }
            }
        })
    }

    /// An input of the numbers below `count`, all ready.
    pub fn input(&self, count: u64) -> BoxStream<'static, u64> {
        self.input_with_gaps(count, |_| 0)
    }

    /// An input of the numbers below `count`. Each comes so many milliseconds after it is asked for.
    pub fn input_with_gaps(
        &self,
        count: u64,
        gap: impl Fn(u64) -> u64 + Send + 'static,
    ) -> BoxStream<'static, u64> {
        let input = Input(self.clone());
        stream::iter(0..count)
            .then(move |item| {
                let (works, gap) = (input.0.clone(), gap(item));
                async move {
                    if gap > 0 {
                        sleep(ms(gap)).await;
                    }
                    works.pull(item);
                    item
                }
            })
            .boxed()
    }

    fn begin(&self, stage: &'static str, item: u64) -> (Run, u32) {
        let now = self.now();
        let mut record = lock(&self.record);
        let number = record.seen.len();
        record.seen.push(Seen { stage, item, began: now, ended: None });
        let attempt = record.attempts.entry((stage, item)).or_default();
        *attempt += 1;
        let attempt = *attempt;
        let (running, most) = record.running.entry(stage).or_default();
        *running += 1;
        *most = (*most).max(*running);
        self.timeline.record(format!("stage {stage}"), format!("item {item} begins"));
        (Run { works: self.clone(), number }, attempt)
    }

    fn pull(&self, item: u64) {
        let mut record = lock(&self.record);
        record.pulled += 1;
        record.most_inside = record.most_inside.max(record.pulled - record.delivered);
        self.timeline.record("the input", format!("item {item} is pulled"));
    }

    /// The consumer has a result.
    pub fn deliver(&self) {
        lock(&self.record).delivered += 1;
        self.timeline.record("the consumer", "has a result");
    }

    pub fn pulled(&self) -> u64 {
        lock(&self.record).pulled
    }

    /// The most items that had been pulled and not delivered.
    pub fn most_inside(&self) -> u64 {
        lock(&self.record).most_inside
    }

    pub fn inputs_dropped(&self) -> u64 {
        lock(&self.record).inputs_dropped
    }

    /// What is known of each attempt, in the order of the calls.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.record).seen.clone()
    }

    /// The items that a stage was called with, in the order of the calls.
    pub fn items(&self, stage: &str) -> Vec<u64> {
        let seen = self.seen();
        seen.iter().filter(|seen| seen.stage == stage).map(|seen| seen.item).collect()
    }

    /// When the attempts of an item in a stage began.
    pub fn began(&self, stage: &str, item: u64) -> Vec<u64> {
        let seen = self.seen();
        let own = seen.iter().filter(|seen| seen.stage == stage && seen.item == item);
        own.map(|seen| seen.began).collect()
    }

    /// The most that ran at the same time in a stage.
    pub fn most(&self, stage: &str) -> usize {
        lock(&self.record).running.get(stage).map_or(0, |(_, most)| *most)
    }

    /// How many run now, in all stages.
    pub fn running(&self) -> usize {
        lock(&self.record).running.values().map(|(running, _)| running).sum()
    }
}

/// An attempt, until its future is over or dropped.
struct Run {
    works: Works,
    number: usize,
}

impl Drop for Run {
    fn drop(&mut self) {
        let now = self.works.now();
        let mut record = lock(&self.works.record);
        let Some(seen) = record.seen.get_mut(self.number) else { return };
        seen.ended = Some(now);
        let Seen { stage, item, .. } = *seen;
        if let Some((running, _)) = record.running.get_mut(stage) {
            *running -= 1;
        }
        self.works.timeline.record(format!("stage {stage}"), format!("item {item} is over"));
    }
}

/// An input, until it is dropped.
struct Input(Works);

impl Drop for Input {
    fn drop(&mut self) {
        lock(&self.0.record).inputs_dropped += 1;
        self.0.timeline.record("the input", "is dropped");
    }
}

/// Takes `count` results, and then no more.
pub async fn take<T>(
    works: &Works,
    results: &mut (impl Stream<Item = T> + Unpin),
    count: u64,
) -> Vec<T> {
    let mut taken = Vec::new();
    let mut results = pin!(results);
    for _ in 0..count {
        let Some(result) = results.next().await else { break };
        works.deliver();
        taken.push(result);
    }
    taken
}

/// Whether a stream has nothing for its caller now.
pub fn is_pending<T>(results: &mut (impl Stream<Item = T> + Unpin)) -> bool {
    results.next().now_or_never().is_none()
}
