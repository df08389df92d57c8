//! How items move: through all stages, at the same time, in order or as they are ready.

use std::task::Poll;

use futures::{StreamExt as _, stream};
use grader_kit::{Cx, Outcome, ensure, ensure_eq, list, ms};
use level5::pipeline::retry::{Backoff, Disposition, NoJitter};
use level5::pipeline::{Failed, Pipeline, Stage};
use tokio::task::coop::consume_budget;
use tokio::time::sleep;

use super::works::{Payload, Works, fails, takes};
use super::{Line, RUN, all, limits, line, nz, values};

pub async fn without_stages_items_pass(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for (buffer, count) in [(1, 5), (3, 1), (1, 300), (draw.index(20) + 1, 1 + draw.below(100))] {
        let works = Works::new(&cx);
        let output = Line::new(nz(buffer)).run(works.input(count));
        let results = all(&cx, &works, output).await?;
        let expected: Vec<_> = (0..count).collect();
        ensure_eq!(values(&results), expected, "a pipeline without stages, {count} items";
            help = "a channel from the input to the output, and a task that fills it");
        let at = results.last().map_or(0, |(at, _)| *at);
        ensure!(at == 0, "a pipeline without stages: {count} items that are ready came at {at} ms"; expected = "0 ms");
    }
    // As they come, and of any type.
    let words = [draw.word(), String::new(), draw.word()];
    let input = stream::iter(words.clone()).then(|word| async {
        sleep(ms(100)).await;
        word
    });
    let output = Pipeline::<String, String, ()>::new(nz(2)).run(input);
    let call = cx.call(RUN, output.collect::<Vec<_>>()).await?;
    let passed: Vec<_> = call.value.into_iter().map_while(Result::ok).collect();
    ensure_eq!(passed, words.to_vec(), "a pipeline without stages, an input of texts");
    ensure!(call.took == ms(300), "an input of one item each 100 ms, three items: the output ended at {} ms", call.took.as_millis(); expected = "300 ms");
    Ok(())
}

pub async fn every_item_passes_every_stage(cx: Cx) -> Outcome {
    const HELP: &str = "each stage takes what the one before it returned; when its input ends, its last items are \
                        still inside, and the next stage has to get them";
    let mut draw = cx.draw();
    for count in [1, 2, 7, 400, 2 + draw.below(60)] {
        let lengths: Vec<_> = (0..count).map(|_| draw.below(30)).collect();
        let (buffer, first, second) = (draw.index(3) + 1, draw.index(5) + 1, draw.index(5) + 1);
        let (parse_in, show_in) = (lengths.clone(), lengths);
        let after =
            move |lengths: &[u64], number: usize| sleep(ms(lengths[number % lengths.len()]));
        // The second half repeats the first: equal items are items of their own.
        let texts: Vec<String> =
            (0..count).map(|number| (number % count.div_ceil(2)).to_string()).collect();
        let parse = Stage::new("parse", nz(first), move |text: String| {
            let wait = after(&parse_in, text.len());
            async move {
                wait.await;
                text.parse::<u64>().map_err(|error| error.to_string())
            }
        });
        let show = Stage::new("show", nz(second), move |number: u64| {
            let wait = after(&show_in, number as usize + 1);
            async move {
                wait.await;
                Ok::<_, String>(Some(format!("item {number}")))
            }
        });
        let length = Stage::new("length", nz(1), |text: Option<String>| async move {
            Ok((text.clone(), text.map_or(0, |text| text.len())))
        });
        let pipeline = Pipeline::new(nz(buffer)).stage(parse).stage(show).stage(length);
        let output = pipeline.run(stream::iter(texts.clone()));
        let results = cx.call(RUN, output.collect::<Vec<_>>()).await?.value;
        let mut observed: Vec<_> = results.into_iter().map_while(Result::ok).collect();
        let mut expected: Vec<_> = texts
            .iter()
            .map(|text| format!("item {text}"))
            .map(|text| (Some(text.clone()), text.len()))
            .collect();
        ensure!(observed.len() as u64 == count, "{count} items, three stages that make a number of a text, a text of a number and its length: {} values", observed.len();
            expected = format!("{count}"), help = HELP);
        observed.sort();
        expected.sort();
        ensure_eq!(observed, expected, "{count} items, three stages that make a number of a text, a text of a number and its length"; help = HELP);
    }
    ends_once(&cx).await
}

/// The output ends, and stays ended.
async fn ends_once(cx: &Cx) -> Outcome {
    let works = Works::new(cx);
    let mut output = line(&works, 1, &[("a", 2)], 10).run(works.input(3));
    let drains = async {
        let mut count = 0;
        while output.next().await.is_some() {
            count += 1;
        }
        (count, output.next().await.is_none(), output.next().await.is_none())
    };
    let drained = cx.call(RUN, drains).await?.value;
    // An input that is polled after its end may panic.
    let mut ended = false;
    let once = stream::poll_fn(move |_| {
        if ended {
            Payload::Literal("the input was polled after its end").throw();
        }
        ended = true;
        Poll::Ready(None::<u64>)
    });
    cx.call(RUN, line(&works, 3, &[("a", 2)], 10).run(once).collect::<Vec<_>>()).await?;
    ensure_eq!(
        drained,
        (3, true, true),
        "the number of results of three items, and whether the output yields `None` when it is polled after its end"
    );
    Ok(())
}

pub async fn an_item_waits_for_no_other(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for buffer in [1, 4, 100] {
        for ordered in [false, true] {
            let works = Works::new(&cx);
            let gap = 600 + draw.below(1000);
            let lengths = [draw.between(1..=200), draw.between(1..=200), draw.between(1..=200)];
            let line = ["a", "b", "c"].into_iter().zip(lengths).fold(
                Line::new(nz(buffer)),
                |line, (name, length)| {
                    let stage = works.stage(name, 4, move |_, _| takes(length));
                    line.stage(if ordered { stage.ordered() } else { stage })
                },
            );
            let results =
                all(&cx, &works, line.run(works.input_with_gaps(6, move |_| gap))).await?;
            let times: Vec<_> = results.iter().map(|(at, _)| *at).collect();
            let expected: Vec<_> =
                (1..=6).map(|number| number * gap + lengths.iter().sum::<u64>()).collect();
            ensure!(times == expected, "one item each {gap} ms, three stages of {} ms, buffers of {buffer}: when the results came", list(lengths);
                expected = list(expected), observed = list(times),
                help = "a buffer is room, not a minimum: an item goes on as soon as it can");
        }
    }
    Ok(())
}

pub async fn stages_work_at_the_same_time(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let drawn = [("a", draw.index(6) + 1), ("b", draw.index(6) + 1), ("c", draw.index(6) + 1)];
    let cases = [
        vec![("a", 5), ("b", 3), ("c", 2)],
        vec![("a", 2), ("b", 3), ("c", 5)],
        vec![("a", 1), ("b", 1), ("c", 1), ("d", 1)],
        drawn.to_vec(),
    ];
    for stages in cases {
        for buffer in [1, 3] {
            let works = Works::new(&cx);
            let results =
                all(&cx, &works, line(&works, buffer, &stages, 100).run(works.input(30))).await?;
            let slowest = stages.iter().map(|(_, max)| *max).min().unwrap_or(1);
            let ideal = 100 * (30_usize.div_ceil(slowest) + stages.len() - 1) as u64;
            let at = results.last().map_or(0, |(at, _)| *at);
            ensure!(results.len() == 30 && at <= ideal + 100, "{}, each item takes 100 ms in each: {} of 30 items were through, the last one at {at} ms", limits(&stages), results.len();
                expected = format!("30, at {ideal} ms"),
                help = "each stage is a task of its own; it also works while the stage behind it, or the consumer, does something else");
        }
    }
    Ok(())
}

pub async fn never_more_than_its_limit(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let drawn = draw.index(40) + 1;
    let cases = [
        (vec![("a", 5), ("b", 3), ("c", 2)], 30),
        (vec![("a", 1)], 4),
        (vec![("a", 300)], 400),
        // More than any number that seems to be enough.
        (vec![("a", 1025 + drawn)], 1200),
        (vec![("a", drawn)], drawn as u64 + 5),
        (vec![("a", 2), ("b", 2)], 20),
    ];
    for (stages, count) in cases {
        for ordered in [false, true] {
            let works = Works::new(&cx);
            let line = stages.iter().fold(Line::new(nz(1)), |line, (name, max)| {
                let stage = works.stage(name, *max, |_, _| takes(100));
                line.stage(if ordered { stage.ordered() } else { stage })
            });
            all(&cx, &works, line.run(works.input(count))).await?;
            for (name, max) in &stages {
                let most = works.most(name);
                ensure!(most == *max, "{}, {count} items: {most} ran at the same time in the stage with a limit of {max}", limits(&stages);
                    expected = format!("{max}"),
                    help = "take an item only while fewer than `max_concurrent` are inside, and count each stage for itself");
            }
        }
    }
    Ok(())
}

pub async fn ordered_keeps_the_order(cx: Cx) -> Outcome {
    const HELP: &str = "the work of several items goes on at the same time; only their results wait for their turn";
    let mut draw = cx.draw();
    for stages in [1, 2, 3] {
        let works = Works::new(&cx);
        let names = ["a", "b", "c"];
        let line = names[..stages].iter().fold(Line::new(nz(draw.index(3) + 1)), |line, name| {
            let lengths: Vec<_> = (0..40).map(|_| draw.below(300)).collect();
            let stage = works
                .stage(name, draw.index(6) + 2, move |item, _| takes(lengths[item as usize % 40]));
            line.stage(stage.ordered())
        });
        let results = all(&cx, &works, line.run(works.input(100))).await?;
        ensure!(values(&results).into_iter().eq(0..100), "100 items of different lengths, {stages} ordered stages: the order of the results";
            expected = "0 to 99", observed = list(values(&results)), help = HELP);
    }
    // One slow item, and quick ones behind it; then an ordered stage that is as quick as another one.
    for slow in [0, 3] {
        let works = Works::new(&cx);
        let stage = works.stage("a", 4, move |item, _| takes(if item == slow { 1000 } else { 10 }));
        let results =
            all(&cx, &works, Line::new(nz(1)).stage(stage.ordered()).run(works.input(12))).await?;
        ensure!(values(&results).into_iter().eq(0..12), "item {slow} takes 1000 ms, the others 10 ms, an ordered stage: the order of the results";
            expected = "0 to 11", observed = list(values(&results)), help = HELP);
    }
    let works = Works::new(&cx);
    let stage = works.stage("a", 4, |_, _| takes(100)).ordered();
    let results = all(&cx, &works, Line::new(nz(1)).stage(stage).run(works.input(40))).await?;
    let at = results.last().map_or(0, |(at, _)| *at);
    ensure!(at <= 1100, "an ordered stage with a limit of 4, 40 items of 100 ms: the last one came at {at} ms";
        expected = "1000 ms", help = HELP);
    ordered_with_retries(&cx).await?;
    ordered_when_a_turn_is_over(&cx, |_| false).await?;
    ordered_after_another(&cx).await
}

/// A task that has been polled for long has to yield at its next operation of tokio, whichever that is: between its
/// turn and its room, too. There the result behind it must not pass.
pub(super) async fn ordered_when_a_turn_is_over(cx: &Cx, is_bad: fn(u64) -> bool) -> Outcome {
    // tokio gives a task 128 operations before it has to yield. What a stage itself needs is not known.
    for operations in 90..=130_u64 {
        let work = move |item: u64| async move {
            // All are ready at the same moment, and the first one has one operation less left.
            sleep(ms(10)).await;
            for _ in 0..operations - item.min(1) {
                consume_budget().await;
            }
            if is_bad(item) { Err("bad".to_owned()) } else { Ok(item) }
        };
        let line = Line::new(nz(4)).stage(Stage::new("a", nz(4), work).ordered());
        let call = cx.call(RUN, line.run(stream::iter(0..8_u64)).collect::<Vec<_>>()).await?;
        let number = |result: Result<u64, Failed<String>>| result.unwrap_or_else(|it| it.index);
        let order: Vec<_> = call.value.into_iter().map(number).collect();
        let bad = (0..8).filter(|item| is_bad(*item)).count();
        ensure!(order.iter().copied().eq(0..8), "an ordered stage, in which {bad} of 8 items fail, and work that leaves its task little of tokio's budget ({operations} operations of 128): the order of the results";
            expected = "0 to 7", observed = list(order),
            help = "a result keeps its turn until it is in the channel: between the two another task may run");
    }
    Ok(())
}

/// An ordered stage behind one that is not: its order is that in which it takes items, not that of the input.
async fn ordered_after_another(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for _ in 0..3 {
        let works = Works::new(cx);
        let lengths: Vec<_> =
            (0..30).map(|item| if item == 0 { 2000 } else { draw.between(1..=300) }).collect();
        let first = works.stage("first", 4, move |item, _| takes(lengths[item as usize]));
        let lengths: Vec<_> = (0..30).map(|_| draw.below(200)).collect();
        let second = works.stage("second", 3, move |item, _| takes(lengths[item as usize]));
        let results = all(
            cx,
            &works,
            Line::new(nz(1)).stage(first).stage(second.ordered()).run(works.input(30)),
        )
        .await?;
        let (taken, yielded) = (works.items("second"), values(&results));
        ensure!(taken == yielded, "a stage that is not ordered, and an ordered one behind it: the order of the results";
            expected = format!("that in which the ordered stage took its items: {}", list(taken)), observed = list(yielded),
            help = "an ordered stage waits for the item that it has taken before, not for the number before");
    }
    Ok(())
}

/// A stage that is ordered and retries, made in both orders.
async fn ordered_with_retries(cx: &Cx) -> Outcome {
    for ordered_first in [true, false] {
        let works = Works::new(cx);
        let plan = |item: u64, attempt| {
            if item.is_multiple_of(3) && attempt == 1 { fails(10, "again") } else { takes(10) }
        };
        let stage = works.stage("a", 3, plan);
        let retry = |stage: Stage<_, _, _>| {
            stage.retry(Backoff::default(), NoJitter, |_: &String| Disposition::Retry)
        };
        let stage = if ordered_first { retry(stage.ordered()) } else { retry(stage).ordered() };
        let results = all(cx, &works, Line::new(nz(1)).stage(stage).run(works.input(12))).await?;
        ensure!(values(&results).into_iter().eq(0..12), "12 items, of which every third needs two attempts, in a stage that is {}: the order of the results",
            if ordered_first { "made ordered, and then retries" } else { "made to retry, and then ordered" };
            expected = "0 to 11", observed = list(values(&results)), help = "`ordered` and `retry` each keep what the other one has set");
    }
    Ok(())
}

pub async fn unordered_hands_on_as_ready(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let mut lengths: Vec<u64> = (1..=6).map(|number| number * 100).collect();
    for first in [6, 5, 0] {
        draw.shuffle(&mut lengths);
        if first > 0 {
            // The first one is slow.
            lengths.sort_by_key(|length| *length != first * 100);
        }
        let works = Works::new(&cx);
        let plan = lengths.clone();
        let slow = works.stage("a", 6, move |item, _| {
            if item == 3 { fails(plan[3], "bad") } else { takes(plan[item as usize]) }
        });
        let line = Line::new(nz(1)).stage(slow).stage(works.stage("b", 6, |_, _| takes(10)));
        let results = all(&cx, &works, line.run(works.input(6))).await?;
        let observed: Vec<_> = results
            .iter()
            .map(|(at, result)| {
                (*at, result.as_ref().map_or_else(|failed| failed.index, |item| *item))
            })
            .collect();
        let mut expected: Vec<_> = (0..6)
            .map(|item| (lengths[item as usize] + if item == 3 { 0 } else { 10 }, item))
            .collect();
        expected.sort_unstable();
        ensure_eq!(observed, expected, "items that take {} ms in an unordered stage, of which item 3 fails, and then 10 ms in another one: when each result came", list(&lengths);
            help = "a result that is ready is handed on; only an ordered stage makes it wait");
    }
    Ok(())
}
