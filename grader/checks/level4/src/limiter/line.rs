//! The line of those who wait.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures::FutureExt as _;
use futures::future::{join, join_all};
use grader_kit::{Cx, Outcome, ensure, ms};
use level4::limiter::Limiter;
use tokio::time::timeout;

use super::{RUN, batch, singly};
use crate::ops::{Ops, nz};

pub async fn calls_nothing_before_its_turn(cx: Cx) -> Outcome {
    let limit = cx.draw().index(3) + 1;
    for batched in [false, true] {
        let limiter = Limiter::new(nz(limit));
        let ops = Ops::new(&cx);
        let lengths = vec![100; 3 * limit];
        let name = if batched { super::RUN_ALL } else { RUN };
        if batched {
            cx.call(name, batch(&limiter, &ops, &lengths)).await?;
        } else {
            cx.call(name, singly(&limiter, &ops, &lengths)).await?;
        }
        let early = ops.seen().into_iter().find(|seen| seen.began != Some(seen.called));
        if let Some(seen) = early {
            let began = seen.began.map_or("never".to_owned(), |at| format!("at {at} ms"));
            return Err(grader_kit::Fail::new(format!(
                "{name}: the closure of operation {} was called at {} ms, and its future first polled {began}",
                seen.number, seen.called
            ))
            .expected("both when the operation has its slot")
            .help("a closure that builds a request may already send it: take the slot first, then call it"));
        }
        ensure!(
            ops.seen().len() == 3 * limit,
            "{name}: {} of {} operations were called",
            ops.seen().len(),
            3 * limit
        );
        polls_what_it_calls(&cx, batched).await?;
    }
    Ok(())
}

/// Whenever a call returns to its task, each operation that was called has been polled.
async fn polls_what_it_calls(cx: &Cx, batched: bool) -> Outcome {
    let limiter = Limiter::new(nz(2));
    let ops = Ops::new(cx);
    let lengths = [0, 100, 50, 0, 100];
    let name = if batched { super::RUN_ALL } else { RUN };
    let mut calls = pin!(async {
        if batched {
            batch(&limiter, &ops, &lengths).await
        } else {
            singly(&limiter, &ops, &lengths).await
        }
    });
    let mut unpolled = None;
    let watched = poll_fn(|cx| {
        let polled = calls.as_mut().poll(cx);
        unpolled = unpolled.or_else(|| ops.seen().into_iter().find(|seen| seen.began.is_none()));
        polled
    });
    cx.call(name, watched).await?;
    ensure!(unpolled.is_none(), "{name}: the closure of an operation was called, and the call has paused before it polled the operation's future";
        expected = "the operation begins in the turn in which its closure is called",
        help = "`op().await`, without an await in between: a caller that is dropped there has an operation that was called and did not begin");
    Ok(())
}

pub async fn first_come_first_served(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    // Up to 30 callers: `join_all` polls so few all together, whichever of them was woken. A caller that is not woken
    // is the business of `serves_a_call_that_moves`.
    for (limit, count) in [(1, 5), (2, 9), (draw.index(5) + 1, draw.index(21) + 10)] {
        let limiter = Limiter::new(nz(limit));
        let ops = Ops::new(&cx);
        // Made in one order and polled in another.
        let mut callers: Vec<_> = (0..count)
            .map(|number| {
                let (limiter, ops) = (&limiter, &ops);
                Box::pin(async move { limiter.run(|| ops.run(number, 100)).await })
            })
            .collect();
        let mut order: Vec<usize> = (0..count).collect();
        draw.shuffle(&mut order);
        let arrive = poll_fn(|cx| {
            for number in &order {
                let _ = callers[*number].as_mut().poll(cx).is_ready();
            }
            Poll::Ready(())
        });
        cx.call(RUN, arrive).await?;
        cx.call(RUN, join_all(callers)).await?;
        ops.began_in(
            &order,
            "operations began in another order than their callers came",
            "the caller that waits longest gets the next slot",
        )?;
    }
    // A batch begins in its own order.
    let limiter = Limiter::new(nz(2));
    let ops = Ops::new(&cx);
    let count = draw.index(30) + 10;
    cx.call(super::RUN_ALL, batch(&limiter, &ops, &vec![100; count])).await?;
    let own: Vec<_> = (0..count).collect();
    ops.began_in(
        &own,
        "operations of a batch began in another order than they stand in it",
        "hand the operations to the line in the order of the batch",
    )?;
    serves_a_call_that_moves(&cx).await
}

/// A caller whose future has moved to another task while it waited is served in its turn.
async fn serves_a_call_that_moves(cx: &Cx) -> Outcome {
    for batched in [false, true] {
        let limiter = Limiter::new(nz(1));
        let ops = Ops::new(cx);
        let name = if batched { super::RUN_ALL } else { RUN };
        let mut holds = Box::pin(limiter.run(|| ops.run(9, 100)));
        let mut waits = Box::pin(async {
            if batched {
                batch(&limiter, &ops, &[100, 50]).await
            } else {
                singly(&limiter, &ops, &[100, 50]).await
            }
        });
        let by_another_task = || {
            let _ = holds.as_mut().now_or_never();
            let _ = waits.as_mut().now_or_never();
        };
        cx.call_fn(name, by_another_task).await?;
        // `waits` is polled first: when the slot is free, it has to be woken.
        let served = cx.call(name, timeout(ms(1000), join(waits, holds))).await?;
        ensure!(served.value.is_ok(), "{name}: a caller waits, its future moves to another task, and the slot becomes free at 100 ms: it is not served within 1 s";
            expected = "its operations run",
            help = "each poll may come from another task: keep the waker of the newest one");
    }
    Ok(())
}

pub async fn no_newcomer_overtakes(cx: Cx) -> Outcome {
    for limit in [1, 2] {
        let limiter = Limiter::new(nz(limit));
        let ops = Ops::new(&cx);
        // Each caller asks for its next operation in the same breath in which its slot becomes free, before
        // the one that waits has had a chance to look.
        let callers = limit + 1;
        let came = RefCell::new(Vec::new());
        let all = (0..callers).map(|caller| {
            let (limiter, ops, came) = (&limiter, &ops, &came);
            async move {
                for round in 0..3 {
                    let number = round * callers + caller;
                    came.borrow_mut().push(number);
                    limiter.run(|| ops.run(number, [100, 130, 160][caller])).await;
                }
            }
        });
        cx.call(RUN, join_all(all)).await?;
        let help = "between waking a waiter and its turn to run, a newcomer finds the counter free. Hand the slot \
                    to the waiter itself, as tokio's Semaphore does";
        let most = ops.most();
        ensure!(most == limit, "a newcomer took the slot of a caller that was waiting, and both ran";
            expected = format!("{limit} operations at once"), observed = format!("{most} operations at once"), help = help);
        ops.began_in(
            &came.borrow(),
            "a newcomer took the slot of a caller that was waiting",
            help,
        )?;
    }
    Ok(())
}

pub async fn takes_its_place_when_polled(cx: Cx) -> Outcome {
    // A free slot is not taken by a future that was only made, and such a future stands in no line.
    let limiter = Limiter::new(nz(1));
    let ops = Ops::new(&cx);
    let made = limiter.run(|| ops.run(9, 100));
    let help = "do the work inside of the future: what a plain `fn` does before it returns one is done at once";
    let calls = timeout(ms(10_000), singly(&limiter, &ops, &[100, 100]));
    let call = cx.call(RUN, calls).await?;
    ensure!(call.took == ms(200), "a future of `run` was made and not polled: two operations of 100 ms on the only slot took {} ms", call.took.as_millis();
        expected = "200 ms: a future that was not polled has no slot and no place", help = help);
    ensure!(
        ops.seen().len() == 2,
        "the operation of a future that was made and not polled was called"
    );
    let call = cx.call(RUN, made).await?;
    ensure!(call.value == 9 && call.took == ms(100), "a future of `run` that is polled late took {} ms", call.took.as_millis();
        expected = "100 ms, the time of its operation");
    let made = batch(&limiter, &ops, &[100; 3]);
    let calls = timeout(ms(10_000), singly(&limiter, &ops, &[100, 100]));
    let call = cx.call(RUN, calls).await?;
    ensure!(call.took == ms(200), "a batch was made and not polled: two operations of 100 ms on the only slot took {} ms", call.took.as_millis();
        expected = "200 ms: a batch that was not polled has no slot and no place", help = help);
    drop(made);
    Ok(())
}
