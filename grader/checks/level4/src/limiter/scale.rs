//! Large figures, many callers, long waits, several threads.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::future::{join, join_all};
use grader_kit::{Cx, Outcome, ensure, ms, scarce};
use level4::limiter::{Failure, Limiter};
use tokio::runtime::Builder;
use tokio::time::sleep;

use super::{RUN, RUN_ALL, singly};
use crate::ops::{Ops, nz};

const THREADS: usize = 4;

/// How many operations each thread runs: so many that the threads meet on a busy machine too, where each of
/// them has a core for some milliseconds at a time.
const ROUNDS: usize = 20_000;

pub async fn takes_any_limit(cx: Cx) -> Outcome {
    for limit in [usize::MAX, usize::MAX / 2, usize::MAX >> 3, (usize::MAX >> 3) + 1, 1 << 32] {
        let limit = NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN);
        let limiter = cx.call_fn("Limiter::new", || Limiter::new(limit)).await?;
        let ops = Ops::new(&cx);
        cx.call(RUN, singly(&limiter, &ops, &[100; 50])).await?;
        ensure!(ops.most() == 50, "with a limit of {limit}, {} of 50 operations ran at once", ops.most();
            expected = "all 50", help = "any NonZeroUsize is a limit, also one that no machine reaches");
    }
    Ok(())
}

pub async fn ten_thousand_wait(cx: Cx) -> Outcome {
    const COUNT: usize = 10_000;
    const SLOTS: usize = 10;
    let limiter = Limiter::new(nz(SLOTS));
    let singles = join_all((0..COUNT).map(|number| {
        let limiter = &limiter;
        async move {
            limiter
                .run(|| async {
                    sleep(ms(1)).await;
                    number
                })
                .await
        }
    }));
    let call = cx.call("Limiter::run, with 10 000 callers", singles).await?;
    let rounds = (COUNT / SLOTS) as u64;
    ensure!(call.took == ms(rounds), "{COUNT} operations of 1 ms took {} ms", call.took.as_millis();
        expected = format!("{rounds} ms with {SLOTS} at a time"));
    ensure!(
        call.value.into_iter().eq(0..COUNT),
        "of {COUNT} callers, one got the value of another"
    );
    let batch = (0..COUNT).map(|number| {
        move || async move {
            sleep(ms(1)).await;
            Ok::<_, ()>(number)
        }
    });
    let call =
        cx.call("Limiter::run_all, with 10 000 operations", limiter.run_all(batch.collect()));
    let call = call.await?;
    ensure!(call.took == ms(rounds), "a batch of {COUNT} operations of 1 ms took {} ms", call.took.as_millis();
        expected = format!("{rounds} ms with {SLOTS} at a time"));
    let done = call.value.iter().filter(|result| result.is_ok()).count();
    ensure!(done == COUNT, "a batch of {COUNT} operations has {done} values");
    Ok(())
}

pub async fn keeps_nothing_of_what_has_ended(cx: Cx) -> Outcome {
    let limiter = Limiter::new(nz(2));
    // Once before memory gets scarce: what is allocated once does not count.
    limiter.run(|| async {}).await;
    let _scarce = scarce(1 << 20);
    for _ in 0..20 {
        let many = async {
            for number in 0..5_000_u32 {
                limiter.run(|| async move { number }).await;
            }
        };
        cx.call(RUN, many).await?;
        let batches = async {
            for number in 0..500_u32 {
                let ops = vec![
                    move || async move {
                        if number % 2 == 0 { Ok(number) } else { Err(number) }
                    };
                    4
                ];
                limiter.run_all(ops).await;
            }
        };
        cx.call(RUN_ALL, batches).await?;
    }
    Ok(())
}

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    let limiter = Limiter::new(nz(1));
    let hour = Duration::from_secs(500);
    let both = join(limiter.run(|| sleep(hour)), limiter.run(|| async {}));
    let call = cx.call(RUN, both).await?;
    ensure!(call.polls < 1000, "a wait of 500 s for a slot took {} polls", call.polls;
        expected = "a few: a caller that waits is woken when its slot is free",
        help = "a loop that sleeps for a moment and checks again costs a processor when thousands wait");
    let batch = (0..3).map(|_| {
        || async {
            sleep(Duration::from_secs(150)).await;
            Ok::<_, ()>(())
        }
    });
    let call = cx.call(RUN_ALL, limiter.run_all(batch.collect())).await?;
    ensure!(call.polls < 1000, "a batch whose operations wait for 150 s each took {} polls", call.polls;
        expected = "a few");
    Ok(())
}

pub async fn threads_share_one_limiter(cx: Cx) -> Outcome {
    // One slot: two threads that meet are enough to break it, on a machine with two cores too.
    for limit in [1, 2] {
        threads_share(&cx, limit).await?;
    }
    Ok(())
}

async fn threads_share(cx: &Cx, limit: usize) -> Outcome {
    let limiter = Limiter::new(nz(limit));
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (shared, seen) = (limiter.clone(), Arc::clone(&most));
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
                if round % 100 == 0 {
                    let results: Vec<Result<(), Failure<()>>> = shared.run_all(vec![op; 3]).await;
                    served += usize::from(results.iter().all(Result::is_ok));
                } else if (thread + round) % 10 != 0 {
                    // A caller that goes away at once if it has to wait, so that the threads stay awake.
                    let _ = futures::future::poll_immediate(shared.run(op)).await;
                    served += 1;
                } else {
                    served += usize::from(shared.run(op).await.is_ok());
                }
            }
            served
        })
    })?;
    let most = most.load(SeqCst);
    ensure!(most <= limit, "{limit} slots, and {most} operations of {THREADS} threads ran at the same time";
        expected = format!("at most {limit}: the look at the slots and the taking of one are one step"),
        help = "look and take under one lock, with the line under the same");
    ensure!(
        served.iter().all(|served| *served == ROUNDS),
        "an operation was not run on one of {THREADS} threads"
    );
    let ops = Ops::new(cx);
    cx.call(RUN, singly(&limiter, &ops, &[100; 6])).await?;
    ensure!(ops.most() == limit, "when all threads have gone, {} operations run at once", ops.most();
        expected = format!("{limit}: no slot is lost, and none is won"));
    Ok(())
}
