//! A recorder of the calls of a gateway.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use level3_sim::{CallSite, Ending, Fault, Probe};
use tokio::time::Instant;

/// A call that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The kind of call.
    pub site: CallSite,
    /// Which of its kind; the first is 1.
    pub nth: u32,
    /// The fault that the call met.
    pub fault: Fault,
    /// The time of its start, from the beginning of the trial.
    pub at: Duration,
    /// The time of its end for the client, and how it ended.
    pub over: Option<(Duration, Ending)>,
}

/// Writes down every call.
#[derive(Debug)]
pub struct Recorder {
    begin: Instant,
    calls: Mutex<Vec<Seen>>,
}

impl Recorder {
    /// The trial begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { begin: Instant::now(), calls: Mutex::default() }
    }

    /// The calls so far, in the order in which they began.
    #[must_use]
    pub fn calls(&self) -> Vec<Seen> {
        self.lock().clone()
    }

    /// The time since the beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe for Recorder {
    fn began(&self, site: CallSite, nth: u32, fault: Fault) {
        let at = self.now();
        self.lock().push(Seen { site, nth, fault, at, over: None });
    }

    fn ended(&self, site: CallSite, nth: u32, ending: &Ending) {
        // Outside of the runtime, when it is torn down, there is no time any more.
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let over = (self.now(), ending.clone());
        let mut calls = self.lock();
        if let Some(call) = calls.iter_mut().rfind(|call| call.site == site && call.nth == nth) {
            call.over = Some(over);
        }
    }
}

/// The calls as lines of text.
#[must_use]
pub fn timeline(calls: &[Seen]) -> Vec<String> {
    let mut lines = Vec::new();
    for call in calls {
        let fault = match call.fault {
            Fault::None => String::new(),
            fault => format!(" [{fault:?}]"),
        };
        let over = match &call.over {
            None => "still open".to_owned(),
            Some((at, Ending::Answered)) => format!("answered at {} ms", at.as_millis()),
            Some((at, Ending::Failed(error))) => format!("{error} at {} ms", at.as_millis()),
            Some((at, Ending::GivenUp)) => format!("given up at {} ms", at.as_millis()),
        };
        lines.push(format!(
            "{:>6} ms  {} #{}{fault}: {over}",
            call.at.as_millis(),
            call.site,
            call.nth
        ));
    }
    lines
}
