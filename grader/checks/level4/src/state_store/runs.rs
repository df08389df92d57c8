//! Which operations run, and which have failed.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use futures::future::{join, join_all, join3};
use grader_kit::{Cx, Outcome, dropped_at, ensure, ensure_eq, ms};
use level4::state_store::Store;
use tokio::time::{sleep, timeout};

use super::{RESET, TRACK, items, page, sampled, shown};
use crate::ops::OnDrop;
use crate::panics::Payload;

/// A failure that is no text, and counts how often it was shown as one.
#[derive(Debug, PartialEq, Eq)]
struct Refused(u32);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused {}", self.0)
    }
}

/// Work that succeeds, or fails with its number.
async fn work(length: u64, number: u32, fails: bool) -> Result<u32, Refused> {
    if length > 0 {
        sleep(ms(length)).await;
    }
    if fails { Err(Refused(number)) } else { Ok(number) }
}

pub async fn loads_until_the_last_run_ends(cx: Cx) -> Outcome {
    const HELP: &str = "count the runs: each begin adds one, each end takes one away";
    let mut draw = cx.draw();
    // Runs begin at odd times and end at even ones: no run ends in the millisecond in which another one begins.
    let mut odd = |end: u64| 2 * draw.below(end / 2) + 1;
    let drawn: Vec<_> = (0..5).map(|_| (odd(40), odd(60))).collect();
    let scripts = [
        vec![(1, 19), (1, 99)],
        vec![(1, 99), (11, 19)],
        vec![(5, 11)],
        vec![(1, 19), (1, 39), (1, 99)],
        drawn,
    ];
    for (number, script) in scripts.into_iter().enumerate() {
        // Every second script with failures: an error is an end like another.
        let fails = number % 2 == 1;
        let store = Store::new(page("anna"));
        let loading = sampled(300, || store.loading("load").to_string());
        let runs = join_all(script.iter().map(async |(at, length)| {
            sleep(ms(*at)).await;
            store.track("load", work(*length, 1, fails)).await
        }));
        let (_, observed) = cx.call(TRACK, join(runs, loading)).await?.value;
        let running =
            |now: u64| script.iter().any(|(at, length)| (*at..at + length).contains(&now));
        let mut expected = vec![(0, "false")];
        for now in 1..=300 {
            if running(now) != running(now - 1) {
                expected.push((now, if running(now) { "true" } else { "false" }));
            }
        }
        observed.ensure(
            &items(expected),
            &format!("`loading` with runs of one operation, (begin, length) in ms: {script:?}"),
            HELP,
        )?;
    }
    Ok(())
}

pub async fn unpolled_runs_show_nothing(cx: Cx) -> Outcome {
    const HELP: &str = "a run begins with the first poll of its future";
    let store = Store::new(page("anna"));
    let _ = store.track("load", work(0, 4, true)).await;
    let called = Cell::new(false);
    let made = store.track("load", async {
        called.set(true);
        Ok::<_, Refused>(())
    });
    let now = shown(&store.view(), "load");
    ensure_eq!(now, "anna with 0 seats, idle, error refused 4", "a future of `track` that was made and not polled"; help = HELP);
    drop(made);
    let now = shown(&store.view(), "load");
    ensure_eq!(now, "anna with 0 seats, idle, error refused 4", "a future of `track` that was dropped before its first poll"; help = HELP);
    ensure!(!called.get(), "the work of a future that was not polled has run"; help = HELP);
    let late = store.track("load", work(21, 1, false));
    let reader = sampled(100, || store.loading("load").to_string());
    let polls = async {
        sleep(ms(35)).await;
        late.await
    };
    let (_, seen) = cx.call(TRACK, join(polls, reader)).await?.value;
    seen.ensure(
        &items([(0, "false"), (35, "true"), (56, "false")]),
        "`loading`, with a future that is made at 0 ms and polled first at 35 ms, and runs for 21 ms",
        HELP,
    )
}

pub async fn a_dropped_run_ends(cx: Cx) -> Outcome {
    const HELP: &str = "a guard inside of the future: its destructor runs on each end";
    let store = Store::new(page("anna"));
    let dropped = Cell::new(false);
    let lost = store.track("load", async {
        let _noted = OnDrop(&dropped);
        sleep(ms(1000)).await;
        Ok::<_, Refused>(())
    });
    dropped_at(&cx, TRACK, 30, lost).await?;
    ensure!(dropped.get(), "a run was dropped at 30 ms, and its work was not"; help = HELP);
    let now = shown(&store.view(), "load");
    ensure_eq!(now, "anna with 0 seats, idle, no error", "a run was dropped at 30 ms"; help = HELP);
    // Another run of the operation goes on.
    let other = store.track("load", work(100, 1, false));
    let leaves = dropped_at(&cx, TRACK, 30, store.track("load", work(1000, 2, false)));
    let looks = async {
        sleep(ms(50)).await;
        let at_50 = store.loading("load");
        sleep(ms(51)).await;
        (at_50, store.loading("load"))
    };
    let (_, left, looked) = join3(other, leaves, looks).await;
    left?;
    ensure_eq!(looked, (true, false), "two runs, of 100 ms and one that is dropped at 30 ms: `loading` at 50 and at 101 ms"; help = HELP);
    Ok(())
}

pub async fn keeps_an_error_until_the_next_run(cx: Cx) -> Outcome {
    const HELP: &str = "keep the text of a failure when its run ends; remove it when a run begins";
    let number = u32::try_from(cx.draw().between(10..=99)).unwrap_or_default();
    let store = Store::new(page("anna"));
    let result = cx.call(TRACK, store.track("load", work(10, number, true))).await?.value;
    ensure_eq!(result, Err(Refused(number)), "what the caller of a run that failed gets"; help = "the error itself, not its text");
    sleep(ms(60_000)).await;
    ensure_eq!(shown(&store.view(), "load"), format!("anna with 0 seats, idle, error refused {number}"), "a minute after a run has failed"; help = HELP);
    store.update(|page| page.seats = 1);
    ensure_eq!(store.error("load"), Some(format!("refused {number}")), "`error` after a run has failed and the state was changed"; help = HELP);
    let looks = async {
        sleep(ms(1)).await;
        shown(&store.view(), "load")
    };
    let (result, seen) =
        cx.call(TRACK, join(store.track("load", work(10, 7, false)), looks)).await?.value;
    ensure_eq!(seen, "anna with 1 seats, loading, no error", "1 ms after the next run has begun"; help = HELP);
    ensure_eq!(result, Ok(7), "what the caller of a run that succeeded gets");
    ensure_eq!(store.error("load"), None, "`error` after a run has succeeded"; help = HELP);
    // Overlapping: a failure is kept although another run succeeds later; the newest failure counts.
    let all = join3(
        store.track("load", work(10, 1, true)),
        store.track("load", work(20, 2, true)),
        store.track("load", work(30, 3, false)),
    );
    cx.call(TRACK, all).await?;
    ensure_eq!(store.error("load").as_deref(), Some("refused 2"), "three runs at once: two fail, at 10 and 20 ms, one succeeds at 30 ms";
        help = "the error of the last failure is kept until a run begins");
    // A run that begins while another one is on its way removes the error too.
    let script = async {
        let long = store.track("load", work(100, 4, false));
        let fails = store.track("load", work(20, 5, true));
        let later = async {
            sleep(ms(40)).await;
            store.track("load", work(30, 6, false)).await
        };
        let looks = async {
            let (mut seen, mut now) = (Vec::new(), 0);
            for at in [10, 30, 50, 80, 110] {
                sleep(ms(at - now)).await;
                now = at;
                seen.push(store.error("load").unwrap_or_else(|| "no error".to_owned()));
            }
            seen
        };
        futures::join!(long, fails, later, looks).3
    };
    let seen = cx.call(TRACK, script).await?.value;
    ensure_eq!(seen, ["no error", "refused 5", "no error", "no error", "no error"], "a run from 0 to 100 ms, one from 0 to 20 ms that fails, and one from 40 to 70 ms: `error` at 10, 30, 50, 80 and 110 ms";
        help = "the begin of a run removes the error, also while another run of the operation is on its way");
    // An error without a text is an error.
    let store = Store::new(page("anna"));
    let fails = async { Err::<(), &str>("") };
    let _ = cx.call(TRACK, store.track("load", fails)).await?;
    ensure_eq!(store.error("load").as_deref(), Some(""), "`error` after a run that failed with an error whose text is empty"; help = HELP);
    // A run that is dropped or panics has begun before the failure of another one: it leaves the error.
    for (panics, limit) in [(false, 50), (true, 1000)] {
        let store = Store::new(page("anna"));
        let script = async {
            let gone = async {
                sleep(ms(60)).await;
                if panics {
                    Payload::Literal("no luck").throw();
                }
                Ok::<u32, Refused>(0)
            };
            let gone =
                AssertUnwindSafe(timeout(ms(limit), store.track("load", gone))).catch_unwind();
            let fails = store.track("load", work(20, 5, true));
            join(gone, fails).await.1
        };
        let _ = cx.call(TRACK, script).await?;
        let how = if panics { "panics" } else { "is dropped" };
        ensure_eq!(store.error("load").as_deref(), Some("refused 5"), "a run that {how} at {} ms, and another one that failed at 20 ms: `error` after both", limit.min(60);
            help = "only the begin of a run removes an error; a run that ends without a result leaves it as it is");
    }
    Ok(())
}

pub async fn operations_are_apart(cx: Cx) -> Outcome {
    const NAMES: [&str; 5] = ["", "load", "Load", "load user", "save"];
    let store = Store::new(page("anna"));
    for (number, fails) in NAMES.iter().enumerate() {
        let runs = store.track(fails, work(20, 5, true));
        let looks = async {
            sleep(ms(10)).await;
            NAMES.map(|name| store.loading(name))
        };
        let (_, loading) = cx.call(TRACK, join(runs, looks)).await?.value;
        for (other, loading) in NAMES.iter().zip(loading) {
            ensure_eq!(loading, other == fails, "a run of {fails:?}: `loading` of {other:?}"; help = "each operation has its own count");
        }
        for (index, other) in NAMES.iter().enumerate() {
            let expected = (index <= number).then(|| "refused 5".to_owned());
            ensure_eq!(store.error(other), expected, "runs of {:?} have failed: `error` of {other:?}", &NAMES[..=number];
                help = "each operation has its own error");
        }
    }
    Ok(())
}

pub async fn old_runs_change_nothing(cx: Cx) -> Outcome {
    const HELP: &str =
        "a run belongs to the time between two resets: after a reset its end counts for nothing";
    for (fails, by_others) in [(true, false), (false, false), (true, true), (false, true)] {
        let store = Store::new(page("anna"));
        let (resets, goes_on) = (store.clone(), store.clone());
        let (resets, goes_on) = if by_others { (&resets, &goes_on) } else { (&store, &store) };
        let old = store.track("load", work(60, 1, fails));
        let other = store.track("save", work(90, 1, fails));
        let script = async {
            sleep(ms(30)).await;
            resets.reset();
            sleep(ms(10)).await;
            // From 40 to 140 ms, while the old run ends at 60 ms.
            goes_on.track("load", work(100, 2, false)).await
        };
        let looks = async {
            let (mut seen, mut now) = (Vec::new(), 0);
            for at in [35, 50, 70, 100, 130, 150] {
                sleep(ms(at - now)).await;
                now = at;
                let view = store.view();
                seen.push((
                    at,
                    format!("{}, {}", shown(&view, "load"), view.error("save").unwrap_or("none")),
                ));
            }
            seen
        };
        let all = join(join(old, other), join(script, looks));
        let ((old, _), (new, seen)) = cx.call(RESET, all).await?.value;
        for (at, seen) in seen {
            let loading = if (40..140).contains(&at) { "loading" } else { "idle" };
            let by = if by_others { ", each by another handle" } else { "" };
            ensure_eq!(seen, format!("anna with 0 seats, {loading}, no error, none"), "a run from 0 to 60 ms, a reset at 30 ms, a run from 40 to 140 ms{by}: at {at} ms"; help = HELP);
        }
        ensure_eq!(old.is_err(), fails, "whether a run that outlives a reset fails for its caller"; help = "the caller gets the result of its work");
        ensure_eq!(new, Ok(2), "the result of a run that began after a reset");
    }
    Ok(())
}
