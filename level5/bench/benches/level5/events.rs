//! Events, and the processor that takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::future::join_all;
use level5::event_processor::{
    Ack, Batch, Config, Event, EventId, Journal, MemoryJournal, Processor, SendError, Service, Sink,
};
use level5::priority_queue::Priority;
use tokio::sync::Semaphore;

use crate::Failed;

/// Events of a call that the benchmark waits for together, as the connections of a server do.
const AT_ONCE: u64 = 64;

/// A sink that acknowledges everything, once its gate is open.
#[derive(Debug, Clone)]
pub struct Accepts(pub Arc<Semaphore>);

impl Accepts {
    /// One whose gate is open.
    pub fn open() -> Self {
        Self(Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)))
    }

    /// One whose gate is closed.
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

impl Sink for Accepts {
    async fn send(&self, _: &Service, batch: &Batch) -> Result<Vec<Ack>, SendError> {
        let _open = self.0.acquire().await;
        Ok(batch.events().iter().map(|_| Ack::Ok).collect())
    }
}

/// A configuration that refuses nothing and compresses nothing: what is measured is the processor, not gzip.
pub fn config() -> Config {
    Config { threshold: std::num::NonZeroUsize::MAX, compress: false, ..Config::default() }
}

/// A processor with one service.
pub async fn start(sink: Accepts) -> Result<Processor<Accepts, MemoryJournal>, Failed> {
    let service = Service::new("analytics");
    let route = move |_: &Event| service.clone();
    Ok(Processor::start(config(), sink, MemoryJournal::default(), route).await?)
}

/// An event with an id that no other one of this process has, of a priority that changes from event to event.
pub fn event() -> Event {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let four = Priority::ALL;
    Event {
        id: EventId::new(number.to_string()),
        kind: "user_action".to_owned(),
        key: None,
        priority: four[(number % 4) as usize],
        at: jiff::Timestamp::UNIX_EPOCH,
        data: Bytes::from_static(b"{\"button\":\"save\"}"),
    }
}

/// Ingests so many events, [`AT_ONCE`] of them at the same time.
pub async fn ingest<J: Journal>(processor: &Processor<Accepts, J>, events: u64) {
    let mut left = events;
    while left > 0 {
        let now = left.min(AT_ONCE);
        join_all((0..now).map(|_| processor.ingest(event()))).await;
        left -= now;
    }
}

/// Waits until so many events have been delivered since the start.
pub async fn delivered<J: Journal>(processor: &Processor<Accepts, J>, events: u64) {
    // The processor ends with its sender, and then there is nothing to wait for.
    let _ = processor.metrics().wait_for(|figures| figures.delivered >= events).await;
}
