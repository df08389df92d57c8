//! Large figures, many callers, long waits, several threads.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::future::{join, join_all, poll_immediate};
use grader_kit::{Cx, Outcome, ensure, ms, scarce};
use level4::bulkhead::{Bulkheads, PoolConfig};
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use super::{RUN, add, calls, config, pool};
use crate::ops::Ops;

const THREADS: usize = 4;

/// How many operations each thread runs: so many that the threads meet on a busy machine too.
const ROUNDS: usize = 20_000;

pub async fn takes_any_limit(cx: Cx) -> Outcome {
    for limit in [usize::MAX, usize::MAX / 2, usize::MAX >> 3, (usize::MAX >> 3) + 1, 1 << 32] {
        let pools = Bulkheads::new();
        let max_concurrent = NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN);
        let wide = PoolConfig { max_concurrent, max_queued: 0, queue_timeout: None };
        add(&cx, &pools, "a", wide).await?;
        let ops = Ops::new(&cx);
        cx.call(RUN, calls(&pools, &ops, 50, 100)).await?;
        ensure!(ops.most() == 50, "with {limit} slots, {} of 50 operations ran at once", ops.most(); expected = "all 50");
        let long = PoolConfig {
            max_queued: limit,
            queue_timeout: Some(Duration::MAX),
            ..config(1, 0, None)
        };
        let pools = Bulkheads::new();
        add(&cx, &pools, "a", long).await?;
        let ops = Ops::new(&cx);
        let served = cx.call(RUN, calls(&pools, &ops, 5, 100)).await?.value;
        ensure!(served.iter().all(Result::is_ok), "with {limit} places and the longest time: {served:?}"; expected = "all are served");
    }
    Ok(())
}

pub async fn begins_with_the_first_poll(cx: Cx) -> Outcome {
    let pools = pool(&cx, 1, 1, Some(50)).await?;
    let ops = Ops::new(&cx);
    let op = || async { Ok::<_, String>(ops.run(0, 10).await) };
    let early = pools.run("a", op);
    for _ in 0..3 {
        drop(pools.run("a", op));
    }
    sleep(ms(200)).await;
    let status = pools.status("a").map(|it| (it.running, it.queued));
    ensure!(status == Some((0, 0)) && ops.seen().is_empty(), "calls were made and not polled, and the pool has (running, queued) {status:?}"; expected = "Some((0, 0))");
    // It has to wait: its time counts from now on.
    let both = join(calls(&pools, &ops, 1, 10), early);
    let late = cx.call(RUN, both).await?.value.1;
    ensure!(late == Ok(0), "a call that was made early and polled late: {late:?}"; expected = "its value: the time of its wait counts from the first poll");
    Ok(())
}

pub async fn ten_thousand_wait(cx: Cx) -> Outcome {
    const COUNT: usize = 10_000;
    let pools = pool(&cx, 10, COUNT, None).await?;
    let all = join_all((0..COUNT).map(|number| {
        pools.run("a", move || async move {
            sleep(ms(1)).await;
            Ok::<_, ()>(number)
        })
    }));
    let call = cx.call(RUN, all).await?;
    ensure!(call.took == ms(1000), "{COUNT} operations of 1 ms in 10 slots took {} ms", call.took.as_millis(); expected = "1000 ms");
    ensure!(
        call.value.into_iter().eq((0..COUNT).map(Ok)),
        "of {COUNT} callers, one got the value of another"
    );
    // All of them go while they wait.
    let gone = join_all((0..COUNT).map(|_| pools.run("a", std::future::pending::<Result<(), ()>>)));
    let _ = cx.call(RUN, timeout(ms(5), gone)).await?;
    let status = pools.status("a").map(|it| (it.running, it.queued));
    ensure!(status == Some((0, 0)), "{COUNT} callers were dropped, and the pool has (running, queued) {status:?}"; expected = "Some((0, 0))");
    Ok(())
}

pub async fn keeps_nothing_of_what_has_ended(cx: Cx) -> Outcome {
    let pools = pool(&cx, 2, 2, Some(1000)).await?;
    cx.call(RUN, join_all((0..4).map(|_| pools.run("a", || async { Ok::<_, ()>(()) })))).await?;
    let memory = scarce(1 << 20);
    for _ in 0..20 {
        let many = async {
            for number in 0..3_000_u32 {
                let op = || async move { if number % 2 == 0 { Ok(number) } else { Err(number) } };
                let waits = pools.run("a", || async {
                    tokio::task::yield_now().await;
                    Ok::<_, ()>(())
                });
                let _ = futures::join!(
                    pools.run("a", op),
                    waits,
                    pools.run("a", op),
                    pools.run("b", op)
                );
            }
        };
        cx.call(RUN, many).await?;
    }
    drop(memory);
    a_wait_that_is_given_up_leaves_nothing(&cx).await
}

/// Calls that wait and give up, while the operations that hold the slots never end.
async fn a_wait_that_is_given_up_leaves_nothing(cx: &Cx) -> Outcome {
    let pools = pool(cx, 2, 4, Some(1)).await?;
    let hangs = || pools.run("a", std::future::pending::<Result<(), ()>>);
    let mut hanging = Box::pin(join(hangs(), hangs()));
    let _ = cx.call(RUN, poll_immediate(&mut hanging)).await?;
    let mut memory = None;
    for _ in 0..20 {
        let many = async {
            for _ in 0..300 {
                // Three are dropped, as by a caller that waits no longer; two end at the queue timeout.
                for _ in 0..3 {
                    let _ = poll_immediate(join(hangs(), hangs())).await;
                }
                let _ = timeout(ms(2), join(hangs(), hangs())).await;
            }
        };
        cx.call(RUN, many).await?;
        // What is allocated once does not count.
        memory.get_or_insert_with(|| scarce(128 << 10));
    }
    drop((memory, hanging));
    Ok(())
}

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    let pools = pool(&cx, 1, 5, Some(1_000_000)).await?;
    let op = || async {
        sleep(Duration::from_secs(250)).await;
        Ok::<_, ()>(())
    };
    let call = cx.call(RUN, join(pools.run("a", op), pools.run("a", op))).await?;
    ensure!(call.polls < 100, "a wait of 250 s for a slot took {} polls", call.polls;
        expected = "a few: a call that waits is woken when it has its slot",
        help = "a loop that sleeps for a moment and checks again costs a processor when thousands wait");
    Ok(())
}

pub async fn threads_share_a_pool(cx: Cx) -> Outcome {
    // One slot: two threads that meet are enough to break it, on a machine with two cores too.
    for limit in [1, 2] {
        let pools = pool(&cx, limit, 1000, None).await?;
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (shared, seen) = (pools.clone(), Arc::clone(&most));
        let served = cx.on_threads(RUN, THREADS, move |thread| {
            let Ok(runtime) = Builder::new_current_thread().enable_time().build() else { return 0 };
            runtime.block_on(async {
                let mut served = 0;
                for round in 0..ROUNDS {
                    let op = || async {
                        seen.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                        for _ in 0..100 {
                            std::hint::spin_loop();
                        }
                        inside.fetch_sub(1, SeqCst);
                        Ok::<_, ()>(())
                    };
                    if (thread + round) % 10 == 0 {
                        served += usize::from(shared.run("a", op).await.is_ok());
                    } else {
                        // A caller that goes away at once if it has to wait, so that the threads stay awake.
                        let _ = poll_immediate(shared.run("a", op)).await;
                        served += 1;
                    }
                }
                served
            })
        })?;
        let most = most.load(SeqCst);
        ensure!(most <= limit, "{limit} slots, and {most} operations of {THREADS} threads ran at the same time";
            expected = format!("at most {limit}: the look at the slots and the taking of one are one step"),
            help = "slots and queue under the same lock");
        ensure!(
            served.iter().all(|served| *served == ROUNDS),
            "an operation was not run on one of {THREADS} threads"
        );
        let status = pools.status("a").map(|it| (it.running, it.queued));
        ensure!(status == Some((0, 0)), "when all threads have gone, the pool has (running, queued) {status:?}"; expected = "Some((0, 0)): no slot is lost");
        let ops = Ops::new(&cx);
        cx.call(RUN, calls(&pools, &ops, 6, 100)).await?;
        ensure!(ops.most() == limit, "when all threads have gone, {} operations run at once", ops.most(); expected = format!("{limit}: no slot is lost, and none is won"));
    }
    Ok(())
}
