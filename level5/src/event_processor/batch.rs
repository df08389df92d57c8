//! Batches of events, and how they are written as bytes.

use std::borrow::Cow;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{Event, EventId};
use crate::priority_queue::Priority;

/// How a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// For each event a line of JSON that names all but the data, then the data, then a line feed. The line has the
    /// length of the data in bytes.
    Plain,
    /// The same, compressed with gzip.
    Gzip,
}

/// The bytes are no batch in this encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not compressed, or something follows what is.
    #[error("the batch cannot be decompressed: {0}")]
    Gzip(String),
    /// Decompressed, the batch has more than [`Batch::MOST_BYTES`].
    #[error("the compressed batch has more than {} bytes", Batch::MOST_BYTES)]
    TooLong,
    /// An event cannot be read.
    #[error("event {index} of the batch cannot be read: {reason}")]
    Event {
        /// Its index.
        index: usize,
        /// What is wrong with its bytes.
        reason: String,
    },
}

/// Events for one service that are sent together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    events: Vec<Arc<Event>>,
    encoding: Encoding,
}

impl Batch {
    // starter: keep
    /// The most bytes that [`decode`](Self::decode) takes out of a compressed batch: 64 MiB.
    pub const MOST_BYTES: usize = 64 << 20;

    /// Makes a batch of these events.
    #[must_use]
    pub const fn new(events: Vec<Arc<Event>>, encoding: Encoding) -> Self {
        Self { events, encoding }
    }

    /// Its events. The service acknowledges them in this order.
    #[must_use]
    pub fn events(&self) -> &[Arc<Event>] {
        &self.events
    }

    /// The encoding in which [`encode`](Self::encode) writes it.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Its events as bytes. They are written at each call: a sink that needs no bytes pays for none.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut body = Vec::new();
        for event in &self.events {
            // Writing a header of texts and numbers into memory does not fail.
            let _ = serde_json::to_writer(&mut body, &Header::of(event));
            body.push(b'\n');
            body.extend_from_slice(&event.data);
            body.push(b'\n');
        }
        match self.encoding {
            Encoding::Plain => body.into(),
            Encoding::Gzip => gzip(&body).unwrap_or_default().into(),
        }
    }

    /// Reads what [`encode`](Self::encode) has written.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for bytes that are no batch. No bytes make it panic, and none make it use much more memory than
    /// their own number and [`MOST_BYTES`](Self::MOST_BYTES).
    pub fn decode(body: &[u8], encoding: Encoding) -> Result<Self, DecodeError> {
        let plain = match encoding {
            Encoding::Plain => Cow::Borrowed(body),
            Encoding::Gzip => gunzip(body)?.into(),
        };
        // The number of events is not written in front of them: a batch ends where its bytes end.
        let (mut rest, mut events) = (&plain[..], Vec::new());
        while !rest.is_empty() {
            let index = events.len();
            let read = read(rest).map_err(|reason| DecodeError::Event { index, reason })?;
            events.push(Arc::new(read.0));
            rest = read.1;
        }
        Ok(Self { events, encoding })
    }
}

/// The line of JSON in front of an event's data.
#[derive(Serialize, Deserialize)]
struct Header {
    id: String,
    kind: String,
    key: Option<String>,
    priority: String,
    at: String,
    bytes: usize,
}

impl Header {
    fn of(event: &Event) -> Self {
        Self {
            id: event.id.to_string(),
            kind: event.kind.clone(),
            key: event.key.clone(),
            priority: format!("{:?}", event.priority),
            at: event.at.to_string(),
            bytes: event.data.len(),
        }
    }

    fn event(self, data: &[u8]) -> Result<Event, String> {
        let named = |it: &Priority| format!("{it:?}") == self.priority;
        let priority = Priority::ALL.into_iter().find(named);
        let priority = priority.ok_or_else(|| format!("no priority: {}", self.priority))?;
        let at: Timestamp = self.at.parse().map_err(|error| format!("no time: {error}"))?;
        let (id, data) = (EventId::new(self.id), Bytes::copy_from_slice(data));
        Ok(Event { id, kind: self.kind, key: self.key, priority, at, data })
    }
}

/// Reads the first event, and returns it with the bytes behind it.
fn read(body: &[u8]) -> Result<(Event, &[u8]), String> {
    // JSON escapes a line feed within a text, so the first one ends the header. The data may contain line feeds: only
    // its length says where it ends.
    let end = body.iter().position(|byte| *byte == b'\n').ok_or("its header does not end")?;
    let header: Header = serde_json::from_slice(&body[..end]).map_err(|error| error.to_string())?;
    let rest = &body[end + 1..];
    // The length is from outside. `split_at` would panic when it is too large, and a buffer of this length would let
    // one line of text ask for all memory.
    let (data, rest) = rest.split_at_checked(header.bytes).ok_or("its data is cut short")?;
    let rest = rest.strip_prefix(b"\n").ok_or("its data does not end with a line feed")?;
    Ok((header.event(data)?, rest))
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    // Fast: this runs within the future of a sink, and every other task of its thread waits for it.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

fn gunzip(body: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut plain = Vec::new();
    let mut decoder = GzDecoder::new(body);
    // The body is from outside, and a few bytes of it may stand for a thousand times as many: 1 MB of zeros fits into
    // 1 KB. One byte beyond the limit, so that a batch of exactly that length is told apart from a longer one.
    let limited = decoder.by_ref().take(Batch::MOST_BYTES as u64 + 1).read_to_end(&mut plain);
    limited.map_err(|error| DecodeError::Gzip(error.to_string()))?;
    if plain.len() > Batch::MOST_BYTES {
        return Err(DecodeError::TooLong);
    }
    // The decoder stops at the end of the first member, whatever follows. `bufread` leaves what it has not used in the
    // slice; the decoder of `read` has a buffer of its own, in which the rest would go unseen.
    if !decoder.into_inner().is_empty() {
        return Err(DecodeError::Gzip("bytes follow the compressed batch".to_owned()));
    }
    Ok(plain)
}
