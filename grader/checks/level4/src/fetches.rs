//! Scripted work that runs for several callers: it notes when it is called and how it ends.

use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use grader_kit::{lock, ms};
use tokio::time::{Instant, sleep};

use crate::ops::End;
use crate::panics::Payload;

/// What work ends with, after its time.
#[derive(Debug, Clone)]
pub enum Ends {
    /// A value that names the run: the first one is `run 1`.
    Value,
    /// An error that names the run.
    Error,
    Panic(Payload),
    /// Before there is a future.
    PanicInClosure(Payload),
}

/// One run. Times are milliseconds since the record was made.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub called: u64,
    pub ended: Option<(u64, End)>,
}

/// A record of runs. A clone is a handle to the same one.
#[derive(Clone)]
pub struct Fetches {
    since: Instant,
    seen: Arc<Mutex<Vec<Seen>>>,
}

pub type Answer = Result<String, String>;

impl Fetches {
    pub fn new() -> Self {
        Self { since: Instant::now(), seen: Arc::default() }
    }

    /// Milliseconds since the record was made.
    pub fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Work of `length` milliseconds. Its run begins with the call of the closure.
    pub fn work(
        &self,
        length: u64,
        ends: Ends,
    ) -> impl FnOnce() -> BoxFuture<'static, Answer> + Send + 'static {
        let record = self.clone();
        move || {
            let number = {
                let mut seen = lock(&record.seen);
                seen.push(Seen { called: record.now(), ended: None });
                seen.len()
            };
            let run = Run { record, number };
            if let Ends::PanicInClosure(payload) = &ends {
                payload.clone().throw();
            }
            async move {
                sleep(ms(length)).await;
                if let Ends::Panic(payload) = &ends {
                    payload.clone().throw();
                }
                run.ends(End::Finished);
                let text = format!("run {number}");
                if matches!(ends, Ends::Error) { Err(text) } else { Ok(text) }
            }
            .boxed()
        }
    }

    /// What is known of each run, in the order of the calls.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    pub fn count(&self) -> usize {
        lock(&self.seen).len()
    }
}

struct Run {
    record: Fetches,
    number: usize,
}

impl Run {
    fn ends(&self, end: End) {
        let now = self.record.now();
        if let Some(seen) = lock(&self.record.seen).get_mut(self.number - 1) {
            seen.ended.get_or_insert((now, end));
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.ends(End::Dropped);
    }
}
