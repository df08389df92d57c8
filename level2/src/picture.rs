//! Draws a trace as text: one bar for each call, on one time axis.

use std::fmt::Write as _;
use std::time::Duration;

use crate::model::Section;
use crate::trace::{Span, State};

/// How many characters the longest bar takes.
const WIDTH: u128 = 40;

/// The calls as bars on one time axis of `length`, one line for each section in the order of the
/// page. Each bar stands where its call ran; behind it, when the call ended and how. A last line
/// marks when the load `returned`, if it did.
///
/// ```text
///   sales      █████████████                             0 .. 500 ms answered
///   users                   ████████                     500 .. 800 ms answered
/// ```
#[must_use]
pub fn timeline(spans: &[Span], returned: Option<Duration>, length: Duration) -> String {
    // Writing into a String cannot fail, so the results are of no interest.
    let mut picture = String::new();
    for section in Section::ALL {
        let mut spans = spans.iter().filter(|span| span.section == section).peekable();
        if spans.peek().is_none() {
            let _ = writeln!(picture, "  {section:<10} {:40}  not called", "");
        }
        for span in spans {
            let to = span.to.unwrap_or(length);
            let (from, end) = (column(span.from, length), column(to, length));
            let bar = match span.state {
                State::Running | State::Answered => "█",
                State::Failed | State::Stopped => "░",
            }
            .repeat((end - from).max(1));
            let line = format!("{:from$}{bar}", "");
            let what = match span.state {
                State::Running => "running",
                State::Answered => "answered",
                State::Failed => "failed",
                State::Stopped => "stopped",
            };
            let (from, to) = (span.from.as_millis(), to.as_millis());
            let _ = writeln!(picture, "  {section:<10} {line:40}  {from} .. {to} ms {what}");
        }
    }
    if let Some(returned) = returned {
        let at = column(returned, length);
        let _ =
            writeln!(picture, "  {:10} {:at$}^ returned at {} ms", "", "", returned.as_millis());
    }
    picture
}

/// The column of a moment on an axis of `length`.
fn column(moment: Duration, length: Duration) -> usize {
    let column = moment.as_micros() * WIDTH / length.as_micros().max(1);
    usize::try_from(column.min(WIDTH)).unwrap_or(0)
}
