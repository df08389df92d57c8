//! Why a journal was not opened, and why it did not write.

use std::sync::Arc;
use std::time::Duration;

use level5::event_processor::{EventId, JournalError};

/// A record of the stream that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message {sequence} on {subject}: {what}")]
pub struct BadRecord {
    /// Its number in the stream, by which `nats stream get` shows it.
    pub sequence: u64,
    /// Its subject, which names the lane.
    pub subject: String,
    /// The event, as far as its name can be read.
    pub event: Option<EventId>,
    /// What is wrong.
    pub what: String,
}

/// Why a journal was not opened. No record was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The configuration is refused.
    #[error("the configuration: {what}")]
    Config {
        /// What is wrong.
        what: &'static str,
    },
    /// There is no connection to the server.
    #[error("{address} cannot be reached: {why}")]
    Connect {
        /// The server and the stream.
        address: String,
        /// What the client said.
        why: String,
    },
    /// The server refuses to make or to show the stream, its consumers or its bucket: JetStream is not enabled, for
    /// instance.
    #[error("{address}: {why}")]
    Server {
        /// The server and the stream.
        address: String,
        /// What the server said.
        why: String,
    },
    /// The stream exists and would not keep every accepted event.
    #[error(
        "the stream {stream} has {what}. Use another stream, or change this one with `nats stream edit`"
    )]
    Stream {
        /// Its name.
        stream: String,
        /// What its configuration has.
        what: String,
    },
    /// Another process owns the lane and is alive, or every lane has such an owner.
    #[error("lane {lane} belongs to another process")]
    InUse {
        /// The lane that was tried last.
        lane: u32,
    },
    /// Records of the lane cannot be read.
    #[error(
        "{} cannot be read: {}. A newer program may have written them; or open the journal with `Unreadable::Accept`, \
         which goes on without them and leaves them in the stream",
        records.len(), list(records)
    )]
    Unreadable {
        /// All of them.
        records: Vec<BadRecord>,
    },
}

fn list(records: &[BadRecord]) -> String {
    records.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Why a call was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The lane has as many records as it may have. Ends are still recorded, and make room.
    #[error(
        "the lane has its {max_records} records: deliver pending events, redrive dead letters, or raise the limit"
    )]
    Full {
        /// The limit.
        max_records: usize,
    },
    /// The stream has reached a limit of its own, or the server one of its storage. It takes events when there is room.
    #[error("the stream is full: {why}")]
    StreamFull {
        /// What the server said.
        why: String,
    },
    /// An event is larger than what the server takes.
    #[error("event {id} is larger than the server takes: {why}")]
    TooLarge {
        /// The event.
        id: EventId,
        /// What the client or the server said.
        why: String,
    },
    /// The server has not answered for [`patience`](crate::JetStreamConfig::patience). The journal goes on: the next call
    /// tries again. Whether the server has the records of this call is unknown; the journal removes those that it finds.
    #[error("no answer within {} ms: {why}", waited.as_millis())]
    NoAnswer {
        /// How long it was tried.
        waited: Duration,
        /// The last error.
        why: String,
    },
    /// The server has refused the record.
    #[error("the server refuses: {why}")]
    Server {
        /// What it said.
        why: String,
    },
    /// Another process has treated this one as dead and has taken its lane over. Every call fails until the journal is
    /// opened again.
    #[error("lane {lane} was taken over by another process: open the journal again")]
    Deposed {
        /// The lane.
        lane: u32,
    },
    /// The tasks of the journal have ended: the runtime shuts down.
    #[error("the journal is closed")]
    Closed,
}

impl WriteError {
    /// Whether room in the lane or in the stream makes the same call succeed.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::StreamFull { .. })
    }
}

impl From<WriteError> for JournalError {
    fn from(error: WriteError) -> Self {
        let kind = match &error {
            WriteError::Full { .. } | WriteError::StreamFull { .. } => Self::Full,
            WriteError::TooLarge { .. } => Self::Refused,
            WriteError::NoAnswer { .. } | WriteError::Server { .. } => Self::Failed,
            WriteError::Deposed { .. } | WriteError::Closed => Self::Broken,
        };
        kind(Arc::new(error))
    }
}
