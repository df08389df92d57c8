//! What others see of a breaker: its snapshot, its watchers, its listener.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, Weak};

use futures::FutureExt as _;
use futures::future::join;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, lock, ms};
use level3::breaker::{Snapshot, State, Transition};
use tokio::time::{Instant, sleep, timeout};

use super::bench::{ASSIGNED, Bench, Breaker, Figures, Got, NAME, Trouble, made};
use crate::parts::{bug, formatted};
use State::{Closed, HalfOpen, Open};

/// The calls in a snapshot, all and by their ends.
fn counts(s: &Snapshot) -> [u64; 6] {
    [s.calls, s.ok, s.failed, s.neutral, s.dropped, s.refused]
}

pub async fn figures_add_up(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx, ASSIGNED)?;
    ensure_eq!(bench.breaker.name(), "payments", "the name that the figures stand under");
    let ok = cx.draw().between(2..=9);
    for _ in 0..ok {
        let _ = bench.end(Ok(())).await?;
    }
    let _ = bench.end(Err(Trouble::Declined)).await?;
    let _ = bench.end(Err(Trouble::Down)).await?;
    let _ = bench.end(Err(Trouble::Down)).await?;
    let snapshot = bench.breaker.snapshot();
    ensure_eq!(
        (snapshot.failures, snapshot.opened_at),
        (2, None),
        "`failures` and `opened_at` while closed"
    );
    // A call that runs is counted when it ends.
    let hung = bench.breaker.call(pending::<Result<(), Trouble>>);
    let (hung, while_it_runs) = join(timeout(ms(100), hung), async {
        sleep(ms(50)).await;
        bench.breaker.snapshot()
    })
    .await;
    ensure!(hung.is_err(), "a call that hangs has ended");
    let names = "calls, ok, failed, neutral, dropped, refused";
    let before = [3 + ok, ok, 2, 1, 0, 0];
    ensure_eq!(counts(&while_it_runs), before, "{names} after {ok} successes, a decline and 2 failures, while a call runs";
        help = "a call is counted when it has ended or was refused");
    let bug = bench.breaker.call(|| async { bug("a call with a bug") as Result<(), Trouble> });
    let _ = AssertUnwindSafe(bug).catch_unwind().await;
    let snapshot = bench.breaker.snapshot();
    ensure_eq!(counts(&snapshot), [5 + ok, ok, 2, 1, 2, 0],
        "{names} after a dropped call and one that panicked as well";
        help = "a call that panics counts as dropped");
    // As many more as it lets through.
    while bench.breaker.state() == Closed && bench.calls.get() < 30 {
        let _ = bench.end(Err(Trouble::Down)).await?;
    }
    let opened = Instant::now();
    let failed = bench.breaker.snapshot().failed;
    sleep(ms(1000)).await;
    for _ in 0..3 {
        let _ = bench.end(Ok(())).await?;
    }
    let snapshot = bench.breaker.snapshot();
    ensure_eq!(counts(&snapshot), [6 + ok + failed, ok, failed, 1, 2, 3],
        "{names} after 3 refused calls more";
        help = "a refused call is a call, and no failure");
    ensure_eq!((snapshot.state, snapshot.failures, snapshot.opened_at), (Open, 0, Some(opened)), "`state`, `failures` and `opened_at` while open";
        help = "`failures` are those that count towards the trip: none unless it is closed");
    // `opened_at` outlives the open time; more calls than a byte counts.
    bench.reset().await;
    for _ in 0..300 {
        let _ = bench.end(Ok(())).await?;
    }
    let snapshot = bench.breaker.snapshot();
    ensure_eq!(
        (counts(&snapshot), snapshot.opened_at),
        ([306 + ok + failed, ok + 300, failed, 1, 2, 3], Some(opened)),
        "{names} and `opened_at` after the reset timeout and 300 successes more"
    );
    forgets_old_failures(&cx).await
}

/// Failures that a window no longer holds do not stand in the snapshot, though no call came since.
async fn forgets_old_failures(cx: &Cx) -> Outcome {
    let (window, old) = (2 * cx.draw().between(500..=30_000), cx.draw().between(1..=3) as u32);
    let figures = Figures { failures: 9, window: Some(window), ..ASSIGNED };
    let bench = Bench::new(cx, figures)?;
    for _ in 0..old {
        let _ = bench.end(Err(Trouble::Down)).await?;
    }
    sleep(ms(window / 2)).await;
    for _ in 0..2 {
        let _ = bench.end(Err(Trouble::Down)).await?;
    }
    let help = "`failures` are those that count towards the trip now: leave out those that are a window old also when only \
                snapshot() looks";
    // At which age exactly a failure is too old is a criterion of its own.
    for (pause, count) in [(0, old + 2), (window / 2 + 1, 2), (window / 2, 0)] {
        sleep(ms(pause)).await;
        let now = bench.now();
        ensure_eq!(
            bench.breaker.snapshot().failures, count,
            "a window of {window} ms, {old} failure(s) at 0 ms and two at {} ms: `failures` in snapshot() at {now} ms", window / 2;
            help = help
        );
    }
    Ok(())
}

pub async fn the_snapshot_counts_down(cx: Cx) -> Outcome {
    for figures in Figures::some(&cx) {
        let (bench, reset) = (Bench::new(&cx, figures)?, figures.reset);
        let look = || {
            let snapshot = bench.breaker.snapshot();
            (snapshot.state, snapshot.retry_after)
        };
        ensure_eq!(look(), (Closed, ms(0)), "state and retry_after in snapshot() while closed");
        bench.trip().await?;
        for gone in [0, reset / 3, reset - 1] {
            ensure_eq!(look(), (Open, ms(reset - gone)), "state and retry_after in snapshot() {gone} ms after the trip";
                help = "the time until it is half-open: reset timeout less the time since it opened");
            let next = if gone == 0 { reset / 3 } else { reset - 1 - reset / 3 };
            sleep(ms(if gone == reset - 1 { 2 } else { next })).await;
        }
        ensure_eq!(look(), (HalfOpen, ms(0)), "state and retry_after in snapshot() {} ms after the trip, without a call since", reset + 1;
            help = "look at the clock before you copy the figures");
    }
    Ok(())
}

pub async fn watchers_see_each_change(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx, ASSIGNED)?;
    let mut watch = bench.breaker.watch();
    let mut seen = vec![*watch.borrow_and_update()];
    let mut look = || {
        if watch.has_changed().unwrap_or(false) {
            seen.push(*watch.borrow_and_update());
        }
    };
    bench.trip().await?;
    look();
    bench.reset().await;
    let (probe, ()) = join(bench.slow(100, Ok(())), async {
        sleep(ms(50)).await;
        look();
    })
    .await;
    let _ = probe?;
    for _ in 0..2 {
        let _ = bench.end(Ok(())).await?;
    }
    look();
    ensure_eq!(seen, [Closed, Open, HalfOpen, Closed], "a watcher saw other states";
        help = "send the new state whenever it changes, half-open included");
    // There is no watcher while it opens.
    let bench = Bench::opened(&cx, ASSIGNED).await?;
    let watch = bench.breaker.watch();
    ensure_eq!(*watch.borrow(), Open, "the state that a watcher sees who comes after the trip";
        help = "`Sender::send` changes nothing while there is no receiver: use `send_replace`");
    // Two watchers, and one that has gone.
    let other = bench.breaker.watch();
    drop(watch);
    bench.reset().await;
    let _ = bench.breaker.snapshot();
    let third = bench.breaker.watch();
    ensure_eq!(
        [*other.borrow(), *third.borrow()],
        [HalfOpen; 2],
        "what two watchers see after the reset timeout"
    );
    notices_what_it_says(&cx).await
}

/// A caller that reads the state after the reset timeout gets half-open; a watcher and the listener get the same.
async fn notices_what_it_says(cx: &Cx) -> Outcome {
    type Look = fn(&Breaker) -> State;
    let looks: [(&str, Look); 2] = [
        ("state()", |breaker| breaker.state()),
        ("snapshot()", |breaker| breaker.snapshot().state),
    ];
    for (name, look) in looks {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        let breaker = made(ASSIGNED.config())?
            .with_listener(move |transition: &Transition| lock(&sink).push(transition.to));
        let watch = breaker.watch();
        for _ in 0..=ASSIGNED.failures {
            let call = breaker.call(|| async { Err::<(), _>(Trouble::Down) });
            let _ = cx.call(NAME, call).await?;
        }
        sleep(ms(ASSIGNED.reset + 1)).await;
        let said = cx.call_fn("CircuitBreaker", || look(&breaker)).await?;
        let (watched, heard) = (*watch.borrow(), lock(&told).last().copied());
        ensure!(
            said != HalfOpen || (watched == HalfOpen && heard == Some(HalfOpen)),
            "{name} says HalfOpen after the reset timeout, and a watcher sees {watched:?}, with {heard:?} as the listener's last change";
            expected = "HalfOpen for all of them",
            help = "half-open is a change of state also when no call has come: a look that finds the reset timeout over makes it, with all that follows"
        );
    }
    Ok(())
}

type Told = Arc<Mutex<Vec<(State, State, Option<State>)>>>;

pub async fn listeners_may_call_the_breaker(cx: Cx) -> Outcome {
    let told = Told::default();
    let made = made(ASSIGNED.config())?;
    let breaker = Arc::new_cyclic(|weak: &Weak<Breaker>| {
        let (weak, told) = (weak.clone(), Arc::clone(&told));
        made.with_listener(move |transition| {
            // From within the listener: a lock held around it would never be free.
            let state = weak.upgrade().map(|breaker| {
                let _ = breaker.snapshot();
                breaker.state()
            });
            lock(&told).push((transition.from, transition.to, state));
        })
    });
    for _ in 0..=ASSIGNED.failures {
        let call = breaker.call(|| async { Err::<(), _>(Trouble::Down) });
        let _ = cx.call(NAME, call).await?;
    }
    ensure_eq!(
        *lock(&told),
        [(Closed, Open, Some(Open))],
        "the changes that the listener got, and the states that it saw"
    );
    sleep(ms(ASSIGNED.reset + 1)).await;
    let _ = cx.call_fn("CircuitBreaker::snapshot", || breaker.snapshot()).await?;
    for _ in 0..ASSIGNED.successes {
        let _ = cx.call(NAME, breaker.call(|| async { Ok(()) })).await?;
    }
    let expected = [
        (Closed, Open, Some(Open)),
        (Open, HalfOpen, Some(HalfOpen)),
        (HalfOpen, Closed, Some(Closed)),
    ];
    ensure_eq!(
        *lock(&told),
        expected,
        "the changes that the listener got from a breaker that opened and closed again, and the states it saw"
    );
    // So may the log that `Debug` writes to.
    let name = "CircuitBreaker's Debug, written to a log that asks the breaker for its state";
    let write = || {
        formatted(&*breaker, || {
            let _ = breaker.state();
        })
    };
    cx.call_fn(name, write).await?;
    Ok(())
}

pub async fn survives_a_panicking_listener(cx: Cx) -> Outcome {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let breaker = made(ASSIGNED.config())?.with_listener(move |transition: &Transition| {
        lock(&sink).push(transition.to);
        bug("a listener with a bug");
    });
    let watch = breaker.watch();
    for number in 1..=ASSIGNED.failures + 1 {
        let call = breaker.call(|| async { Err::<(), _>(Trouble::Down) });
        let caught = cx.call(NAME, AssertUnwindSafe(call).catch_unwind()).await?.value;
        let Ok(ended) = caught else {
            return Err(grader_kit::Fail::new(format!(
                "the listener panics when the breaker opens, and call {number} panics with it"
            ))
            .expected("the call's own result")
            .help("catch the listener's panic: its caller has nothing to do with it"));
        };
        let got = Got::of(ended);
        ensure!(got == Got::Failed(Trouble::Down) || matches!(got, Got::Refused(_)),
            "the listener panics when the breaker opens: call {number} gets {got:?}";
            expected = "the call's own result");
    }
    ensure_eq!(
        (*watch.borrow(), breaker.state()),
        (Open, Open),
        "what a watcher and state() say after the listener's panic"
    );
    sleep(ms(ASSIGNED.reset + 1)).await;
    for _ in 0..ASSIGNED.successes {
        let call = AssertUnwindSafe(breaker.call(|| async { Ok(()) })).catch_unwind();
        let _ = cx.call(NAME, call).await?;
    }
    ensure_eq!(*lock(&told), [Open, HalfOpen, Closed], "the changes that a panicking listener got";
        help = "a panic must not poison a lock or leave a flag behind that silences later changes");
    ensure_eq!(
        *watch.borrow(),
        Closed,
        "what a watcher sees at the end, beside a listener that panics"
    );
    Ok(())
}
