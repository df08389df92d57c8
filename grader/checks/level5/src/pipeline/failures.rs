//! Items that fail, panic or hang, and the others.

use std::time::Duration;

use futures::StreamExt as _;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, list, ms};
use level5::pipeline::Failed;
use level5::pipeline::Failure;
use level5::pipeline::retry::{Backoff, Disposition, NoJitter};
use tokio::time::sleep;

use super::flow::ordered_when_a_turn_is_over;
use super::works::{Ends, Payload, Plan, Works, fails, take, takes};
use super::{Line, RUN, all, limits, nz, values};

pub async fn a_failure_names_its_item(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for (count, every) in [(10, 3), (1, 1), (600, 7), (40, 2 + draw.below(5))] {
        for ordered in [false, true] {
            let works = Works::new(&cx);
            let word = draw.word();
            let text = word.clone();
            // Later items are quicker, so that the second stage takes them in another order.
            let first = works.stage("first", 4, move |item, _| takes(10 + (count - item) % 5));
            let second = works.stage("second", 3, move |item, _| {
                if item % every == 0 { fails(5, format!("{text} {item}")) } else { takes(5) }
            });
            let third = works.stage("third", 2, |_, _| takes(1));
            let line = [first, second, third].into_iter().fold(Line::new(nz(2)), |line, stage| {
                line.stage(if ordered { stage.ordered() } else { stage })
            });
            let results = all(&cx, &works, line.run(works.input(count))).await?;
            let mut failed: Vec<_> =
                results.iter().filter_map(|(_, result)| result.clone().err()).collect();
            failed.sort_by_key(|failed| failed.index);
            let expected = (0..count).filter(|item| item % every == 0).map(|item| Failed {
                stage: "second",
                index: item,
                attempts: 1,
                cause: Failure::Error(format!("{word} {item}")),
            });
            let expected: Vec<_> = expected.collect();
            ensure!(failed.len() == expected.len(), "of {count} items in three stages {} fail in the second one: {} failures were yielded", expected.len(), failed.len();
                expected = format!("{}", expected.len()), help = "an item that fails is a result as well: it goes to the output, past the later stages");
            for (failed, expected) in failed.iter().zip(&expected) {
                ensure_eq!(failed, expected, "the failure of an item in the second of three stages";
                    help = "number the items where they are pulled, and let the number travel with the item");
            }
        }
    }
    Ok(())
}

pub async fn others_go_on_after_a_failure(cx: Cx) -> Outcome {
    const HELP: &str = "a failure concerns its item: the stage takes the next one, and the later stages do not see \
                        the item that failed";
    let drawn = cx.draw().below(20);
    for bad in [vec![0], vec![3, 4], vec![19], vec![drawn], (0..20).collect()] {
        let works = Works::new(&cx);
        let failing = bad.clone();
        let first = works.stage("first", 2, move |item, _| {
            if failing.contains(&item) { fails(100, "bad") } else { takes(100) }
        });
        let line = Line::new(nz(1)).stage(first).stage(works.stage("second", 2, |_, _| takes(10)));
        let results = all(&cx, &works, line.run(works.input(20))).await?;
        let good: Vec<_> = (0..20).filter(|item| !bad.contains(item)).collect();
        let mut observed = values(&results);
        observed.sort_unstable();
        ensure!(observed == good, "of 20 items {} fail in the first of two stages: the others have {} values", bad.len(), observed.len();
            expected = format!("{}", good.len()), observed = list(&observed), help = HELP);
        let mut seen = works.items("second");
        seen.sort_unstable();
        ensure!(seen == good, "of 20 items {} fail in the first stage: what the second one was called with", bad.len();
            expected = list(&good), observed = list(&seen), help = HELP);
        // Two at a time, 100 ms each: as if none had failed.
        for item in &good {
            let at = results
                .iter()
                .find(|(_, result)| result.as_ref() == Ok(item))
                .map_or(0, |(at, _)| *at);
            let expected = (item / 2 + 1) * 100 + 10;
            ensure!(at == expected, "two at a time, 100 ms and then 10 ms: item {item} came at {at} ms, and {} failed", list(&bad);
                expected = format!("{expected} ms, as if none had failed"), help = HELP);
        }
    }
    Ok(())
}

pub async fn a_panic_is_a_failure(cx: Cx) -> Outcome {
    const HELP: &str =
        "`catch_unwind` around the future of an item, with the call of the closure inside";
    let mut draw = cx.draw();
    let word = draw.word();
    let long = format!("assertion failed: {word}\n  left: {}\n right: none", "row ".repeat(100));
    let payloads = [Payload::Literal("no luck"), Payload::Text(long), Payload::Number(7)];
    for payload in payloads {
        for in_closure in [false, true] {
            for (retries, ordered) in [(false, false), (true, false), (false, true)] {
                let works = Works::new(&cx);
                let thrown = payload.clone();
                // More panics than slots.
                let plan = move |item: u64, _| {
                    let length = if item == 0 { 10 } else { 100 };
                    let ends = match (item.is_multiple_of(3), in_closure) {
                        (false, _) => Ends::Value,
                        (true, false) => Ends::Panic(thrown.clone()),
                        (true, true) => Ends::PanicInClosure(thrown.clone()),
                    };
                    Plan { length, ends }
                };
                let mut stage = works.stage("fragile", 2, plan);
                if retries {
                    stage = stage.retry(Backoff::default(), NoJitter, |_| Disposition::Retry);
                }
                if ordered {
                    stage = stage.ordered();
                }
                let line =
                    Line::new(nz(1)).stage(stage).stage(works.stage("next", 1, |_, _| takes(1)));
                let results = all(&cx, &works, line.run(works.input(12))).await?;
                let when = if in_closure { "before its future is made" } else { "in its future" };
                for item in [0, 3, 6, 9] {
                    let found = results
                        .iter()
                        .filter_map(|(_, result)| result.as_ref().err())
                        .find(|failed| failed.index == item);
                    let expected = Failed {
                        stage: "fragile",
                        index: item,
                        attempts: 1,
                        cause: Failure::Panicked(payload.text().to_owned()),
                    };
                    ensure_eq!(found, Some(&expected), "the work on item {item} panics {when}{}", if retries { ", in a stage with retries" } else { "" };
                        help = HELP);
                }
                let mut others = values(&results);
                others.sort_unstable();
                ensure!(others == [1, 2, 4, 5, 7, 8, 10, 11], "the work on every third item panics {when}: the values of the others";
                    expected = "1, 2, 4, 5, 7, 8, 10, 11", observed = list(others), help = HELP);
                ensure!(works.most("fragile") == 2, "the work on every third item panics {when}: of two slots {} were used", works.most("fragile");
                    expected = "2, before and after a panic");
            }
        }
    }
    panics_at_an_attempt(&cx).await
}

/// A panic of a later attempt: the attempts before it count.
async fn panics_at_an_attempt(cx: &Cx) -> Outcome {
    for (panics_at, in_closure) in [(2, false), (3, false), (1, true), (2, true), (3, true)] {
        let works = Works::new(cx);
        let payload = Payload::Literal("no luck");
        let stage = works.stage("a", 2, move |_, attempt| {
            let ends = if attempt == panics_at && in_closure {
                Ends::PanicInClosure(payload.clone())
            } else if attempt == panics_at {
                Ends::Panic(payload.clone())
            } else {
                Ends::Error("again".to_owned())
            };
            Plan { length: 1, ends }
        });
        let stage = stage.retry(Backoff::default(), NoJitter, |_| Disposition::Retry);
        let results = all(cx, &works, Line::new(nz(1)).stage(stage).run(works.input(1))).await?;
        let cause = Failure::Panicked("no luck".to_owned());
        let expected = Err(Failed { stage: "a", index: 0, attempts: panics_at, cause });
        let found = results.into_iter().map(|(_, result)| result).next();
        ensure_eq!(found, Some(expected), "attempts fail, and attempt {panics_at} panics{}: the result of the item", if in_closure { " before its future is made" } else { "" }; help = "`attempts` counts the calls of the work, the one that panicked too");
    }
    Ok(())
}

pub async fn a_hanging_item_holds_its_slot_only(cx: Cx) -> Outcome {
    let limit = cx.draw().index(4) + 2;
    for (limit, hanging) in [(2, vec![0]), (3, vec![0, 4]), (limit, vec![1])] {
        let works = Works::new(&cx);
        let hang = hanging.clone();
        let first = works.stage("first", limit, move |item, _| {
            takes(if hang.contains(&item) { 100_000_000 } else { 100 })
        });
        let second = works.stage("second", 2, |_, _| takes(1));
        let mut output = Line::new(nz(1)).stage(first).stage(second).run(works.input(30));
        let others = 30 - hanging.len() as u64;
        let run = tokio::time::timeout(Duration::from_secs(100), take(&works, &mut output, others));
        let results = cx.call(RUN, run).await?.value;
        let stages = limits(&[("first", limit), ("second", 2)]);
        let at = works.now();
        let latest = 100 * (30_u64.div_ceil((limit - hanging.len()) as u64) + 2);
        ensure!(results.is_ok() && at <= latest, "{stages}, 30 items of 100 ms, of which {} hang in the first one: {} at {at} ms", hanging.len(),
            if results.is_ok() { "the others were through" } else { "the others were not through" };
            expected = format!("through within {latest} ms: an item that hangs holds its slot, and no more"),
            help = "no lock, and no order of results in an unordered stage, may make one item wait for another");
    }
    Ok(())
}

pub async fn failures_keep_their_place(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for _ in 0..4 {
        let works = Works::new(&cx);
        let plans: Vec<_> =
            (0..50).map(|_| (draw.below(100), draw.below(100), draw.below(4))).collect();
        let plan = plans.clone();
        let first = works.stage("first", 4, move |item, _| {
            let (length, _, fate) = plan[item as usize];
            if fate == 0 { fails(length, "bad") } else { takes(length) }
        });
        let plan = plans.clone();
        let second = works.stage("second", 3, move |item, _| {
            let (_, length, fate) = plan[item as usize];
            if fate == 1 { fails(length, "worse") } else { takes(length) }
        });
        let third = works.stage("third", 2, |_, _| takes(20));
        let line = [first, second, third]
            .into_iter()
            .fold(Line::new(nz(2)), |line, stage| line.stage(stage.ordered()));
        let output = line.run(works.input(50));
        let numbers = output.map(|result| match result {
            Ok(item) => item,
            Err(failed) => failed.index,
        });
        let run = async {
            let numbers = numbers.collect::<Vec<_>>().await;
            sleep(ms(1)).await;
            numbers
        };
        let order = cx.call(RUN, run).await?.value;
        ensure!(order.iter().copied().eq(0..50), "three ordered stages, and items that fail in the first and in the second one: the order of all results";
            expected = "0 to 49: a failure keeps the place of its item", observed = list(order),
            help = "let a failure go through the channels as a result, and let each ordered stage put it into its line");
    }
    // Some fail, or all.
    for is_bad in [|item: u64| item.is_multiple_of(2), |_| true] {
        ordered_when_a_turn_is_over(&cx, is_bad).await?;
    }
    Ok(())
}
