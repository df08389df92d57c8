//! When a chunk is complete.

use std::time::Duration;

use futures::StreamExt as _;
use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Fail, Outcome, ms};
use level4::chunk::{ChunkExt as _, Chunks};
use tokio::time::sleep;

use super::{CHUNK, expect, expect_moved};
use crate::ops::nz;
use crate::rows::{How, items, mark, shown, source};

const LIMIT: u64 = 5000;

pub async fn a_full_chunk_comes_at_once(cx: Cx) -> Outcome {
    const HELP: &str = "a chunk that has `max` items comes out with the last of them; its time does not matter then";
    let (input, output) = (Marbles::line("a-b-c--d-e-f"), Marbles::line("----{abc}------{def}"));
    expect(&cx, How::new(3, 1000), &input, &output, LIMIT, HELP).await?;
    let input = Marbles::line("(abcde)-----f");
    let output = Marbles::line("({ab}{cd})-----{ef}");
    expect(&cx, How::new(2, 1000), &input, &output, LIMIT, HELP).await?;
    // One full chunk after the other.
    let input = Marbles::line("a-b-c-d-e-f-g-h-i-j");
    let output = Marbles::line("--{ab}---{cd}---{ef}---{gh}---{ij}");
    expect(&cx, How::new(2, 1000), &input, &output, LIMIT, HELP).await?;

    let mut draw = cx.draw();
    for _ in 0..5 {
        let (max, rows) = (draw.between(2..=9), draw.between(1..=6));
        let (gap, word) = (draw.between(1..=90), draw.word());
        let count = max * rows;
        let input = items((0..count).map(|number| (number * gap, word.as_str())));
        let output = Marbles::at((1..=rows).map(|row| {
            let text = word.repeat(usize::try_from(max).unwrap_or_default());
            ((row * max - 1) * gap, Mark::Item(text))
        }));
        let how = How::new(usize::try_from(max).unwrap_or(1), 10_000);
        expect(&cx, how, &input, &output, LIMIT, HELP).await?;
    }
    // The source wakes the task that polls now.
    let (input, output) = (Marbles::line("a-b-c--d-e-f"), Marbles::line("----{abc}------{def}"));
    expect_moved(&cx, How::new(3, 1000), &input, &output, 10, LIMIT).await
}

pub async fn the_time_runs_from_the_first_item(cx: Cx) -> Outcome {
    const HELP: &str = "the time of a chunk runs from its first item; later items do not move it, and the time \
                        before the first item does not count";
    let how = How::new(3, 100);
    let (input, output) = (items([(30, "a"), (60, "b")]), items([(130, "ab")]));
    expect(&cx, how, &input, &output, LIMIT, HELP).await?;
    // One millisecond less than the time, and one more.
    let (input, output) = (items([(0, "a"), (99, "b")]), items([(100, "ab")]));
    expect(&cx, how, &input, &output, LIMIT, HELP).await?;
    let (input, output) = (items([(0, "a"), (101, "b")]), items([(100, "a"), (201, "b")]));
    expect(&cx, how, &input, &output, LIMIT, HELP).await?;
    // Each item comes within the time after the one before it.
    let input = items([(0, "a"), (60, "b"), (120, "c"), (180, "d"), (240, "e")]);
    let output = items([(100, "ab"), (220, "cd"), (340, "e")]);
    expect(&cx, how, &input, &output, LIMIT, HELP).await?;

    let mut draw = cx.draw();
    for _ in 0..5 {
        let within = draw.between(2..=800);
        let begin = draw.between(0..=300);
        let second = begin + draw.between(1..=within - 1);
        let later = begin + within + draw.between(1..=within);
        let input = items([(begin, "a"), (second, "b"), (later, "c")]);
        let output = items([(begin + within, "ab"), (later + within, "c")]);
        expect(&cx, How::new(5, within), &input, &output, LIMIT, HELP).await?;
    }
    // The timer wakes the task that polls now.
    let (input, output) = (items([(0, "a"), (60, "b")]), items([(100, "ab")]));
    for at in [10, 80] {
        expect_moved(&cx, how, &input, &output, at, LIMIT).await?;
    }
    // Times that are no whole number of milliseconds. tokio's timers end at the next whole one.
    for (micros, input, output) in [
        (1_500, items([(0, "a"), (1, "b"), (5, "c")]), items([(2, "ab"), (7, "c")])),
        (300, items([(0, "a"), (0, "b"), (5, "c")]), items([(1, "ab"), (6, "c")])),
    ] {
        let within = Duration::from_micros(micros);
        let chunks = cx.call_fn("Chunks::new", || Chunks::new(nz(5), within)).await?;
        let chunks = chunks.map_err(|error| {
            Fail::new(format!("chunks within {within:?} are refused: {error:?}"))
                .expected("they are accepted")
        })?;
        let out = source(&input).chunk_within(chunks);
        let observed = cx.call(CHUNK, Marbles::record(LIMIT, out, mark)).await?.value;
        let headline = format!("chunks of 5 within {within:?}, of {}", shown(&input));
        let help = "compare the times as they are: in whole milliseconds 1.5 ms is 1 ms, and less than a millisecond is nothing";
        observed.ensure(&output, &headline, help)?;
    }
    Ok(())
}

pub async fn a_full_chunk_ends_its_time(cx: Cx) -> Outcome {
    const HELP: &str = "a chunk that comes out because it is full takes its time with it; the time of the next chunk \
                        begins with that chunk's first item";
    let input = items([(0, "a"), (30, "b"), (60, "c"), (80, "d")]);
    let output = items([(60, "abc"), (180, "d")]);
    expect(&cx, How::new(3, 100), &input, &output, LIMIT, HELP).await?;
    // Of the chunk that came out last, and of none before it.
    let input = items([(30, "a"), (60, "b"), (140, "c"), (150, "d"), (160, "e"), (170, "f")]);
    let output = items([(130, "ab"), (160, "cde"), (270, "f")]);
    expect(&cx, How::new(3, 100), &input, &output, LIMIT, HELP).await?;
    let within = cx.draw().between(40..=800);
    let input = items([(0, "a"), (20, "b"), (30, "c")]);
    let output = items([(20, "ab"), (30 + within, "c")]);
    expect(&cx, How::new(2, within), &input, &output, LIMIT, HELP).await
}

pub async fn no_chunk_is_empty(cx: Cx) -> Outcome {
    const HELP: &str = "a chunk begins with an item: without one there is nothing to yield";
    let how = How::new(2, 100);
    let nothing = Marbles::default();
    expect(&cx, how, &nothing, &nothing, LIMIT, HELP).await?;
    let (input, output) = (items([(10, "a"), (500, "b")]), items([(110, "a"), (600, "b")]));
    expect(&cx, how, &input, &output, LIMIT, HELP).await?;
    // The chunk was full when the source ends, or there was none.
    for (input, output) in [
        ("ab--------------|", "-{ab}--------------|"),
        ("a--------------|", "----------a----|"),
        ("----|", "----|"),
    ] {
        expect(&cx, how, &Marbles::line(input), &Marbles::line(output), LIMIT, HELP).await?;
    }
    Ok(())
}

pub async fn a_single_item_passes_at_once(cx: Cx) -> Outcome {
    let input = Marbles::line("a--(bc)---d");
    let how = How::new(1, 100);
    expect(&cx, how, &input, &input, LIMIT, "a chunk of one item is full with its first item").await
}

pub async fn what_is_due_comes_first(cx: Cx) -> Outcome {
    const HELP: &str = "timer and source are ready in the same poll: ask whether the chunk is due before the source \
                        is polled";
    let how = How::new(3, 100);
    let (input, output) = (items([(0, "a"), (100, "b")]), items([(100, "a"), (200, "b")]));
    expect(&cx, how, &input, &output, LIMIT, HELP).await?;
    let within = cx.draw().between(2..=800);
    let input = items([(0, "a"), (within - 1, "b"), (within, "c"), (within, "d")]);
    let output = items([(within, "ab"), (2 * within, "cd")]);
    expect(&cx, How::new(3, within), &input, &output, LIMIT, HELP).await?;

    // A caller who polls late: the source has more by then.
    let chunks = how.make(&cx).await?;
    let late = async {
        let out = source(&items([(0, "a"), (300, "b")])).chunk_within(chunks);
        let mut out = std::pin::pin!(out);
        let _ = futures::poll!(out.next());
        sleep(ms(500)).await;
        Marbles::record(LIMIT, out, mark).await
    };
    let observed = cx.call(CHUNK, late).await?.value;
    let expected = items([(0, "a"), (100, "b")]);
    let headline =
        format!("{how}, of a@0 b@300, polled at 0 ms and then not before 500 ms; from then on");
    observed.ensure(&expected, &headline, HELP)
}
