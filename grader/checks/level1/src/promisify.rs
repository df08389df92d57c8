//! From callbacks to futures and back.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use grader_kit::{Call, Cx, Draw, Fail, Outcome, ensure, in_background, list, lock, ms, short};
use level1::promisify::{
    CallbackError, ErrorFirst, ResultFirst, callbackify, promisify, promisify_result_first,
};
use tokio::time::{Duration, Instant, sleep};

use crate::values;

const PROMISIFY: &str = "promisify::promisify";
const RESULT_FIRST: &str = "promisify::promisify_result_first";
const CALLBACKIFY: &str = "promisify::callbackify";

/// What a future or a callback got, taken apart.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    Value(String),
    Failed(String),
    Dropped,
    Empty,
    Panicked(String),
}

impl Told {
    fn of(result: Result<String, CallbackError<String>>) -> Self {
        match result {
            Ok(value) => Told::Value(value),
            Err(CallbackError::Failed(error)) => Told::Failed(error),
            Err(CallbackError::Dropped) => Told::Dropped,
            Err(CallbackError::Empty) => Told::Empty,
            Err(CallbackError::Panicked(text)) => Told::Panicked(text),
        }
    }

    /// What a result of the operation becomes.
    fn from(result: Result<String, String>) -> Self {
        result.map_or_else(Told::Failed, Told::Value)
    }

    fn shown(&self) -> String {
        match self {
            Told::Value(value) => format!("Ok({:?})", short(value)),
            Told::Failed(error) => format!("CallbackError::Failed({:?})", short(error)),
            Told::Dropped => "CallbackError::Dropped".to_owned(),
            Told::Empty => "CallbackError::Empty".to_owned(),
            Told::Panicked(text) => format!("CallbackError::Panicked({:?})", short(text)),
        }
    }
}

/// Milliseconds of what takes 25 years.
const SLOW: u64 = values::SLOW.as_secs() * 1_000;

/// Longer than that.
const LONG: Duration = Duration::from_secs(values::SLOW.as_secs() + 600);

const PATIENT: &str = "wait for the callback however long it takes: there is no time limit";

/// Values and errors of an operation.
fn results(draw: &mut Draw) -> Vec<Result<String, String>> {
    let values = values::texts(draw).into_iter().map(Ok);
    values.chain(values::texts(draw).into_iter().map(Err)).collect()
}

/// Ends the script unless a call gave this, at this virtual millisecond.
fn gave(call: Call<Told>, at: u64, expected: &Told, case: &str, help: &str) -> Outcome {
    ensure!(call.value == *expected, "{case}: the future resolves to something else";
        expected = expected.shown(), observed = call.value.shown(), help = help);
    ensure!(call.took == ms(at), "{case}: the future is ready at {} ms", call.took.as_millis();
        expected = format!("{at} ms"), observed = format!("{} ms", call.took.as_millis()),
        help = "wake the task that awaits the future when the callback is called or dropped");
    Ok(())
}

/// Does it now, or in a task after 100 ms.
fn in_time(at: u64, action: impl FnOnce() + Send + 'static) {
    if at == 0 {
        action();
        return;
    }
    in_background(async move {
        sleep(ms(at)).await;
        action();
    });
}

/// Awaits what `promisify` makes of an operation.
async fn error_first_gives(
    cx: &Cx,
    start: impl FnOnce(ErrorFirst<String, String>),
) -> Result<Call<Told>, Fail> {
    cx.call(PROMISIFY, async { Told::of(promisify(start).await) }).await
}

pub async fn error_first(cx: Cx) -> Outcome {
    let help = "the future gives what the callback got, as it is";
    for result in results(&mut cx.draw()) {
        let expected = Told::from(result.clone());
        for at in [0, 100] {
            let case = format!("called back after {at} ms with {}", expected.shown());
            let result = result.clone();
            let call = error_first_gives(&cx, move |callback| {
                in_time(at, move || callback(result));
            });
            gave(call.await?, at, &expected, &case, help)?;
        }
        // The task that awaits it may change: the waker of the last poll counts.
        let mut future = cx
            .call_fn(PROMISIFY, || {
                Box::pin(promisify(|callback: ErrorFirst<String, String>| {
                    in_time(100, move || callback(result));
                }))
            })
            .await?;
        cx.call(PROMISIFY, async {
            tokio::select! { _ = &mut future => (), () = sleep(ms(50)) => () }
        })
        .await?;
        let mut others = FuturesUnordered::new();
        others.push(future);
        let rest = async { others.next().await.map_or(Told::Empty, Told::of) };
        let case =
            format!("awaited elsewhere from 50 ms on, and called back with {}", expected.shown());
        gave(cx.call(PROMISIFY, rest).await?, 50, &expected, &case, help)?;
    }
    // A callback that comes after 25 years.
    let start =
        |callback: ErrorFirst<String, String>| in_time(SLOW, || callback(Ok("late".to_owned())));
    let slow = cx.call_within(LONG, PROMISIFY, async { Told::of(promisify(start).await) }).await?;
    gave(slow, SLOW, &Told::Value("late".to_owned()), "called back after 25 years", PATIENT)?;
    // Many under way at once, called back in another order.
    let mut times: Vec<u64> = (1..=300).collect();
    cx.draw().shuffle(&mut times);
    let begin = Instant::now();
    let futures = times.iter().map(|time| {
        let time = *time;
        let future = promisify(move |callback: ErrorFirst<String, String>| {
            in_time(time, move || callback(Ok(time.to_string())));
        });
        async move { (Told::of(future.await), begin.elapsed()) }
    });
    let all = async { join_all(futures).await };
    for (time, (told, at)) in times.iter().zip(cx.call(PROMISIFY, all).await?.value) {
        let expected = Told::Value(time.to_string());
        ensure!(told == expected && at == ms(*time), "one of 300 operations that are under way at once gives something else";
            expected = format!("{} at {time} ms", expected.shown()),
            observed = format!("{} at {} ms", told.shown(), at.as_millis()),
            help = "each future has a channel of its own to its callback");
    }
    Ok(())
}

/// The operation begins with the call, as in Node, and not with the first poll.
pub async fn starts_at_once(cx: Cx) -> Outcome {
    let help = "an async fn does nothing until it is polled: call `start` in a plain function, and \
                return a future of the rest";
    // What is not written is found here: below, no future is polled.
    let answers = |callback: ErrorFirst<String, String>| callback(Ok(String::new()));
    let _ = cx.call(PROMISIFY, promisify(answers)).await?;
    let answers = |callback: ResultFirst<String, String>| callback(Some(String::new()), None);
    let _ = cx.call(RESULT_FIRST, promisify_result_first(answers)).await?;
    let (begun, called) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = |counter: &Arc<AtomicUsize>| {
        let counter = Arc::clone(counter);
        move || counter.fetch_add(1, SeqCst)
    };
    let (begin, end) = (count(&begun), count(&called));
    let early = cx
        .call_fn(PROMISIFY, || {
            let future = promisify(move |callback: ErrorFirst<String, String>| {
                begin();
                in_time(100, move || {
                    callback(Ok(String::new()));
                    end();
                });
            });
            let early = begun.load(SeqCst);
            drop(future);
            early
        })
        .await?;
    let (begin, end) = (count(&begun), count(&called));
    let early_too = cx
        .call_fn(RESULT_FIRST, || {
            let future = promisify_result_first(move |callback: ResultFirst<String, String>| {
                begin();
                in_time(100, move || {
                    callback(Some(String::new()), None);
                    end();
                });
            });
            let early = begun.load(SeqCst);
            drop(future);
            early
        })
        .await?;
    for (name, early, expected) in [(PROMISIFY, early, 1), (RESULT_FIRST, early_too, 2)] {
        ensure!(early == expected, "{name} has returned, and the operation has not begun";
            expected = "`start` runs inside the call", observed = "it has not run", help = help);
    }
    // Nothing stops the operations: their callbacks are called in vain.
    cx.call(PROMISIFY, sleep(ms(1_000))).await?;
    let ended = called.load(SeqCst);
    ensure!(ended == 2, "the futures were dropped, and {ended} of 2 operations have come to their end";
        expected = "2: dropping the future does not stop the operation",
        observed = ended.to_string(),
        help = "a callback whose future was dropped must not panic");
    Ok(())
}

pub async fn dropped(cx: Cx) -> Outcome {
    for at in [0, 100] {
        let call = error_first_gives(&cx, move |callback| in_time(at, move || drop(callback)));
        let case = format!("the callback was dropped uncalled after {at} ms");
        gave(call.await?, at, &Told::Dropped, &case, GONE)?;
    }
    // A panic drops what it passes.
    let call = error_first_gives(&cx, |callback| {
        in_time(100, move || {
            let _dropped_by_the_panic = callback;
            std::panic::panic_any("the operation is broken");
        });
    });
    gave(call.await?, 100, &Told::Dropped, "the operation panicked with its callback", GONE)
}

const GONE: &str = "a dropped callback can never be called: the waiting side has to notice, as the receiver of a oneshot channel does";

async fn result_first_gives(
    cx: &Cx,
    at: u64,
    result: Option<String>,
    error: Option<String>,
) -> Result<Call<Told>, Fail> {
    let start = move |callback: ResultFirst<String, String>| {
        in_time(at, move || callback(result, error));
    };
    cx.call(RESULT_FIRST, async { Told::of(promisify_result_first(start).await) }).await
}

pub async fn result_first(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let help =
        "here the result comes first and the error second; an error counts also beside a result";
    let (value, why) = (draw.word(), values::untidy(&mut draw));
    for (result, error, expected) in [
        (Some(value.clone()), None, Told::Value(value.clone())),
        (None, Some(why.clone()), Told::Failed(why.clone())),
        (Some(value), Some(why.clone()), Told::Failed(why)),
        (Some(String::new()), None, Told::Value(String::new())),
        (None, Some(String::new()), Told::Failed(String::new())),
    ] {
        for at in [0, 100] {
            let case = format!("called back with ({result:?}, {error:?}) after {at} ms");
            let call = result_first_gives(&cx, at, result.clone(), error.clone()).await?;
            gave(call, at, &expected, &case, help)?;
        }
    }
    let start = |callback: ResultFirst<String, String>| {
        in_time(SLOW, || callback(Some("late".to_owned()), None));
    };
    let slow = async { Told::of(promisify_result_first(start).await) };
    let slow = cx.call_within(LONG, RESULT_FIRST, slow).await?;
    gave(slow, SLOW, &Told::Value("late".to_owned()), "called back after 25 years", PATIENT)
}

pub async fn neither(cx: Cx) -> Outcome {
    for at in [0, 100] {
        let call = result_first_gives(&cx, at, None, None).await?;
        let case = format!("called back after {at} ms with neither a result nor an error");
        let help = "an old API may call back with nothing at all: that is an error of its own";
        gave(call, at, &Told::Empty, &case, help)?;
    }
    Ok(())
}

pub async fn result_first_dropped(cx: Cx) -> Outcome {
    for at in [0, 100] {
        let start =
            move |callback: ResultFirst<String, String>| in_time(at, move || drop(callback));
        let call = async { Told::of(promisify_result_first(start).await) };
        let case = format!("the callback was dropped uncalled after {at} ms");
        let help = "the same as for promisify: build the one on the other";
        gave(cx.call(RESULT_FIRST, call).await?, at, &Told::Dropped, &case, help)?;
    }
    Ok(())
}

/// What a callback of `callbackify` got, and when.
type Calls = Vec<(Told, Duration)>;

/// What happened before `callbackify` had returned.
struct Inside {
    /// Calls of the callback.
    called: usize,
    /// Polls of the future.
    begun: usize,
}

/// What `callbackify` tells its callback about a future.
async fn told(
    cx: &Cx,
    future: impl Future<Output = Result<String, String>> + Send + 'static,
) -> Result<(Calls, Inside), Fail> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let polled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&polled);
    let begin = Instant::now();
    let (called, begun) = cx
        .call_fn(CALLBACKIFY, || {
            let future = async move {
                count.fetch_add(1, SeqCst);
                future.await
            };
            callbackify(future, move |result| {
                lock(&record).push((Told::of(result), begin.elapsed()));
            });
            (lock(&seen).len(), polled.load(SeqCst))
        })
        .await?;
    cx.call(CALLBACKIFY, sleep(ms(1_000))).await?;
    let calls = lock(&seen).clone();
    Ok((calls, Inside { called, begun }))
}

/// Ends the script unless there was this one call of the callback.
fn one_call(calls: &Calls, expected: &Told, at: u64, case: &str, help: &str) -> Outcome {
    let right = matches!(calls.as_slice(), [(told, _)] if told == expected);
    ensure!(right, "{case}: the calls of the callback";
        expected = format!("one, with {}", expected.shown()),
        observed = list(calls.iter().map(|(told, _)| told.shown())), help = help);
    let late = calls.iter().find(|(_, time)| *time != ms(at)).map(|(_, time)| time.as_millis());
    ensure!(late.is_none(), "{case}: the callback was called at {} ms", late.unwrap_or_default();
        expected = format!("{at} ms, the moment of the result"),
        observed = format!("{} ms", late.unwrap_or_default()),
        help = "call back as soon as the future is done");
    Ok(())
}

/// Callbacks that panic: more than a pool of any size has places.
const BROKEN: usize = 3_000;

pub async fn back_to_callbacks(cx: Cx) -> Outcome {
    for result in results(&mut cx.draw()) {
        for after in [0, 100] {
            let expected = Told::from(result.clone());
            let result = result.clone();
            let future = async move {
                if after > 0 {
                    sleep(ms(after)).await;
                }
                result
            };
            let (calls, inside) = told(&cx, future).await?;
            ensure!(inside.called == 0, "the callback ran before callbackify had returned";
                expected = "the function returns first", observed = "the callback ran inside it",
                help = "run the future in a task");
            ensure!(inside.begun == 0, "the future was polled before callbackify had returned";
                expected = "its first poll in a task, after the call",
                observed = "a poll inside of the call",
                help = "give the future to tokio::spawn as it is");
            let case = format!("a future that gives {} after {after} ms", expected.shown());
            one_call(&calls, &expected, after, &case, "one call, with the future's own result")?;
        }
    }
    // Futures that take longer, or never end, keep no other callback waiting.
    let hanging = std::iter::repeat_n(u64::MAX, 3_000);
    let times = hanging.chain([300, 100, 200, 0]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let begin = Instant::now();
    cx.call_fn(CALLBACKIFY, || {
        for time in times {
            let future = async move {
                match time {
                    u64::MAX => std::future::pending().await,
                    0 => (),
                    time => sleep(ms(time)).await,
                }
                Ok::<u64, u8>(time)
            };
            let record = Arc::clone(&seen);
            callbackify(future, move |_| lock(&record).push(begin.elapsed().as_millis()));
        }
    })
    .await?;
    cx.call(CALLBACKIFY, sleep(ms(1_000))).await?;
    let seen = lock(&seen).clone();
    ensure!(seen == [0, 100, 200, 300], "futures of 300, 100, 200 and 0 ms, behind 3000 that never end: when the callbacks were called";
        expected = "0, 100, 200, 300", observed = list(seen),
        help = "each future and its callback have a task of their own");
    // Nor is one of 25 years given up.
    let late = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&late);
    cx.call_fn(CALLBACKIFY, || {
        let future = async {
            sleep(values::SLOW).await;
            Ok("late".to_owned())
        };
        callbackify(future, move |result| lock(&record).push(Told::of(result)));
    })
    .await?;
    cx.pass(LONG).await;
    let late = lock(&late).clone();
    ensure!(late == [Told::Value("late".to_owned())], "a future of 25 years: the calls of the callback";
        expected = "one, with its value",
        observed = list(late.iter().map(Told::shown)),
        help = "wait for the future however long it takes: there is no time limit");
    let before = cx.alive_tasks();
    // A callback that panics ends its own task only.
    let called = Arc::new(AtomicUsize::new(0));
    for panicking in [1, 1, BROKEN, 0] {
        let calls = || {
            for number in 0..=panicking {
                let called = Arc::clone(&called);
                callbackify(async { Ok::<u8, u8>(1) }, move |_| {
                    called.fetch_add(1, SeqCst);
                    if number < panicking {
                        std::panic::panic_any("this callback is broken");
                    }
                });
            }
        };
        cx.call_fn(CALLBACKIFY, calls).await?;
        cx.settle().await;
    }
    let (called, expected) = (called.load(SeqCst), BROKEN + 2 + 4);
    ensure!(called == expected, "callbacks that panic keep others from being called";
        expected = format!("{expected} calls, {} of which panic", BROKEN + 2),
        observed = format!("{called} calls"),
        help = "each future and its callback have a task of their own");
    let left = cx.alive_tasks().saturating_sub(before);
    ensure!(left == 0, "all callbacks were called, and {left} tasks are left";
        expected = "none", observed = left.to_string());
    Ok(())
}

pub async fn panic(cx: Cx) -> Outcome {
    let help = "a panic ends the task, and the callback with it: catch it (FutureExt::catch_unwind, or the JoinError of a second task) and call the callback. panics::message has its text";
    let (calls, _) = told(&cx, async { panic!("the future is dark") }).await?;
    let expected = Told::Panicked("the future is dark".to_owned());
    one_call(&calls, &expected, 0, "the future panicked", help)?;
    // A text that is put together is a `String`, a literal is a `&str`.
    for text in values::texts(&mut cx.draw()) {
        for after in [0, 100] {
            let (expected, text) = (Told::Panicked(text.clone()), text.clone());
            let future = async move {
                if after > 0 {
                    sleep(ms(after)).await;
                }
                panic!("{text}")
            };
            let (calls, _) = told(&cx, future).await?;
            one_call(
                &calls,
                &expected,
                after,
                &format!("the future panicked after {after} ms"),
                help,
            )?;
        }
    }
    // What is no text has none: which one stands in for it is left open.
    let (calls, _) = told(&cx, async { std::panic::panic_any(7_u8) }).await?;
    ensure!(matches!(calls.as_slice(), [(Told::Panicked(_), _)]), "the future panicked with a number: the calls of the callback";
        expected = "one, with CallbackError::Panicked",
        observed = list(calls.iter().map(|(told, _)| told.shown())), help = help);
    Ok(())
}
