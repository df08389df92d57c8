//! From callbacks to futures and back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq};
use level1::promisify::{
    CallbackError, ErrorFirst, ResultFirst, callbackify, promisify, promisify_result_first,
};
use tokio::time::sleep;

type Told = Result<u32, CallbackError<&'static str>>;

fn later(action: impl FnOnce() + Send + 'static) {
    tokio::spawn(async move {
        sleep(Duration::from_millis(100)).await;
        action();
    });
}

async fn error_first_gives(
    cx: &Cx,
    start: impl FnOnce(ErrorFirst<u32, &'static str>),
) -> Result<Told, Fail> {
    Ok(cx.call("promisify::promisify", async { promisify(start).await }).await?.value)
}

pub async fn error_first(cx: Cx) -> Outcome {
    for result in [Ok(5), Err("no")] {
        let expected = result.map_err(CallbackError::Failed);
        let at_once = error_first_gives(&cx, move |callback| callback(result)).await?;
        ensure_eq!(at_once, expected, "called back at once with {:?}", result);
        let in_time = error_first_gives(&cx, move |callback| later(move || callback(result)));
        ensure_eq!(in_time.await?, expected, "called back after 100 ms with {:?}", result);
    }
    Ok(())
}

pub async fn dropped(cx: Cx) -> Outcome {
    for at_once in [true, false] {
        let told = error_first_gives(&cx, move |callback| {
            if !at_once {
                later(move || drop(callback));
            }
        });
        ensure_eq!(told.await?, Err(CallbackError::Dropped), "the callback was dropped uncalled";
            help = "a callback that is gone can never be called: the waiting side has to notice, as \
                    the receiver of a oneshot channel does");
    }
    Ok(())
}

async fn result_first_gives(
    cx: &Cx,
    result: Option<u32>,
    error: Option<&'static str>,
) -> Result<Told, Fail> {
    let start =
        move |callback: ResultFirst<u32, &'static str>| later(move || callback(result, error));
    let call = async { promisify_result_first(start).await };
    Ok(cx.call("promisify::promisify_result_first", call).await?.value)
}

pub async fn result_first(cx: Cx) -> Outcome {
    let help =
        "here the result comes first and the error second; an error counts also beside a result";
    for (result, error, expected) in [
        (Some(5), None, Ok(5)),
        (None, Some("no"), Err(CallbackError::Failed("no"))),
        (Some(5), Some("no"), Err(CallbackError::Failed("no"))),
    ] {
        let told = result_first_gives(&cx, result, error).await?;
        ensure_eq!(told, expected, "called back with ({:?}, {:?})", result, error; help = help);
    }
    Ok(())
}

pub async fn neither(cx: Cx) -> Outcome {
    let told = result_first_gives(&cx, None, None).await?;
    ensure_eq!(told, Err(CallbackError::Empty), "called back with neither a result nor an error";
        help = "an old API may call back with nothing at all: that is an error of its own");
    Ok(())
}

pub async fn result_first_dropped(cx: Cx) -> Outcome {
    let start = |callback: ResultFirst<u32, &'static str>| later(move || drop(callback));
    let call = async { promisify_result_first(start).await };
    let told = cx.call("promisify::promisify_result_first", call).await?.value;
    ensure_eq!(told, Err(CallbackError::Dropped), "the callback was dropped uncalled";
        help = "the same as for promisify: build the one on the other");
    Ok(())
}

/// What `callbackify` tells its callback about a future, with whether it did so before it returned.
async fn told(
    cx: &Cx,
    future: impl Future<Output = Result<u32, &'static str>> + Send + 'static,
) -> Result<(Vec<Told>, bool), Fail> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let lock =
        |seen: &Mutex<Vec<Told>>| seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let early = cx
        .call_fn("promisify::callbackify", || {
            callbackify(future, move |result| {
                record.lock().unwrap_or_else(PoisonError::into_inner).push(result);
            });
            !lock(&seen).is_empty()
        })
        .await?;
    cx.call("promisify::callbackify", sleep(Duration::from_millis(1_000))).await?;
    Ok((lock(&seen), early))
}

pub async fn back_to_callbacks(cx: Cx) -> Outcome {
    for result in [Ok(5), Err("no")] {
        for after in [0, 100] {
            let future = async move {
                if after > 0 {
                    sleep(Duration::from_millis(after)).await;
                }
                result
            };
            let (calls, early) = told(&cx, future).await?;
            ensure_eq!(calls, vec![result.map_err(CallbackError::Failed)], "the calls of the callback";
                help = "one call, with the future's own result");
            ensure!(!early, "the callback ran before callbackify had returned";
                expected = "the function returns first", observed = "the callback ran inside it",
                help = "run the future in a task");
        }
    }
    Ok(())
}

pub async fn panic(cx: Cx) -> Outcome {
    let (calls, _) = told(&cx, async { panic!("the future is dark") }).await?;
    let expected = vec![Err(CallbackError::Panicked("the future is dark".to_owned()))];
    ensure_eq!(calls, expected, "the future panicked: the calls of the callback";
        help = "a panic ends the task, and the callback with it: catch it (FutureExt::catch_unwind, \
                or the JoinError of a second task) and tell the callback. panics::message has its text");
    Ok(())
}
