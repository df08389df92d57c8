//! What all four keep: drops, panics, large lists.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use grader_kit::{Cx, Outcome, dropped_at, ensure, ms};
use level4::compose::{Agreement, first_ok, fold_steps, keep_ok, quorum};
use tokio::time::sleep;

use super::quorum::ratio;
use super::{Does, FIRST, FOLD, KEEP, QUORUM, err, ok, script};
use crate::ops::{Ops, nz};
use crate::panics::Payload;

/// The four functions with operations of these times.
fn all<'a>(
    ops: &'a Ops<'_>,
    list: &'a [(u64, Does)],
    need: level4::compose::Ratio,
) -> [(&'static str, LocalBoxFuture<'a, ()>); 4] {
    let steps: Vec<_> = (0..list.len())
        .map(|number| {
            move |_: usize| async move { Ok::<_, String>(ops.run(number, list[number].0).await) }
        })
        .collect();
    [
        (FOLD, fold_steps(0, steps).map(drop).boxed_local()),
        (KEEP, keep_ok(nz(2), script(ops, list), |_, _| true).map(drop).boxed_local()),
        (FIRST, first_ok(script(ops, list)).map(drop).boxed_local()),
        (QUORUM, quorum(script(ops, list), need, Agreement::Count).map(drop).boxed_local()),
    ]
}

pub async fn stops_when_dropped(cx: Cx) -> Outcome {
    // The last one is so slow that none of the four is done before it.
    let list: Vec<_> = (0..5).map(|n| (if n == 4 { 5000 } else { 100 }, err("no"))).collect();
    let at = cx.draw().between(1..=99);
    let need = ratio(1, 5)?;
    for which in 0..4 {
        for at in [at, 150] {
            let ops = Ops::new(&cx);
            let Some((name, run)) = all(&ops, &list, need).into_iter().nth(which) else { continue };
            dropped_at(&cx, name, at, run).await?;
            let (running, begun) = (ops.running(), begun(&ops));
            sleep(ms(10_000)).await;
            ensure!(running == 0 && begun == self::begun(&ops), "{name} was dropped at {at} ms, and {}",
                if running > 0 { "an operation is still there" } else { "another operation has begun later" };
                expected = "its operations are dropped with it, and no other begins",
                help = "own the operations' futures: in no task, and in no place that outlives the call");
        }
        // Before the first poll nothing has begun.
        let ops = Ops::new(&cx);
        let runs = all(&ops, &list, need);
        ensure!(begun(&ops) == 0, "an operation has begun before its list was polled";
            expected = "nothing runs before the first poll");
        drop(runs);
    }
    Ok(())
}

fn begun(ops: &Ops<'_>) -> usize {
    ops.seen().iter().filter(|seen| seen.began.is_some()).count()
}

pub async fn panics_pass(cx: Cx) -> Outcome {
    let word = cx.draw().word();
    let need = ratio(1, 1)?;
    for payload in Payload::all(&word) {
        for length in [0, 30] {
            let other = Cell::new(false);
            let op = |panics: bool| {
                let (payload, other) = (payload.clone(), &other);
                async move {
                    if length > 0 {
                        sleep(ms(length)).await;
                    }
                    if panics {
                        payload.throw();
                    }
                    sleep(ms(1000)).await;
                    other.set(true);
                    Ok::<u32, String>(1)
                }
            };
            let both = || vec![op(true), op(false)];
            let steps = vec![|_: u32| op(true)];
            let runs = [
                (FOLD, fold_steps(0, steps).map(drop).boxed_local()),
                (KEEP, keep_ok(nz(2), both(), |_, _| true).map(drop).boxed_local()),
                (FIRST, first_ok(both()).map(drop).boxed_local()),
                (QUORUM, quorum(both(), need, Agreement::Count).map(drop).boxed_local()),
            ];
            for (name, run) in runs {
                let caught = cx.call(name, AssertUnwindSafe(run).catch_unwind()).await?.value;
                let passed = caught.as_ref().is_err_and(|panic| payload.is(panic.as_ref()));
                ensure!(passed, "{name}: an operation panics after {length} ms, and its caller gets {}",
                    if caught.is_ok() { "a result" } else { "another panic" };
                    expected = "the operation's own panic",
                    help = "a panic is a bug of the operation, no failure that another one may outvote: let it pass");
            }
        }
    }
    Ok(())
}

pub async fn thousands_at_once(cx: Cx) -> Outcome {
    const MANY: usize = 10_000;
    let list = |does: fn(usize) -> Does| -> Vec<_> { (0..MANY).map(|n| (0, does(n))).collect() };
    let plain = |list: Vec<(u64, Does)>| -> Vec<_> {
        list.into_iter().map(|(length, does)| super::after(length, does)).collect()
    };
    let last_only: fn(usize) -> Does = |n| if n == MANY - 1 { ok(n) } else { err(n) };
    let call = cx.call(FIRST, first_ok(plain(list(last_only)))).await?;
    ensure!(
        call.value.is_ok_and(|(index, _)| index == MANY - 1),
        "first_ok: the last of {MANY} operations succeeds, and is not found"
    );
    let keep = keep_ok(nz(100), plain(list(ok)), |_, _| true);
    let kept = cx.call(KEEP, keep).await?.value.kept.len();
    ensure!(
        kept == MANY,
        "keep_ok: all values of {MANY} operations are wanted, and {kept} were kept"
    );
    let run = quorum(plain(list(ok)), ratio(1, 1)?, Agreement::Count);
    let agreed = cx.call(QUORUM, run).await?.value.map(|quorum| quorum.agreed.len());
    ensure!(
        agreed.is_ok_and(|count| count == MANY),
        "quorum: all of {MANY} operations succeed, and they do not agree"
    );
    // Steps that run inside of one another would need a stack of their number.
    const STEPS: usize = 100_000;
    let steps: Vec<_> =
        (0..STEPS).map(|_| |count: usize| async move { Ok::<_, String>(count + 1) }).collect();
    let counted = cx.call(FOLD, fold_steps(0, steps)).await?.value;
    ensure!(
        counted.is_ok_and(|count| count == STEPS),
        "fold_steps: {STEPS} steps that count come to another number"
    );
    Ok(())
}
