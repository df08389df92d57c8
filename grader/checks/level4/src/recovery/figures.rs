//! Figures of operations.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures::future::join;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, list, ms};
use level4::recovery::{Class, Classify, Metrics};
use tokio::time::sleep;

use super::fakes::{Broken, Calls, Ends, fails};
use super::{RUN, Recovery, quick, run};

const METRICS: &str = "Recovery::metrics";

async fn metrics(
    cx: &Cx,
    recovery: &Recovery,
    op: &str,
) -> Result<Metrics<Broken>, grader_kit::Fail> {
    cx.call_fn(METRICS, || recovery.metrics(op)).await
}

/// The counts as a message shows them.
fn counts(it: &Metrics<Broken>) -> String {
    format!(
        "total {}, succeeded {}, failed {}, fallback succeeded {}, fallback failed {}",
        it.total, it.succeeded, it.failed, it.fallback_succeeded, it.fallback_failed
    )
}

fn expected(succeeded: u64, failed: u64, fallback: [u64; 2]) -> String {
    format!(
        "total {}, succeeded {succeeded}, failed {failed}, fallback succeeded {}, fallback failed {}",
        succeeded + failed,
        fallback[0],
        fallback[1]
    )
}

/// A fallback of `length` ms that ends as the error's number says: odd ones well, even ones badly.
fn falls_back(recovery: &mut Recovery, op: &'static str, calls: &Calls, length: u64) {
    let record = calls.clone();
    recovery.fallback(op, move |error: &Broken| {
        let ends = if error.number % 2 == 1 { Ends::Well(1) } else { fails(1000) };
        record.call("fallback", length, ends)
    });
}

pub async fn counts_each_run_once(cx: Cx) -> Outcome {
    const HELP: &str = "write the figures of a run in one step, when it is over";
    let mut recovery = quick(&cx).await?;
    let calls = Calls::new();
    falls_back(&mut recovery, "a", &calls, 100);
    let script: [(&str, Vec<Ends>, [u64; 4]); 5] = [
        ("a success", vec![Ends::Well(1)], [1, 0, 0, 0]),
        ("a fallback that succeeds", vec![fails(1)], [1, 1, 1, 0]),
        ("a success at the third attempt", vec![fails(1), fails(2), Ends::Well(1)], [2, 1, 1, 0]),
        ("a fallback that fails", vec![fails(2)], [2, 2, 1, 1]),
        ("a fallback that succeeds", vec![fails(2), fails(2), fails(1)], [2, 3, 2, 1]),
    ];
    for (what, ends, [succeeded, failed, well, badly]) in script {
        let before = counts(&metrics(&cx, &recovery, "a").await?);
        // While attempts are made, and while the fallback runs, the run is in no figure.
        let watches = async {
            let mut seen = Vec::new();
            for _ in 0..8 {
                sleep(ms(25)).await;
                seen.push((calls.now(), counts(&recovery.metrics("a"))));
            }
            seen
        };
        let one = async {
            let _ = run(&recovery, &calls, "a", 3, 30, &ends).await;
            calls.now()
        };
        let (ended, seen) = cx.call(RUN, join(one, watches)).await?.value;
        for (at, during) in seen {
            ensure!(at >= ended || during == before, "{what}: the figures while it is on its way"; expected = before, observed = during, help = HELP);
        }
        let after = counts(&metrics(&cx, &recovery, "a").await?);
        ensure_eq!(after, expected(succeeded, failed, [well, badly]), "after one more run, {what}"; help = HELP);
    }
    // Without a fallback.
    let plain = quick(&cx).await?;
    let (well, badly) = (cx.draw().between(1..=9), cx.draw().between(1..=9));
    for number in 0..well + badly {
        let ends = if number < well { Ends::Well(1) } else { fails(1) };
        let _ = cx.call(RUN, run(&plain, &calls, "a", 2, 0, &[ends])).await?;
    }
    let after = counts(&metrics(&cx, &plain, "a").await?);
    ensure_eq!(after, expected(well, badly, [0, 0]), "{well} runs that succeed and {badly} that fail, without a fallback"; help = HELP);
    Ok(())
}

pub async fn the_mean_is_of_whole_runs(cx: Cx) -> Outcome {
    const HELP: &str = "keep the sum of the times, each from the first poll to the end, and divide when the figures are asked for";
    let mut recovery = quick(&cx).await?;
    let calls = Calls::new();
    falls_back(&mut recovery, "a", &calls, 60);
    let none = metrics(&cx, &recovery, "a").await?.mean;
    ensure!(none.is_zero(), "the mean of no runs: {none:?}"; expected = "zero");
    let drawn = cx.draw().between(1..=1000);
    let (mut sum, mut count) = (0, 0_u32);
    for (length, ends, took) in [
        (100, vec![Ends::Well(1)], 100),
        (20, vec![fails(2), fails(2), Ends::Well(1)], 62),
        (100, vec![fails(1)], 362),
        (40, vec![fails(2)], 182),
        (0, vec![Ends::Well(1)], 0),
        (drawn, vec![Ends::Well(1)], drawn),
    ] {
        let call = cx.call(RUN, run(&recovery, &calls, "a", 3, length, &ends)).await?;
        ensure!(call.took == ms(took), "a run took {} ms", call.took.as_millis(); expected = format!("{took} ms"));
        (sum, count) = (sum + took, count + 1);
        let (mean, exact) = (metrics(&cx, &recovery, "a").await?.mean, ms(sum) / count);
        // To the microsecond: a mean by floating point is right too.
        ensure!(mean.abs_diff(exact) < Duration::from_micros(1), "the mean of {count} runs, the last one of {took} ms: {mean:?}"; expected = format!("{exact:?}"), help = HELP);
    }
    Ok(())
}

pub async fn keeps_the_last_hundred_errors(cx: Cx) -> Outcome {
    const HELP: &str = "one in at the back, one out at the front; fallbacks are not in the list";
    let mut recovery = quick(&cx).await?;
    let calls = Calls::new();
    falls_back(&mut recovery, "a", &calls, 0);
    let numbers =
        |it: &Metrics<Broken>| it.errors.iter().map(|error| error.number).collect::<Vec<_>>();
    let before = metrics(&cx, &recovery, "a").await?;
    ensure!(before.errors.is_empty(), "a name without runs has errors");
    let mut next = 0;
    let total = 130 + cx.draw().below(100);
    while next < total {
        // One, two or three attempts; the last of three may succeed.
        let ends: Vec<_> = match next % 4 {
            0 => vec![fails(next), fails(next + 1), Ends::Well(0)],
            2 => vec![Ends::Badly(Broken::new(Class::Client, next))],
            _ => vec![fails(next), fails(next + 1), fails(next + 2)],
        };
        next += ends.iter().filter(|end| matches!(end, Ends::Badly(_))).count() as u64;
        let earlier = metrics(&cx, &recovery, "a").await?;
        let shown = numbers(&earlier);
        let _ = cx.call(RUN, run(&recovery, &calls, "a", 3, 0, &ends)).await?;
        ensure!(numbers(&earlier) == shown, "a snapshot has changed after it was made");
        let errors = numbers(&metrics(&cx, &recovery, "a").await?);
        let expected: Vec<_> = (next.saturating_sub(100)..next).collect();
        ensure_eq!(list(errors), list(expected), "{next} attempts have failed, with errors that are numbered from 0: those that are kept"; help = HELP);
    }
    // An error is there from its failure on, while the run goes on.
    let slow = quick(&cx).await?;
    let during = async {
        sleep(ms(15)).await;
        numbers(&slow.metrics("a"))
    };
    let ends = [fails(5), fails(6)];
    let one = run(&slow, &calls, "a", 2, 10, &ends);
    let during = cx.call(RUN, join(one, during)).await?.value.1;
    ensure_eq!(list(during), list([5]), "attempts of 10 ms fail; the errors at 15 ms");
    Ok(())
}

pub async fn operations_are_apart(cx: Cx) -> Outcome {
    let mut recovery = quick(&cx).await?;
    let calls = Calls::new();
    for (name, value) in [("user", 1), ("search", 2)] {
        recovery.fallback(name, move |_: &Broken| async move { Ok(value) });
    }
    for (name, expected) in [("user", Some(1)), ("search", Some(2)), ("User", None), ("", None)] {
        let answer = cx.call(RUN, run(&recovery, &calls, name, 1, 0, &[fails(9)])).await?.value;
        let value = answer.ok().map(level4::recovery::Recovered::into_value);
        ensure!(value == expected, "`user` falls back to 1, `search` to 2, others have no fallback; a run of `{name}` fails: {value:?}"; expected = format!("{expected:?}"));
    }
    let before = metrics(&cx, &recovery, "user").await?;
    // More errors than are kept of one operation.
    let many = async {
        for number in 0..130 {
            let _ = run(&recovery, &calls, "search", 1, 70, &[fails(number)]).await;
        }
    };
    cx.call(RUN, many).await?;
    let after = metrics(&cx, &recovery, "user").await?;
    ensure!(before == after, "130 failed runs of `search` have changed the figures of `user`"; expected = format!("{before:?}"), observed = format!("{after:?}"));
    for name in ["users", "USER", " user"] {
        let none = metrics(&cx, &recovery, name).await?;
        let nothing = none.total == 0 && none.errors.is_empty() && none.mean.is_zero();
        ensure!(nothing, "`{name}` has no runs, and its figures are {}", counts(&none); expected = "zero");
    }
    Ok(())
}

/// An error that asks for the figures whenever it is cloned or dropped.
struct Nosy(Arc<OnceLock<Weak<Asked>>>);

type Asked = level4::recovery::Recovery<u32, Nosy>;

impl Nosy {
    fn asks(&self) {
        if let Some(recovery) = self.0.get().and_then(Weak::upgrade) {
            std::hint::black_box(recovery.metrics("b").total);
        }
    }
}

impl Clone for Nosy {
    fn clone(&self) -> Self {
        self.asks();
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.asks();
    }
}

impl Classify for Nosy {
    fn class(&self) -> Class {
        Class::Client
    }
}

pub async fn an_error_may_ask_for_figures(cx: Cx) -> Outcome {
    let handle = Arc::new(OnceLock::new());
    let recovery = Arc::new(cx.call_fn("Recovery::new", Asked::new).await?);
    let _ = handle.set(Arc::downgrade(&recovery));
    // More than are kept, so that some are dropped.
    for _ in 0..110 {
        let fails = || async { Err::<u32, _>(Nosy(Arc::clone(&handle))) };
        let ended = cx.call(RUN, recovery.run("a", NonZeroU32::MIN, fails)).await?.value;
        ensure!(ended.is_err(), "a run fails with an error that asks for figures, and succeeds");
    }
    let figures = cx.call_fn(METRICS, || recovery.metrics("a")).await?;
    ensure_eq!((figures.failed, figures.errors.len()), (110, 100), "110 runs have failed with errors that ask for figures when they are cloned and dropped: the failed ones, and the errors that are kept";
        help = "copy a list of `Arc`s under the lock, and clone the errors after it");
    Ok(())
}
