//! Streams as lines of text: `a--b-|`.
//!
//! A character is a step of 10 ms:
//!
//! | in a line | what it stands for |
//! |---|---|
//! | `-` | a step in which nothing comes |
//! | `a` | the item `a` |
//! | `{12}` | the item `12` |
//! | `#` | an error |
//! | <code>&#124;</code> | the end |
//! | `(ab)` | what stands in the brackets, in one step |
//!
//! Spaces stand for nothing. A failure shows the line that was expected above the one that was observed, both
//! with the same width for each step:
//!
//! ```text
//! expected  a--b-|
//! observed  a----b|
//! ```

use std::fmt::Write as _;
use std::pin::pin;

use futures::{Stream, StreamExt as _, stream};
use grader_protocol::{Fail, Figure, figure};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{Outcome, ms};

/// Milliseconds of a step.
const STEP: u64 = 10;

/// Steps of the longest line that is shown as a line; a longer one is shown as a list.
const MOST_STEPS: u64 = 100;

/// One thing that comes out of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// An item, as a text.
    Item(String),
    /// An error. Lines do not say which.
    Error,
    /// The end.
    End,
}

impl Mark {
    /// The item `text`.
    pub fn item(text: impl Into<String>) -> Self {
        Self::Item(text.into())
    }

    /// As a line shows it.
    fn shown(&self) -> String {
        match self {
            Self::Item(text) if text.chars().count() == 1 && !"-#|(){} ".contains(text) => {
                text.clone()
            }
            Self::Item(text) => format!("{{{text}}}"),
            Self::Error => "#".to_owned(),
            Self::End => "|".to_owned(),
        }
    }
}

/// The error of a stream that plays a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// What came out of a stream, and when: milliseconds since the stream was first polled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marbles(Vec<(u64, Mark)>);

impl Marbles {
    /// Reads a line. Every text is a line; see the [module](self).
    #[must_use]
    pub fn line(line: &str) -> Self {
        let mut marks = Vec::new();
        let (mut at, mut grouped) = (0, false);
        let mut rest = line.chars();
        while let Some(character) = rest.next() {
            match character {
                ' ' => continue,
                '(' => {
                    grouped = true;
                    continue;
                }
                ')' => grouped = false,
                '-' => {}
                '#' => marks.push((at, Mark::Error)),
                '|' => marks.push((at, Mark::End)),
                '{' => {
                    let text: String = rest.by_ref().take_while(|it| *it != '}').collect();
                    marks.push((at, Mark::Item(text)));
                }
                item => marks.push((at, Mark::Item(item.to_string()))),
            }
            if !grouped {
                at += STEP;
            }
        }
        Self(marks)
    }

    /// What comes at which millisecond, in the order of time.
    pub fn at(marks: impl IntoIterator<Item = (u64, Mark)>) -> Self {
        Self(marks.into_iter().collect())
    }

    /// What came, and when.
    #[must_use]
    pub fn marks(&self) -> &[(u64, Mark)] {
        &self.0
    }

    /// Records what `stream` yields up to its end, but for `limit` milliseconds at most; what comes at `limit`
    /// itself counts. `mark` says how an item is shown.
    ///
    /// Call it inside of [`Cx::call`](crate::Cx::call): it polls the judged code.
    ///
    /// ```
    /// use futures::stream;
    /// use grader_kit::marbles::{Mark, Marbles};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// let numbers = Marbles::record(1000, stream::iter([1, 2]), |it| Mark::item(it.to_string())).await;
    /// assert_eq!(numbers, Marbles::line("(12|)"));
    /// # });
    /// ```
    pub async fn record<S: Stream>(limit: u64, stream: S, mark: impl Fn(S::Item) -> Mark) -> Self {
        let began = Instant::now();
        let over = began + ms(limit);
        let mut stream = pin!(stream);
        let mut marks = Vec::new();
        // `timeout_at` polls the stream first: what is ready at the limit has come.
        while let Ok(came) = timeout_at(over, stream.next()).await {
            let at = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let Some(item) = came else {
                marks.push((at, Mark::End));
                break;
            };
            marks.push((at, mark(item)));
        }
        Self(marks)
    }

    /// A stream that yields the items and errors of the line, each at its time, and then ends. The time counts
    /// from the first poll. A line without an end gives a stream without one.
    pub fn play(self) -> impl Stream<Item = Result<String, Broken>> {
        let marks = self.0.into_iter();
        stream::unfold((None, marks), |(began, mut marks)| async move {
            let began = began.unwrap_or_else(Instant::now);
            let Some((at, mark)) = marks.next() else { return std::future::pending().await };
            sleep_until(began + ms(at)).await;
            match mark {
                Mark::Item(text) => Some((Ok(text), (Some(began), marks))),
                Mark::Error => Some((Err(Broken), (Some(began), marks))),
                Mark::End => None,
            }
        })
    }

    /// Ends the script with a [`Fail`] that shows both lines unless this is what was expected.
    ///
    /// # Errors
    ///
    /// The [`Fail`].
    pub fn ensure(&self, expected: &Self, headline: &str, help: &str) -> Outcome {
        if self == expected {
            return Ok(());
        }
        let lines = vec![expected.drawn("expected"), self.drawn("observed")];
        let (expected, observed) = self::lines(expected, self);
        let fail = Fail::new(headline).expected(expected).observed(observed).help(help);
        Err(Fail { figure: Some(Box::new(Figure::Streams { lines })), ..fail })
    }

    /// As a picture shows it.
    #[must_use]
    pub fn drawn(&self, name: &str) -> figure::Line {
        let mark = |(at, mark): &(u64, Mark)| {
            let (kind, text) = match mark {
                Mark::Item(text) => (figure::MarkKind::Item, text.clone()),
                Mark::Error => (figure::MarkKind::Error, String::new()),
                Mark::End => (figure::MarkKind::End, String::new()),
            };
            figure::Mark { at_us: at * 1000, kind, text }
        };
        figure::Line { name: name.to_owned(), marks: self.0.iter().map(mark).collect() }
    }

    fn is_drawable(&self) -> bool {
        self.0.iter().all(|(at, _)| at % STEP == 0 && at / STEP < MOST_STEPS)
    }

    /// Everything that comes in one step, as a line shows it.
    fn cell(&self, step: u64) -> String {
        let marks: Vec<_> =
            self.0.iter().filter(|(at, _)| at / STEP == step).map(|(_, it)| it.shown()).collect();
        match marks.as_slice() {
            [] => "-".to_owned(),
            [one] => one.clone(),
            all => format!("({})", all.concat()),
        }
    }

    fn steps(&self) -> u64 {
        self.0.last().map_or(0, |(at, _)| at / STEP + 1)
    }

    /// `a@0 b@35 |@60`.
    fn listed(&self) -> String {
        let marks: Vec<_> = self.0.iter().map(|(at, it)| format!("{}@{at}", it.shown())).collect();
        if marks.is_empty() { "nothing".to_owned() } else { marks.join(" ") }
    }
}

/// Two lines, to be shown under one another. As lists with milliseconds where a line cannot show one of them.
#[must_use]
pub fn lines(expected: &Marbles, observed: &Marbles) -> (String, String) {
    if !expected.is_drawable() || !observed.is_drawable() {
        return (expected.listed(), observed.listed());
    }
    let (mut upper, mut lower) = (String::new(), String::new());
    for step in 0..expected.steps().max(observed.steps()) {
        let cells = [expected.cell(step), observed.cell(step)];
        let width = cells.iter().map(|it| it.chars().count()).max().unwrap_or(1);
        for (line, marbles, cell) in
            [(&mut upper, expected, &cells[0]), (&mut lower, observed, &cells[1])]
        {
            let cell = if step < marbles.steps() { cell.as_str() } else { "" };
            // Writing into a string does not fail.
            let _ = write!(line, "{cell:width$}");
        }
    }
    let trimmed = |line: String| {
        let line = line.trim_end();
        if line.is_empty() { "nothing".to_owned() } else { line.to_owned() }
    };
    (trimmed(upper), trimmed(lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(marks: &[(u64, &str)]) -> Marbles {
        let mark = |text: &str| match text {
            "|" => Mark::End,
            "#" => Mark::Error,
            text => Mark::item(text),
        };
        Marbles::at(marks.iter().map(|(at, text)| (*at, mark(text))))
    }

    #[test]
    fn a_line_is_read() {
        assert_eq!(Marbles::line("a--b-|"), items(&[(0, "a"), (30, "b"), (50, "|")]));
        assert_eq!(
            Marbles::line("-(ab)-{12}#"),
            items(&[(10, "a"), (10, "b"), (30, "12"), (40, "#")])
        );
        assert_eq!(Marbles::line(""), Marbles::default());
    }

    #[test]
    fn lines_stand_under_one_another() {
        let shown = |a, b| lines(&Marbles::line(a), &Marbles::line(b));
        assert_eq!(shown("a--b-|", "a----b|"), ("a--b-|".to_owned(), "a----b|".to_owned()));
        assert_eq!(shown("a-b|", "(ab)--|"), ("a   -b|".to_owned(), "(ab)--|".to_owned()));
        assert_eq!(shown("-{12}", ""), ("-{12}".to_owned(), "nothing".to_owned()));
    }

    #[test]
    fn what_a_line_cannot_show_is_listed() {
        let (expected, observed) =
            lines(&items(&[(0, "a"), (7000, "#")]), &items(&[(0, "a"), (35, "b")]));
        assert_eq!((expected.as_str(), observed.as_str()), ("a@0 #@7000", "a@0 b@35"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_played_is_what_is_recorded() {
        for line in ["a--b-|", "(ab)-#-c", "|", ""] {
            let played = Marbles::line(line).play();
            let mark = |it: Result<String, Broken>| it.map_or(Mark::Error, Mark::Item);
            assert_eq!(Marbles::record(500, played, mark).await, Marbles::line(line));
        }
    }
}
