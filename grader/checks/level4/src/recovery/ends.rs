//! Runs that are dropped, that panic, or that were never polled.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::future::join;
use grader_kit::{Cx, Outcome, dropped_at, ensure, lock, ms};
use level4::recovery::Class;
use tokio::time::sleep;

use super::fakes::{Broken, Calls, Ends, fails};
use super::{RUN, Recovery, constant, on_class, quick, recovery, run};
use crate::ops::{End, keeps};
use crate::panics::Payload;

/// What has been counted in all.
fn counted(recovery: &Recovery) -> u64 {
    let it = recovery.metrics("a");
    it.total + it.succeeded + it.failed + it.fallback_succeeded + it.fallback_failed
}

pub async fn a_dropped_run_stops(cx: Cx) -> Outcome {
    const HELP: &str = "attempts, waits and the fallback belong into the caller's future";
    // Attempts of 100 ms from 0 and 600 ms on, waits of 500 ms, and a fallback of 100 ms from 700 ms on.
    for (at, when, calls_expected) in [
        (50, "during the first attempt", 1),
        (300, "during the wait", 1),
        (650, "during the second attempt", 2),
        (750, "during the fallback", 3),
    ] {
        let mut recovery = recovery(&cx).await?;
        on_class(&cx, &mut recovery, Class::Network, constant(500)).await?;
        let calls = Calls::new();
        let record = calls.clone();
        recovery.fallback("a", move |_| record.call("fallback", 100, Ends::Well(1)));
        let ends = [fails(1)];
        dropped_at(&cx, RUN, at, run(&recovery, &calls, "a", 2, 100, &ends)).await?;
        ensure!(calls.running() == 0, "a run was dropped {when}, and what it had called still runs"; expected = "it is dropped too", help = HELP);
        cx.pass(ms(86_400_000)).await;
        let seen = calls.seen();
        ensure!(seen.len() == calls_expected, "a run was dropped {when}, and {} calls were made in all", seen.len(); expected = format!("{calls_expected}: none follows, not in a day"), help = HELP);
        let is_dropped =
            seen.last().is_some_and(|last| last.ended.is_some_and(|(_, end)| end == End::Dropped));
        ensure!(is_dropped == (at != 300), "a run was dropped {when}, and its call ran to its end"; expected = "it is dropped at once", help = HELP);
        let counted = counted(&recovery);
        ensure!(counted == 0, "a run was dropped {when}, and it was counted"; expected = "it is not", help = "count a run when it is over");
    }
    Ok(())
}

/// A hand-written future of an attempt or a fallback, which keeps something until it is dropped.
struct Kept(Arc<AtomicUsize>);

impl Kept {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, SeqCst);
        Self(Arc::clone(alive))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// The future of an attempt is dropped when it has ended: before the wait, and before the fallback is called.
pub(super) async fn drops_what_has_ended(cx: &Cx) -> Outcome {
    let mut recovery = recovery(cx).await?;
    on_class(cx, &mut recovery, Class::Network, constant(500)).await?;
    let (alive, when_called) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let notes = |what: &'static str| {
        let (alive, when_called) = (Arc::clone(&alive), Arc::clone(&when_called));
        move || {
            lock(&when_called).push((what, alive.load(SeqCst)));
            Kept::new(&alive)
        }
    };
    let falls_back = notes("the fallback is called");
    recovery.fallback("a", move |_| {
        let kept = falls_back();
        async move {
            let _kept = kept;
            sleep(ms(500)).await;
            Ok(1)
        }
    });
    let attempt = notes("an attempt is called");
    let fails = || keeps(attempt(), Err(Broken::new(Class::Network, 1)));
    let waits = async {
        sleep(ms(250)).await;
        lock(&when_called).push(("a run waits for its second attempt", alive.load(SeqCst)));
    };
    let run = recovery.run("a", super::attempts(2), fails);
    cx.call(RUN, join(run, waits)).await?.value.0.ok();
    let seen = lock(&when_called).clone();
    let kept = seen.iter().find(|(_, alive)| *alive > 0);
    ensure!(kept.is_none(), "attempts that fail at once, a wait of 500 ms and a fallback: how many of their futures are there when {}", kept.map_or("", |(what, _)| *what);
        expected = "0", observed = format!("{seen:?}"),
        help = "drop the future of an attempt when it has ended: it may hold a connection or a lock until then");
    Ok(())
}

pub async fn a_panic_passes(cx: Cx) -> Outcome {
    let word = cx.draw().word();
    for payload in Payload::all(&word) {
        let [future, closure] =
            [Ends::Panic(payload.clone()), Ends::PanicInClosure(payload.clone())];
        for (what, ends, second) in [
            ("the future of an attempt", vec![fails(1), future.clone()], None),
            ("the closure of an attempt", vec![closure.clone()], None),
            ("the future of the fallback", vec![fails(1)], Some(future)),
            ("the closure of the fallback", vec![fails(1)], Some(closure)),
        ] {
            let mut recovery = quick(&cx).await?;
            let calls = Calls::new();
            if let Some(second) = second {
                let record = calls.clone();
                recovery.fallback("a", move |_| record.call("fallback", 10, second.clone()));
            }
            let panics = AssertUnwindSafe(run(&recovery, &calls, "a", 2, 10, &ends)).catch_unwind();
            let outcome = cx.call(RUN, panics).await?.value;
            let passed = outcome.is_err_and(|panic| payload.is(panic.as_ref()));
            ensure!(passed, "{what} panics, and the caller gets another panic, or none"; expected = "that panic, with what it carries");
            ensure!(counted(&recovery) == 0, "{what} panics, and the run is counted"; expected = "it is not");
            let next = cx.call(RUN, run(&recovery, &calls, "a", 2, 10, &[Ends::Well(5)])).await?;
            ensure!(next.value.is_ok(), "{what} panicked, and the next run fails: {:?}", next.value; expected = "its value");
        }
    }
    Ok(())
}

pub async fn begins_with_the_first_poll(cx: Cx) -> Outcome {
    let recovery = quick(&cx).await?;
    let calls = Calls::new();
    let ends = [Ends::Well(1)];
    let attempt = || calls.call("a", 10, Ends::Well(1));
    let made = recovery.run("a", super::attempts(3), attempt);
    drop(recovery.run("a", super::attempts(3), attempt));
    sleep(ms(500)).await;
    ensure!(calls.seen().is_empty(), "runs were made and not polled, and the operation was called");
    cx.call(RUN, made).await?.value.ok();
    let mean = recovery.metrics("a").mean;
    ensure!(mean < ms(500), "a run was made, polled 500 ms later and took 10 ms: the mean is {mean:?}"; expected = "10 ms: the time counts from the first poll");
    let again = cx.call(RUN, run(&recovery, &calls, "a", 1, 0, &ends)).await?.value;
    ensure!(again.is_ok(), "the next run fails: {again:?}");
    Ok(())
}
