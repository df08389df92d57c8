//! Backpressure: what is pulled, and what goes on, while the consumer does something else.

use std::time::Duration;

use grader_kit::{Cx, Outcome, ensure, ms};
use level5::pipeline::Output;
use tokio::time::sleep;

use super::works::{Works, fails, take, takes};
use super::{Line, RUN, limits, line, nz};

/// Items that may be pulled and not delivered.
fn bound(buffer: usize, stages: &[(&'static str, usize)]) -> u64 {
    let slots: usize = stages.iter().map(|(_, max)| max).sum();
    (slots + (stages.len() + 1) * buffer) as u64
}

type Stages = Vec<(&'static str, usize)>;

fn cases(cx: &Cx) -> Vec<(usize, Stages, u64)> {
    let mut draw = cx.draw();
    let drawn = vec![("a", draw.index(5) + 1), ("b", draw.index(5) + 1)];
    vec![
        (1, vec![("a", 5), ("b", 3), ("c", 2)], 100),
        (1, vec![("a", 1)], 10),
        (4, vec![("a", 2), ("b", 2)], 0),
        (1, Vec::new(), 0),
        (draw.index(10) + 1, drawn, draw.below(50)),
    ]
}

/// Items of an input that is much longer than what may be pulled of it. An endless one would keep a pipeline without a bound busy without end.
const MANY: u64 = 20_000;

/// A long input and a consumer that takes some results and then pauses, twice. `more` items are forgiven.
async fn pauses(cx: &Cx, buffer: usize, stages: &Stages, length: u64, more: u64) -> Outcome {
    let works = Works::new(cx);
    let output = line(&works, buffer, stages, length).run(works.input(MANY));
    keeps_the_bound(cx, &works, output, buffer, stages, more).await
}

/// The same, of items that fail in the first stage: all of them, or all but every third.
async fn failures_keep_the_bound(cx: &Cx) -> Outcome {
    let drawn = cx.draw().index(4) + 1;
    for (buffer, stages) in [
        (1, vec![("an outage", 2), ("b", 3)]),
        (2, vec![("an outage", 3), ("b", 1), ("c", 2)]),
        (1, vec![("an outage", drawn)]),
    ] {
        for every in [1, 3] {
            let works = Works::new(cx);
            let line = stages.iter().fold(Line::new(nz(buffer)), |line, (name, max)| {
                let first = *name == "an outage";
                line.stage(works.stage(name, *max, move |item, _| {
                    if first && (every == 1 || item % every > 0) {
                        fails(10, "down")
                    } else {
                        takes(10)
                    }
                }))
            });
            keeps_the_bound(cx, &works, line.run(works.input(500)), buffer, &stages, 1).await?;
        }
    }
    Ok(())
}

async fn keeps_the_bound(
    cx: &Cx,
    works: &Works,
    mut output: Output<u64, String>,
    buffer: usize,
    stages: &Stages,
    more: u64,
) -> Outcome {
    let most = bound(buffer, stages);
    let mut delivered = 0;
    for (count, pause) in [(4, 100), (7, 1000)] {
        delivered += count;
        let run = async {
            let taken = take(works, &mut output, count).await.len() as u64;
            sleep(Duration::from_secs(pause) / 2).await;
            let half = works.pulled();
            sleep(Duration::from_secs(pause) / 2).await;
            (taken, half, works.pulled())
        };
        let (taken, half, pulled) =
            cx.call_within(Duration::from_secs(3000), RUN, run).await?.value;
        ensure!(taken == count, "a long input: after {} results the output ended", delivered - count + taken; expected = "it goes on");
        ensure!(pulled == half, "{}, buffers of {buffer}: the consumer pauses after {delivered} results for {pause} s, and the input is still pulled: {half} items after half of it, {pulled} at its end", limits(stages);
            expected = "what is full stays full", help = "bounded channels: a sender that waits for room stops what is before it");
        ensure!(pulled <= delivered + most + more, "{}, buffers of {buffer}: the consumer pauses after {delivered} results, and {pulled} items were pulled", limits(stages);
            expected = format!("at most {}: {delivered} delivered, and {most} for the slots and the {} buffers", delivered + most, stages.len() + 1),
            help = "an item keeps its slot until there is room for its result in the next channel");
    }
    let inside = works.most_inside();
    ensure!(inside <= most + more, "{}, buffers of {buffer}: at one moment {inside} items were pulled and not delivered", limits(stages);
        expected = format!("at most {most}"),
        help = "make sure that there is room in the first channel before you pull an item: `Sender::reserve`");
    Ok(())
}

pub async fn stops_pulling_when_the_consumer_stops(cx: Cx) -> Outcome {
    for (buffer, stages, length) in cases(&cx) {
        pauses(&cx, buffer, &stages, length, 1).await?;
    }
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    pauses(&cx, 2, &names.map(|name| (name, 1)).to_vec(), 10, 1).await?;
    failures_keep_the_bound(&cx).await
}

pub async fn pulls_nothing_without_room(cx: Cx) -> Outcome {
    for (buffer, stages, length) in cases(&cx) {
        pauses(&cx, buffer, &stages, length, 0).await?;
    }
    Ok(())
}

pub async fn an_ordered_stage_keeps_the_bound(cx: Cx) -> Outcome {
    let drawn = cx.draw().index(8) + 1;
    for (buffer, max) in [(1, 3), (4, 2), (2, drawn)] {
        let works = Works::new(&cx);
        // The first item takes 100 s, the others 20 ms.
        let stage = works.stage("a", max, |item, _| takes(if item == 0 { 100_000 } else { 20 }));
        let mut output = Line::new(nz(buffer)).stage(stage.ordered()).run(works.input(MANY));
        let run = async {
            let consumes = async { while take(&works, &mut output, 1).await.len() == 1 {} };
            tokio::select! {
                biased;
                () = consumes => {}
                () = sleep(ms(20_000)) => {}
            }
        };
        cx.call(RUN, run).await?;
        // One more is the business of another criterion.
        let (inside, most) = (works.most_inside(), bound(buffer, &[("a", max)]));
        ensure!(inside <= most + 1, "an ordered stage with a limit of {max}, buffers of {buffer}, the first item takes 100 s: {inside} items were pulled and not delivered";
            expected = format!("at most {most}"),
            help = "a result that waits for its turn keeps its slot; otherwise the results behind a slow item pile up");
    }
    Ok(())
}

/// The consumer is away: the stages work until all is full.
async fn fills_up(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let (drawn, few, many) = (draw.index(6) + 2, draw.index(3), 2000 + draw.index(1000));
    for (buffer, stages) in [
        (3, vec![("a", 2), ("b", 4)]),
        (5, vec![("a", 1)]),
        (7, vec![("a", 3), ("b", 1)]),
        (drawn, vec![("a", 3), ("b", 2), ("c", 1)]),
        // More than any number that seems to be enough.
        (many, vec![("a", 1 + few)]),
    ] {
        let works = Works::new(cx);
        let length = if buffer > 1000 { 1 } else { 10 };
        let mut output = line(&works, buffer, &stages, length).run(works.input(MANY));
        let run = async {
            take(&works, &mut output, 1).await;
            sleep(ms(10_000)).await;
            works.pulled()
        };
        let pulled = cx.call(RUN, run).await?.value;
        let full = bound(buffer, &stages) + 1;
        // An input that the first stage reads itself needs no channel. More is the business of other criteria.
        let without = full - buffer as u64;
        ensure!(pulled >= full || pulled == without || pulled == without + 1, "{}, buffers of {buffer}: a consumer takes one result and is away for 10 s: {pulled} items were pulled", limits(&stages);
            expected = format!("{full}: one is delivered, and all slots and channels are full"),
            help = "each channel has room for `buffer` items, and is filled as soon as there is room for one");
    }
    Ok(())
}

/// The consumer is away, and some items have failed in the first stage: the others find every slot of the second one.
async fn works_beside_failures(cx: &Cx) -> Outcome {
    const HELP: &str = "a failure of an earlier stage that waits for room may hold a slot, but not the stage: it goes on to take items while it has slots";
    let mut draw = cx.draw();
    for round in 0..8 {
        let (buffer, max) = (1 + draw.index(3), 3 + draw.index(4));
        // One for the consumer, and as many as the last channel and the slots of the second stage hold.
        let count = 1 + buffer + max;
        let bad: Vec<bool> = (0..count)
            .map(|item| if round == 0 { item % 2 == 1 } else { draw.chance(50) })
            .collect();
        let good: Vec<u64> =
            (0..).zip(&bad).filter(|(_, bad)| !**bad).map(|(item, _)| item).collect();
        let works = Works::new(cx);
        let failing = bad.clone();
        let first = works.stage("first", 1, move |item, _| {
            if failing[item as usize] { fails(10, "bad") } else { takes(10) }
        });
        let second = works.stage("second", max, |_, _| takes(20));
        let line = Line::new(nz(buffer)).stage(first);
        let line = line.stage(if round % 2 == 1 { second.ordered() } else { second });
        let mut output = line.run(works.input(count as u64));
        let run = async {
            take(&works, &mut output, 1).await;
            sleep(ms(100_000)).await;
        };
        cx.call(RUN, run).await?;
        let mut seen = works.items("second");
        seen.sort_unstable();
        ensure!(seen == good, "a stage with a limit of 1, in which {} of {count} items fail, and one with a limit of {max} behind it, buffers of {buffer}: a consumer takes one result and is away for 100 s. By then the second stage has begun to work on {} items", count - good.len(), seen.len();
            expected = format!("on all {} that have not failed: {buffer} results have room in the last channel, and {max} in its slots", good.len()), help = HELP);
    }
    Ok(())
}

/// The consumer is away: the work that has begun goes on to its end, also beside a result that waits for room.
async fn ends_its_work(cx: &Cx) -> Outcome {
    const HELP: &str = "a result that waits for room, or for its turn, must not keep the work on other items from being polled: each item in a task, or the room and all items in one `select!`";
    let mut draw = cx.draw();
    for ordered in [false, true] {
        for stages in [vec![("a", 2)], vec![("a", 4), ("b", 3)], vec![("a", 2), ("b", 5), ("c", 3)]]
        {
            let works = Works::new(cx);
            let buffer = draw.index(3) + 1;
            let line = stages.iter().fold(Line::new(nz(buffer)), |line, (name, max)| {
                let lengths: Vec<_> = (0..7).map(|_| draw.between(2..=400)).collect();
                let stage =
                    works.stage(name, *max, move |item, _| takes(lengths[item as usize % 7]));
                line.stage(if ordered { stage.ordered() } else { stage })
            });
            let mut output = line.run(works.input(60));
            let last = stages.last().map_or(0, |(_, max)| *max as u64) + buffer as u64;
            let run = async {
                take(&works, &mut output, 1).await;
                sleep(ms(100_000)).await;
                let (running, began) = (works.running(), works.now());
                let ready = take(&works, &mut output, last).await.len() as u64;
                (running, ready, works.now() - began)
            };
            let (running, ready, took) = cx.call(RUN, run).await?.value;
            let what = if ordered { "ordered" } else { "unordered" };
            ensure!(running == 0, "{}, all {what}, with work of at most 400 ms in two steps: a consumer takes one result and is away for 100 s, and the work on {running} items has not ended", limits(&stages);
                expected = "all work that has begun has ended: only results wait for room", help = HELP);
            ensure!(ready == last && took == 0, "{}, all {what}, buffers of {buffer}: a consumer takes one result, is away for 100 s and takes {last} more: they came after {took} ms", limits(&stages);
                expected = "at once: the last channel is full, and the results in the slots of the last stage are ready", help = HELP);
        }
    }
    Ok(())
}

pub async fn works_while_the_consumer_is_busy(cx: Cx) -> Outcome {
    const HELP: &str = "the consumer polls only now and then: work that is done in `poll_next` stands still \
                        meanwhile, work in a task does not";
    let cases: [(Stages, u64, u64); 3] = [
        (vec![("a", 2)], 10, 1),
        (vec![("a", 1), ("b", 1)], 8, 1),
        (vec![("a", 3), ("b", 3), ("c", 3)], 20, 2),
    ];
    for (stages, count, buffer) in cases {
        let works = Works::new(&cx);
        let mut output = line(&works, buffer as usize, &stages, 100).run(works.input(count));
        let consumes = async {
            let mut consumed = 0;
            while !take(&works, &mut output, 1).await.is_empty() {
                sleep(ms(100)).await;
                consumed += 1;
            }
            (consumed, works.now())
        };
        let (consumed, at) = cx.call(RUN, consumes).await?.value;
        let ideal = 100 * (count + stages.len() as u64);
        ensure!(consumed == count && at < ideal + 100, "{}, 100 ms in each, and a consumer that takes 100 ms for each result: {consumed} of {count} were consumed, at {at} ms", limits(&stages);
            expected = format!("{count}, at {ideal} ms: the stages work on the next items meanwhile"), help = HELP);
    }
    fills_up(&cx).await?;
    works_beside_failures(&cx).await?;
    ends_its_work(&cx).await?;
    // Away for 10 s: what there is room for is ready.
    let buffer = cx.draw().below(6) + 4;
    let works = Works::new(&cx);
    let mut output = line(&works, buffer as usize, &[("a", 2)], 100).run(works.input(100));
    let run = async {
        take(&works, &mut output, 1).await;
        sleep(ms(10_000)).await;
        let began = works.now();
        let ready = take(&works, &mut output, buffer).await.len() as u64;
        (ready, works.now() - began)
    };
    let (ready, took) = cx.call(RUN, run).await?.value;
    ensure!(ready == buffer && took == 0, "a consumer takes one result, is away for 10 s and takes {buffer} more: they came after {took} ms";
        expected = format!("at once: the last channel has room for {buffer}"), help = HELP);
    Ok(())
}
