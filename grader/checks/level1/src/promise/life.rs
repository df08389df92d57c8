//! How a promise begins and how it is settled.

use grader_kit::{Cx, Outcome, ensure, ensure_eq};
use level1::promise::{Broken, Promise, State};
use tokio::time::sleep;

use super::{Notes, Oops, P, after, ms, no, outcome};

const NEW: &str = "Promise::new";

pub async fn executor_at_once(cx: Cx) -> Outcome {
    let notes = Notes::default();
    let log = notes.clone();
    let _promise: P = cx
        .call_fn(NEW, move || {
            let inside = log.clone();
            let promise = Promise::new(move |resolver| {
                inside.add("executor");
                drop(resolver);
            });
            log.add("after new");
            promise
        })
        .await?;
    cx.settle().await;
    ensure_eq!(notes.all(), vec!["executor", "after new"], "the executor and the line after Promise::new ran in the wrong order";
        help = "the executor runs before Promise::new returns; only the handlers come later");
    Ok(())
}

pub async fn settles_once(cx: Cx) -> Outcome {
    let promise: P = cx
        .call_fn(NEW, || {
            Promise::new(|resolver| {
                resolver.resolve(1);
                resolver.reject(Oops::Said("too late"));
                resolver.clone().resolve(2);
            })
        })
        .await?;
    let (result, _) = outcome(&cx, "a promise", || promise).await?;
    ensure_eq!(result, Ok(1), "resolved with 1, then rejected, then resolved with 2";
        help = "the first call counts, all later ones are without effect");
    let promise: P = cx
        .call_fn(NEW, || {
            Promise::new(|resolver| {
                resolver.reject(Oops::Said("first"));
                resolver.resolve(2);
            })
        })
        .await?;
    let (result, _) = outcome(&cx, "a promise", || promise).await?;
    ensure_eq!(result, no("first"), "rejected, then resolved with 2";
        help = "the first call counts, all later ones are without effect");
    Ok(())
}

pub async fn states(cx: Cx) -> Outcome {
    for (result, settled) in [(Ok(1), State::Fulfilled), (no("no"), State::Rejected)] {
        let ready: P = match result.clone() {
            Ok(value) => cx.call_fn("Promise::resolved", || Promise::resolved(value)).await?,
            Err(error) => cx.call_fn("Promise::rejected", || Promise::rejected(error)).await?,
        };
        let state = cx.call_fn("Promise::state", || ready.state()).await?;
        ensure_eq!(state, settled, "the state of a promise made settled with {:?}", result);
        let mut promise = cx.call_fn(NEW, || after(100, result.clone())).await?;
        let state = cx.call_fn("Promise::state", || promise.state()).await?;
        ensure_eq!(state, State::Pending, "the state before it is settled");
        sleep(ms(200)).await;
        let state = cx.call_fn("Promise::state", || promise.state()).await?;
        ensure_eq!(state, settled, "the state after it is settled with {:?}", result);
        let _ = cx.call("a promise", &mut promise).await?;
        let state = cx.call_fn("Promise::state", || promise.state()).await?;
        ensure_eq!(state, settled, "the state after its result was handed out ({:?})", result;
            help = "a settled promise stays as it is");
    }
    Ok(())
}

/// A promise is a future: it wakes whoever awaits it, also when another task polled it before.
pub async fn is_a_future(cx: Cx) -> Outcome {
    for result in [Ok(1), no("no")] {
        let planned = result.clone();
        let (observed, took) = outcome(&cx, "a promise", || after(100, planned)).await?;
        ensure_eq!(observed, result, "the result of an awaited promise");
        ensure_eq!(took, 100, "how long a promise was awaited that is settled after 100 ms";
            help = "keep the waker of the latest poll and wake it when the promise is settled");
    }
    let mut promise = cx.call_fn(NEW, || after(300, Ok(2))).await?;
    // Polled by one task, then handed to another: the second waker is the one that counts.
    let first = cx.call("a promise", tokio::time::timeout(ms(100), &mut promise)).await?;
    ensure!(first.value.is_err(), "a promise was ready before it was settled");
    let (observed, took) =
        outcome(&cx, "a promise", || async { tokio::spawn(promise).await.ok() }).await?;
    ensure_eq!(observed, Some(Ok(2)), "the result of a promise that moved to another task");
    ensure_eq!(took, 200, "how long it was awaited after it moved";
        help = "each poll may come from another task: replace the waker that is kept");
    Ok(())
}

pub async fn from_future(cx: Cx) -> Outcome {
    for result in [Ok(1), no("no")] {
        let planned = result.clone();
        let promise: P = cx
            .call_fn("Promise::from_future", || {
                Promise::from_future(async move {
                    sleep(ms(100)).await;
                    planned
                })
            })
            .await?;
        sleep(ms(150)).await;
        let (observed, took) = outcome(&cx, "a promise", || promise).await?;
        ensure_eq!(observed, result, "the result of a promise made from a future");
        ensure_eq!(took, 0, "how long it was awaited after its 100 ms were over";
            help = "a promise is eager: the future runs in a task from the beginning");
    }
    Ok(())
}

pub async fn abandoned(cx: Cx) -> Outcome {
    let promise: P = cx
        .call_fn(NEW, || {
            Promise::new(|resolver| {
                let other = resolver.clone();
                tokio::spawn(async move {
                    sleep(ms(100)).await;
                    drop(resolver);
                    sleep(ms(100)).await;
                    drop(other);
                });
            })
        })
        .await?;
    let (result, took) = outcome(&cx, "a promise without a resolver", || promise).await?;
    ensure_eq!(
        result,
        Err(Oops::Broken(Broken::Abandoned)),
        "the result when every resolver is gone"
    );
    ensure_eq!(took, 200, "when the promise was rejected; its last resolver is dropped after 200 ms";
        help = "count the clones: only when the last is gone can nobody settle the promise");
    let promise: P = cx.call_fn(NEW, || Promise::new(drop)).await?;
    cx.settle().await;
    let state = cx.call_fn("Promise::state", || promise.state()).await?;
    ensure_eq!(state, State::Rejected, "the state of a promise without a resolver");
    Ok(())
}

pub async fn panics(cx: Cx) -> Outcome {
    let expected = |text: &str| Err(Oops::Broken(Broken::Panicked(text.to_owned())));
    let promise: P = cx.call_fn(NEW, || Promise::new(|_| panic!("in the executor"))).await?;
    let (result, _) = outcome(&cx, "a promise", || promise).await?;
    ensure_eq!(result, expected("in the executor"), "the executor panicked");
    let promise: P = cx
        .call_fn("Promise::from_future", || Promise::from_future(async { panic!("in the future") }))
        .await?;
    let (result, _) = outcome(&cx, "a promise", || promise).await?;
    ensure_eq!(result, expected("in the future"), "the future panicked");
    let (result, _) = outcome(&cx, "Promise::then", || {
        P::resolved(1).then(|_| -> Result<u32, Oops> { panic!("in a handler") })
    })
    .await?;
    ensure_eq!(result, expected("in a handler"), "a handler panicked";
        help = "a panic is what a throw is in JavaScript: catch it, and reject with Broken::Panicked");
    Ok(())
}
