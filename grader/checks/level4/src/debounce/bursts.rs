//! Which values of a burst come out, and when. The table is lodash's.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Fail, Outcome, ms};
use level4::debounce::{Debounce, DebounceExt as _, Edge};
use tokio::time::sleep;

use super::{DEBOUNCE, expect, expect_moved, row};
use crate::bursts::{How, shown, source, values};

const LIMIT: u64 = 5000;

/// Two bursts of two values.
fn pairs() -> Marbles {
    values([(0, "a"), (50, "b"), (600, "c"), (650, "d")])
}

pub async fn comes_out_when_it_is_quiet(cx: Cx) -> Outcome {
    const HELP: &str =
        "each value takes the place of the one that waits and moves the time at which it is due";
    let how = How::new(100, Edge::Trailing);
    expect(&cx, how, &row(10, 50), &values([(550, "j")]), LIMIT, HELP).await?;
    expect(&cx, how, &pairs(), &values([(150, "b"), (750, "d")]), LIMIT, HELP).await?;
    // One millisecond less than quiet, and one more.
    let (input, output) = (values([(0, "a"), (99, "b")]), values([(199, "b")]));
    expect(&cx, how, &input, &output, LIMIT, HELP).await?;
    let (input, output) = (values([(0, "a"), (101, "b")]), values([(100, "a"), (201, "b")]));
    expect(&cx, how, &input, &output, LIMIT, HELP).await?;

    let mut draw = cx.draw();
    for _ in 0..5 {
        let wait = draw.between(2..=800);
        let (begin, word) = (draw.between(0..=300), draw.word());
        let (second, third) = (begin + wait - 1, begin + 2 * wait - 2);
        let input = values([(begin, "a"), (second, "b"), (third, &word)]);
        let output = values([(third + wait, word.as_str())]);
        expect(&cx, How::new(wait, Edge::Trailing), &input, &output, LIMIT, HELP).await?;
    }
    // Source and timer wake the task that polls now.
    let (input, output) = (values([(0, "a"), (60, "b")]), values([(160, "b")]));
    for at in [10, 80] {
        expect_moved(&cx, how, &input, &output, at, LIMIT).await?;
    }
    Ok(())
}

pub async fn a_first_value_comes_at_once(cx: Cx) -> Outcome {
    const HELP: &str = "the first value of a burst comes out and does not wait; of those that follow, the last one \
                        comes out when it is quiet";
    let how = How::new(100, Edge::Both);
    let output = values([(0, "a"), (150, "b"), (600, "c"), (750, "d")]);
    expect(&cx, how, &pairs(), &output, LIMIT, HELP).await?;
    // A last value has just come out, and the value before the next one is long gone.
    let input = values([(0, "a"), (50, "b"), (200, "c")]);
    let output = values([(0, "a"), (150, "b"), (200, "c")]);
    expect(&cx, how, &input, &output, LIMIT, HELP).await?;
    let alone = values([(30, "a"), (600, "b")]);
    expect(&cx, how, &alone, &alone, LIMIT, HELP).await?;
    let wait = cx.draw().between(20..=800);
    let input = values([(0, "a"), (wait / 2, "b"), (3 * wait, "c")]);
    let output = values([(0, "a"), (wait / 2 + wait, "b"), (3 * wait, "c")]);
    expect(&cx, How::new(wait, Edge::Both), &input, &output, LIMIT, HELP).await
}

pub async fn leading_alone_drops_the_rest(cx: Cx) -> Outcome {
    const HELP: &str = "with `Edge::Leading` only the first value of a burst comes out";
    let how = How::new(100, Edge::Leading);
    expect(&cx, how, &pairs(), &values([(0, "a"), (600, "c")]), LIMIT, HELP).await?;
    // The end brings out nothing, for nothing waits.
    let input = Marbles::line("a--b-|");
    let output = Marbles::line("a----|");
    expect(&cx, how, &input, &output, LIMIT, HELP).await
}

pub async fn a_quiet_time_ends_the_burst(cx: Cx) -> Outcome {
    const HELP: &str = "a value is a first one when `wait` or more has gone by since the value before it, whether \
                        that came out or not";
    let both = How::new(100, Edge::Both);
    expect(&cx, both, &row(10, 50), &values([(0, "a"), (550, "j")]), LIMIT, HELP).await?;
    let leading = How::new(100, Edge::Leading);
    expect(&cx, leading, &row(10, 50), &values([(0, "a")]), LIMIT, HELP).await?;
    let exact = values([(0, "a"), (100, "b")]);
    expect(&cx, leading, &exact, &exact, LIMIT, HELP).await?;
    // The gaps: 60, 60, 99, 101.
    let input = values([(0, "a"), (60, "b"), (120, "c"), (219, "d"), (320, "e")]);
    expect(&cx, leading, &input, &values([(0, "a"), (320, "e")]), LIMIT, HELP).await?;
    // Burst after burst.
    let mut draw = cx.draw();
    let (wait, bursts) = (draw.between(10..=200), draw.between(3..=8));
    let starts: Vec<u64> = (0..bursts).map(|number| number * (3 * wait)).collect();
    let input = values(starts.iter().flat_map(|at| [(*at, "x"), (at + wait - 1, "y")]));
    let output = values(starts.iter().map(|at| (*at, "x")));
    expect(&cx, How::new(wait, Edge::Leading), &input, &output, 2 * LIMIT, HELP).await?;
    counts_parts_of_a_millisecond(&cx).await
}

/// Times that are no whole number of milliseconds.
async fn counts_parts_of_a_millisecond(cx: &Cx) -> Outcome {
    for (wait, input, output) in [
        (1_500, values([(0, "a"), (1, "b"), (3, "c")]), values([(0, "a"), (3, "c")])),
        (300, values([(0, "a"), (0, "b"), (1, "c")]), values([(0, "a"), (1, "c")])),
    ] {
        let new = || Debounce::new(Duration::from_micros(wait), Edge::Leading);
        let how = cx.call_fn("Debounce::new", new).await?.map_err(|error| {
            Fail::new(format!("a wait of {wait} µs is refused: {error:?}"))
                .expected("it is accepted")
        })?;
        let out = source(&input).debounce(how);
        let observed = cx.call(DEBOUNCE, Marbles::record(LIMIT, out, Mark::item)).await?.value;
        let headline = format!("a debounce of {wait} µs, leading, of {}", shown(&input));
        let help = "compare the times as they are: in whole milliseconds 1.5 ms is 1 ms, and less than a millisecond is nothing";
        observed.ensure(&output, &headline, help)?;
    }
    Ok(())
}

pub async fn a_long_burst_yields_values(cx: Cx) -> Outcome {
    const HELP: &str = "the timer ends at the earlier of two times: `wait` after the last value, or `max_wait` after \
                        the burst began or a value came out";
    let how = How::new(100, Edge::Trailing).max(250);
    let output = values([(250, "g"), (500, "m"), (660, "o")]);
    expect(&cx, how, &row(15, 40), &output, LIMIT, HELP).await?;
    // A burst that is short is not touched by it.
    expect(&cx, how, &pairs(), &values([(150, "b"), (750, "d")]), LIMIT, HELP).await?;
    // Each burst has a `max_wait` of its own.
    let input = values([(0, "a"), (90, "b"), (400, "c"), (490, "d"), (580, "e"), (660, "f")]);
    let output = values([(190, "b"), (650, "e"), (760, "f")]);
    expect(&cx, how, &input, &output, LIMIT, HELP).await?;
    // By the time itself: no value comes at that time, nor soon after.
    let max = cx.draw().between(120..=170);
    let input = values([(0, "a"), (95, "b")]);
    let how = How::new(100, Edge::Trailing).max(max);
    expect(&cx, how, &input, &values([(max, "b")]), LIMIT, HELP).await?;
    // A value that comes out late begins the time again when it comes out.
    late(&cx, Edge::Trailing, HELP).await
}

/// A caller polls for the first 60 ms, and then not before 400 ms. The value that is due at 380 ms comes out at 400 ms,
/// and from there `max_wait` is counted again.
async fn late(cx: &Cx, edge: Edge, help: &str) -> Outcome {
    let how = How::new(350, edge).max(380);
    let input = values([(0, "a"), (55, "b"), (402, "c"), (700, "d")]);
    let debounce = how.make(cx).await?;
    let late = async {
        let mut out = pin!(source(&input).debounce(debounce));
        let _ = Marbles::record(60, &mut out, Mark::item).await;
        sleep(ms(340)).await;
        Marbles::record(LIMIT, out, Mark::item).await
    };
    let observed = cx.call(DEBOUNCE, late).await?.value;
    let headline = format!(
        "{how}, of {}, polled for 60 ms and then not before 400 ms; from then on",
        shown(&input)
    );
    observed.ensure(&values([(0, "b"), (380, "d")]), &headline, help)
}

pub async fn max_wait_counts_from_the_first_value(cx: Cx) -> Outcome {
    const HELP: &str = "the first value comes out at once and begins the burst: `max_wait` is counted from it, and \
                        again from each value that comes out since";
    let how = How::new(100, Edge::Both).max(250);
    let output = values([(0, "a"), (250, "g"), (500, "m"), (660, "o")]);
    expect(&cx, how, &row(15, 40), &output, LIMIT, HELP).await?;
    let output = values([(0, "a"), (250, "e"), (500, "j")]);
    expect(&cx, how, &row(10, 50), &output, LIMIT, HELP).await?;
    let input = values([(0, "a"), (10, "b"), (45, "c")]);
    let output = values([(0, "a"), (30, "b"), (60, "c")]);
    expect(&cx, How::new(100, Edge::Both).max(30), &input, &output, LIMIT, HELP).await?;
    let max = cx.draw().between(210..=290);
    let input = values([(0, "a"), (95, "b"), (190, "c"), (205, "d")]);
    let output = values([(0, "a"), (max, "d")]);
    expect(&cx, How::new(100, Edge::Both).max(max), &input, &output, LIMIT, HELP).await?;
    // A value that comes out late begins the time again when it comes out.
    late(&cx, Edge::Both, HELP).await
}

pub async fn max_wait_over_ends_an_empty_burst(cx: Cx) -> Outcome {
    const HELP: &str =
        "`max_wait` is over and nothing waits: the next value is the first one of another burst";
    let how = How::new(100, Edge::Leading).max(250);
    let output = values([(0, "a"), (280, "h"), (560, "o")]);
    expect(&cx, how, &row(15, 40), &output, LIMIT, HELP).await?;
    // Its boundary.
    let input = values([(0, "a"), (90, "b"), (180, "c"), (249, "d"), (251, "e")]);
    expect(&cx, how, &input, &values([(0, "a"), (251, "e")]), LIMIT, HELP).await
}

pub async fn a_short_max_wait_decides(cx: Cx) -> Outcome {
    const HELP: &str = "the value that waits comes out at the earlier of the two times, also when that is \
                        `max_wait` after the first value of the burst";
    let how = How::new(100, Edge::Trailing).max(30);
    let input = values([(0, "a"), (20, "b"), (45, "c")]);
    let output = values([(30, "b"), (60, "c")]);
    expect(&cx, how, &input, &output, LIMIT, HELP).await?;
    // The first value has come out at once, and none came while `max_wait` ran: the next is a first one.
    let input = values([(0, "a"), (60, "b")]);
    expect(&cx, How::new(100, Edge::Both).max(30), &input, &input, LIMIT, HELP).await?;
    let max = cx.draw().between(2..=90);
    let input = values([(0, "a"), (max - 1, "b")]);
    let how = How::new(100, Edge::Trailing).max(max);
    expect(&cx, how, &input, &values([(max, "b")]), LIMIT, HELP).await
}

pub async fn what_is_due_comes_first(cx: Cx) -> Outcome {
    const HELP: &str = "timer and source are ready in the same poll: ask whether something is due before the source \
                        is polled";
    let (trailing, both) = (How::new(100, Edge::Trailing), How::new(100, Edge::Both));
    // The sixth value comes at 250 ms, when the fifth is due.
    let output = values([(250, "e"), (500, "j")]);
    expect(&cx, trailing.max(250), &row(10, 50), &output, LIMIT, HELP).await?;
    let wait = cx.draw().between(10..=800);
    let (input, output) = (values([(0, "a"), (wait, "b")]), values([(wait, "a"), (2 * wait, "b")]));
    expect(&cx, How::new(wait, Edge::Trailing), &input, &output, LIMIT, HELP).await?;
    let input = values([(0, "a"), (60, "b"), (160, "c")]);
    let output = values([(0, "a"), (160, "b"), (160, "c")]);
    expect(&cx, both, &input, &output, LIMIT, HELP).await?;

    // A caller who polls late: the source has more by then.
    let debounce = trailing.make(&cx).await?;
    let late = async {
        let out = source(&values([(0, "a"), (300, "b")])).debounce(debounce);
        let mut out = pin!(out);
        let _ = futures::poll!(out.next());
        sleep(ms(500)).await;
        Marbles::record(LIMIT, out, Mark::item).await
    };
    let observed = cx.call(DEBOUNCE, late).await?.value;
    let expected = values([(0, "a"), (100, "b")]);
    let headline = format!(
        "{trailing}, of a@0 b@300, polled at 0 ms and then not before 500 ms; from then on"
    );
    observed.ensure(&expected, &headline, HELP)
}
