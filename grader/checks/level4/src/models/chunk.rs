//! `chunk::ChunkExt` against its model.

use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Draw, Outcome};
use level4::chunk::ChunkExt as _;

use crate::rows::{How, shown, try_mark};

const SCRIPTS: u64 = 400;
const LIMIT: u64 = 8000;

/// A row of items and errors, with an end or without one.
fn script(draw: &mut Draw, within: u64, length: u64) -> Marbles {
    let mut at = draw.between(0..=20);
    let mut marks = Vec::new();
    for number in 0..length {
        let letter = char::from(b'a' + u8::try_from(number % 26).unwrap_or_default());
        let mark = if draw.chance(8) { Mark::Error } else { Mark::Item(letter.to_string()) };
        marks.push((at, mark));
        // Mostly within a chunk; at its boundary often, and together with the item before now and then.
        at += match draw.below(10) {
            0 => 0,
            1 => within,
            2 => within - 1,
            3 => within + 1,
            4 => draw.between(within..=3 * within),
            _ => draw.between(1..=within),
        };
    }
    if draw.chance(50) {
        marks.push((at, Mark::End));
    }
    Marbles::at(marks)
}

/// What comes out, millisecond by millisecond.
fn model(how: How, input: &Marbles) -> Marbles {
    let mut out = Vec::new();
    let mut input = input.marks().iter().peekable();
    let mut chunk: Vec<String> = Vec::new();
    let mut began = 0;
    for now in 0..=LIMIT {
        if !chunk.is_empty() && now - began >= how.within {
            out.push((now, Mark::Item(std::mem::take(&mut chunk).concat())));
        }
        while let Some((_, mark)) = input.next_if(|(at, _)| *at == now) {
            if let Mark::Item(text) = mark {
                if chunk.is_empty() {
                    began = now;
                }
                chunk.push(text.clone());
                if chunk.len() < how.max {
                    continue;
                }
            }
            if !chunk.is_empty() {
                out.push((now, Mark::Item(std::mem::take(&mut chunk).concat())));
            }
            match mark {
                Mark::Item(_) => {}
                Mark::Error => out.push((now, Mark::Error)),
                Mark::End => {
                    out.push((now, Mark::End));
                    return Marbles::at(out);
                }
            }
        }
    }
    Marbles::at(out)
}

pub async fn chunk(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let seed = draw.seed();
    for number in 0..SCRIPTS {
        let how = How::new(1 + draw.index(6), draw.between(2..=120));
        let input = script(&mut draw, how.within, 1 + number / 25);
        let chunks = how.make(&cx).await?;
        let out = input.clone().play().try_chunk_within(chunks);
        let run = Marbles::record(LIMIT, out, try_mark);
        let observed = cx.call("ChunkExt::try_chunk_within", run).await?.value;
        observed.ensure(
            &model(how, &input),
            &format!("script {number} of seed {seed}: {how}, of {}", shown(&input)),
            "after each item: which items are in the open chunk, and when did the first of them come?",
        )?;
    }
    Ok(())
}
