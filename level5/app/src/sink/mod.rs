//! Where events go: simulated services, a file of lines, or services over HTTP.

mod file;
mod http;
mod seen;
mod simulated;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use level5::event_processor::{Ack, Batch, Event, SendError, Service, Sink};

pub use file::FileSink;
pub use http::HttpSink;
pub use seen::Seen;
pub use simulated::Simulated;

/// A sink of any kind.
#[derive(Debug)]
pub enum AnySink {
    /// Services that the program plays.
    Simulated(Simulated),
    /// A file.
    File(FileSink),
    /// Services over HTTP.
    Http(HttpSink),
}

impl Sink for AnySink {
    async fn send(&self, to: &Service, batch: &Batch) -> Result<Vec<Ack>, SendError> {
        match self {
            Self::Simulated(sink) => sink.send(to, batch).await,
            Self::File(sink) => sink.send(to, batch).await,
            Self::Http(sink) => sink.send(to, batch).await,
        }
    }
}

/// What the services have taken, as far as the program can know.
#[derive(Debug, Default)]
pub struct Heard {
    /// Events that a service has taken, repeats included.
    pub taken: AtomicU64,
    /// Those of them that it had taken before.
    pub repeated: AtomicU64,
    // Both are locked once for a batch, by the task that has its answer, and never across an await.
    seen: Mutex<Seen>,
    failing: Mutex<BTreeMap<Service, u32>>,
}

/// So many failing services are shown.
const FAILING: usize = 16;

impl Heard {
    /// A service has taken these events.
    fn took<'a>(&self, events: impl Iterator<Item = &'a Arc<Event>>) {
        let (mut count, mut repeated) = (0, 0);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            count += 1;
            repeated += u64::from(!seen.insert(event.id.as_str()));
        }
        drop(seen);
        self.taken.fetch_add(count, Ordering::Relaxed);
        self.repeated.fetch_add(repeated, Ordering::Relaxed);
    }

    fn answered(&self, service: &Service, failed: bool) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed {
            failing.remove(service);
        } else if let Some(times) = failing.get_mut(service) {
            *times = times.saturating_add(1);
        } else if failing.len() < FAILING {
            failing.insert(service.clone(), 1);
        }
    }

    /// The services whose last batches have failed, and how many in a row.
    #[must_use]
    pub fn failing(&self) -> Vec<(Service, u32)> {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.iter().map(|(service, times)| (service.clone(), *times)).collect()
    }
}

/// Notes what the services say.
#[derive(Debug)]
pub struct Listening<S> {
    inner: S,
    heard: Arc<Heard>,
}

impl<S> Listening<S> {
    /// Notes in `heard` what `inner` says.
    pub const fn new(inner: S, heard: Arc<Heard>) -> Self {
        Self { inner, heard }
    }
}

impl<S: Sink> Sink for Listening<S> {
    async fn send(&self, to: &Service, batch: &Batch) -> Result<Vec<Ack>, SendError> {
        let answer = self.inner.send(to, batch).await;
        self.heard.answered(to, answer.is_err());
        match &answer {
            Ok(acks) => {
                let answered = batch.events().iter().zip(acks);
                self.heard
                    .took(answered.filter(|(_, ack)| **ack == Ack::Ok).map(|(event, _)| event));
            }
            Err(error) => {
                tracing::info!(service = %to, events = batch.events().len(), %error, "a batch has failed");
            }
        }
        answer
    }
}
