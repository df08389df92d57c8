//! then, catch and finally.

use std::sync::{Arc, Mutex};

use grader_kit::{Cx, Outcome, ensure, in_background, list, lock, ms};
use tokio::time::{sleep, timeout};

use super::{Notes, Oops, P, SLOW, Settled, after, ends, no, outcome, slow_outcome, yes};
use crate::values::untidy;

pub async fn then(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (a, b, c) = (untidy(&mut draw), draw.word(), draw.word());
    let expected = Ok((3, format!("{a}{b}{c}")));
    let help = "what a handler returns settles the promise that then returned; a promise that it returns is awaited first (flattening)";
    let observed = outcome(&cx, "Promise::then", || {
        after(100, Ok(a))
            .then(move |value| Ok::<_, Oops>(value + &b))
            .then(move |value| after(200, Ok(value + &c)))
            .then(|value| P::<(u8, String)>::resolved((3, value)))
    });
    let case =
        "a promise of 100 ms, then a value, a promise of 200 ms and a promise that is settled";
    ends(observed.await?, expected, 300, case, help)?;
    // A promise that a handler returns, rejected or abandoned.
    let why = draw.word();
    let rejected = why.clone();
    let observed = outcome(&cx, "Promise::then", || {
        after(100, yes("")).then(move |_| after(200, no(&rejected)))
    });
    let case = "a handler that returns a promise that is rejected after 200 ms";
    ends(observed.await?, no(&why), 300, case, help)?;
    // A long chain of steps that take no time.
    let observed = outcome(&cx, "Promise::then", || {
        let first = P::<u32>::resolved(0);
        (0..5_000).fold(first, |promise, _| promise.then(|count| Ok::<_, Oops>(count + 1)))
    });
    ends(observed.await?, Ok(5_000), 0, "a chain of 5000 handlers", help)?;
    let waits = |inner| P::resolved(String::new()).then(move |_| inner);
    at_the_moment(&cx, "Promise::then", waits).await?;
    let slow = slow_outcome(&cx, "Promise::then", || waits(after(SLOW, yes("late"))));
    let case = "a handler that returns a promise that is fulfilled after 25 years";
    ends(slow.await?, yes("late"), SLOW.into(), case, "await it however long it takes")
}

/// Ends the script unless a chain whose handler returned a pending promise ends when that promise does: at
/// the same instant, not at the next look at its state.
async fn at_the_moment(cx: &Cx, name: &str, chain: impl FnOnce(P) -> P) -> Outcome {
    let held = Arc::new(Mutex::new(None));
    let hold = Arc::clone(&held);
    let begin = || chain(P::new(move |resolver| *lock(&hold) = Some(resolver)));
    let promise = cx.call_fn(name, begin).await?;
    cx.settle().await;
    sleep(ms(5_500)).await;
    cx.settle().await;
    if let Some(resolver) = lock(&held).take() {
        resolver.resolve("inner".to_owned());
    }
    let (_, took) = outcome(cx, name, || promise).await?;
    ensure!(took == 0, "a handler's promise was settled, and the chain behind it {took} ms later";
        expected = "at the same moment", observed = format!("{took} ms later"),
        help = "await the promise that the handler returned: its waker says when it is settled");
    Ok(())
}

pub async fn rejection_travels(cx: Cx) -> Outcome {
    let why = untidy(&mut cx.draw());
    let help = "a rejection passes by every then, unchanged";
    for (case, first, ran) in [
        ("a promise that is rejected", no(&why), &[][..]),
        ("a chain whose first handler fails", yes(""), &["fails"]),
    ] {
        let notes = Notes::default();
        let (first_log, second, third) = (notes.clone(), notes.clone(), notes.clone());
        let stop = why.clone();
        let observed = outcome(&cx, "Promise::then", || {
            after(100, first)
                .then(move |_| {
                    first_log.add("fails");
                    no(&stop)
                })
                .then(move |value: String| {
                    second.add("skipped");
                    Ok::<_, Oops>(value.len())
                })
                .then(move |length| {
                    third.add("skipped");
                    yes(&length.to_string())
                })
        });
        ends(observed.await?, no(&why), 100, &format!("the end of {case}"), help)?;
        notes.are(ran, &format!("the handlers that ran behind {case}"), help)?;
    }
    Ok(())
}

pub async fn catch(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (a, b) = (draw.word(), untidy(&mut draw));
    let help = "catch gets the error unchanged; what its handler returns settles the promise, and a promise that it returns is awaited. A value skips the handler";
    let value = b.clone();
    let observed = outcome(&cx, "Promise::catch", || {
        after(100, no(&a)).catch(move |error| match error {
            Oops::Said(said) => Ok(said + &value),
            other => Err(other),
        })
    });
    ends(observed.await?, Ok(format!("{a}{b}")), 100, "recovered by catch", help)?;
    let again = b.clone();
    let observed = outcome(&cx, "Promise::catch", || after(100, no(&a)).catch(move |_| no(&again)));
    ends(observed.await?, no(&b), 100, "thrown again by catch, as another error", help)?;
    for planned in [yes(&b), no(&b)] {
        let next = planned.clone();
        let observed =
            outcome(&cx, "Promise::catch", || after(100, no(&a)).catch(move |_| after(200, next)));
        ends(observed.await?, planned, 300, "catch with a promise of 200 ms", help)?;
    }
    let notes = Notes::default();
    let log = notes.clone();
    let observed = outcome(&cx, "Promise::catch", || {
        after(100, yes(&a)).catch(move |_| {
            log.add("called");
            yes("recovered")
        })
    });
    ends(observed.await?, yes(&a), 100, "a value that passes by catch", help)?;
    notes.are(&[], "the calls of catch's handler for a value", help)?;
    let waits = |inner| P::rejected(Oops::Said(String::new())).catch(move |_| inner);
    at_the_moment(&cx, "Promise::catch", waits).await?;
    broken(&cx).await
}

/// How many [`broken_promises`] there are.
const BROKEN: usize = 4;

/// Promises that no code has rejected: they were abandoned, or what settles them panicked.
fn broken_promises() -> [(&'static str, P, Oops); BROKEN] {
    let panicked = || Oops::Panicked("broken".to_owned());
    [
        ("an abandoned promise", P::new(drop), Oops::Abandoned),
        ("a promise whose executor panicked", P::new(|_| panic!("broken")), panicked()),
        ("a promise whose future panicked", P::from_future(async { panic!("broken") }), panicked()),
        (
            "a promise whose handler panicked",
            P::resolved(String::new()).then(|_| -> Settled { panic!("broken") }),
            panicked(),
        ),
    ]
}

/// A rejection is a rejection, whatever its reason: `catch` gets all of them.
async fn broken(cx: &Cx) -> Outcome {
    for index in 0..BROKEN {
        let alone = async {
            let (_, promise, expected) = broken_promises().into_iter().nth(index)?;
            Some(timeout(ms(1_000), promise).await == Ok(Err(expected)))
        };
        if !matches!(cx.call("Promise::new", alone).await, Ok(call) if call.value == Some(true)) {
            continue; // whether it is rejected at all is asked elsewhere
        }
        let caught = Arc::new(Mutex::new(None));
        let catch = Arc::clone(&caught);
        let begin = || {
            let (case, promise, expected) = broken_promises().into_iter().nth(index)?;
            let recovered = promise.catch(move |error| {
                *lock(&catch) = Some(error);
                yes("recovered")
            });
            Some((case, recovered, expected))
        };
        let Some((case, promise, expected)) = cx.call_fn("Promise::catch", begin).await? else {
            break;
        };
        let (ended, _) = outcome(cx, "Promise::catch", || promise).await?;
        let seen = lock(&caught).take();
        ensure!(seen.as_ref() == Some(&expected) && ended == yes("recovered"), "catch behind {case}";
            expected = format!("its handler gets {expected:?}, and recovers"),
            observed = format!("its handler got {seen:?}, and the end is {ended:?}"),
            help = "a promise that was abandoned, or that panicked, is rejected like any other");
    }
    Ok(())
}

/// A clean-up of 200 ms.
fn clean_up_of(result: Settled<()>) -> P<()> {
    P::new(move |resolver| {
        in_background(async move {
            sleep(ms(200)).await;
            match result {
                Ok(()) => resolver.resolve(()),
                Err(error) => resolver.reject(error),
            }
        });
    })
}

pub async fn finally(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (value, why, clean_up) = (untidy(&mut draw), untidy(&mut draw), draw.word());
    for (case, result) in [("a value", Ok(value)), ("an error", Err(Oops::Said(why)))] {
        let notes = Notes::default();
        let (planned, log) = (result.clone(), notes.clone());
        let observed = outcome(&cx, "Promise::finally", || {
            after(100, planned).finally(move || log.add("called"))
        });
        let help = "finally passes value and error on, unchanged";
        ends(observed.await?, result.clone(), 100, &format!("{case} behind finally"), help)?;
        let help = "it runs in both cases";
        notes.are(&["called"], &format!("the calls of finally's handler for {case}"), help)?;
        let planned = result.clone();
        let observed = outcome(&cx, "Promise::finally", || {
            after(100, planned).finally(|| clean_up_of(Ok(())))
        });
        let help = "a promise that the handler returns is awaited";
        ends(
            observed.await?,
            result.clone(),
            300,
            &format!("{case}, and a clean-up of 200 ms"),
            help,
        )?;
        let help = "an error of the clean-up replaces the result";
        let (planned, error) = (result.clone(), Oops::Said(clean_up.clone()));
        let observed = outcome(&cx, "Promise::finally", || {
            after(100, planned).finally(move || Err::<(), _>(error))
        });
        ends(
            observed.await?,
            no(&clean_up),
            100,
            &format!("{case}, and a clean-up that fails"),
            help,
        )?;
        let error = clean_up.clone();
        let observed = outcome(&cx, "Promise::finally", || {
            after(100, result).finally(move || clean_up_of(Err(Oops::Said(error))))
        });
        let case = format!("{case}, and a clean-up that fails after 200 ms");
        ends(observed.await?, no(&clean_up), 300, &case, help)?;
    }
    let observed = outcome(&cx, "Promise::finally", || {
        after(100, no("before")).finally(|| -> () { panic!("in the clean-up") })
    });
    let case = "an error, and a clean-up that panics";
    let expected = Err(Oops::Panicked("in the clean-up".to_owned()));
    ends(observed.await?, expected, 100, case, "a panic of the clean-up takes the result's place")
}

/// Handlers never run inside `then`, not even those of a settled promise.
pub async fn handlers_later(cx: Cx) -> Outcome {
    let notes = Notes::default();
    let log = notes.clone();
    let promises = cx
        .call_fn("Promise::then", move || {
            let (value, error, end, late) = (log.clone(), log.clone(), log.clone(), log.clone());
            let promises = (
                P::resolved(String::new()).then(move |_| {
                    value.add("handler");
                    yes("")
                }),
                P::rejected(Oops::Said(String::new())).catch(move |_| {
                    error.add("handler");
                    yes("")
                }),
                P::resolved(String::new()).finally(move || end.add("handler")),
                after(0, yes("")).then(move |_| {
                    late.add("handler");
                    yes("")
                }),
            );
            log.add("returned");
            promises
        })
        .await?;
    let (one, two, three, four) = promises;
    let _ = cx.call("Promise::then", futures::future::join4(one, two, three, four)).await?;
    notes.are(
        &["returned", "handler", "handler", "handler", "handler"],
        "the order of handlers and return",
        "a handler runs in a task, so that the lines after then run first in every case",
    )
}

/// Work and handlers run whether or not the outcome is awaited.
pub async fn unawaited(cx: Cx) -> Outcome {
    let notes = Notes::default();
    let log = notes.clone();
    cx.call_fn("Promise::then", move || {
        let (value, error, end, second) = (log.clone(), log.clone(), log.clone(), log.clone());
        drop(after(100, yes("")).then(move |_| {
            value.add("then");
            yes("")
        }));
        drop(after(200, no("no")).catch(move |_| {
            error.add("catch");
            yes("")
        }));
        drop(after(300, yes("")).finally(move || end.add("finally")));
        drop(after(400, yes("")).then(|value| yes(&value)).then(move |_| -> Settled {
            second.add("the second then");
            no("nothing hears this")
        }));
    })
    .await?;
    let log = notes.clone();
    cx.call_fn("Promise::from_future", move || {
        drop(P::from_future(async move {
            sleep(ms(500)).await;
            log.add("the future");
            yes("")
        }));
    })
    .await?;
    cx.call("Promise::then", sleep(ms(1_000))).await?;
    notes.are(
        &["then", "catch", "finally", "the second then", "the future"],
        "the handlers of outcomes that are not awaited",
        "a promise is eager: spawn what settles it, instead of waiting to be polled",
    )?;
    for at in [0, 50, 150, 250, 350] {
        dropped_on_the_way(&cx, at).await?;
    }
    Ok(())
}

/// Promises of work in several steps, dropped during one of them.
async fn dropped_on_the_way(cx: &Cx, at: u64) -> Outcome {
    let notes = Notes::default();
    let log = notes.clone();
    let promises = cx
        .call_fn("Promise::from_future", move || {
            let (steps, caught) = (log.clone(), log.clone());
            let future = P::from_future(async move {
                for _ in 0..4 {
                    sleep(ms(100)).await;
                    steps.add("a step");
                }
                yes("")
            });
            let value = after(305, yes("")).then(move |_| {
                log.add("the handler of then");
                yes("")
            });
            let error = after(205, no("no")).catch(move |_| {
                caught.add("the handler of catch");
                yes("")
            });
            (future, value, error)
        })
        .await?;
    if at > 0 {
        let all = async {
            let (mut future, mut value, mut error) = promises;
            let _ =
                timeout(ms(at), futures::future::join3(&mut future, &mut value, &mut error)).await;
        };
        cx.call("a promise", all).await?;
    } else {
        drop(promises);
    }
    cx.call("Promise::then", sleep(ms(60_000))).await?;
    let mut ran = notes.all();
    ran.sort_unstable();
    let expected =
        ["a step", "a step", "a step", "a step", "the handler of catch", "the handler of then"];
    ensure!(ran == expected, "a future of four steps of 100 ms and handlers at 205 and 305 ms, their promises dropped at {at} ms: what ran";
        expected = list(expected), observed = list(ran),
        help = "dropping a promise stops nothing: neither its work nor its handlers ask whether it is \
                awaited");
    Ok(())
}
