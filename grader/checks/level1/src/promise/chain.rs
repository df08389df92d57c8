//! then, catch and finally.

use grader_kit::{Cx, Outcome, ensure_eq};
use tokio::time::sleep;

use super::{Notes, Oops, P, after, ms, no, outcome};

pub async fn then(cx: Cx) -> Outcome {
    let (result, took) = outcome(&cx, "Promise::then", || {
        after(100, Ok(1))
            .then(|value| Ok::<_, Oops>(value + 1))
            .then(|value| after(200, Ok(value * 10)))
            .then(|value| Ok::<_, Oops>(format!("got {value}")))
    })
    .await?;
    ensure_eq!(result, Ok("got 20".to_owned()), "1, plus 1, times 10, as text";
        help = "what a handler returns settles the promise that then returned");
    ensure_eq!(took, 300, "how long a chain took with a promise of 100 ms, and one of 200 ms returned by a handler";
        help = "a promise that a handler returns is waited for: flattening");
    Ok(())
}

pub async fn rejection_travels(cx: Cx) -> Outcome {
    let notes = Notes::default();
    let log = notes.clone();
    let (result, _) = outcome(&cx, "Promise::then", || {
        let (first, second, third) = (log.clone(), log.clone(), log);
        after(100, Ok(1))
            .then(move |_| {
                first.add("fails");
                no("stop")
            })
            .then(move |value| {
                second.add("skipped");
                Ok::<_, Oops>(value)
            })
            .then(move |value| {
                third.add("skipped");
                Ok::<_, Oops>(value)
            })
    })
    .await?;
    ensure_eq!(result, no("stop"), "the end of a chain whose first handler fails");
    ensure_eq!(notes.all(), vec!["fails"], "the handlers that ran";
        help = "a rejection passes by every then, unchanged");
    Ok(())
}

pub async fn catch(cx: Cx) -> Outcome {
    let (result, _) =
        outcome(&cx, "Promise::catch", || after(100, no("a")).catch(|_| Ok::<_, Oops>(7))).await?;
    ensure_eq!(result, Ok(7), "recovered by catch");
    let (result, _) = outcome(&cx, "Promise::catch", || {
        after(100, no("a")).catch(|error| match error {
            Oops::Said("a") => no("b"),
            other => Err(other),
        })
    })
    .await?;
    ensure_eq!(result, no("b"), "thrown again by catch, as another error");
    let (result, took) =
        outcome(&cx, "Promise::catch", || after(100, no("a")).catch(|_| after(200, Ok(8)))).await?;
    ensure_eq!((result, took), (Ok(8), 300), "recovered with a promise of 200 ms: result and ms");
    let notes = Notes::default();
    let log = notes.clone();
    let (result, _) = outcome(&cx, "Promise::catch", || {
        after(100, Ok(1)).catch(move |_| {
            log.add("called");
            Ok::<_, Oops>(9)
        })
    })
    .await?;
    ensure_eq!(
        (result, notes.all()),
        (Ok(1), vec![]),
        "a value that passes by catch, and its calls"
    );
    Ok(())
}

pub async fn finally(cx: Cx) -> Outcome {
    for result in [Ok(1), no("no")] {
        let notes = Notes::default();
        let (planned, log) = (result.clone(), notes.clone());
        let (observed, _) = outcome(&cx, "Promise::finally", || {
            after(100, planned).finally(move || log.add("called"))
        })
        .await?;
        ensure_eq!(observed, result, "the result behind finally";
            help = "finally passes value and error on, unchanged");
        ensure_eq!(notes.all(), vec!["called"], "calls of finally's handler for {:?}", result;
            help = "it runs in both cases");
        let planned = result.clone();
        let (observed, took) = outcome(&cx, "Promise::finally", || {
            after(100, planned).finally(|| after(200, Ok(0)).then(|_| Ok::<(), Oops>(())))
        })
        .await?;
        ensure_eq!((observed, took), (result.clone(), 300), "a clean-up of 200 ms: result and ms";
            help = "a promise that the handler returns is waited for");
        let (observed, _) = outcome(&cx, "Promise::finally", || {
            after(100, result).finally(|| Err::<(), _>(Oops::Said("clean-up failed")))
        })
        .await?;
        ensure_eq!(observed, no("clean-up failed"), "the result when the clean-up fails";
            help = "an error of the clean-up takes the result's place");
    }
    Ok(())
}

/// Handlers never run inside `then`, not even those of a settled promise.
pub async fn handlers_later(cx: Cx) -> Outcome {
    let notes = Notes::default();
    let log = notes.clone();
    let promises = cx
        .call_fn("Promise::then", move || {
            let (value, error, end) = (log.clone(), log.clone(), log.clone());
            let promises = (
                P::resolved(1).then(move |_| {
                    value.add("handler");
                    Ok::<_, Oops>(1)
                }),
                P::rejected(Oops::Said("no")).catch(move |_| {
                    error.add("handler");
                    Ok::<_, Oops>(1)
                }),
                P::resolved(1).finally(move || end.add("handler")),
            );
            log.add("returned");
            promises
        })
        .await?;
    let _ = cx
        .call("Promise::then", futures::future::join3(promises.0, promises.1, promises.2))
        .await?;
    let expected = vec!["returned", "handler", "handler", "handler"];
    ensure_eq!(notes.all(), expected, "the order of handlers and return";
        help = "a handler runs in a task, so that the lines after then run first in every case");
    Ok(())
}

/// Work and handlers run whether or not anybody awaits the outcome.
pub async fn unawaited(cx: Cx) -> Outcome {
    let notes = Notes::default();
    let log = notes.clone();
    cx.call_fn("Promise::then", move || {
        let (value, error, end) = (log.clone(), log.clone(), log);
        drop(after(100, Ok(1)).then(move |_| {
            value.add("then");
            Ok::<_, Oops>(1)
        }));
        drop(after(200, no("no")).catch(move |_| {
            error.add("catch");
            Ok::<_, Oops>(1)
        }));
        drop(after(300, Ok(1)).finally(move || end.add("finally")));
    })
    .await?;
    cx.call("Promise::then", sleep(ms(1_000))).await?;
    ensure_eq!(notes.all(), vec!["then", "catch", "finally"], "the handlers that ran though nobody awaited them";
        help = "a promise is eager: spawn what settles it, instead of waiting to be polled");
    Ok(())
}
