//! What a check process prints: kept up to a limit, drained beyond it, never believed.
use std::io::{BufRead as _, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use grader_protocol::LINE_MARK;

use super::channel::Heard;

/// Bytes kept of each stream.
pub const MOST: usize = 16 << 10;

/// A line longer than this is taken in parts.
const LONGEST_LINE: u64 = 1 << 20;

/// A stream that is being drained.
pub(super) struct Drain(Option<JoinHandle<String>>);

impl Drain {
    /// What it held, once the stream has ended.
    pub(super) fn finish(self) -> String {
        self.0.and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

/// Bytes that came out of all the streams of a process so far.
pub(super) type Drained = Arc<AtomicU64>;

/// Drains a stream on a thread of its own. With a secret, a line that carries it is the verdict and
/// is passed on instead of kept; the stream's end is told too.
pub(super) fn drain(
    stream: Option<impl Read + Send + 'static>,
    verdict: Option<(String, Sender<Heard>)>,
    drained: &Drained,
) -> Drain {
    let drained = Arc::clone(drained);
    Drain(stream.map(|stream| {
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            let mut stream = BufReader::new(stream);
            let mark = verdict.as_ref().map(|(nonce, _)| format!("{LINE_MARK} {nonce} "));
            loop {
                let mut line = Vec::new();
                match stream.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                    Ok(1..) => {}
                    _ => break,
                }
                drained.fetch_add(line.len() as u64, Ordering::Relaxed);
                let text = String::from_utf8_lossy(&line);
                let found = mark.as_ref().and_then(|mark| text.strip_prefix(mark.as_str()));
                if let (Some(json), Some((_, tell))) = (found, &verdict) {
                    let _ = tell.send(Heard::Line(json.to_owned()));
                } else {
                    let room = MOST.saturating_sub(kept.len());
                    kept.extend_from_slice(&line[..line.len().min(room)]);
                }
            }
            if let Some((_, tell)) = verdict {
                let _ = tell.send(Heard::End);
            }
            grader_protocol::tidy(&String::from_utf8_lossy(&kept), 2 * MOST)
        })
    }))
}
