//! Debounces as scripts describe them, and the values that go into one.

use futures::{Stream, StreamExt as _};
use grader_kit::marbles::{Marbles, Mark, lines};
use grader_kit::{Cx, Fail, ms};
use level4::debounce::{Debounce, Edge};

/// The settings of a debounce: times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct How {
    pub wait: u64,
    pub edge: Edge,
    pub max: Option<u64>,
}

impl How {
    pub const fn new(wait: u64, edge: Edge) -> Self {
        Self { wait, edge, max: None }
    }

    pub const fn max(self, max: u64) -> Self {
        Self { max: Some(max), ..self }
    }

    pub async fn make(self, cx: &Cx) -> Result<Debounce, Fail> {
        let refused =
            |error| Fail::new(format!("{self} is refused: {error:?}")).expected("it is accepted");
        let made = cx.call_fn("Debounce::new", || Debounce::new(ms(self.wait), self.edge)).await?;
        let made = made.map_err(refused)?;
        let Some(max) = self.max else { return Ok(made) };
        let made = cx.call_fn("Debounce::with_max_wait", || made.with_max_wait(ms(max))).await?;
        made.map_err(refused)
    }
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let edge = match self.edge {
            Edge::Leading => "leading",
            Edge::Trailing => "trailing",
            Edge::Both => "leading and trailing",
        };
        write!(f, "a debounce of {} ms, {edge}", self.wait)?;
        self.max.map_or(Ok(()), |max| write!(f, ", max_wait {max} ms"))
    }
}

/// Values, each with its time; there is no end.
pub fn values<'a>(marks: impl IntoIterator<Item = (u64, &'a str)>) -> Marbles {
    Marbles::at(marks.into_iter().map(|(at, text)| (at, Mark::item(text))))
}

/// A line as a message shows it.
pub fn shown(line: &Marbles) -> String {
    lines(line, line).0
}

/// A source that yields the values of a line. Errors of the line become the value `#`.
pub fn source(input: &Marbles) -> impl Stream<Item = String> + use<> {
    input.clone().play().map(|it| it.unwrap_or_else(|_| "#".to_owned()))
}
