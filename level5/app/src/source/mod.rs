//! Where events come from: a generator, JSON lines of a file or of standard input, or requests over HTTP.
//!
//! A request over HTTP takes its events itself, since its client waits for the answer. Each other source is divided into lanes, each of which a task of its own takes events from. Events with the same key are in the
//! same lane and in their order.

mod generator;
mod http;
mod lines;

use std::num::NonZeroUsize;

use level5::event_processor::Event;

pub use generator::Generator;
pub use http::HttpSource;
pub use lines::{BadLine, LINE_BYTES, Lines, parse};

/// How many events a lane yields at once, at most.
pub const CHUNK: usize = 256;

/// A part of a source.
#[derive(Debug)]
pub enum Lane {
    /// Makes events.
    Generator(Generator),
    /// Has events that were read.
    Lines(tokio::sync::mpsc::Receiver<Vec<Event>>),
}

impl Lane {
    /// The next events, at most `most` of them if they are made. Empty: there are no more.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self, most: NonZeroUsize) -> Vec<Event> {
        match self {
            Self::Generator(generator) => generator.by_ref().take(most.get()).collect(),
            Self::Lines(lines) => lines.recv().await.unwrap_or_default(),
        }
    }
}
