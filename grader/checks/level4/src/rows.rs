//! Chunks as scripts describe them, and the lines that show them.

use futures::{Stream, StreamExt as _};
use grader_kit::marbles::{Broken, Marbles, Mark, lines};
use grader_kit::{Cx, Fail, ms};
use level4::chunk::Chunks;

use crate::ops::nz;

/// The settings of chunks: a number of items, and a time in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct How {
    pub max: usize,
    pub within: u64,
}

impl How {
    pub const fn new(max: usize, within: u64) -> Self {
        Self { max, within }
    }

    pub async fn make(self, cx: &Cx) -> Result<Chunks, Fail> {
        let make = || Chunks::new(nz(self.max), ms(self.within));
        cx.call_fn("Chunks::new", make).await?.map_err(|error| {
            Fail::new(format!("{self} are refused: {error:?}")).expected("they are accepted")
        })
    }
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "chunks of {} within {} ms", self.max, self.within)
    }
}

/// Items, each with its time; there is no end.
pub fn items<'a>(marks: impl IntoIterator<Item = (u64, &'a str)>) -> Marbles {
    Marbles::at(marks.into_iter().map(|(at, text)| (at, Mark::item(text))))
}

/// A line as a message shows it.
pub fn shown(line: &Marbles) -> String {
    lines(line, line).0
}

/// A source that yields the items of a line. Errors of the line become the item `#`.
pub fn source(input: &Marbles) -> impl Stream<Item = String> + use<> {
    input.clone().play().map(|it| it.unwrap_or_else(|_| "#".to_owned()))
}

/// A chunk as a line shows it: its items one after the other.
pub fn mark(chunk: Vec<String>) -> Mark {
    Mark::Item(chunk.concat())
}

/// A chunk or an error as a line shows it.
pub fn try_mark(chunk: Result<Vec<String>, Broken>) -> Mark {
    chunk.map_or(Mark::Error, mark)
}
