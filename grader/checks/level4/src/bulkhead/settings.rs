//! Names, settings, figures.

use std::cell::Cell;

use futures::future::{join, join3};
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level4::bulkhead::{Bulkheads, ConfigError, PoolConfig, PoolError};
use tokio::time::{sleep, timeout};

use super::{ADD, RUN, add, call, calls, config, pool};
use crate::ops::Ops;

pub async fn refuses_bad_pools(cx: Cx) -> Outcome {
    let pools = pool(&cx, 2, 2, None).await?;
    let refused =
        async |name: &'static str, config| cx.call_fn(ADD, || pools.add(name, config)).await;
    let other = config(50, 7, Some(1));
    let twice = refused("a", other).await?;
    ensure!(twice == Err(ConfigError::DuplicateName("a".to_owned())), "a second pool named `a`: {twice:?}"; expected = "DuplicateName, with the name");
    let empty = refused("", other).await?;
    ensure!(empty == Err(ConfigError::EmptyName), "a pool without a name: {empty:?}"; expected = "EmptyName");
    let zero = refused("b", PoolConfig { queue_timeout: Some(ms(0)), ..other }).await?;
    ensure!(zero == Err(ConfigError::ZeroQueueTimeout), "a queue timeout of zero: {zero:?}"; expected = "ZeroQueueTimeout");
    ensure!(pools.status("b").is_none(), "a pool that was refused is there");
    for name in [" ", "\t"] {
        let added = refused(name, other).await?;
        ensure!(added.is_ok(), "a pool named {name:?}: {added:?}"; expected = "it is added: its name is not empty");
    }
    // The first pool of the name is as it was, with the calls in it.
    let ops = Ops::new(&cx);
    let while_running = async {
        sleep(ms(50)).await;
        pools.add("a", other)
    };
    let (_, again) = cx.call(RUN, join(calls(&pools, &ops, 4, 100), while_running)).await?.value;
    ensure!(again.is_err() && ops.most() == 2, "a pool of 2 was added again with 50 slots, and {} of 4 operations ran at once", ops.most();
        expected = "2: the pool stays as it is");
    Ok(())
}

pub async fn unknown_pools_are_errors(cx: Cx) -> Outcome {
    let pools = pool(&cx, 2, 2, None).await?;
    let called = Cell::new(false);
    for name in ["A", "b", "", "a ", " a", "aa", "ä"] {
        let op = || {
            called.set(true);
            async { Ok::<_, ()>(()) }
        };
        let answer = cx.call(RUN, pools.run(name, op)).await?.value;
        ensure!(answer == Err(PoolError::UnknownPool(name.to_owned())), "a call of the pool `{name}`, which does not exist: {answer:?}"; expected = "UnknownPool, with the name");
        ensure!(
            pools.status(name).is_none(),
            "the pool `{name}`, which does not exist, has a status"
        );
    }
    ensure!(!called.get(), "the operation of a call without a pool was called"; expected = "it is not");
    // Names that differ in one character are names of different pools.
    const HELP: &str = "compare names as they are, and change none";
    for (name, places) in ["A", " a", "a ", "ä", "a\0", "aa", "a/a", "b", " "].into_iter().zip(10..)
    {
        let settings = config(1, places, None);
        add(&cx, &pools, name, settings).await?;
        let status = pools.status(name).map(|status| status.config);
        ensure!(status == Some(settings), "a pool named {name:?} beside others: the settings in its status are {status:?}";
            expected = "its own settings", help = HELP);
        let answer = cx.call(RUN, pools.run(name, || async { Ok::<_, ()>(places) })).await?.value;
        ensure!(answer == Ok(places), "a call of the pool {name:?}: {answer:?}"; expected = "its value", help = HELP);
    }
    let none = Bulkheads::new();
    let answer = cx.call(RUN, none.run("a", || async { Ok::<_, ()>(()) })).await?.value;
    ensure!(
        answer == Err(PoolError::UnknownPool("a".to_owned())),
        "other bulkheads know the pools of the first: {answer:?}"
    );
    Ok(())
}

fn figures(pools: &Bulkheads, name: &str) -> String {
    let status = pools.status(name);
    status.map_or_else(
        || "no pool".to_owned(),
        |it| format!("{} running, {} queued", it.running, it.queued),
    )
}

pub async fn status_counts(cx: Cx) -> Outcome {
    const HELP: &str = "count slots and places where they are taken and freed, under the same lock";
    let settings = config(2, 3, Some(1000));
    let pools = Bulkheads::new();
    add(&cx, &pools, "a", settings).await?;
    add(&cx, &pools, "b", config(1, 0, None)).await?;
    ensure!(
        pools.status("a").map(|status| status.config) == Some(settings),
        "the settings in a status are not those of its pool"
    );
    let ops = Ops::new(&cx);
    let watches = async {
        let mut seen = vec![figures(&pools, "a")];
        for _ in 0..7 {
            sleep(ms(50)).await;
            seen.push(figures(&pools, "a"));
        }
        seen
    };
    // At 25 ms: one of the two that run is dropped at 80 ms, one of the three that wait at 115 ms, and one
    // that has just got a slot at 130 ms.
    let line = async {
        sleep(ms(25)).await;
        let stays = call(&pools, &ops, 0, 100);
        let goes = timeout(ms(55), call(&pools, &ops, 1, 100));
        let waits = call(&pools, &ops, 2, 100);
        // The second one goes before the first has a slot that could pass on to it.
        let tires = timeout(ms(105), call(&pools, &ops, 3, 30));
        let tires_sooner = timeout(ms(90), call(&pools, &ops, 4, 300));
        let refused = async {
            tokio::task::yield_now().await;
            call(&pools, &ops, 5, 10).await
        };
        let _ = futures::join!(stays, goes, waits, tires, tires_sooner, refused);
    };
    let other = async {
        sleep(ms(10)).await;
        pools
            .run("b", || async {
                sleep(ms(500)).await;
                Ok::<_, ()>(())
            })
            .await
    };
    let (seen, ..) = cx.call(RUN, join3(watches, line, other)).await?.value;
    let expected = [
        "0 running, 0 queued",
        "2 running, 3 queued",
        "2 running, 2 queued",
        "1 running, 0 queued",
        "0 running, 0 queued",
        "0 running, 0 queued",
        "0 running, 0 queued",
        "0 running, 0 queued",
    ];
    for (number, (seen, expected)) in seen.iter().zip(expected).enumerate() {
        ensure_eq!(seen, expected, "two calls that run and three that wait, from 25 ms on; the status at {} ms", number * 50; help = HELP);
    }
    ensure_eq!(figures(&pools, "b"), "0 running, 0 queued", "the other pool, at the end");
    counts_a_handed_slot(&cx).await
}

/// A slot that is handed over counts as running, and its call no more as one that waits, before the call is polled.
async fn counts_a_handed_slot(cx: &Cx) -> Outcome {
    let pools = pool(cx, 1, 3, Some(1000)).await?;
    let ops = Ops::new(cx);
    let [mut holds, mut first, mut second] =
        [0, 1, 2].map(|number| Box::pin(call(&pools, &ops, number, 100)));
    let script = async {
        let _ =
            (futures::poll!(&mut holds), futures::poll!(&mut first), futures::poll!(&mut second));
        let full = figures(&pools, "a");
        // Neither of the two that wait is polled before the status is looked at.
        drop(holds);
        let handed = figures(&pools, "a");
        let _ = join(first, second).await;
        [full, handed]
    };
    let seen = cx.call(RUN, script).await?.value;
    ensure_eq!(seen.join("; "), "1 running, 2 queued; 1 running, 1 queued", "one call runs and two wait; the first is dropped, and none is polled meanwhile: the status before and after the drop";
        help = "a call that is handed a slot counts as running from that moment on");
    Ok(())
}
