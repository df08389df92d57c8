//! Events as JSON lines.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufRead, Read as _};

use bytes::Bytes;
use jiff::Timestamp;
use level5::event_processor::{Event, EventId};
use level5::priority_queue::Priority;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::CHUNK;

/// The most bytes of a line.
pub const LINE_BYTES: usize = 1 << 20;
/// Chunks that wait for a lane. More are not read.
const WAITING: usize = 16;

/// A line that is no event. It is skipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is skipped: {what}; {help}")]
pub struct BadLine {
    /// The number of the line, from 1.
    pub line: u64,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: &'static str,
}

/// An event as a line has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    id: String,
    kind: String,
    key: Option<String>,
    #[serde(default)]
    priority: Importance,
    at: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Importance {
    Low,
    #[default]
    Medium,
    High,
    Critical,
}

impl From<Importance> for Priority {
    fn from(importance: Importance) -> Self {
        match importance {
            Importance::Low => Self::Low,
            Importance::Medium => Self::Medium,
            Importance::High => Self::High,
            Importance::Critical => Self::Critical,
        }
    }
}

/// Reads an event. `now` is its time if it has none. Its data is the text of the field, as JSON.
///
/// # Errors
///
/// [`BadLine`].
pub fn parse(line: u64, text: &[u8], now: Timestamp) -> Result<Event, BadLine> {
    let bad = |what: String, help| BadLine { line, what, help };
    let read: Line<'_> = serde_json::from_slice(text).map_err(|error| {
        let help = match error.classify() {
            serde_json::error::Category::Data => {
                "write an object with id and kind, and if needed key, priority, at and data"
            }
            _ => "write one JSON object in a line",
        };
        // Its own line number is always 1.
        bad(error.to_string().replace(" at line 1 column ", " at column "), help)
    })?;
    let at = match read.at.map(|at| at.parse()) {
        None => now,
        Some(Ok(at)) => at,
        Some(Err(error)) => {
            return Err(bad(format!("its time: {error}"), "write a time as 2026-11-29T12:00:00Z"));
        }
    };
    let event = Event {
        id: EventId::new(read.id),
        kind: read.kind,
        key: read.key,
        priority: read.priority.into(),
        at,
        data: read.data.map_or_else(Bytes::new, |data| data.get().to_owned().into()),
    };
    match event.check() {
        Ok(()) => Ok(event),
        Err(why) => Err(bad(why.to_string(), "give it a text of one letter at least")),
    }
}

/// Divides the events of a text into lanes.
#[derive(Debug)]
pub struct Lines {
    lanes: Vec<(Vec<Event>, Sender<Vec<Event>>)>,
    /// The lane of the next event without a key.
    next: usize,
}

impl Lines {
    /// A reader, and its lanes.
    #[must_use]
    pub fn new(lanes: usize) -> (Self, Vec<Receiver<Vec<Event>>>) {
        let (senders, receivers): (Vec<_>, _) = (0..lanes).map(|_| channel(WAITING)).unzip();
        let lanes = senders.into_iter().map(|sender| (Vec::new(), sender)).collect();
        (Self { lanes, next: 0 }, receivers)
    }

    /// Reads all lines. Empty lines are passed over; `bad` is called for each line that is no event.
    ///
    /// Ends early, without an error, when the lanes are gone.
    ///
    /// # Errors
    ///
    /// Those of `input`.
    ///
    /// # Blocking
    ///
    /// Waits for the input, and for the lanes. Events are passed on at the latest when the input has nothing ready.
    ///
    /// # Panics
    ///
    /// Inside of an asynchronous task.
    pub fn read(
        mut self,
        input: impl io::Read,
        now: impl Fn() -> Timestamp,
        mut bad: impl FnMut(BadLine),
    ) -> io::Result<()> {
        let mut input = io::BufReader::with_capacity(1 << 16, input);
        let (mut line, mut text) = (0, Vec::new());
        loop {
            // What has come is passed on before a read that may wait.
            if input.buffer().is_empty() && !self.flush(0) {
                return Ok(());
            }
            text.clear();
            let length = (&mut input).take(LINE_BYTES as u64 + 1).read_until(b'\n', &mut text)?;
            if length == 0 {
                self.flush(0);
                return Ok(());
            }
            line += 1;
            if length > LINE_BYTES && !text.ends_with(b"\n") {
                input.skip_until(b'\n')?;
                let what = format!("it has more than {LINE_BYTES} bytes");
                bad(BadLine { line, what, help: "put large data elsewhere, and its address here" });
                continue;
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            match parse(line, &text, now()) {
                Ok(event) => self.add(event),
                Err(error) => bad(error),
            }
            if !self.flush(CHUNK) {
                return Ok(());
            }
        }
    }

    fn add(&mut self, event: Event) {
        let count = self.lanes.len();
        let lane = match &event.key {
            Some(key) => {
                let mut hasher = DefaultHasher::new();
                key.hash(&mut hasher);
                hasher.finish() as usize % count
            }
            None => {
                self.next += 1;
                self.next % count
            }
        };
        self.lanes[lane].0.push(event);
    }

    /// Passes on what has as many events. Returns whether the lanes are there.
    fn flush(&mut self, least: usize) -> bool {
        self.lanes.iter_mut().all(|(events, lane)| {
            if events.is_empty() || events.len() < least {
                return true;
            }
            lane.blocking_send(std::mem::take(events)).is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], lanes: usize) -> (Vec<Vec<Event>>, Vec<BadLine>) {
        let (lines, mut receivers) = Lines::new(lanes);
        let mut bad = Vec::new();
        lines.read(text, || Timestamp::UNIX_EPOCH, |line| bad.push(line)).expect("a text");
        let drained = receivers
            .iter_mut()
            .map(|lane| std::iter::from_fn(|| lane.try_recv().ok()).flatten().collect::<Vec<_>>());
        (drained.collect(), bad)
    }

    #[test]
    fn fields_are_read() {
        let line = br#"{"id":"a","kind":"mail.sent","key":"k","priority":"critical","at":"2026-11-29T12:00:00Z","data":{"n": 1}}"#;
        let event = parse(1, line, Timestamp::UNIX_EPOCH).expect("an event");
        assert_eq!((event.id.as_str(), event.kind.as_str()), ("a", "mail.sent"));
        assert_eq!((event.key.as_deref(), event.priority), (Some("k"), Priority::Critical));
        assert_eq!(event.at.to_string(), "2026-11-29T12:00:00Z");
        assert_eq!(event.data, r#"{"n": 1}"#);
        let event = parse(1, br#"{"id":"a","kind":"b"}"#, Timestamp::UNIX_EPOCH).expect("an event");
        assert_eq!((event.key, event.priority), (None, Priority::Medium));
        assert_eq!((event.at, event.data.len()), (Timestamp::UNIX_EPOCH, 0));
    }

    #[test]
    fn bad_lines_are_named_and_skipped() {
        let text = b"{\"id\":\"a\",\"kind\":\"b\"}\n\n  \r\n{\"id\":\"\",\"kind\":\"b\"}\n{\"kind\":\"b\"}\nnot json\n\
            {\"id\":\"c\",\"kind\":\"b\",\"priority\":\"urgent\"}\n{\"id\":\"d\",\"kind\":\"b\",\"extra\":1}\n\xff\n{\"id\":\"e\",\"kind\":\"b\"}";
        let (lanes, bad) = read(text, 1);
        let ids: Vec<_> = lanes[0].iter().map(|event| event.id.as_str()).collect();
        assert_eq!(ids, ["a", "e"]);
        let lines: Vec<_> = bad.iter().map(|bad| bad.line).collect();
        assert_eq!(lines, [4, 5, 6, 7, 8, 9]);
        assert!(bad[0].to_string().starts_with("line 4 is skipped: its id is empty"), "{}", bad[0]);
        assert!(bad[1].to_string().contains("missing field `id`"), "{}", bad[1]);
        assert!(bad[2].to_string().ends_with("write one JSON object in a line"), "{}", bad[2]);
        assert!(bad[3].to_string().contains("urgent"), "{}", bad[3]);
    }

    #[test]
    fn a_line_without_an_end_fills_no_memory() {
        let mut text = vec![b'x'; 3 * LINE_BYTES];
        text.extend_from_slice(b"\n{\"id\":\"a\",\"kind\":\"b\"}\n");
        let (lanes, bad) = read(&text, 1);
        assert_eq!((lanes[0].len(), bad.len(), bad[0].line), (1, 1, 1));
        assert!(bad[0].what.contains("more than 1048576 bytes"), "{}", bad[0]);
    }

    #[test]
    fn a_key_stays_in_its_lane_and_in_order() {
        let line = |n: usize| format!("{{\"id\":\"{n}\",\"kind\":\"b\",\"key\":\"{}\"}}\n", n % 5);
        let text: String = (0..900).map(line).collect();
        let (lanes, bad) = read(text.as_bytes(), 2);
        assert!(bad.is_empty() && lanes.iter().map(Vec::len).sum::<usize>() == 900);
        for key in ["0", "1", "2", "3", "4"] {
            let of_key = |lane: &Vec<Event>| {
                let events = lane.iter().filter(|event| event.key.as_deref() == Some(key));
                events
                    .filter_map(|event| event.id.as_str().parse::<usize>().ok())
                    .collect::<Vec<_>>()
            };
            let found: Vec<_> = lanes.iter().map(of_key).filter(|ids| !ids.is_empty()).collect();
            assert!(found.len() == 1 && found[0].is_sorted() && found[0].len() == 180);
        }
    }
}
