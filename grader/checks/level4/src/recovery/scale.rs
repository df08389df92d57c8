//! Large figures, long waits, several threads.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{join_all, poll_immediate};
use grader_kit::{Cx, Outcome, ensure, ms, scarce};
use level4::recovery::{Class, Metrics, Recovery};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::ends::drops_what_has_ended;
use super::fakes::{Broken, Calls, Ends, fails};
use super::{RUN, attempts, constant, on_class, recovery, run};
use crate::ops::NEWEST_WAKER;

const THREADS: usize = 4;

/// How many runs each thread has: so many that the threads meet on a busy machine too.
const ROUNDS: u64 = 20_000;

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    let mut recovery = recovery(&cx).await?;
    let calls = Calls::new();
    let record = calls.clone();
    recovery.fallback("a", move |_| record.call("fallback", 60_000, Ends::Well(1)));
    let ends = [Ends::Badly(Broken::new(Class::RateLimit, 1))];
    let runs = join_all((0..3).map(|_| run(&recovery, &calls, "a", 6, 10_000, &ends)));
    let call = cx.call(RUN, runs).await?;
    ensure!(call.polls < 200, "three runs with six attempts, waits up to 30 s and fallbacks took {} polls", call.polls;
        expected = "a few for each wait: a run that waits is woken",
        help = "a loop that sleeps for a moment and checks again costs a processor when thousands wait");
    // A run that one task has polled and another one awaits: attempts of 100 ms, waits of 500 ms, a fallback of 50 ms.
    for (at, what) in [
        (0, "in its first attempt"),
        (300, "in its wait"),
        (650, "in its second attempt"),
        (720, "in its fallback"),
    ] {
        let mut recovery = self::recovery(&cx).await?;
        on_class(&cx, &mut recovery, Class::Network, constant(500)).await?;
        let calls = Calls::new();
        let record = calls.clone();
        recovery.fallback("a", move |_| record.call("fallback", 50, Ends::Well(1)));
        let ends = [fails(1)];
        let mut moved = Box::pin(run(&recovery, &calls, "a", 2, 100, &ends));
        if at > 0 {
            let began = cx.call(RUN, timeout(ms(at), &mut moved)).await?.value;
            ensure!(began.is_err(), "a run of 750 ms is over at {at} ms");
        }
        ensure!(moved.as_mut().now_or_never().is_none(), "a run of 750 ms is over at {at} ms");
        let call = cx.call(RUN, timeout(ms(60_000), moved)).await?;
        let took = at + u64::try_from(call.took.as_millis()).unwrap_or(u64::MAX);
        ensure!(call.value.is_ok() && took == 750, "a run of 750 ms was polled by one task {what}, and is awaited by another one: it ends at {took} ms";
            expected = "750 ms", help = NEWEST_WAKER);
    }
    Ok(())
}

pub async fn keeps_nothing_of_what_has_ended(cx: Cx) -> Outcome {
    drops_what_has_ended(&cx).await?;
    let mut recovery = Recovery::<u64, Broken>::new();
    recovery.fallback("a", |error: &Broken| {
        let number = error.number;
        async move { if number.is_multiple_of(2) { Ok(1) } else { Err(Broken::new(Class::Bug, 2)) } }
    });
    let failing = |number| async move { Err(Broken::new(Class::Client, number)) };
    for number in 0..200 {
        let _ = cx.call(RUN, recovery.run("a", attempts(1), || failing(number))).await?;
    }
    let _scarce = scarce(1 << 20);
    for _ in 0..30 {
        let many = async {
            for number in 0..4_000_u64 {
                let _ = recovery.run("a", attempts(3), || failing(number)).await;
                let _ = recovery.run("a", attempts(3), || async { Ok(number) }).await;
                let never = recovery.run("a", attempts(3), std::future::pending);
                let _ = poll_immediate(never).await;
            }
        };
        cx.call(RUN, many).await?;
    }
    let kept = recovery.metrics("a").errors.len();
    ensure!(kept <= 100, "many thousands of attempts have failed, and {kept} errors are kept"; expected = "at most 100");
    Ok(())
}

/// Runs that succeed, that fail with and without a fallback, and their figures.
async fn rounds(recovery: &Recovery<u64, Broken>, count: u64) -> Vec<Metrics<Broken>> {
    for number in 0..count {
        let op = if number % 2 == 0 { "a" } else { "b" };
        let ends = move || async move {
            if number % 3 == 0 { Ok(number) } else { Err(Broken::new(Class::Client, number)) }
        };
        let _ = recovery.run(op, attempts(2), ends).await;
    }
    ["a", "b"].map(|op| recovery.metrics(op)).into()
}

fn fresh() -> Recovery<u64, Broken> {
    let mut recovery = Recovery::new();
    recovery.fallback("a", |error: &Broken| {
        let number = error.number;
        async move { if number.is_multiple_of(4) { Ok(1) } else { Err(Broken::new(Class::Bug, 2)) } }
    });
    recovery
}

fn figures(metrics: &[Metrics<Broken>]) -> Vec<u64> {
    let of = |it: &Metrics<Broken>| {
        [it.total, it.succeeded, it.failed, it.fallback_succeeded, it.fallback_failed]
    };
    metrics.iter().flat_map(of).collect()
}

pub async fn threads_share_the_figures(cx: Cx) -> Outcome {
    // What one thread alone counts.
    let alone = fresh();
    let one = figures(&cx.call(RUN, rounds(&alone, ROUNDS)).await?.value);
    let shared = Arc::new(fresh());
    let used = Arc::clone(&shared);
    cx.on_threads(RUN, THREADS, move |_| {
        let Ok(runtime) = Builder::new_current_thread().enable_time().build() else { return };
        let _: Vec<_> = runtime.block_on(rounds(&used, ROUNDS));
    })?;
    let all = figures(&["a", "b"].map(|op| shared.metrics(op)));
    let expected: Vec<_> = one.iter().map(|figure| figure * THREADS as u64).collect();
    ensure!(all == expected, "{THREADS} threads with {ROUNDS} runs each: total, succeeded, failed, fallback succeeded and fallback failed of two operations";
        expected = format!("{expected:?}: {THREADS} times those of one thread"), observed = format!("{all:?}"),
        help = "change all figures of a run under one lock");
    let mean = shared.metrics("a").mean;
    ensure!(
        mean < Duration::from_secs(1),
        "the mean of runs that take no time is {mean:?}, with several threads"
    );
    Ok(())
}
