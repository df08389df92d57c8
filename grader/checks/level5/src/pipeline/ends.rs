//! How runs begin and end.

use std::panic::AssertUnwindSafe;
use std::task::Poll;
use std::time::Duration;

use futures::future::join;
use futures::{FutureExt as _, StreamExt as _, stream};
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, list, ms};
use level5::pipeline::retry::{Backoff, Disposition, NoJitter};
use level5::pipeline::{Output, Pipeline, Stage};
use tokio::time::sleep;

use super::works::{Ends, Payload, Plan, Works, fails, is_pending, take, takes};
use super::{Line, RUN, all, line, nz, values};

pub async fn an_empty_input_ends_at_once(cx: Cx) -> Outcome {
    for stages in [0, 1, 3] {
        for ordered in [false, true] {
            let works = Works::new(&cx);
            let names = ["a", "b", "c"];
            let line = names[..stages].iter().fold(Line::new(nz(1)), |line, name| {
                let stage = works.stage(name, 2, |_, _| takes(100));
                line.stage(if ordered { stage.ordered() } else { stage })
            });
            let call = cx.call(RUN, line.run(works.input(0)).collect::<Vec<_>>()).await?;
            ensure!(call.value.is_empty() && call.took.is_zero(), "an empty input, {stages} stages: the output ended at {} ms with {} results", call.took.as_millis(), call.value.len();
                expected = "at 0 ms, with none", help = "a channel whose senders are gone is closed, and so on from stage to stage");
        }
    }
    // The last item, and then nothing for a while, and then the end.
    let works = Works::new(&cx);
    let ends = stream::pending::<u64>().take_until(sleep(ms(500)));
    let call =
        cx.call(RUN, line(&works, 1, &[("a", 2)], 100).run(ends).collect::<Vec<_>>()).await?;
    ensure!(call.value.is_empty() && call.took == ms(500), "an input that ends at 500 ms without an item: the output ended at {} ms", call.took.as_millis(); expected = "500 ms");
    Ok(())
}

pub async fn begins_with_the_first_poll(cx: Cx) -> Outcome {
    let works = Works::new(&cx);
    let line = line(&works, 2, &[("a", 2), ("b", 1)], 100);
    let before = cx.alive_tasks();
    let output = cx.call_fn(RUN, || line.run(works.input(6))).await?;
    sleep(ms(10_000)).await;
    let (pulled, tasks) = (works.pulled(), cx.alive_tasks().saturating_sub(before));
    ensure!(pulled == 0 && works.seen().is_empty(), "an output was made and not polled for 10 s: {pulled} items were pulled";
        expected = "none", help = "keep what the run needs in the output, and start the tasks in the first `poll_next`");
    ensure!(tasks == 0, "an output was made and not polled: {tasks} tasks were started"; expected = "none");
    let since = works.now();
    let results = all(&cx, &works, output).await?;
    let took = works.now() - since;
    ensure!(results.len() == 6 && took == 700, "an output was polled 10 s after it was made: {} of 6 results, the last one after {took} ms", results.len(); expected = "6, after 700 ms");
    Ok(())
}

const BUSY: usize = 6;

/// The pipelines that are dropped: two stages at work, one whose item waits for its second attempt, one whose attempts
/// are at work, the first or a later one, an ordered one with results that wait for their turn, and one without stages.
fn busy(works: &Works) -> [(&'static str, Line); BUSY] {
    let retry = |stage: Stage<_, _, _>| {
        stage.retry(Backoff::default(), NoJitter, |_: &String| Disposition::Retry)
    };
    let waits = retry(works.stage("a", 2, |_, _| fails(1, "again")));
    let first = retry(works.stage("a", 3, |_, _| takes(50_000)));
    let second =
        retry(works.stage(
            "a",
            2,
            |_, attempt| {
                if attempt == 1 { fails(0, "again") } else { takes(50_000) }
            },
        ));
    let turn = works.stage("a", 3, |item, _| takes(if item == 0 { 50_000 } else { 1 })).ordered();
    [
        ("whose stages are at work", line(works, 2, &[("a", 3), ("b", 2)], 100)),
        ("whose items wait for another attempt", Line::new(nz(1)).stage(waits)),
        ("whose first attempts are at work", Line::new(nz(1)).stage(first)),
        ("whose second attempts are at work", Line::new(nz(1)).stage(second.ordered())),
        ("whose results wait for their turn", Line::new(nz(1)).stage(turn)),
        ("without stages", Line::new(nz(2))),
    ]
}

pub async fn dropping_the_output_stops_everything(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for at in [0, 50, 100, 1 + draw.below(400)] {
        for number in 0..BUSY {
            let works = Works::new(&cx);
            let Some((what, line)) = busy(&works).into_iter().nth(number) else { break };
            let before = cx.alive_tasks();
            let mut output = line.run(works.input_with_gaps(u64::MAX, |item| item % 2));
            let consumes = tokio::time::timeout(ms(at), async {
                while take(&works, &mut output, 1).await.len() == 1 {}
            });
            // Items that are ready without end would keep the consumer busy.
            let _ = cx.call(RUN, consumes).await?;
            drop(output);
            stops(
                &cx,
                &works,
                before,
                &format!("the output of a run {what} is dropped at {at} ms"),
            )
            .await?;
        }
    }
    // Full, with a consumer that does not poll; and not polled at all.
    for polls in [true, false] {
        let works = Works::new(&cx);
        let before = cx.alive_tasks();
        let mut output = line(&works, 1, &[("a", 2), ("b", 2)], 10).run(works.input(20_000));
        if polls {
            cx.call_fn(RUN, || is_pending(&mut output)).await?;
        }
        sleep(ms(1000)).await;
        drop(output);
        stops(
            &cx,
            &works,
            before,
            if polls {
                "the output of a run that is full is dropped"
            } else {
                "an output that was never polled is dropped"
            },
        )
        .await?;
    }
    Ok(())
}

/// Nothing is left of a run, and nothing happens any more.
async fn stops(cx: &Cx, works: &Works, before: usize, when: &str) -> Outcome {
    const HELP: &str = "the output owns the tasks: in a `JoinSet`, which aborts them when it is dropped; a task that \
                        spawns others owns those";
    cx.settle().await;
    let (dropped, running) = (works.inputs_dropped(), works.running());
    let left = cx.alive_tasks().saturating_sub(before);
    ensure!(dropped == 1, "{when}, and its input is kept"; expected = "the input is dropped at once", help = HELP);
    ensure!(running == 0, "{when}, and {running} items are still worked on"; expected = "their futures are dropped", help = HELP);
    ensure!(left == 0, "{when}, and {left} of its tasks are left"; expected = "none", help = HELP);
    let (pulled, calls) = (works.pulled(), works.seen().len());
    cx.pass(Duration::from_secs(86_400)).await;
    ensure!(works.pulled() == pulled && works.seen().len() == calls, "{when}, and a day later {} items more were pulled, and the stages were called {} times more", works.pulled() - pulled, works.seen().len() - calls;
        expected = "nothing happens any more", help = HELP);
    Ok(())
}

pub async fn two_runs_are_apart(cx: Cx) -> Outcome {
    const HELP: &str = "channels, slots, numbers and figures are made in `run`; the pipeline holds only the stages";
    let works = Works::new(&cx);
    let flaky =
        works.stage("b", 2, |item, _| if item % 5 == 4 { fails(100, "bad") } else { takes(100) });
    let pipeline = Line::new(nz(1))
        .stage(works.stage("a", 2, |_, _| takes(100)).ordered())
        .stage(flaky.ordered());
    let (other, second) = (Works::new(&cx), Works::new(&cx));
    // 20 items two at a time through two stages: 1100 ms. The second one begins later, with other items.
    let late = async {
        sleep(ms(150)).await;
        all(&cx, &second, pipeline.run(second.input(10))).await
    };
    let (first, late) = join(all(&cx, &other, pipeline.run(other.input(20))), late).await;
    for (results, count, at) in [(first?, 20, 1100), (late?, 10, 750)] {
        let indexes: Vec<_> = results
            .iter()
            .map(|(_, result)| result.as_ref().map_or_else(|failed| failed.index, |item| *item))
            .collect();
        ensure!(indexes.iter().copied().eq(0..count), "two runs of one pipeline at the same time: the results of the one with {count} items, with the indexes of those that failed";
            expected = format!("0 to {}", count - 1), observed = list(indexes), help = HELP);
        let ended = results.last().map_or(0, |(at, _)| *at);
        ensure!(ended == at, "two runs of one pipeline at the same time: the one with {count} items was through at {ended} ms";
            expected = format!("{at} ms, as if it were alone"), help = HELP);
    }
    // One is dropped; the other one goes on, and a third one after both.
    let (gone, stays, third) = (Works::new(&cx), Works::new(&cx), Works::new(&cx));
    let stays_output = pipeline.run(stays.input(8));
    let drops = tokio::time::timeout(ms(120), all(&cx, &gone, pipeline.run(gone.input(100))));
    let (_, stayed) = join(drops, all(&cx, &stays, stays_output)).await;
    let after = all(&cx, &third, pipeline.run(third.input(8))).await?;
    for (results, which) in [
        (stayed?, "one of two runs of a pipeline is dropped: the other one"),
        (after, "a run after two others"),
    ] {
        ensure!(results.len() == 8, "{which} has {} of 8 results", results.len(); expected = "8", help = HELP);
        ensure_eq!(values(&results), [0, 1, 2, 3, 5, 6, 7].to_vec(), "{which}: the values"; help = HELP);
    }
    beside_a_slow_run(&cx).await?;
    after_a_run_that_broke(&cx).await
}

/// A run whose work or input panics leaves nothing behind in the pipeline.
async fn after_a_run_that_broke(cx: &Cx) -> Outcome {
    const HELP: &str = "a panic concerns its item, or its run: a lock that the pipeline holds, and that a panic poisons, would concern all later runs";
    for ordered in [false, true] {
        let works = Works::new(cx);
        let plan = |item: u64, _| {
            let ends =
                if item < 1000 { Ends::Value } else { Ends::Panic(Payload::Literal("no luck")) };
            Plan { length: 100, ends }
        };
        let stage = works.stage("a", 2, plan);
        let pipeline = Line::new(nz(1)).stage(if ordered { stage.ordered() } else { stage });
        let run = async || {
            let other = Works::new(cx);
            let results = all(cx, &other, pipeline.run(other.input(8))).await?;
            Ok::<_, Fail>((values(&results), results.last().map(|(at, _)| *at)))
        };
        let alone = run().await?;
        for breaks in ["the work of all items", "the input, after three items,"] {
            let input = works.input(10).map(move |item| match breaks {
                "the work of all items" => 1000 + item,
                _ if item == 3 => Payload::Literal("a bug in the input").throw(),
                _ => item,
            });
            cx.call(RUN, drain(pipeline.run(input))).await?;
            let next = run().await?;
            ensure_eq!(next, alone, "{breaks} of a run panicked: the values of the next run of the pipeline, and the millisecond of the last one"; help = HELP);
        }
    }
    Ok(())
}

/// A run that stands still, since its first items take long or its results are not taken, beside another one.
async fn beside_a_slow_run(cx: &Cx) -> Outcome {
    const HELP: &str = "turns, slots and room belong to a run: make them in `run`, and let the pipeline hold only what is never changed";
    let mut draw = cx.draw();
    for ordered in [true, false] {
        for stands_still in ["its first items take an hour", "its results are not taken"] {
            let hour = stands_still.ends_with("hour");
            let length = draw.between(1..=50);
            let works = Works::new(cx);
            let slow = 1_000_000;
            let stage = works.stage("a", 2, move |item, _| {
                takes(if hour && (slow..slow + 2).contains(&item) { 3_600_000 } else { length })
            });
            let stage = if ordered { stage.ordered() } else { stage };
            let pipeline = Line::new(nz(1)).stage(stage);
            let run = async || {
                let (other, began) = (Works::new(cx), works.now());
                let run = all(cx, &other, pipeline.run(works.input(20)));
                let results = tokio::time::timeout(ms(100_000), run).await;
                let count =
                    results.map_or(Ok(0), |results| results.map(|results| results.len()))?;
                Ok::<_, grader_kit::Fail>((count, works.now() - began))
            };
            let alone = run().await?;
            let mut first = pipeline.run(works.input(100).map(move |item| slow + item));
            cx.call_fn(RUN, || is_pending(&mut first)).await?;
            sleep(ms(1000)).await;
            let beside = run().await?;
            let what = if ordered { "an ordered" } else { "a" };
            ensure!(beside == alone, "two runs of one pipeline with {what} stage: the first one stands still, since {stands_still}, and the second one has {} of 20 results, after {} ms", beside.0, beside.1;
                expected = format!("{}, after {} ms, as when it was alone", alone.0, alone.1), help = HELP);
            drop(first);
        }
    }
    Ok(())
}

pub async fn a_panic_of_the_input_reaches_the_caller(cx: Cx) -> Outcome {
    for stages in [0, 2] {
        let works = Works::new(&cx);
        let names = [("a", 2), ("b", 1)];
        let pipeline: Line = line(&works, 2, &names[..stages], 10);
        let input = works.input(10).map(|item| {
            if item == 5 { Payload::Literal("a bug in the input").throw() } else { item }
        });
        let output = pipeline.run(input);
        let drains = drain(output);
        let (count, end) = cx.call(RUN, drains).await?.value;
        ensure!(end == "a panic", "{stages} stages, and an input that panics after 5 items: {count} results, and then {end}";
            expected = "5 results, and then a panic with the same payload: a cut input must not look like a complete one",
            help = "when the last channel is closed, look at how the tasks have ended: `JoinError::into_panic` and `resume_unwind`");
        ensure!(count == 5, "{stages} stages, and an input that panics after 5 items: {count} results before the panic"; expected = "5");
    }
    // One that panics in its first poll.
    let output =
        Pipeline::<u64, u64, String>::new(nz(1)).run(stream::poll_fn(|_| -> Poll<Option<u64>> {
            Payload::Literal("a bug in the input").throw()
        }));
    let (count, end) = cx.call(RUN, drain(output)).await?.value;
    ensure!((count, end) == (0, "a panic"), "an input that panics in its first poll: {count} results, and then {end}"; expected = "a panic");
    Ok(())
}

/// How many results there are, and what follows them.
async fn drain(mut output: Output<u64, String>) -> (usize, &'static str) {
    let mut count = 0;
    loop {
        let next = AssertUnwindSafe(output.next()).catch_unwind().await;
        match next {
            Ok(Some(_)) => count += 1,
            Ok(None) => return (count, "the end"),
            Err(panic) => {
                let own = panic.downcast_ref::<&str>() == Some(&"a bug in the input");
                return (count, if own { "a panic" } else { "a panic with another payload" });
            }
        }
    }
}
