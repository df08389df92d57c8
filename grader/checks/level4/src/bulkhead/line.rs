//! Slots and queue: who runs, who waits, who is refused.

use std::future::poll_fn;
use std::task::Poll;

use futures::FutureExt as _;
use futures::future::{join, join_all, join3};
use grader_kit::{Cx, Outcome, ensure, list, ms};
use level4::bulkhead::{Bulkheads, PoolError};
use tokio::time::{Instant, sleep, timeout};

use super::ends::a_slot_outlives_what_has_ended;
use super::{RUN, add, call, calls, config, pool};
use crate::ops::Ops;

pub async fn never_more_than_the_limit(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let drawn = draw.index(12) + 1;
    for (max, count) in [(1, 4), (5, 10), (20, 20), (300, 350), (drawn, drawn + draw.index(20))] {
        let pools = pool(&cx, max, 1000, None).await?;
        let ops = Ops::new(&cx);
        let call = cx.call(RUN, calls(&pools, &ops, count, 100)).await?;
        let (most, rounds) = (max.min(count), count.div_ceil(max) as u64);
        ensure!(ops.most() == most, "a pool of {max}: {} of {count} operations ran at once", ops.most();
            expected = format!("{most}"), help = "take a slot before the operation is called, and keep it until the operation has ended");
        ensure!(call.took == ms(rounds * 100), "a pool of {max}: {count} operations of 100 ms took {} ms", call.took.as_millis();
            expected = format!("{} ms", rounds * 100), help = "a slot that is free goes to a call that waits, at once");
        let own = call.value.into_iter().eq((0..count).map(Ok));
        ensure!(own, "an operation's value went to another caller");
    }
    a_slot_outlives_what_has_ended(&cx).await
}

pub async fn pools_are_apart(cx: Cx) -> Outcome {
    let pools = Bulkheads::new();
    let sizes = [("database", 20), ("external-api", 5), ("files", 3)];
    for (name, max) in sizes {
        add(&cx, &pools, name, config(max, 100, None)).await?;
    }
    // Every pool has more operations that hang than slots, through a clone.
    let held: Vec<_> = sizes.iter().map(|_| Ops::new(&cx)).collect();
    let clone = pools.clone();
    let hang = join_all(sizes.iter().zip(&held).map(|((name, _), ops)| {
        let clone = &clone;
        join_all((0..30).map(move |number| {
            clone.run(name, move || async move { Ok::<_, ()>(ops.run(number, 1_000_000).await) })
        }))
    }));
    let _ = cx.call(RUN, timeout(ms(50), hang)).await?;
    for ((name, max), ops) in sizes.iter().zip(&held) {
        ensure!(ops.most() == *max, "three pools of 20, 5 and 3 slots, each with 30 operations that hang: {} run in `{name}`", ops.most();
            expected = format!("{max}: each pool has its own slots"));
    }
    // One full pool delays no other one.
    for (full, _) in sizes {
        let pools = Bulkheads::new();
        for (name, max) in sizes {
            add(&cx, &pools, name, config(max, 100, None)).await?;
        }
        let hangs =
            join_all((0..30).map(|_| pools.run(full, std::future::pending::<Result<(), ()>>)));
        let others = async {
            let began = Instant::now();
            for (name, _) in sizes.iter().filter(|(name, _)| *name != full) {
                let op = || async {
                    sleep(ms(10)).await;
                    Ok::<_, ()>(())
                };
                if !matches!(timeout(ms(1000), pools.run(name, op)).await, Ok(Ok(()))) {
                    return None;
                }
            }
            Some(began.elapsed())
        };
        let both = async {
            tokio::select! {
                biased;
                _ = hangs => None,
                took = others => took,
            }
        };
        let took = cx.call(RUN, both).await?.value;
        ensure!(took == Some(ms(20)), "`{full}` is full of operations that hang: two calls of 10 ms in the other pools took {took:?}";
            expected = "20 ms: a pool knows nothing of another one");
    }
    Ok(())
}

pub async fn no_newcomer_overtakes(cx: Cx) -> Outcome {
    const HELP: &str = "hand the slot to the head of the queue under the lock; a slot that is free for a moment is \
                        taken by the caller that comes first";
    for max in [1, 2] {
        let pools = pool(&cx, max, 10, None).await?;
        let ops = Ops::new(&cx);
        let mut holding: Vec<_> =
            (0..max).map(|number| Box::pin(call(&pools, &ops, number, 100))).collect();
        let mut waits = Box::pin(call(&pools, &ops, 10, 100));
        let mut comes = Box::pin(call(&pools, &ops, 11, 100));
        let run = async {
            poll_fn(|cx| {
                for caller in &mut holding {
                    let _ = caller.as_mut().poll(cx);
                }
                let _ = waits.as_mut().poll(cx);
                Poll::Ready(())
            })
            .await;
            sleep(ms(50)).await;
            // A slot is freed. Before the waiting call is polled, another one comes.
            holding.pop();
            let _ = futures::poll!(&mut comes);
            let rest = join_all(holding);
            let _ = join3(comes, waits, rest).await;
        };
        cx.call(RUN, run).await?;
        ensure!(ops.most() == max, "a pool of {max}: a slot is freed while one call waits, and another one comes in the same turn: {} run at once", ops.most();
            expected = format!("{max}"), help = HELP);
        ensure!(ops.began(10) < ops.began(11), "a slot is freed while one call waits, and another one comes in the same turn: the newcomer has it";
            expected = "it belongs to the call that has waited", help = HELP);
    }
    Ok(())
}

pub async fn first_come_first_served(cx: Cx) -> Outcome {
    for (max, count) in [(1, 6), (3, 12)] {
        let pools = pool(&cx, max, 100, None).await?;
        let ops = Ops::new(&cx);
        cx.call(RUN, calls(&pools, &ops, count, 100)).await?;
        let order: Vec<_> = (0..count).collect();
        ops.began_in(
            &order,
            &format!("a pool of {max}: the order in which {count} calls are served"),
            "a queue: the head is served, newcomers stand at its end",
        )?;
    }
    for timeout in [None, Some(5000)] {
        serves_a_call_that_moves(&cx, timeout).await?;
    }
    Ok(())
}

/// A call whose future has moved to another task while it waited is served in its turn.
async fn serves_a_call_that_moves(cx: &Cx, queue_timeout: Option<u64>) -> Outcome {
    let pools = pool(cx, 1, 10, queue_timeout).await?;
    let ops = Ops::new(cx);
    let mut holds = Box::pin(call(&pools, &ops, 0, 100));
    let mut waits = Box::pin(call(&pools, &ops, 1, 100));
    let by_another_task = || {
        let _ = holds.as_mut().now_or_never();
        let _ = waits.as_mut().now_or_never();
    };
    cx.call_fn(RUN, by_another_task).await?;
    // `waits` is polled first: when the slot is handed over, it has to be woken.
    let served = cx.call(RUN, timeout(ms(1000), join(waits, holds))).await?.value;
    ensure!(served == Ok((Ok(1), Ok(0))), "a call waits, its future moves to another task, and the slot becomes free: within 1 s it gets {}",
        served.map_or_else(|_| "nothing".to_owned(), |(waits, _)| format!("{waits:?}"));
        expected = "the slot, as soon as it is free",
        help = "each poll may come from another task: keep the waker of the newest one");
    Ok(())
}

pub async fn a_full_queue_refuses_at_once(cx: Cx) -> Outcome {
    for (max, queued) in [(1, 0), (2, 3), (3, 1)] {
        let pools = pool(&cx, max, queued, None).await?;
        let ops = Ops::new(&cx);
        let timed = join_all((0..max + queued + 2).map(|number| {
            let (pools, ops) = (&pools, &ops);
            async move {
                let began = Instant::now();
                (call(pools, ops, number, 100).await, began.elapsed())
            }
        }));
        let answers = cx.call(RUN, timed).await?.value;
        let refused: Vec<_> =
            answers.iter().enumerate().filter(|(_, (answer, _))| answer.is_err()).collect();
        let who = list(refused.iter().map(|(number, _)| number));
        let expected = list([max + queued, max + queued + 1]);
        ensure!(who == expected, "{} calls for {max} slots and {queued} places: which ones are refused", max + queued + 2;
            expected = expected, observed = who, help = "as many wait as may wait; the next one is refused");
        for (_, (answer, took)) in refused {
            ensure!(*answer == Err(PoolError::QueueFull { max_queued: queued }), "a call too many gets {answer:?}"; expected = format!("QueueFull with {queued}"));
            ensure!(took.is_zero(), "a call too many is refused after {} ms", took.as_millis(); expected = "at once");
        }
        ensure!(ops.seen().len() == max + queued, "the operation of a refused call was called");
        a_handed_slot_leaves_a_place(&cx, max, queued).await?;
        // A place that is free again is free for the next.
        let again = cx.call(RUN, calls(&pools, &ops, max + queued, 100)).await?.value;
        ensure!(again.iter().all(Result::is_ok), "when all have ended, as many calls again: {again:?}"; expected = "none is refused");
    }
    Ok(())
}

/// A call that has been handed a slot waits no more, also before it is polled: its place is free for the next.
async fn a_handed_slot_leaves_a_place(cx: &Cx, max: usize, queued: usize) -> Outcome {
    if queued == 0 {
        return Ok(());
    }
    let pools = pool(cx, max, queued, None).await?;
    let ops = Ops::new(cx);
    let mut callers: Vec<_> =
        (0..max + queued).map(|number| Box::pin(call(&pools, &ops, number, 100))).collect();
    let mut comes = Box::pin(call(&pools, &ops, 99, 100));
    let run = async {
        for caller in &mut callers {
            let _ = futures::poll!(caller);
        }
        // The first one that runs goes. Before the head of the queue is polled, another call comes.
        drop(callers.remove(0));
        match futures::poll!(&mut comes) {
            Poll::Ready(early) => early,
            Poll::Pending => join(join_all(callers), comes).await.1,
        }
    };
    let came = cx.call(RUN, run).await?.value;
    ensure!(came == Ok(99), "{max} slots, {queued} places, all of them taken: a slot is freed, and in the same turn another call comes: {came:?}";
        expected = "it gets the place of the call that has been handed the slot",
        help = "a call that has been handed a slot leaves the queue in that step, not when it is polled");
    Ok(())
}

pub async fn a_queue_timeout_ends_the_wait(cx: Cx) -> Outcome {
    const HELP: &str =
        "the time is that of the wait for a slot; an operation that runs is not stopped by it";
    let limit = cx.draw().between(2..=900);
    for limit in [150, 1, limit] {
        let pools = pool(&cx, 1, 2, Some(limit)).await?;
        let ops = Ops::new(&cx);
        let late = async {
            sleep(ms(limit / 2)).await;
            let began = Instant::now();
            (call(&pools, &ops, 2, 10).await, began.elapsed())
        };
        let waits = async {
            let began = Instant::now();
            (call(&pools, &ops, 1, 10).await, began.elapsed())
        };
        let holds = call(&pools, &ops, 0, 5000);
        let (holds, waits, late) = cx.call(RUN, join3(holds, waits, late)).await?.value;
        ensure!(holds == Ok(0), "an operation of 5 s, with a queue timeout of {limit} ms: {holds:?}"; expected = "its value", help = HELP);
        for (who, (answer, took)) in [("at once", waits), ("later", late)] {
            ensure!(answer == Err(PoolError::QueueTimeout(ms(limit))), "a call that came {who} and got no slot: {answer:?}"; expected = format!("QueueTimeout of {limit} ms"), help = HELP);
            ensure!(took == ms(limit), "a call that came {who} gave up after {} ms", took.as_millis(); expected = format!("{limit} ms, counted from its own arrival"), help = HELP);
        }
        ensure!(ops.seen().len() == 1, "the operation of a call that gave up was called");
        // Who gave up holds nothing: two places and one slot are there again.
        let again =
            timeout(ms(100_000), join(call(&pools, &ops, 3, limit / 3), call(&pools, &ops, 4, 0)));
        let again = cx.call(RUN, again).await?.value;
        ensure!(again == Ok((Ok(3), Ok(4))), "after calls that gave up, two calls get {again:?}"; expected = "their values: the place of a call that gave up is free");
        a_slot_in_time_is_kept(&cx, limit).await?;
    }
    Ok(())
}

/// A call that has been handed a slot in time has it, also when it is polled after its time.
async fn a_slot_in_time_is_kept(cx: &Cx, limit: u64) -> Outcome {
    let pools = pool(cx, 1, 2, Some(limit)).await?;
    let ops = Ops::new(cx);
    let mut holds = Box::pin(pools.run("a", std::future::pending::<Result<usize, String>>));
    let mut waits = Box::pin(call(&pools, &ops, 1, 10));
    let script = async {
        let _ = futures::poll!(&mut holds);
        let _ = futures::poll!(&mut waits);
        sleep(ms(limit - 1)).await;
        drop(holds);
        sleep(ms(500)).await;
        waits.await
    };
    let answer = cx.call(RUN, script).await?.value;
    ensure!(answer == Ok(1), "a queue timeout of {limit} ms: a slot is freed at {} ms, and the call that waits is polled at {} ms: {answer:?}", limit - 1, limit + 499;
        expected = "its value: it has been handed the slot in time, and waits no more",
        help = "look for the slot before you look at the timer, as `tokio::time::timeout` does");
    Ok(())
}
