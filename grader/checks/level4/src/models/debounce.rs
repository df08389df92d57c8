//! `debounce::DebounceExt` against its model.

use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Draw, Outcome};
use level4::debounce::{DebounceExt as _, Edge};

use crate::bursts::{How, shown, source};

const SCRIPTS: u64 = 400;
const LIMIT: u64 = 6000;

/// The item that is a reset.
const RESET: &str = "!";

/// A row of values and resets, with an end or without one.
fn script(draw: &mut Draw, wait: u64, length: u64) -> Marbles {
    let mut at = draw.between(0..=20);
    let mut marks = Vec::new();
    // In some scripts one burst goes on, so that `max_wait` passes in it many times.
    let dense = draw.chance(25);
    for number in 0..length {
        let letter = char::from(b'a' + u8::try_from(number % 26).unwrap_or_default());
        let mark = if draw.chance(8) { RESET.to_owned() } else { letter.to_string() };
        marks.push((at, Mark::Item(mark)));
        // Mostly within a burst; at its boundary often, and together with the value before now and then.
        at += match draw.below(if dense { 100 } else { 10 }) {
            0 => 0,
            1 => wait,
            2 => wait - 1,
            3 => wait + 1,
            4 => draw.between(wait..=3 * wait),
            _ => draw.between(1..=wait),
        };
    }
    if draw.chance(50) {
        marks.push((at, Mark::End));
    }
    Marbles::at(marks)
}

/// What comes out, millisecond by millisecond.
fn model(how: How, input: &Marbles) -> Marbles {
    let (leading, trailing) = (how.edge != Edge::Trailing, how.edge != Edge::Leading);
    let mut out = Vec::new();
    let mut input = input.marks().iter().peekable();
    let mut waits: Option<String> = None;
    // When the last value of the burst came, and from when on the longest wait is counted.
    let mut burst: Option<(u64, u64)> = None;
    for now in 0..=LIMIT {
        if let Some((last, since)) = burst {
            let quiet = now - last >= how.wait;
            let long = how.max.is_some_and(|max| now - since >= max);
            if quiet || long {
                let value = waits.take();
                burst = if quiet || value.is_none() { None } else { Some((last, now)) };
                out.extend(value.map(|value| (now, Mark::Item(value))));
            }
        }
        while let Some((_, mark)) = input.next_if(|(at, _)| *at == now) {
            match (mark, burst) {
                (Mark::Item(text), _) if text == RESET => {
                    (waits, burst) = (None, None);
                    out.push((now, mark.clone()));
                }
                (Mark::Item(text), None) => {
                    burst = Some((now, now));
                    if leading {
                        out.push((now, mark.clone()));
                    } else {
                        waits = Some(text.clone());
                    }
                }
                (Mark::Item(text), Some((_, since))) => {
                    burst = Some((now, since));
                    if trailing {
                        waits = Some(text.clone());
                    }
                }
                (end, _) => {
                    out.extend(waits.take().map(|value| (now, Mark::Item(value))));
                    out.push((now, end.clone()));
                    return Marbles::at(out);
                }
            }
        }
    }
    Marbles::at(out)
}

pub async fn debounce(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let seed = draw.seed();
    for number in 0..SCRIPTS {
        let edge = *draw.pick(&[Edge::Leading, Edge::Trailing, Edge::Both]);
        let wait = draw.between(2..=120);
        let mut how = How::new(wait, edge);
        if draw.chance(60) {
            how = how.max(draw.between(1..=3 * wait));
        }
        let input = script(&mut draw, wait, 1 + number / 25);
        let made = how.make(&cx).await?;
        let out = source(&input).debounce_reset_when(made, |it| it == RESET);
        let run = Marbles::record(LIMIT, out, Mark::item);
        let observed = cx.call("DebounceExt::debounce_reset_when", run).await?.value;
        let headline = format!(
            "script {number} of seed {seed}: {how}, of {}, where {RESET} is a reset",
            shown(&input)
        );
        observed.ensure(
            &model(how, &input),
            &headline,
            "after each value: what waits, when did the burst begin, and what is due next?",
        )?;
    }
    Ok(())
}
