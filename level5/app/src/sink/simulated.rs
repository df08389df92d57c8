//! Services that the program plays.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use level5::event_processor::{Ack, Batch, Event, SendError, Service, Sink};
use tokio::time::sleep;

use crate::args::SinkArgs;
use crate::chance::{happens, mix};
use crate::sink::Heard;

/// Takes a time for each batch, and fails as often as it is asked to.
#[derive(Debug)]
pub struct Simulated {
    latency: Duration,
    failure_rate: f64,
    reject_rate: f64,
    seed: u64,
    calls: AtomicU64,
    heard: Arc<Heard>,
}

impl Simulated {
    /// Services with this behaviour. Batches that they take without an answer are noted in `heard`.
    #[must_use]
    pub fn new(args: &SinkArgs, heard: Arc<Heard>) -> Self {
        Self {
            latency: Duration::from_millis(args.latency.into()),
            failure_rate: args.failure_rate,
            reject_rate: args.reject_rate,
            seed: args.seed,
            calls: AtomicU64::new(0),
            heard,
        }
    }

    /// Whether this event is refused for good: by its id, so that each attempt has the same answer.
    fn refuses(&self, id: &str) -> bool {
        if self.reject_rate == 0.0 {
            return false;
        }
        let mixed = id.bytes().fold(mix(self.seed), |mixed, byte| mix(mixed ^ u64::from(byte)));
        happens(mixed, self.reject_rate)
    }
}

impl Sink for Simulated {
    async fn send(&self, _: &Service, batch: &Batch) -> Result<Vec<Ack>, SendError> {
        if !self.latency.is_zero() {
            sleep(self.latency).await;
        }
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let mixed = mix(self.seed ^ mix(call));
        if happens(mixed, self.failure_rate) {
            // `happens` reads the upper bits.
            if mixed.is_multiple_of(2) {
                let is_taken = |event: &&Arc<Event>| !self.refuses(event.id.as_str());
                self.heard.took(batch.events().iter().filter(is_taken));
            }
            return Err(SendError::Transport("the simulated service does not answer".to_owned()));
        }
        let ack = |id: &str| {
            if self.refuses(id) {
                Ack::Reject("the simulated service refuses it".to_owned())
            } else {
                Ack::Ok
            }
        };
        Ok(batch.events().iter().map(|event| ack(event.id.as_str())).collect())
    }
}
