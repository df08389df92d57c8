//! Scripted attempts and fallbacks, and the errors that they end with.

use std::sync::{Arc, Mutex};

use grader_kit::{lock, ms};
use level4::recovery::{Class, Classify};
use tokio::time::{Instant, sleep};

use crate::ops::End;
use crate::panics::Payload;

/// An error with a number of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub class: Class,
    pub number: u64,
    /// `None`: its class decides.
    pub retryable: Option<bool>,
}

impl Broken {
    pub const fn new(class: Class, number: u64) -> Self {
        Self { class, number, retryable: None }
    }
}

impl Classify for Broken {
    fn class(&self) -> Class {
        self.class
    }

    fn is_retryable(&self) -> bool {
        self.retryable.unwrap_or_else(|| self.class.is_retryable())
    }
}

/// What a call ends with.
#[derive(Debug, Clone)]
pub enum Ends {
    Well(u64),
    Badly(Broken),
    Panic(Payload),
    /// Before there is a future.
    PanicInClosure(Payload),
}

/// A failure that may be retried, with this number.
pub const fn fails(number: u64) -> Ends {
    Ends::Badly(Broken::new(Class::Network, number))
}

/// One call. Times are milliseconds since the record was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub what: &'static str,
    pub at: u64,
    pub ended: Option<(u64, End)>,
}

/// A record of calls. A clone is a handle to the same one.
#[derive(Clone)]
pub struct Calls {
    since: Instant,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Calls {
    pub fn new() -> Self {
        Self { since: Instant::now(), seen: Arc::default() }
    }

    pub fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A call of `length` milliseconds. Calling this method is the call.
    pub fn call(
        &self,
        what: &'static str,
        length: u64,
        ends: Ends,
    ) -> impl Future<Output = Result<u64, Broken>> + Send + use<> {
        let index = {
            let mut seen = lock(&self.seen);
            seen.push(Seen { what, at: self.now(), ended: None });
            seen.len() - 1
        };
        if let Ends::PanicInClosure(payload) = &ends {
            payload.clone().throw();
        }
        let call = Call { calls: self.clone(), index };
        async move {
            if length > 0 {
                sleep(ms(length)).await;
            }
            call.ends(End::Finished);
            match ends {
                Ends::Well(value) => Ok(value),
                Ends::Badly(error) => Err(error),
                Ends::Panic(payload) | Ends::PanicInClosure(payload) => payload.throw(),
            }
        }
    }

    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    /// When the calls of one kind were made.
    pub fn times(&self, what: &str) -> Vec<u64> {
        self.seen().iter().filter(|seen| seen.what == what).map(|seen| seen.at).collect()
    }

    pub fn running(&self) -> usize {
        self.seen().iter().filter(|seen| seen.ended.is_none()).count()
    }
}

struct Call {
    calls: Calls,
    index: usize,
}

impl Call {
    fn ends(&self, end: End) {
        let now = self.calls.now();
        if let Some(seen) = lock(&self.calls.seen).get_mut(self.index) {
            seen.ended.get_or_insert((now, end));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.ends(End::Dropped);
    }
}
