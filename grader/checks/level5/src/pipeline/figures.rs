//! What `Output::stats` says.

use futures::StreamExt as _;
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level5::pipeline::retry::{Backoff, Disposition, NoJitter};
use level5::pipeline::{Output, StageStats};
use tokio::time::{sleep, timeout};

use super::works::{Ends, Payload, Plan, Works, fails, is_pending, take, takes};
use super::{Line, RUN, all, line, nz};

const STATS: &str = "Output::stats";

async fn figures(cx: &Cx, output: &Output<u64, String>) -> Result<Vec<StageStats>, Fail> {
    cx.call_fn(STATS, || output.stats().borrow().clone()).await
}

const fn stats(name: &'static str, taken: u64, passed: u64, failed: u64) -> StageStats {
    StageStats { name, taken, passed, failed }
}

pub async fn figures_add_up(cx: Cx) -> Outcome {
    const HELP: &str = "count an item as taken when the stage takes it, and once more when it is handed on; attempts \
                        and the failures of other stages do not count";
    let mut draw = cx.draw();
    for count in [0, 1, 12, 300, draw.below(60)] {
        let (every, other) = (2 + draw.below(4), 2 + draw.below(4));
        let works = Works::new(&cx);
        let first = works.stage("first", 3, move |item, attempt| {
            if item % every == 0 {
                fails(5, "bad")
            } else if attempt == 1 {
                fails(1, "again")
            } else {
                takes(5)
            }
        });
        let first = first.retry(Backoff::default(), NoJitter, |error| {
            if error == "again" { Disposition::Retry } else { Disposition::GiveUp }
        });
        let second = works.stage("second", 2, move |item, _| match item % other == 1 {
            false => takes(5),
            // A panic is a failure as well.
            true if item % 4 > 1 => Plan { length: 5, ends: Ends::Panic(Payload::Number(7)) },
            true => fails(5, "worse"),
        });
        let name = cx.call_fn("Stage::name", || second.name()).await?;
        ensure!(name == "second", "the name of the stage `second` is `{name}`"; expected = "the name that it was made with");
        let third = works.stage("third", 4, |_, _| takes(7));
        let output = Line::new(nz(2))
            .stage(first)
            .stage(second.ordered())
            .stage(third)
            .run(works.input(count));
        let mut receiver = output.stats();
        let results = all(&cx, &works, output).await?;
        let bad = (0..count).filter(|item| item % every == 0).count() as u64;
        let worse = (0..count).filter(|item| item % every != 0 && item % other == 1).count() as u64;
        let last = receiver.borrow_and_update().clone();
        let expected = vec![
            stats("first", count, count - bad, bad),
            stats("second", count - bad, count - bad - worse, worse),
            stats("third", count - bad - worse, count - bad - worse, 0),
        ];
        ensure_eq!(last, expected, "{count} items, of which {bad} fail in the first stage and {worse} in the second one: the figures after the end"; help = HELP);
        ensure!(results.len() as u64 == count, "{count} items, and {} results", results.len(); expected = "one for each");
        let inside: Vec<_> = last.iter().map(StageStats::inside).collect();
        ensure_eq!(
            inside,
            [0, 0, 0].to_vec(),
            "the run has ended: how many items are inside of each stage"
        );
    }
    // In the middle: 250 ms after the start, with 100 ms in each stage.
    let works = Works::new(&cx);
    let mut output = line(&works, 1, &[("a", 5), ("b", 3), ("c", 2)], 100).run(works.input(30));
    cx.call_fn(RUN, || is_pending(&mut output)).await?;
    sleep(ms(50)).await;
    let at_50 = figures(&cx, &output).await?;
    ensure_eq!(at_50, vec![stats("a", 5, 0, 0), stats("b", 0, 0, 0), stats("c", 0, 0, 0)], "limits of 5, 3 and 2, 100 ms in each stage: the figures at 50 ms"; help = HELP);
    let inside = at_50.first().map_or(0, StageStats::inside);
    ensure!(inside == 5, "five items of a stage are worked on, and `inside` is {inside}"; expected = "5: taken, less passed, less failed");
    same_names(&cx).await?;
    // Without a stage there are no figures.
    let output = Line::new(nz(1)).run(works.input(1));
    let none = figures(&cx, &output).await?;
    ensure!(none.is_empty(), "a pipeline without stages has the figures of {} stages", none.len(); expected = "none");
    Ok(())
}

/// A reader that waits is woken when an item is taken, and when it is handed on.
async fn wakes_a_reader(cx: &Cx) -> Outcome {
    let works = Works::new(cx);
    let mut output = line(&works, 1, &[("a", 1)], 100).run(works.input(1));
    let mut receiver = output.stats();
    receiver.mark_unchanged();
    cx.call_fn(RUN, || is_pending(&mut output)).await?;
    for (at, expected) in [(0, stats("a", 1, 0, 0)), (100, stats("a", 1, 1, 0))] {
        let woken = cx.call(STATS, timeout(ms(1000), receiver.changed())).await?.value;
        let now = receiver.borrow_and_update().first().copied();
        let fine = matches!(woken, Ok(Ok(()))) && works.now() == at && now == Some(expected);
        ensure!(fine, "one item of 100 ms, and a reader that waits for a change of the figures: at {} ms it has {now:?}", works.now();
            expected = format!("at {at} ms {expected:?}"), help = "each step of an item changes the figures, and wakes those who wait for a change");
    }
    Ok(())
}

/// Hundreds of stages with one name.
async fn same_names(cx: &Cx) -> Outcome {
    const STAGES: usize = 300;
    let works = Works::new(cx);
    let stages = [("same", 1); STAGES];
    let output = line(&works, 1, &stages, 1).run(works.input(5));
    let receiver = output.stats();
    let results = all(cx, &works, output).await?;
    let at = results.last().map_or(0, |(at, _)| *at);
    ensure!(results.len() == 5 && at == 304, "{STAGES} stages with the same name, 1 ms in each, five items: {} were through, the last one at {at} ms", results.len();
        expected = "5, at 304 ms: a name is only a name");
    let last = receiver.borrow().clone();
    let fine = last.len() == STAGES && last.iter().all(|stage| *stage == stats("same", 5, 5, 0));
    ensure!(fine, "{STAGES} stages with the same name, five items: the figures of a stage, or their number, are wrong";
        expected = "five taken and passed, for each of them", observed = format!("{} entries, the first one {:?}, the last one {:?}", last.len(), last.first(), last.last()),
        help = "one entry for each stage, by its number");
    Ok(())
}

pub async fn figures_are_live(cx: Cx) -> Outcome {
    let works = Works::new(&cx);
    let limits = [("a", 5), ("b", 3), ("c", 2)];
    let mut output = line(&works, 1, &limits, 100).run(works.input(1000));
    let mut receiver = output.stats();
    // What is received is already counted.
    for number in 1..=8 {
        let run = take(&works, &mut output, 1);
        cx.call(RUN, run).await?;
        let passed = receiver.borrow_and_update().last().map_or(0, |stage| stage.passed);
        ensure!(passed >= number, "the consumer has {number} results, and the last stage has handed on {passed}";
            expected = format!("at least {number}"), help = "count before the result can be seen: reserve the room, count, send");
    }
    // Full: what waits for room is inside.
    sleep(ms(10_000)).await;
    let full = figures(&cx, &output).await?;
    let inside: Vec<_> = full.iter().map(StageStats::inside).collect();
    ensure_eq!(inside, [5, 3, 2].to_vec(), "limits of 5, 3 and 2, and a consumer that takes nothing for 10 s: how many items are inside of each stage";
        help = "an item is inside until it is handed on: also when its work is done, and there is no room for its result");
    // The channel of a run that is dropped is closed.
    let dropped = Works::new(&cx);
    let mut gone = line(&dropped, 1, &limits, 100).run(dropped.input(1000));
    let mut closes = gone.stats();
    cx.call(RUN, take(&dropped, &mut gone, 1)).await?;
    drop(gone);
    cx.settle().await;
    let waits = async { while closes.changed().await.is_ok() {} };
    let closed = cx.call(STATS, timeout(ms(1000), waits)).await?.value.is_ok();
    ensure!(closed, "an output is dropped, and the channel of its figures is not closed"; expected = "its senders are gone with the tasks");
    wakes_a_reader(&cx).await?;
    // Each state makes sense.
    let watches = async {
        let mut last = 0;
        let mut changes = 0;
        while receiver.changed().await.is_ok() {
            changes += 1;
            let now = receiver.borrow_and_update().clone();
            let total = now.last().map_or(0, |stage| stage.passed);
            let makes_sense = now.windows(2).all(|pair| pair[1].taken <= pair[0].passed)
                && now.iter().zip(limits).all(|(stage, (_, max))| {
                    stage.taken >= stage.passed + stage.failed && stage.inside() <= max as u64
                })
                && total >= last;
            if !makes_sense {
                return Err(now);
            }
            last = total;
        }
        Ok((changes, last))
    };
    let drains = async {
        let mut count = 0;
        while output.next().await.is_some() {
            count += 1;
        }
        drop(output);
        count
    };
    let (watched, _) = cx.call(RUN, futures::future::join(watches, drains)).await?.value;
    match watched {
        Err(figures) => Err(Fail::new("a reader of the figures sees a state that cannot be").observed(format!("{figures:?}"))
            .expected("no stage has taken more than the one before it has passed, or has more inside than its limit")
            .help("count in the order in which things happen, all of one step in one `send_modify`")),
        Ok((changes, last)) => {
            ensure!(last == 1000, "the run of 1000 items has ended, the receiver is closed, and its last figures have {last} items that the last stage passed"; expected = "1000");
            ensure!(changes >= 300, "992 items went on through three stages, and a reader of the figures saw {changes} changes"; expected = "figures that change with each step");
            Ok(())
        }
    }
}
