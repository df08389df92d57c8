//! [`JetStreamJournal`]: the [`Journal`](level5::event_processor::Journal) of level 5's event processor in a stream of NATS
//! JetStream, for several processes.
//!
//! ```no_run
//! use level5::event_processor::{Config, Event, Processor, Service, Sink};
//! use level5_jetstream::{JetStreamConfig, JetStreamJournal};
//!
//! async fn start(sink: impl Sink) -> Result<(), Box<dyn std::error::Error>> {
//!     let address = "nats://127.0.0.1:4222/orders".parse()?;
//!     let journal = JetStreamJournal::open(&address, JetStreamConfig::default()).await?;
//!     let route = |_: &Event| Service::new("analytics");
//!     let processor = Processor::start(Config::default(), sink, journal.clone(), route).await?;
//!     // What a process that has died has accepted.
//!     while let Some(events) = journal.taken_over().await {
//!         for event in events {
//!             processor.ingest((*event).clone()).await?;
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What it promises
//!
//! * A call of `append` is ready when the server has acknowledged every record; one of `done`, when the server has confirmed
//!   every acknowledgement. [`JetStreamConfig::patience`] bounds both.
//! * Every event of a call that was ready is delivered at least once, whatever is killed: another process takes over what a
//!   dead one has left. A record that cannot be read stays in the stream and is named: [`BadRecord`].
//! * No publish is kept twice. A record has a message id, and is sent again with the same id when no answer comes.
//! * What may be delivered twice: the events that were pending in a process that is killed; and, if the server is killed at
//!   the same time, those that have ended within the last 100 ms and the time of an answer, in each lane that was owned by
//!   the process. A server that is killed alone makes no event come twice.
//! * A lane has at most [`JetStreamConfig::max_records`] records, and the stream [`JetStreamConfig::max_bytes`] bytes. Beyond
//!   that a call fails, nothing of it is kept, and ends are still recorded: [`WriteError`]. The stream drops nothing.
//! * An error after [`JetStreamConfig::patience`] is the exception to "nothing of the call is kept": the server may have the
//!   records although no answer came. The journal removes them when it sees them; if the process dies before, the next owner
//!   delivers events whose callers had an error.
//! * How safe an acknowledged record is against a crash of the machine, the server decides: it writes a record before it
//!   answers, and syncs its files every two minutes unless `sync_interval: always` is set. [`JetStreamConfig::replicas`] of 3
//!   keep a record on three machines.
//!
//! # Lanes
//!
//! ```text
//!  stream  orders      WorkQueue: an acknowledged record is removed, no other one is; full: refuses
//!    orders.0.pending    ◀── process A appends ──▶  consumer lane-0-17   A alone acknowledges
//!    orders.0.dead
//!    orders.1.pending    ◀── process B appends ──▶  consumer lane-1-23
//!  bucket  orders-owners
//!    0  →  A, and what has ended                    renewed every third of the lease, and 100 ms after an end
//!    1  →  B
//! ```
//!
//! Each process accepts events in a lane of its own. So it delivers what it has accepted, in order, and no event waits for
//! another process. The entry of a lane names its owner; a change of it succeeds only with the newest revision. A process that
//! sees the same revision of another one's entry for the time of the lease, while the server answers, takes the lane over:
//! it changes the entry, and replaces the consumer. An owner that only seemed dead can acknowledge nothing any more, since its
//! consumer is gone, and learns of it with its next renewal or acknowledgement: [`WriteError::Deposed`]. What it accepts until
//! then is in its lane, and goes to the new owner.
//!
//! A process that takes a lane over gets its pending events with [`JetStreamJournal::taken_over`]. Dead letters stay where they
//! are, for the process that opens the lane next; [`JetStreamJournal::dead_letters`] lists those of all lanes.
//!
//! # Acknowledgements
//!
//! A consumer delivers each record of its lane to the owner, which keeps the delivery until the event has ended; then it
//! acknowledges. Deliveries are asked for when there is something to acknowledge, a thousand at a time. `max_ack_pending` is
//! the limit of the lane. A delivery that a broken connection has swallowed is not waited for: the owner deletes the record
//! by its number, after a look whether it is still the owner.
//!
//! After a lost connection the owner has a new consumer deliver the lane once more. A server of version 2.9 that is killed
//! forgets removals that it had confirmed; what comes back is removed again. If the owner dies too, the entry says what had
//! ended.
//!
//! # Which servers
//!
//! NATS 2.9 and newer. The client sends no field that 2.9 does not know, and the bucket is made without the client's own
//! function, which cannot read an answer of 2.9. A cluster needs an odd number of [`JetStreamConfig::replicas`].

mod address;
mod claims;
mod config;
mod error;
mod journal;
mod keeper;
mod ledger;
mod opening;
mod record;
mod remover;
mod server;
mod shared;
mod watch;
mod writer;

pub use address::{Address, AddressError};
pub use config::{JetStreamConfig, Unreadable};
pub use error::{BadRecord, OpenError, WriteError};
pub use journal::{JetStreamJournal, Recovered};
pub use shared::Figures;
