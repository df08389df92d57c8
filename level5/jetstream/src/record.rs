//! Records as messages.
//!
//! ```text
//!  subject        STREAM.LANE.pending, or STREAM.LANE.dead for a letter
//!  Nats-Msg-Id    the order of the record: the ownership that wrote it, and its number there
//!  payload        a line of JSON with the fields of the event, then its data as they are
//! ```
//!
//! The line is text, so that `nats stream view` shows what a stream holds.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use level5::event_processor::{DeadLetter, Event, EventId, Service};
use level5::priority_queue::Priority;
use serde::{Deserialize, Serialize};

/// The version of the format.
const VERSION: u32 = 1;

/// The place of a record in time. Records of a lane have different ones, and a newer one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Order {
    /// The revision with which the writer took the lane over. Later owners have greater ones.
    pub(crate) generation: u64,
    /// Counts the records of this owner.
    pub(crate) number: u64,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.generation, self.number)
    }
}

impl FromStr for Order {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (generation, number) = text.split_once('-').ok_or(())?;
        let parse = |text: &str| text.parse().map_err(|_| ());
        Ok(Self { generation: parse(generation)?, number: parse(number)? })
    }
}

/// What a record keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// The event is pending.
    Pending(Arc<Event>),
    /// The event is a dead letter.
    Dead(DeadLetter),
}

impl Content {
    pub(crate) const fn event(&self) -> &Arc<Event> {
        match self {
            Self::Pending(event) => event,
            Self::Dead(letter) => &letter.event,
        }
    }

    pub(crate) fn id(&self) -> &EventId {
        &self.event().id
    }

    /// The subject of the record.
    pub(crate) fn subject(&self, stream: &str, lane: u32) -> String {
        match self {
            Self::Pending(_) => format!("{stream}.{lane}.pending"),
            Self::Dead(_) => format!("{stream}.{lane}.dead"),
        }
    }

    /// Its bytes.
    pub(crate) fn write(&self) -> Bytes {
        let event = self.event();
        let letter = match self {
            Self::Pending(_) => None,
            Self::Dead(letter) => Some(Letter {
                service: letter.service.as_str(),
                attempts: letter.attempts,
                reason: &letter.reason,
            }),
        };
        let line = Line {
            v: VERSION,
            id: event.id.as_str(),
            kind: &event.kind,
            key: event.key.as_deref(),
            priority: name(event.priority),
            at: event.at.to_string(),
            letter,
        };
        let mut out = BytesMut::with_capacity(160 + event.data.len()).writer();
        // Texts and numbers can be written, and memory takes them.
        let _ = serde_json::to_writer(&mut out, &line);
        let mut out = out.into_inner();
        out.put_u8(b'\n');
        out.extend_from_slice(&event.data);
        out.freeze()
    }
}

/// Reads a record. `Err`: what is wrong, and the event if its name can be read.
pub(crate) fn read(payload: &Bytes) -> Result<Content, (Option<EventId>, String)> {
    let end = payload
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or((None, "it is no record".to_owned()))?;
    let line = &payload[..end];
    let named: Option<Named> = serde_json::from_slice(line).ok();
    let id = named.as_ref().map(|named| EventId::new(named.id.as_str()));
    match named {
        Some(Named { v: VERSION, .. }) => {}
        Some(Named { v, .. }) => {
            return Err((
                id,
                format!("version {v} of the format, and this program knows version {VERSION}"),
            ));
        }
        None => return Err((None, "it is no record".to_owned())),
    }
    content(line, payload.slice(end + 1..)).map_err(|what| (id, what))
}

fn content(line: &[u8], data: Bytes) -> Result<Content, String> {
    let line: Owned = serde_json::from_slice(line).map_err(|why| why.to_string())?;
    let priority = Priority::ALL.into_iter().find(|priority| name(*priority) == line.priority);
    let event = Arc::new(Event {
        id: EventId::new(line.id),
        kind: line.kind,
        key: line.key,
        priority: priority.ok_or_else(|| format!("priority {:?}", line.priority))?,
        at: line.at.parse().map_err(|why| format!("at: {why}"))?,
        data,
    });
    Ok(match line.letter {
        None => Content::Pending(event),
        Some(OwnedLetter { service, attempts, reason }) => {
            Content::Dead(DeadLetter { event, service: Service::new(service), attempts, reason })
        }
    })
}

const fn name(priority: Priority) -> &'static str {
    match priority {
        Priority::Low => "low",
        Priority::Medium => "medium",
        Priority::High => "high",
        Priority::Critical => "critical",
    }
}

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    id: &'a str,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    priority: &'static str,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    letter: Option<Letter<'a>>,
}

#[derive(Serialize)]
struct Letter<'a> {
    service: &'a str,
    attempts: u32,
    reason: &'a str,
}

/// What every version of the format has.
#[derive(Deserialize)]
struct Named {
    v: u32,
    id: String,
}

#[derive(Deserialize)]
struct Owned {
    id: String,
    kind: String,
    key: Option<String>,
    priority: String,
    at: String,
    letter: Option<OwnedLetter>,
}

#[derive(Deserialize)]
struct OwnedLetter {
    service: String,
    attempts: u32,
    reason: String,
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn event(id: &str, key: Option<&str>, data: &[u8]) -> Arc<Event> {
        Arc::new(Event {
            id: EventId::new(id),
            kind: "a \"kind\"\n".to_owned(),
            key: key.map(str::to_owned),
            priority: Priority::ALL[id.len() % 4],
            at: Timestamp::new(-1_000_000_007, -5).expect("a time"),
            data: Bytes::copy_from_slice(data),
        })
    }

    #[test]
    fn what_was_written_is_read() {
        let letter = DeadLetter {
            event: event("é\0", Some(""), b""),
            service: Service::new("mail"),
            attempts: 4,
            reason: "no:\nnever".to_owned(),
        };
        for content in [
            Content::Pending(event("", None, b"\n\n")),
            Content::Pending(event("a", Some("k"), &[0, 255, b'\n'])),
            Content::Dead(letter),
        ] {
            assert_eq!(read(&content.write()), Ok(content));
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let whole = Content::Pending(event("order-7", None, b"data")).write();
        let text = String::from_utf8(whole.to_vec()).expect("text");
        let newer = text.replace("\"v\":1", "\"v\":2");
        let named = Some(EventId::new("order-7"));
        let (found, what) = read(&newer.into()).expect_err("a newer version");
        assert!(found == named && what.contains("version 2"), "{what}");
        let (found, what) =
            read(&text.replace("-5", "x").replace("1938", "??").into()).expect_err("a time");
        assert!(found == named && what.starts_with("at: "), "{what}");
        for other in ["", "notes", "{}\n", "{\"v\":1}\n"] {
            assert!(matches!(read(&Bytes::from(other)), Err((None, _))), "{other}");
        }
    }

    #[test]
    fn an_order_is_a_message_id() {
        let order = Order { generation: 12, number: 7 };
        assert_eq!(order.to_string().parse(), Ok(order));
        assert!("12".parse::<Order>().is_err() && "a-1".parse::<Order>().is_err());
        assert!(order < Order { generation: 13, number: 1 });
    }
}
