//! Batches.

use std::cell::Cell;

use futures::future::{join, join_all};
use grader_kit::{Cx, Outcome, dropped_at, ensure, ensure_eq, list, ms};
use level4::limiter::{Failure, Limiter};
use tokio::time::sleep;

use super::{RUN, RUN_ALL, batch};
use crate::ops::{End, OnDrop, Ops, nz};
use crate::panics::Payload;

pub async fn begins_as_soon_as_a_slot_is_free(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (short, long) = (draw.between(1..=200), draw.between(1000..=5000));
    // One slow operation among quick ones, at each place of the first two and behind a full slot.
    for (limit, lengths, starts) in [
        (2, vec![100, 1000, 100, 100], vec![0, 0, 100, 200]),
        (2, vec![1000, 100, 100, 100], vec![0, 0, 100, 200]),
        (2, vec![short, long, short, short], vec![0, 0, short, 2 * short]),
        (2, vec![long, short, short, short], vec![0, 0, short, 2 * short]),
        (3, vec![long, short, 2 * short, short, short], vec![0, 0, 0, short, 2 * short]),
    ] {
        let limiter = Limiter::new(nz(limit));
        let ops = Ops::new(&cx);
        let began = cx.timeline().now_ms();
        cx.call(RUN_ALL, batch(&limiter, &ops, &lengths)).await?;
        let at = |number| ops.began(number).map_or(u64::MAX, |at| at - began);
        let mut observed: Vec<_> = (0..lengths.len()).map(at).collect();
        // Which of them begins first is a criterion of its own.
        observed.sort_unstable();
        ensure!(observed == starts, "{limit} slots, operations of {} ms: they begin at {} ms", list(&lengths), list(&observed);
            expected = format!("{} ms: each begins when a slot becomes free", list(&starts)),
            help = "a batch that works in chunks waits for the slowest of each chunk while slots are free");
    }
    // Other callers have some of the slots, or all of them, when the batch begins. It uses theirs as well, later.
    for (slots, held) in [(2, 1), (3, 2), (3, 3), (4, 1)] {
        let limiter = Limiter::new(nz(slots));
        let ops = Ops::new(&cx);
        let began = cx.timeline().now_ms();
        let holds = join_all((0..held).map(|_| limiter.run(|| sleep(ms(50)))));
        let lengths = vec![1000; 2 * slots];
        cx.call(RUN_ALL, join(holds, batch(&limiter, &ops, &lengths))).await?;
        let at = |number| ops.began(number).map_or(u64::MAX, |at| at - began);
        let mut observed: Vec<_> = (0..lengths.len()).map(at).collect();
        // That none begins too early is a criterion of its own.
        observed.sort_unstable();
        let free = slots - held;
        let starts: Vec<u64> = [(0, free), (50, held), (1000, free), (1050, held)]
            .into_iter()
            .flat_map(|(at, count)| std::iter::repeat_n(at, count))
            .collect();
        let in_time = observed.iter().zip(&starts).all(|(at, latest)| at <= latest);
        ensure!(in_time, "{slots} slots, of which other callers have {held} for 50 ms, and a batch of {} operations of 1000 ms: they begin at {} ms", lengths.len(), list(&observed);
            expected = format!("{} ms: each begins when a slot becomes free, also one that another caller had", list(&starts)),
            help = "how many operations of a batch may run is decided slot by slot, not when the batch begins");
    }
    a_slow_first_one_holds_up_none(&cx).await
}

/// A batch that is much longer than its limit, whose first operation outlasts all others.
async fn a_slow_first_one_holds_up_none(cx: &Cx) -> Outcome {
    let count = 2000 + cx.draw().index(100);
    let limiter = Limiter::new(nz(2));
    let ops = Ops::new(cx);
    let mut lengths = vec![1; count];
    if let Some(first) = lengths.first_mut() {
        *first = 2 * count as u64;
    }
    let began = cx.timeline().now_ms();
    cx.call(RUN_ALL, batch(&limiter, &ops, &lengths)).await?;
    // The others pass through the second slot, one each millisecond.
    let late = (1..count)
        .find(|number| ops.began(*number).is_none_or(|at| at - began > *number as u64 - 1));
    ensure!(late.is_none(), "2 slots, {count} operations: the first one takes {} ms, the others 1 ms each; number {} does not begin when the slot of the one before it is free", 2 * count, late.unwrap_or_default();
        expected = "one slot is enough for all the others, however many they are",
        help = "results wait for their places in the list, operations do not: `buffered(n)` stops at the n-th result behind a slow one");
    Ok(())
}

pub async fn settles_in_the_order_of_the_batch(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let descending: Vec<u64> = (1..=8).rev().map(|number| number * 10).collect();
    let mut drawn: Vec<u64> = (1..=40).map(|number| number * 10).collect();
    draw.shuffle(&mut drawn);
    let (one, few) = (vec![10], draw.index(4) + 1);
    for (limit, lengths) in [(1, one), (8, descending.clone()), (2, descending), (few, drawn)] {
        let fails: Vec<bool> = lengths.iter().map(|length| length % 30 == 0).collect();
        let limiter = Limiter::new(nz(limit));
        let count = lengths.len();
        let ops = lengths.iter().zip(&fails).enumerate().map(|(number, (length, fails))| {
            move || async move {
                sleep(ms(*length)).await;
                if *fails { Err(number) } else { Ok(number) }
            }
        });
        let results = cx.call(RUN_ALL, limiter.run_all(ops.collect())).await?.value;
        let shown = |number: usize, failed: bool| {
            if failed { format!("Err({number})") } else { format!("Ok({number})") }
        };
        let observed: Vec<_> = results
            .into_iter()
            .map(|result| match result {
                Ok(number) => shown(number, false),
                Err(Failure::Error(number)) => shown(number, true),
                Err(Failure::Panicked(text)) => format!("a panic: {text}"),
            })
            .collect();
        let expected: Vec<_> =
            fails.iter().enumerate().map(|(number, fails)| shown(number, *fails)).collect();
        ensure_eq!(observed, expected, "a batch of {count} operations: the results are not those of its operations in their order";
            help = "an operation's place in the batch is the place of its result, whenever it ends; an error is a \
                    result like any other");
    }
    Ok(())
}

pub async fn contains_panics(cx: Cx) -> Outcome {
    let word = cx.draw().word();
    for payload in Payload::all(&word) {
        for (in_closure, length) in [(true, 0), (false, 0), (false, 50)] {
            let limiter = Limiter::new(nz(2));
            let ops = Ops::new(&cx);
            let (ops, thrown) = (&ops, &payload);
            let batch = (0..5).map(|number| {
                move || {
                    if number == 1 && in_closure {
                        thrown.clone().throw();
                    }
                    async move {
                        if number == 1 {
                            sleep(ms(length)).await;
                            thrown.clone().throw();
                        }
                        Ok::<_, String>(ops.run(number, 100).await)
                    }
                }
            });
            let when = match (in_closure, length) {
                (true, _) => "in its closure".to_owned(),
                (false, length) => format!("in its future, after {length} ms"),
            };
            let results = cx.call(RUN_ALL, limiter.run_all(batch.collect())).await?.value;
            let observed: Vec<_> = results
                .into_iter()
                .map(|result| match result {
                    Ok(number) => format!("Ok({number})"),
                    Err(Failure::Error(error)) => format!("Error({error})"),
                    Err(Failure::Panicked(text)) => format!("Panicked({text})"),
                })
                .collect();
            let expected =
                ["Ok(0)", &format!("Panicked({})", payload.text()), "Ok(2)", "Ok(3)", "Ok(4)"]
                    .map(str::to_owned);
            ensure_eq!(observed, expected, "operation 1 of 5 panics {when}";
                help = "call the closure and poll its future inside of `catch_unwind`; a panic carries a `&str`, a \
                        `String` or something else");
        }
    }
    Ok(())
}

pub async fn an_empty_batch_is_done_at_once(cx: Cx) -> Outcome {
    let limiter = Limiter::new(nz(1));
    let empty = async {
        let none = (0..0).map(|_: u32| || async { Ok::<(), ()>(()) });
        limiter.run_all(none.collect()).await.len()
    };
    // The only slot is taken meanwhile.
    let both = join(limiter.run(|| sleep(ms(1000))), async {
        sleep(ms(10)).await;
        let began = cx.timeline().now_ms();
        (empty.await, cx.timeline().now_ms() - began)
    });
    let (count, took) = cx.call(RUN_ALL, both).await?.value.1;
    ensure!(count == 0, "an empty batch has {count} results");
    ensure!(took == 0, "all slots are taken: an empty batch took {took} ms";
        expected = "0 ms: it has no operation that needs a slot");
    Ok(())
}

pub async fn a_dropped_batch_stops(cx: Cx) -> Outcome {
    let limit = cx.draw().index(3) + 1;
    for at in [0, 50, 150] {
        let limiter = Limiter::new(nz(limit));
        let ops = Ops::new(&cx);
        let lengths = vec![100; 4 * limit];
        if at == 0 {
            drop(batch(&limiter, &ops, &lengths));
        } else {
            dropped_at(&cx, RUN_ALL, at, batch(&limiter, &ops, &lengths)).await?;
        }
        let called = ops.seen().len();
        ensure!(ops.running() == 0, "a batch was dropped at {at} ms, and {} of its operations still run", ops.running();
            expected = "none: dropping the batch stops its operations",
            help = "own the operations' futures, so that they are dropped with the batch");
        let after = Ops::new(&cx);
        let calls = super::singly(&limiter, &after, &lengths[..limit]);
        let took = cx.call(RUN, calls).await?.took;
        ensure!(took == ms(100), "a batch was dropped at {at} ms; as many operations of 100 ms as there are slots then took {} ms", took.as_millis();
            expected = "100 ms: the slots are free, and the rest of the batch has left the line");
        sleep(ms(10_000)).await;
        ensure!(ops.seen().len() == called, "a batch was dropped at {at} ms, and later {} of its operations were called", ops.seen().len() - called;
            expected = "none");
        let finished = |seen: &crate::ops::Seen| matches!(seen.ended, Some((_, End::Finished)));
        let done = ops.seen().iter().filter(|seen| finished(seen)).count() as u64;
        ensure!(
            done == at / 100 * limit as u64,
            "{done} operations of a dropped batch have finished"
        );
    }
    // What an operation owns goes with it, also when it was never called.
    let (called, waiting) = (Cell::new(false), Cell::new(false));
    let limiter = Limiter::new(nz(1));
    let owned = [OnDrop(&called), OnDrop(&waiting)].map(|guard| {
        move || async move {
            let _guard = guard;
            sleep(ms(100)).await;
            Ok::<_, ()>(())
        }
    });
    dropped_at(&cx, RUN_ALL, 50, limiter.run_all(owned.into())).await?;
    ensure!(called.get() && waiting.get(), "a batch was dropped, and what its operations own is still there";
        expected = "it is dropped with the batch");
    Ok(())
}
