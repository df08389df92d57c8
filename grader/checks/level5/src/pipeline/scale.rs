//! Large figures, long waits, tasks that move.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};
use grader_kit::{Cx, Outcome, ensure, ensure_still, moved, ms, scarce};
use level5::pipeline::Failure;
use level5::pipeline::{Failed, Output, Pipeline, Stage};
use tokio::time::timeout;

use super::works::{Works, is_pending, take, takes};
use super::{Line, RUN, all, line, nz};

pub async fn takes_any_limit(cx: Cx) -> Outcome {
    for limit in [usize::MAX, usize::MAX / 2, (usize::MAX >> 3) + 1, usize::MAX >> 3, 1 << 32] {
        let most = NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN);
        for ordered in [false, true] {
            let build = || {
                let stage = Stage::new("a", most, |item: u64| async move {
                    tokio::time::sleep(ms(100)).await;
                    Ok::<_, String>(item)
                });
                Pipeline::new(most).stage(if ordered { stage.ordered() } else { stage })
            };
            let pipeline = cx.call_fn("Pipeline::new", build).await?;
            let call = cx.call(RUN, pipeline.run(stream::iter(0..50)).collect::<Vec<_>>()).await?;
            ensure!(call.value.len() == 50 && call.took == ms(100), "a buffer and a limit of {limit}, 50 items of 100 ms: {} results, at {} ms", call.value.len(), call.took.as_millis();
                expected = "50, at 100 ms",
                help = "a tokio channel and a semaphore have limits of their own: `Semaphore::MAX_PERMITS`; and no room is allocated beforehand");
        }
    }
    Ok(())
}

pub async fn keeps_nothing_of_what_has_passed(cx: Cx) -> Outcome {
    let every = cx.draw().between(2..=9);
    // More than two bytes can count; and, with works of different lengths, fewer. Then stages with more slots than there
    // are items, and many failures.
    for (ordered, count, limit, bad, burst) in [
        (false, 70_000, 4, 1000, 1000),
        (true, 20_000, 4, 1000, 1000),
        (false, 20_000, usize::MAX >> 3, 1000, 100),
        (true, 20_000, usize::MAX >> 4, 1000, 100),
        (false, 20_000, usize::MAX >> 3, every, 100),
        (false, 20_000, 4, every, 1000),
    ] {
        // The last item of each group fails, and the one after a burst moves the clock.
        let work = move |item: u64| async move {
            for _ in 0..if ordered { item % 4 } else { 0 } {
                tokio::task::yield_now().await;
            }
            if item % bad == bad - 1 || item == count - 1 { Err(()) } else { Ok(item) }
        };
        let stage = Stage::new("a", nz(limit), work);
        let pipeline = Pipeline::new(nz(4)).stage(if ordered { stage.ordered() } else { stage });
        let input = stream::iter(0..count).then(move |item| async move {
            if item % burst == 0 {
                tokio::time::sleep(ms(1)).await;
            }
            item
        });
        let mut output = pipeline.run(input);
        // What is allocated once does not count.
        let started = cx.call(RUN, output.next()).await?.value;
        ensure!(started.is_some(), "an input of {count} items, and no result");
        cx.timeline().record(
            "the grader",
            format!("runs {count} items through a stage with a limit of {limit}"),
        );
        let scarce = scarce(1 << 20);
        let mut seen = Seen::default();
        while !seen.ended {
            cx.call(RUN, seen.take(&mut output, 5000)).await?;
        }
        drop(scarce);
        let expected =
            Failed { stage: "a", index: count - 1, attempts: 1, cause: Failure::Error(()) };
        let last = seen.last;
        ensure!(last == Some(expected), "a limit of {limit}, and item {} of {count} fails: the last failure is {last:?}", count - 1; expected = "that of this item, with its index");
        ensure!(!ordered || !seen.unordered, "an ordered stage, {count} items: the order of the results"; expected = "that of the input, to the end");
    }
    Ok(())
}

/// What is known of the results of a long run: they are too many to be kept.
#[derive(Default)]
struct Seen {
    next: u64,
    unordered: bool,
    last: Option<Failed<()>>,
    ended: bool,
}

impl Seen {
    async fn take(&mut self, output: &mut Output<u64, ()>, count: usize) {
        for _ in 0..count {
            let Some(result) = output.next().await else {
                self.ended = true;
                break;
            };
            let index = result.as_ref().map_or_else(|failed| failed.index, |item| *item);
            self.unordered |= index < self.next;
            self.next = index;
            self.last = result.err().or(self.last.take());
        }
    }
}

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    const HELP: &str = "no interval, and no sleep in a loop: a channel wakes both of its sides";
    const WEEK: u64 = 7 * 86_400_000;
    let works = Works::new(&cx);
    // Idle, and full: both for a week. A minute first: what looks all the time is found before it has cost much.
    let pipeline = line(&works, 2, &[("a", 3), ("b", 2)], 10);
    let (minute, week) = (Duration::from_secs(60), Duration::from_millis(WEEK));
    let mut idle = pipeline.run(works.input_with_gaps(1, |_| WEEK));
    cx.call_fn(RUN, || is_pending(&mut idle)).await?;
    let before = cx.parks();
    cx.pass(minute).await;
    ensure_still(&cx, before, "an input that has nothing, for a minute", HELP)?;
    drop(idle);
    let idle = pipeline.run(works.input_with_gaps(1, |_| WEEK));
    let call = cx.call_within(week * 2, RUN, idle.collect::<Vec<_>>()).await?;
    ensure!(call.value.len() == 1 && call.took == week + ms(20), "an item that comes after a week: its result came after {} ms", call.took.as_millis(); expected = format!("{} ms", WEEK + 20));
    ensure!(call.polls < 1000, "an output that had nothing for a week was polled {} times", call.polls;
        expected = "a few: it is woken when there is a result");
    let slow = line(&works, 1, &[("slow", 2)], WEEK).run(works.input(2));
    let call = cx.call_within(week * 2, RUN, slow.collect::<Vec<_>>()).await?;
    ensure!(call.value.iter().all(Result::is_ok) && call.took == week, "two items whose work takes a week: {} values after {} ms", call.value.iter().filter(|result| result.is_ok()).count(), call.took.as_millis();
        expected = "2, after a week: the pipeline has no limits of time");
    let mut full = pipeline.run(works.input(100));
    cx.call(RUN, take(&works, &mut full, 1)).await?;
    // The last work ends, and all is full.
    cx.pass(minute).await;
    let before = cx.parks();
    cx.pass(minute).await;
    ensure_still(&cx, before, "a consumer that takes nothing, for a minute", HELP)?;
    cx.pass(week).await;
    let rest = cx.call(RUN, full.collect::<Vec<_>>()).await?.value;
    ensure!(rest.len() == 99, "a consumer that was away for a week gets {} more results of 99", rest.len(); expected = "all");
    Ok(())
}

pub async fn the_output_may_move_to_another_task(cx: Cx) -> Outcome {
    for stages in [0, 1] {
        let works = Works::new(&cx);
        let names = [("a", 2)];
        let pipeline: Line = line(&works, 1, &names[..stages], 100);
        let mut output = pipeline.run(works.input_with_gaps(3, |_| 100));
        let at = 100 * (3 + stages as u64);
        let call = cx
            .call(RUN, timeout(ms(100_000), moved(150, (&mut output).collect::<Vec<_>>())))
            .await?;
        let count = call.value.map_or(0, |results| results.len());
        ensure!(count == 3 && call.took == ms(at), "{stages} stages: an output is polled by one task, and from 150 ms on by another one: {count} of 3 results, after {} ms", call.took.as_millis();
            expected = format!("3, after {at} ms"), help = "each poll may come from another task: keep the newest waker, not the first one");
    }
    // Polled once, then awaited elsewhere.
    let works = Works::new(&cx);
    let stage = works.stage("a", 1, |_, _| takes(100));
    let mut output = Line::new(nz(1)).stage(stage).run(works.input(2));
    cx.call_fn(RUN, || output.next().now_or_never().is_none()).await?;
    let results = all(&cx, &works, output).await?;
    ensure!(results.len() == 2, "an output is polled once by one task and then by another one: {} of 2 results", results.len(); expected = "2");
    Ok(())
}
