//! What was measured for a picture.
//!
//! A *scene* runs the judged code at fixed values and reports one [`Figure`]; it decides nothing. A failure may carry
//! one too.
use serde::{Deserialize, Serialize};

use crate::Event;
use crate::text::{MOST_IN_A_LINE, tidy};

/// Points of a figure that are kept; more of them make no picture clearer.
const MOST_POINTS: usize = 2000;
/// Calls, streams, marks of a stream and changes of a state that are kept.
const MOST_MARKS: usize = 200;

/// Measured values that belong into one picture. Times are virtual microseconds since the scene began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Figure {
    /// The calls of fakes by time.
    Calls {
        /// What the fakes saw, in the order of time.
        events: Vec<Event>,
        /// When the judged call returned.
        ended_us: u64,
        /// What it returned, in a few words.
        ended: String,
    },
    /// What came out of streams, and when.
    Streams {
        /// One line each, from top to bottom.
        lines: Vec<Line>,
    },
    /// A state that changes.
    States {
        /// When it became what; the first one is the state at the beginning.
        changes: Vec<Change>,
        /// When the scene ended.
        end_us: u64,
    },
    /// How long many calls took.
    Latencies {
        /// Each call's time, ascending.
        took_us: Vec<u64>,
    },
    /// How many calls were admitted within one window, by time.
    Admissions {
        /// When each call was admitted, ascending.
        admitted_us: Vec<u64>,
        /// How many calls a window may have.
        limit: u64,
        /// How long a window is.
        window_us: u64,
    },
}

/// A stream by time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// What the stream is: `in`, `expected`, `observed`.
    pub name: String,
    /// What came out of it, in the order of time.
    pub marks: Vec<Mark>,
}

/// Something that came out of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// When.
    pub at_us: u64,
    /// What kind of thing.
    pub kind: MarkKind,
    /// The item as a short text; empty for an error and for the end.
    pub text: String,
}

/// The kind of a [`Mark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// An item.
    Item,
    /// An error.
    Error,
    /// The end of the stream.
    End,
}

/// A state from some moment on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When it began.
    pub at_us: u64,
    /// Its name.
    pub state: String,
}

impl Figure {
    /// Cuts lists and texts to a length that can be sent, and takes control characters out.
    pub(crate) fn tidy(&mut self) {
        let short = |text: &mut String| *text = tidy(text, MOST_IN_A_LINE);
        match self {
            Figure::Calls { events, ended, .. } => {
                events.truncate(MOST_MARKS);
                for event in events {
                    short(&mut event.who);
                    short(&mut event.what);
                }
                short(ended);
            }
            Figure::Streams { lines } => {
                lines.truncate(MOST_MARKS);
                for line in lines {
                    line.marks.truncate(MOST_MARKS);
                    short(&mut line.name);
                    line.marks.iter_mut().for_each(|mark| short(&mut mark.text));
                }
            }
            Figure::States { changes, .. } => {
                changes.truncate(MOST_MARKS);
                changes.iter_mut().for_each(|change| short(&mut change.state));
            }
            Figure::Latencies { took_us } => took_us.truncate(MOST_POINTS),
            Figure::Admissions { admitted_us, .. } => admitted_us.truncate(MOST_POINTS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_of_any_size_is_cut() {
        let mark = Mark { at_us: 1, kind: MarkKind::Item, text: "\u{1b}[31ma".repeat(300) };
        let long = Line { name: "in".to_owned(), marks: vec![mark; MOST_MARKS + 1] };
        let mut lines = vec![long];
        lines.resize(MOST_MARKS + 1, Line::default());
        let mut figure = Figure::Streams { lines };
        figure.tidy();
        let Figure::Streams { lines } = figure else { panic!("another figure") };
        assert_eq!((lines.len(), lines[0].marks.len()), (MOST_MARKS, MOST_MARKS));
        assert!(!lines[0].marks[0].text.contains('\u{1b}'));
        let mut figure = Figure::Latencies { took_us: vec![1; 5000] };
        figure.tidy();
        assert_eq!(figure, Figure::Latencies { took_us: vec![1; MOST_POINTS] });
    }
}
