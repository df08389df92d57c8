//! What every journal promises, on a stream of a real server.

#[path = "../../journal/tests/support/contract.rs"]
mod contract;
#[path = "../../journal/tests/support/events.rs"]
mod events;
mod support;

use level5_jetstream::{JetStreamConfig, JetStreamJournal};

use contract::{Place, contract};
use support::{Nats, STREAM_BYTES};

struct Stream(Nats);

impl Place for Stream {
    type Journal = JetStreamJournal;
    async fn open(&self) -> JetStreamJournal {
        // Always the same lane: opening waits until the journal before has released it.
        let config = JetStreamConfig {
            lane: Some(0),
            max_bytes: STREAM_BYTES,
            ..JetStreamConfig::default()
        };
        JetStreamJournal::open(&self.0.address("events"), config).await.expect("a journal")
    }
}

contract! { jetstream, Nats::start().map(Stream) }
