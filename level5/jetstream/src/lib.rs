//! [`JetStreamJournal`]: the [`Journal`](level5::event_processor::Journal) of level 5's event processor in a stream.

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
