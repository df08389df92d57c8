//! The ways in which a call ends: the slot is free after each of them.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::task::Poll;

use futures::FutureExt as _;
use futures::future::{join, join_all};
use grader_kit::{Cx, Outcome, ensure, ms};
use level4::bulkhead::{Bulkheads, PoolError};
use tokio::time::timeout;

use super::{RUN, call, calls, pool};
use crate::ops::{Ops, keeps, leaves_no_task};
use crate::panics::Payload;

/// As many operations as there are slots run at once, and as many calls wait as may wait.
async fn serves(cx: &Cx, pools: &Bulkheads, slots: usize, queued: usize, when: &str) -> Outcome {
    const HELP: &str =
        "let destructors give slots and places back: a line after an await is not always reached";
    let ops = Ops::new(cx);
    let all = AssertUnwindSafe(timeout(ms(10_000), calls(pools, &ops, slots + queued, 100)));
    let outcome = cx.call(RUN, all.catch_unwind()).await?.value;
    let served = matches!(&outcome, Ok(Ok(answers)) if answers.iter().all(Result::is_ok));
    ensure!(served, "{when}, {slots} slots and {queued} places do not serve {} calls", slots + queued;
        expected = "every slot and every place is free again", help = HELP);
    ensure!(ops.most() == slots, "{when}, {} of {slots} slots are left", ops.most();
        expected = "every slot is free again, and no more than there were", help = HELP);
    Ok(())
}

pub async fn an_error_is_the_operations(cx: Cx) -> Outcome {
    let word = cx.draw().word();
    let pools = pool(&cx, 2, 2, Some(1000)).await?;
    for _ in 0..4 {
        let failed =
            cx.call(RUN, pools.run("a", || async { Err::<(), _>(word.clone()) })).await?.value;
        ensure!(failed == Err(PoolError::Inner(word.clone())), "an operation fails with {word}: {failed:?}"; expected = "its error, as `Inner`");
    }
    serves(&cx, &pools, 2, 2, "after operations that have failed").await
}

pub async fn a_panic_frees_its_slot(cx: Cx) -> Outcome {
    let word = cx.draw().word();
    for payload in Payload::all(&word) {
        for in_closure in [true, false] {
            for slots in [1, 3] {
                let pools = pool(&cx, slots, 2, None).await?;
                let ops = Ops::new(&cx);
                let panics = async {
                    for _ in 0..=slots {
                        let op = || {
                            if in_closure {
                                payload.clone().throw();
                            }
                            async {
                                ops.run(0, 100).await;
                                payload.clone().throw()
                            }
                        };
                        let run =
                            AssertUnwindSafe(timeout(ms(10_000), pools.run::<(), (), _>("a", op)));
                        let passed =
                            run.catch_unwind().await.is_err_and(|panic| payload.is(panic.as_ref()));
                        ensure!(passed, "the caller of an operation that panics gets another panic, or none";
                            expected = "the operation's own panic, with what it carries");
                    }
                    Ok(())
                };
                let waits = async {
                    tokio::task::yield_now().await;
                    timeout(ms(10_000), call(&pools, &ops, 1, 100)).await
                };
                let (panicked, waited) = cx.call(RUN, join(panics, waits)).await?.value;
                panicked?;
                ensure!(waited == Ok(Ok(1)), "operations panic, and a call that waits gets {waited:?}"; expected = "the slot");
                serves(&cx, &pools, slots, 2, "after operations that have panicked").await?;
            }
        }
    }
    Ok(())
}

/// Notes how many slots are taken when it is dropped.
struct Looks<'a> {
    pools: &'a Bulkheads,
    running: &'a Cell<Option<usize>>,
}

impl Drop for Looks<'_> {
    fn drop(&mut self) {
        self.running.set(self.pools.status("a").map(|status| status.running));
    }
}

const DROP_ORDER: &str = "drop the operation's future first, then the slot: variables are dropped in the reverse order of their declaration";

/// A call is dropped: its slot is free when its operation is gone, and not before.
async fn a_slot_outlives_its_operation(cx: &Cx) -> Outcome {
    let pools = pool(cx, 1, 3, None).await?;
    let running = Cell::new(None);
    let guard = Looks { pools: &pools, running: &running };
    let op = || async move {
        let _guard = guard;
        std::future::pending::<Result<usize, String>>().await
    };
    let _ = cx.call(RUN, timeout(ms(50), pools.run("a", op))).await?;
    ensure!(running.get() == Some(1), "a call is dropped while its operation runs: the operation's destructor sees {:?} slots taken", running.get();
        expected = "1: while the operation is being dropped it still uses what the pool protects",
        help = DROP_ORDER);
    Ok(())
}

/// An operation ends whose future keeps something until it is dropped: the slot is free after that, and not before.
pub(super) async fn a_slot_outlives_what_has_ended(cx: &Cx) -> Outcome {
    for result in [Ok(1), Err("no")] {
        let pools = pool(cx, 1, 3, None).await?;
        let running = Cell::new(None);
        let guard = Looks { pools: &pools, running: &running };
        let end = if result.is_ok() { "a value" } else { "an error" };
        let op = || keeps(guard, result);
        let _ = cx.call(RUN, timeout(ms(50), pools.run("a", op))).await?;
        ensure!(running.get() == Some(1), "an operation ends with {end}, and its future is dropped: the future's destructor sees {:?} slots taken", running.get();
            expected = "1: what the future holds until it is dropped is in use until then",
            help = DROP_ORDER);
    }
    Ok(())
}

pub async fn a_dropped_caller_frees_its_place(cx: Cx) -> Outcome {
    const QUEUED: usize = 3;
    a_slot_outlives_its_operation(&cx).await?;
    for slots in [1, 2] {
        let pools = pool(&cx, slots, QUEUED, None).await?;
        let ops = Ops::new(&cx);
        let tasks = cx.alive_tasks();
        // A handle that goes changes nothing for the others.
        drop(pools.clone());
        for _ in 0..3 {
            let running =
                join_all((0..slots).map(|number| timeout(ms(50), call(&pools, &ops, number, 100))));
            let waiting = join_all(
                (0..QUEUED).map(|number| timeout(ms(30), call(&pools, &ops, 10 + number, 100))),
            );
            cx.call(RUN, join(running, waiting)).await?;
            ensure!(ops.running() == 0, "an operation still runs after its caller was dropped";
                expected = "dropping the future stops its operation", help = "run the operation inside of the caller's own future");
            serves(
                &cx,
                &pools,
                slots,
                QUEUED,
                "after callers were dropped while they ran and while they waited",
            )
            .await?;
        }
        leaves_no_task(&cx, tasks, "calls of a pool were dropped").await?;
        let called = ops.seen().iter().filter(|seen| seen.number >= 10).count();
        ensure!(called == 0, "{called} operations were called whose callers had been dropped while they waited"; expected = "none");
        // A caller is dropped that has been handed a slot and was not polled since.
        for handed in 1..=QUEUED {
            let mut holding: Vec<_> =
                (0..slots).map(|number| Box::pin(call(&pools, &ops, 30 + number, 100))).collect();
            let mut waiting: Vec<_> =
                (0..handed).map(|number| Box::pin(call(&pools, &ops, 20 + number, 100))).collect();
            let arrive = poll_fn(|cx| {
                let polled =
                    holding.iter_mut().chain(&mut waiting).map(|caller| caller.as_mut().poll(cx));
                Poll::Ready(polled.filter(Poll::is_ready).count())
            });
            let early = cx.call(RUN, arrive).await?.value;
            ensure!(early == 0, "an operation of 100 ms was over at once");
            drop(holding);
            drop(waiting);
            serves(&cx, &pools, slots, QUEUED, "after callers were dropped at their turn").await?;
        }
        // A dropped one is skipped, and the next one behind it is served.
        let skipped = Ops::new(&cx);
        let line = async {
            let holds = call(&pools, &skipped, 0, 100);
            let gone = timeout(ms(50), call(&pools, &skipped, 1, 100));
            let waits = timeout(ms(1000), call(&pools, &skipped, 2, 100));
            let hold_too =
                join_all((1..slots).map(|number| call(&pools, &skipped, 10 + number, 100)));
            futures::join!(holds, hold_too, gone, waits)
        };
        let waited = cx.call(RUN, line).await?.value.3;
        ensure!(waited == Ok(Ok(2)) && skipped.began(2) == skipped.began(0).map(|began| began + 100), "the first of two waiting callers is dropped: the second gets {waited:?}";
            expected = "the slot, as soon as it is free");
    }
    Ok(())
}
