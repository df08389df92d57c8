//! That nothing is lost: items, the end, errors.

use std::pin::pin;

use futures::channel::mpsc;
use futures::{StreamExt as _, stream};
use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Outcome, ensure, list, ms};
use level4::chunk::ChunkExt as _;
use tokio::time::{sleep, timeout};

use super::{CHUNK, TRY_CHUNK, expect, try_expect};
use crate::rows::{How, shown, try_mark};

const LIMIT: u64 = 3000;

pub async fn every_item_comes_once(cx: Cx) -> Outcome {
    const HELP: &str = "take the items out of the chunk when it comes out, in one step; what is left in it comes out \
                        a second time";
    // The caller puts more into the source while it handles a chunk.
    let chunks = How::new(2, 100).make(&cx).await?;
    let feeds = async {
        let (feed, source) = mpsc::unbounded();
        let mut out = pin!(source.chunk_within(chunks));
        for number in 1..=3 {
            let _ = feed.unbounded_send(number);
        }
        let (mut came, mut next) = (Vec::new(), 4);
        while came.len() < 12 {
            let Ok(Some(chunk)) = timeout(ms(1000), out.next()).await else { break };
            for number in chunk {
                came.push(number);
                if next <= 12 {
                    let _ = feed.unbounded_send(next);
                    next += 1;
                }
            }
        }
        // What should not be there any more would come now.
        drop(feed);
        while let Ok(Some(chunk)) = timeout(ms(1000), out.next()).await {
            came.extend(chunk);
        }
        came
    };
    let came = cx.call(CHUNK, feeds).await?.value;
    ensure!(came.iter().copied().eq(1..=12), "a caller who sends more items while it handles a chunk of 2";
        expected = list(1..=12), observed = list(came), help = HELP);

    // A chunk of many items.
    const MANY: usize = 1000;
    let chunks = How::new(MANY, 100).make(&cx).await?;
    let run = async { pin!(stream::iter(0..MANY).chunk_within(chunks)).next().await };
    let came = cx.call(CHUNK, run).await?.value.unwrap_or_default();
    ensure!(came.iter().copied().eq(0..MANY), "a chunk of {MANY} items that are ready at once: {} came out", came.len();
        expected = "all of them, in order");

    // Random times: in the chunks together are the items, each once and in order.
    let mut draw = cx.draw();
    for _ in 0..20 {
        let how = How::new(1 + draw.index(6), draw.between(2..=120));
        let chunks = how.make(&cx).await?;
        let gaps: Vec<u64> = (0..40).map(|_| draw.between(0..=how.within)).collect();
        let count = gaps.len();
        // The last chunk comes out by its time: what the end does is another criterion.
        let end = stream::once(async move { sleep(ms(how.within + 1)).await })
            .filter_map(async |()| None);
        let source = stream::iter(gaps.into_iter().enumerate()).then(|(number, gap)| async move {
            sleep(ms(gap)).await;
            number
        });
        let collects = source.chain(end).chunk_within(chunks).collect::<Vec<_>>();
        let came = cx.call(CHUNK, collects).await?.value;
        let came: Vec<_> = came.into_iter().flatten().collect();
        ensure!(came.iter().copied().eq(0..count), "{how}: the chunks of the items 0 to {} are not these items", count - 1;
            expected = "each once, in order", observed = list(came), help = HELP);
    }
    Ok(())
}

pub async fn the_end_brings_out_the_rest(cx: Cx) -> Outcome {
    const HELP: &str =
        "when the source has ended, yield the open chunk at once, and end at the next poll";
    let how = How::new(3, 100);
    for (input, output) in [("a-b--|", "-----({ab}|)"), ("ab-|", "---({ab}|)"), ("(a|)", "(a|)")] {
        expect(&cx, how, &Marbles::line(input), &Marbles::line(output), LIMIT, HELP).await?;
    }
    let end = cx.draw().between(1..=99);
    let input = Marbles::at([(0, Mark::item("a")), (end, Mark::End)]);
    let output = Marbles::at([(end, Mark::item("a")), (end, Mark::End)]);
    expect(&cx, how, &input, &output, LIMIT, HELP).await
}

pub async fn an_error_comes_after_its_chunk(cx: Cx) -> Outcome {
    const HELP: &str =
        "what came before the error comes out first, at once, and the error at the next poll";
    let how = How::new(3, 100);
    let mut draw = cx.draw();
    let (item, error) = (draw.between(0..=50), draw.between(51..=99));
    let drawn = Marbles::at([(item, Mark::item("a")), (error, Mark::Error)]);
    let expected = Marbles::at([(error, Mark::item("a")), (error, Mark::Error)]);
    for (input, output) in [
        (Marbles::line("a-b-#"), Marbles::line("----({ab}#)")),
        (Marbles::line("(ab#)"), Marbles::line("({ab}#)")),
        (Marbles::line("---#"), Marbles::line("---#")),
        (drawn, expected),
    ] {
        // Only so many are taken: whether the stream goes on after the error is another criterion.
        let count = output.marks().len();
        let out = input.clone().play().try_chunk_within(how.make(&cx).await?).take(count);
        let observed = cx.call(TRY_CHUNK, Marbles::record(400, out, try_mark)).await?.value;
        let came = observed.marks().iter().filter(|(_, mark)| *mark != Mark::End);
        let observed = Marbles::at(came.cloned());
        observed.ensure(&output, &format!("{how}, of {}", shown(&input)), HELP)?;
    }
    Ok(())
}

pub async fn errors_do_not_end_it(cx: Cx) -> Outcome {
    const HELP: &str = "an error ends the open chunk and not the stream: the next item begins another chunk, with \
                        a time of its own";
    for (input, output) in [
        // None has an end: what happens there is another criterion.
        ("#--a", "#------------a"),
        ("##-#-abc", "##-#---{abc}"),
        ("#-abc-#-abc", "#---{abc}-#---{abc}"),
    ] {
        let how = How::new(3, 100);
        try_expect(&cx, how, &Marbles::line(input), &Marbles::line(output), LIMIT, HELP).await?;
    }
    // The error has ended the time of the chunk that it has completed. What comes with the error is another criterion.
    let mut draw = cx.draw();
    let drawn = (draw.between(1..=99), draw.between(0..=150));
    for (error, next) in [(50, 30), (99, 0), drawn] {
        let how = How::new(3, 100);
        let (next, due) = (error + next, error + next + 100);
        let input =
            Marbles::at([(0, Mark::item("a")), (error, Mark::Error), (next, Mark::item("b"))]);
        let out = input.clone().play().try_chunk_within(how.make(&cx).await?);
        let observed = cx.call(TRY_CHUNK, Marbles::record(LIMIT, out, try_mark)).await?.value;
        let last = Marbles::at(observed.marks().last().cloned());
        let headline = format!("{how}, of {}: the last chunk", shown(&input));
        last.ensure(&Marbles::at([(due, Mark::item("b"))]), &headline, HELP)?;
    }
    Ok(())
}
