//! The ways in which callers and runs end.

use std::panic::AssertUnwindSafe;

use futures::future::{join, join_all};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use tokio::time::{sleep, timeout};

use super::{Flight, LENGTH, RUN, call, value};
use crate::fetches::{Ends, Fetches};
use crate::ops::End;
use crate::panics::Payload;

pub async fn a_dropped_caller_stops_nothing(cx: Cx) -> Outcome {
    const HELP: &str = "the run belongs to all its callers, not to the one that began it";
    // The first, a later one, and all but the last, at several times.
    for (gone, at) in [(1, 30), (1, 90), (2, 50), (4, 60), (4, 93)] {
        let (flight, record) = (Flight::new(), Fetches::new());
        let leaves = (0..gone).map(|number| {
            timeout(ms(at - number), call(&flight, &record, "a", number, Ends::Value))
        });
        // One who was there before, and one who comes when the others have gone.
        let stay = [20, at + 1]
            .map(|comes| timeout(ms(10_000), call(&flight, &record, "a", comes, Ends::Value)));
        let (left, stayed) = cx.call(RUN, join(join_all(leaves), join_all(stay))).await?.value;
        ensure!(left.iter().all(Result::is_err), "work of {LENGTH} ms was over at {at} ms");
        ensure!(stayed.iter().all(Result::is_ok), "callers left a run at {at} ms, and one that is left gets no answer";
            expected = "the value, when the work ends", help = HELP);
        ensure!(record.count() == 1, "callers left a run at {at} ms, the one that began it among them: the work was run {} times", record.count();
            expected = "once: it goes on for those who are left, and who comes later joins it", help = HELP);
        let expected = (LENGTH, value(1));
        let fine = stayed.iter().all(|answer| answer.as_ref() == Ok(&expected));
        ensure!(fine, "callers left a run at {at} ms, and one that is left does not get its value at {LENGTH} ms"; help = HELP);
    }
    Ok(())
}

pub async fn without_callers_the_work_stops(cx: Cx) -> Outcome {
    const HELP: &str = "the callers own the work; the map does not: a `WeakShared` in the map, or a count of callers";
    for callers in [1, 3] {
        let (flight, record) = (Flight::new(), Fetches::new());
        let leaves = (0..callers)
            .map(|number| timeout(ms(50), call(&flight, &record, "a", number, Ends::Value)));
        cx.call(RUN, join_all(leaves)).await?;
        let ended = record.seen().first().and_then(|run| run.ended);
        ensure!(matches!(ended, Some((50, End::Dropped))), "all {callers} callers of a run were dropped at 50 ms, and the work goes on";
            expected = "it is dropped with its last caller", help = HELP);
        let kept = flight.len();
        ensure!(kept == 0, "all callers of a run were dropped, and `len` is {}", kept;
            expected = "0", help = "take the run out of the map from a destructor");
        // At once, and not joined to what is gone.
        let next = timeout(ms(10_000), call(&flight, &record, "a", 0, Ends::Value));
        let next = cx.call(RUN, next).await?.value;
        ensure_eq!(next, Ok((50 + LENGTH, value(2))), "a caller came after all callers of a run were dropped at 50 ms";
            help = HELP);
        sleep(ms(1000)).await;
        ensure!(record.count() == 2, "the work was run again for callers that are gone");
    }
    Ok(())
}

pub async fn an_unpolled_caller_delays_no_other(cx: Cx) -> Outcome {
    let (flight, record) = (Flight::new(), Fetches::new());
    let others = cx.draw().between(1..=5);
    let mut still = Box::pin(call(&flight, &record, "a", 0, Ends::Value));
    let run = async {
        let _ = futures::poll!(&mut still);
        // Its `sleep(0)` may take a poll of its own.
        sleep(ms(1)).await;
        let _ = futures::poll!(&mut still);
        let calls = (0..others)
            .map(|number| timeout(ms(10_000), call(&flight, &record, "a", number, Ends::Value)));
        join_all(calls).await
    };
    let answers = cx.call(RUN, run).await?.value;
    let done = answers.iter().all(|answer| matches!(answer, Ok((_, Ok(text))) if text == "run 1"));
    ensure!(done, "the caller that began a run is not polled any more, and a caller that joined it gets no value";
        expected = "the value: every caller drives the run",
        help = "`Shared` hands the work to whichever of its clones is polled; a lock or a channel that one caller \
                serves does not");
    let kept = cx.call(RUN, timeout(ms(10_000), still)).await?.value;
    ensure!(matches!(kept, Ok((_, Ok(text))) if text == "run 1"), "the caller that began a run is polled again when the work has ended, and gets no value";
        expected = "the value");
    ensure!(record.count() == 1, "the work was run {} times", record.count(); expected = "once");
    moves(&cx).await
}

/// A caller that one task has polled and another one awaits, alone and with another caller.
async fn moves(cx: &Cx) -> Outcome {
    for others in [0, 1, 5] {
        let (flight, record) = (Flight::new(), Fetches::new());
        let run = || flight.run("a".to_owned(), record.work(LENGTH, Ends::Value)).boxed();
        let mut moved = run();
        ensure!(
            (&mut moved).now_or_never().is_none(),
            "work of {LENGTH} ms is over at its first poll"
        );
        // The others first, and each in a task of its own: they drive the work.
        let callers: FuturesUnordered<_> = (0..others).map(|_| run()).chain([moved]).collect();
        let answers = callers.map(|answer| (record.now(), answer)).collect::<Vec<_>>();
        let answers = cx.call(RUN, timeout(ms(10_000), answers)).await?.value.unwrap_or_default();
        let count = answers.iter().filter(|answer| **answer == (LENGTH, value(1))).count();
        ensure!(count == others + 1, "a caller was polled by one task and is awaited by another one, with {others} more callers: {count} of {} have the value at {LENGTH} ms", others + 1;
            expected = "all of them", observed = format!("{answers:?}"),
            help = "each poll may come from another task: keep the newest waker of each caller, not the first one");
    }
    Ok(())
}

pub async fn forget_lets_the_next_begin(cx: Cx) -> Outcome {
    let (flight, record) = (Flight::new(), Fetches::new());
    flight.forget(&"a".to_owned());
    let forgets = async {
        sleep(ms(20)).await;
        // By another handle to the same runs.
        let other = flight.clone();
        other.forget(&"a".to_owned());
        other.forget(&"none".to_owned());
    };
    let calls = [("a", 0), ("a", 10), ("b", 15), ("a", 30), ("a", 40), ("b", 50)]
        .map(|(key, at)| call(&flight, &record, key, at, Ends::Value));
    let (answers, ()) = cx.call(RUN, join(join_all(calls), forgets)).await?.value;
    let expected = [
        (100, value(1)),
        (100, value(1)),
        (115, value(2)),
        (130, value(3)),
        (130, value(3)),
        (115, value(2)),
    ];
    ensure_eq!(answers.as_slice(), expected.as_slice(), "`a` is asked for at 0, 10, 30 and 40 ms, and forgotten at 20 ms; `b` at 15 and 50 ms";
        help = "`forget` takes the run out of the map; those who have joined it hold it themselves");
    // What `len` counts meanwhile.
    let (flight, record) = (Flight::new(), Fetches::new());
    let mut seen = Vec::new();
    let counts = async {
        let mut now = 0;
        for (at, forgets) in [
            (5, false),
            (12, false),
            (15, true),
            (25, false),
            (35, true),
            (45, false),
            (145, false),
        ] {
            sleep(ms(at - now)).await;
            now = at;
            if forgets {
                flight.forget(&"a".to_owned());
            }
            seen.push((at, flight.len(), flight.is_empty()));
        }
    };
    // Two callers of `a` until 100 ms, forgotten at 15 ms; one from 20 to 120 ms, forgotten at 35 ms; one of `b`
    // from 20 to 120 ms, and one of `a` from 40 to 140 ms.
    let calls = [("a", 0), ("a", 10), ("a", 20), ("b", 20), ("a", 40)]
        .map(|(key, at)| call(&flight, &record, key, at, Ends::Value));
    cx.call(RUN, join(join_all(calls), counts)).await?;
    let expected = [(5, 1), (12, 1), (15, 0), (25, 2), (35, 1), (45, 2), (145, 0)]
        .map(|(at, len)| (at, len, len == 0));
    ensure_eq!(seen.as_slice(), expected.as_slice(), "`a` is asked for at 0, 10, 20 and 40 ms, and forgotten at 15 and 35 ms; `b` is asked for at 20 ms: the time, `len` and `is_empty`";
        help = "`len` counts the keys with a run that a caller can join: not the callers, and not runs that were forgotten");
    Ok(())
}

pub async fn an_old_end_leaves_a_newer_run(cx: Cx) -> Outcome {
    const HELP: &str = "a run that ends takes itself out of the map, not whatever run its key has: compare numbers or pointers";
    // The older run ends by itself, or with its callers.
    for gone_at in [None, Some(60)] {
        let (flight, record) = (Flight::new(), Fetches::new());
        let older =
            timeout(ms(gone_at.unwrap_or(1000)), call(&flight, &record, "a", 0, Ends::Value));
        let forgets = async {
            sleep(ms(20)).await;
            flight.forget(&"a".to_owned());
        };
        let calls = [30, 70, 110].map(|at| call(&flight, &record, "a", at, Ends::Value));
        let (_, (answers, ())) =
            cx.call(RUN, join(older, join(join_all(calls), forgets))).await?.value;
        let ended = if gone_at.is_some() { "dropped at 60 ms" } else { "over at 100 ms" };
        let expected = [(130, value(2)), (130, value(2)), (130, value(2))];
        ensure_eq!(answers.as_slice(), expected.as_slice(), "a run was forgotten at 20 ms and {ended}; another one began at 30 ms, with callers at 70 and at 110 ms";
            help = HELP);
    }
    Ok(())
}

pub async fn a_panic_ends_its_run_only(cx: Cx) -> Outcome {
    let word = cx.draw().word();
    for payload in Payload::all(&word) {
        for ends in [Ends::Panic(payload.clone()), Ends::PanicInClosure(payload.clone())] {
            let (flight, record) = (Flight::new(), Fetches::new());
            let in_future = matches!(ends, Ends::Panic(_));
            let when = if in_future { "in its future" } else { "in its closure" };
            let caught = |at| {
                let call = timeout(ms(1000), call(&flight, &record, "a", at, ends.clone()));
                AssertUnwindSafe(call).catch_unwind()
            };
            let other = timeout(ms(10_000), call(&flight, &record, "b", 10, Ends::Value));
            // Who comes after a panic in the closure begins a run of its own.
            let joined = join_all([caught(0), caught(if in_future { 20 } else { 0 })]);
            let (panicked, other) = cx.call(RUN, join(joined, other)).await?.value;
            ensure!(panicked.iter().all(Result::is_err), "work panics {when}, and a caller of its run does not panic";
                expected = "the panic reaches every caller of the run",
                help = "an answer that never comes is the worst of all answers");
            let other = matches!(other, Ok((_, Ok(_))));
            ensure!(other, "work of one key panics {when}, and a caller of another key gets no value";
                expected = "it sees nothing of the panic");
            let kept = flight.len();
            ensure!(kept == 0, "work panicked {when}, and `len` is {}", kept; expected = "0");
            let next = timeout(ms(10_000), call(&flight, &record, "a", 0, Ends::Value));
            let next = cx.call(RUN, AssertUnwindSafe(next).catch_unwind()).await?.value;
            ensure!(matches!(next, Ok(Ok((_, Ok(_))))), "work panicked {when}, and the next caller of the key gets no value";
                expected = "the run has ended: the next one begins", help = "let a destructor take the run out of the map");
        }
    }
    Ok(())
}
