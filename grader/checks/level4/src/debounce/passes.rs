//! What does not wait: the end, errors, resets.

use grader_kit::marbles::{Broken, Marbles, Mark};
use grader_kit::{Cx, Outcome};
use level4::debounce::{DebounceExt as _, Edge};

use super::{RESET_WHEN, TRY_DEBOUNCE, expect};
use crate::bursts::{How, shown, source, values};

const LIMIT: u64 = 3000;

pub async fn the_end_brings_out_what_waits(cx: Cx) -> Outcome {
    const HELP: &str =
        "when the source has ended, yield the value that waits, and end at the next poll";
    let (trailing, both) = (How::new(100, Edge::Trailing), How::new(100, Edge::Both));
    for (how, input, output) in [
        (trailing, "a----b--|", "--------(b|)"),
        (both, "a----b--|", "a-------(b|)"),
        // Nothing waits.
        (both, "a-|", "a-|"),
        (trailing, "a-------------|", "----------a---|"),
        (trailing, "|", "|"),
        (trailing, "(ab|)", "(b|)"),
        (trailing.max(250), "a----b--|", "--------(b|)"),
    ] {
        expect(&cx, how, &Marbles::line(input), &Marbles::line(output), LIMIT, HELP).await?;
    }
    let end = cx.draw().between(1..=99);
    let input = Marbles::at([(0, Mark::item("a")), (end, Mark::End)]);
    let output = Marbles::at([(end, Mark::item("a")), (end, Mark::End)]);
    expect(&cx, trailing, &input, &output, LIMIT, HELP).await
}

pub async fn an_error_passes_at_once(cx: Cx) -> Outcome {
    const HELP: &str = "an error does not wait; the value that waits is out of date with it, and the burst is over";
    let (trailing, both) = (How::new(100, Edge::Trailing), How::new(100, Edge::Both));
    let leading = How::new(100, Edge::Leading);
    for (how, input, output) in [
        (trailing, "a----#--------------------|", "-----#--------------------|"),
        (trailing, "a----#--b--------------------|", "-----#------------b----------|"),
        // The burst is over: the next value is a first one.
        (both, "a--b-#-c--d--------------|", "a----#-c------------d----|"),
        (leading, "a--b-#-c--d--------------|", "a----#-c-----------------|"),
        (trailing, "##-(a#)-#|", "##-#-#|"),
        // The longest wait begins with the next burst.
        (trailing.max(120), "a--b--#---c--------d-----------|", "------#---------------d--------|"),
    ] {
        let (input, output) = (Marbles::line(input), Marbles::line(output));
        let debounce = how.make(&cx).await?;
        let out = input.clone().play().try_debounce(debounce);
        let mark = |it: Result<String, Broken>| it.map_or(Mark::Error, Mark::Item);
        let observed = cx.call(TRY_DEBOUNCE, Marbles::record(LIMIT, out, mark)).await?.value;
        observed.ensure(&output, &format!("{how}, of {}", shown(&input)), HELP)?;
    }
    Ok(())
}

pub async fn a_reset_passes_at_once(cx: Cx) -> Outcome {
    const HELP: &str =
        "a reset does not wait; the value that waits is out of date with it, and the burst is over";
    let (trailing, both) = (How::new(100, Edge::Trailing), How::new(100, Edge::Both));
    let leading = How::new(100, Edge::Leading);
    let word = cx.draw().word();
    // The reset is the empty text.
    for (how, input, output) in [
        (trailing, vec![(0, "a"), (50, "")], vec![(50, "")]),
        (trailing, vec![(0, "a"), (50, ""), (60, &word)], vec![(50, ""), (160, &word)]),
        (trailing, vec![(0, ""), (0, ""), (30, "")], vec![(0, ""), (0, ""), (30, "")]),
        (
            both,
            vec![(0, "a"), (50, "b"), (60, ""), (70, "c"), (80, "d")],
            vec![(0, "a"), (60, ""), (70, "c"), (180, "d")],
        ),
        (
            leading,
            vec![(0, "a"), (50, "b"), (60, ""), (70, "c"), (80, "d")],
            vec![(0, "a"), (60, ""), (70, "c")],
        ),
        // Nothing waits, and the burst is still over.
        (both, vec![(0, "a"), (50, ""), (60, "b")], vec![(0, "a"), (50, ""), (60, "b")]),
        // The longest wait begins with the next burst.
        (
            trailing.max(120),
            vec![(0, "a"), (60, ""), (90, "b"), (170, "c")],
            vec![(60, ""), (210, "c")],
        ),
    ] {
        let (input, output) = (values(input), values(output));
        let debounce = how.make(&cx).await?;
        let out = source(&input).debounce_reset_when(debounce, String::is_empty);
        let observed = cx.call(RESET_WHEN, Marbles::record(LIMIT, out, Mark::item)).await?.value;
        let headline = format!("{how}, of {}, where {{}} is a reset", shown(&input));
        observed.ensure(&output, &headline, HELP)?;
    }
    Ok(())
}
