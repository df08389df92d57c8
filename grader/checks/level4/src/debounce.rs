//! `debounce::DebounceExt`.

mod bursts;
mod passes;
mod scale;

use std::time::Duration;

use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Outcome, ensure, moved, ms};
use level4::debounce::DebounceExt as _;

use crate::bursts::{How, shown, source};

pub use bursts::{
    a_first_value_comes_at_once, a_long_burst_yields_values, a_quiet_time_ends_the_burst,
    a_short_max_wait_decides, comes_out_when_it_is_quiet, leading_alone_drops_the_rest,
    max_wait_counts_from_the_first_value, max_wait_over_ends_an_empty_burst,
    what_is_due_comes_first,
};
pub use passes::{a_reset_passes_at_once, an_error_passes_at_once, the_end_brings_out_what_waits};
pub use scale::{
    a_dropped_stream_stops, begins_with_the_first_poll, keeps_one_value, refuses_bad_times,
    sleeps_until_something_is_due,
};

const DEBOUNCE: &str = "DebounceExt::debounce";
const TRY_DEBOUNCE: &str = "DebounceExt::try_debounce";
const RESET_WHEN: &str = "DebounceExt::debounce_reset_when";

/// What comes out within `limit` milliseconds is what is expected.
async fn expect(
    cx: &Cx,
    how: How,
    input: &Marbles,
    expected: &Marbles,
    limit: u64,
    help: &str,
) -> Outcome {
    let debounce = how.make(cx).await?;
    let out = source(input).debounce(debounce);
    let observed = cx.call(DEBOUNCE, Marbles::record(limit, out, Mark::item)).await?.value;
    observed.ensure(expected, &format!("{how}, of {}", shown(input)), help)
}

/// The same of a stream that another task polls from `at` milliseconds on.
async fn expect_moved(
    cx: &Cx,
    how: How,
    input: &Marbles,
    expected: &Marbles,
    at: u64,
    limit: u64,
) -> Outcome {
    let out = source(input).debounce(how.make(cx).await?);
    let observed =
        cx.call(DEBOUNCE, moved(at, Marbles::record(limit, out, Mark::item))).await?.value;
    let headline = format!("{how}, of {}, polled by another task from {at} ms on", shown(input));
    observed.ensure(
        expected,
        &headline,
        "pass the `Context` of each poll to the source and to the timer",
    )
}

/// The letters a, b, c ... every `gap` milliseconds from 0 on.
fn row(count: u8, gap: u64) -> Marbles {
    let letters = (b'a'..).take(count.into()).map(|letter| char::from(letter).to_string());
    Marbles::at(letters.zip(0..).map(|(text, number)| (number * gap, Mark::Item(text))))
}

/// Ends the script unless `took` is the time that was expected.
fn took(observed: Duration, expected: u64, what: &str) -> Outcome {
    ensure!(observed == ms(expected), "{what} came after {} ms", observed.as_millis();
        expected = format!("after {expected} ms"));
    Ok(())
}

/// What the report shows of it.
pub mod scenes {
    use grader_kit::marbles::{Marbles, Mark};
    use grader_kit::{Cx, Figure, Outcome};
    use level4::debounce::{DebounceExt as _, Edge};

    use super::{DEBOUNCE, How, source};

    /// The same values through a debounce of each edge, and through one with a longest wait.
    pub async fn edges(cx: Cx) -> Outcome {
        let input = Marbles::line("a-b-c------d--e--f--g--h--i--j--------k|");
        let hows = [
            ("trailing", How::new(50, Edge::Trailing)),
            ("leading", How::new(50, Edge::Leading)),
            ("both", How::new(50, Edge::Both)),
            ("at most 120 ms", How::new(50, Edge::Trailing).max(120)),
        ];
        let mut lines = vec![input.drawn("in")];
        for (name, how) in hows {
            let out = source(&input).debounce(how.make(&cx).await?);
            let seen = cx.call(DEBOUNCE, Marbles::record(2000, out, Mark::item)).await?.value;
            lines.push(seen.drawn(name));
        }
        cx.show(Figure::Streams { lines });
        Ok(())
    }
}
