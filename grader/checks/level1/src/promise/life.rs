//! How a promise begins and how it is settled.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use futures::future::poll_immediate;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use grader_kit::{Cx, Fail, Outcome, ensure, in_background, ms};
use level1::promise::{self, Broken, Promise, Resolver};
use tokio::time::{sleep, timeout};

use super::{Notes, Oops, P, SLOW, Settled, after, ends, no, outcome, slow_outcome, stands, yes};
use crate::values::{texts, untidy};

const NEW: &str = "Promise::new";

/// Makes a promise under the watch of a call.
async fn made(
    cx: &Cx,
    executor: impl FnOnce(Resolver<String, Oops>) + Send + 'static,
) -> Result<P, Fail> {
    cx.call_fn(NEW, || Promise::new(executor)).await
}

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
    notes.are(
        &["executor", "after new"],
        "the executor and the line after Promise::new ran in the wrong order",
        "the executor runs before Promise::new returns; only the handlers come later",
    )
}

pub async fn settles_once(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (first, second) = (draw.word(), untidy(&mut draw));
    let help = "the first call counts, all later ones have no effect";
    let (one, two) = (first.clone(), second.clone());
    let promise = made(&cx, move |resolver| {
        resolver.resolve(one.clone());
        resolver.reject(Oops::Said(two.clone()));
        resolver.clone().resolve(two);
    });
    let promise = promise.await?;
    let case = "resolved, then rejected, then resolved again";
    ends(outcome(&cx, "a promise", || promise).await?, yes(&first), 0, case, help)?;
    let (one, two) = (first.clone(), second.clone());
    let promise = made(&cx, move |resolver| {
        resolver.reject(Oops::Said(one));
        resolver.resolve(two);
    });
    let promise = promise.await?;
    let case = "rejected, then resolved";
    ends(outcome(&cx, "a promise", || promise).await?, no(&first), 0, case, help)?;
    // By clones, at different times, while it is awaited and after its result was taken.
    let (one, two) = (second.clone(), first);
    let promise = made(&cx, move |resolver| {
        let other = resolver.clone();
        in_background(async move {
            sleep(ms(200)).await;
            other.resolve(two);
        });
        in_background(async move {
            sleep(ms(100)).await;
            resolver.reject(Oops::Said(one));
        });
    });
    let mut promise = promise.await?;
    let case = "rejected at 100 ms, resolved through a clone at 200 ms";
    ends(outcome(&cx, "a promise", || &mut promise).await?, no(&second), 100, case, help)?;
    sleep(ms(300)).await;
    stands(&cx, &promise, "rejected", case, help).await?;
    late_values(&cx).await
}

/// A value, or an error, whose destructor uses the resolver of its promise.
#[derive(Debug, Default)]
struct Meddler(Option<Resolver<Meddler, Meddler>>);

impl From<Broken> for Meddler {
    fn from(_: Broken) -> Self {
        Self(None)
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        if let Some(resolver) = self.0.take() {
            resolver.resolve(Self(None));
            resolver.reject(Self(None));
        }
    }
}

/// What comes too late is dropped, and what its destructor does to the promise has no effect.
async fn late_values(cx: &Cx) -> Outcome {
    for fulfilled in [true, false] {
        let late = move |resolver: Resolver<Meddler, Meddler>| {
            if fulfilled {
                resolver.resolve(Meddler(None));
            } else {
                resolver.reject(Meddler(None));
            }
            resolver.resolve(Meddler(Some(resolver.clone())));
            resolver.reject(Meddler(Some(resolver.clone())));
        };
        let promise = cx.call_fn(NEW, || Promise::new(late)).await?;
        let (ended, _) = outcome(cx, "a promise", || promise).await?;
        ensure!(ended.is_ok() == fulfilled, "a later value whose destructor settles the promise changed its end";
            expected = if fulfilled { "fulfilled, as before" } else { "rejected, as before" },
            observed = if fulfilled { "rejected" } else { "fulfilled" },
            help = "the first call counts, all later ones have no effect");
    }
    Ok(())
}

pub async fn states(cx: Cx) -> Outcome {
    let help = "a settled promise stays as it is";
    let mut draw = cx.draw();
    for (result, settled) in [(yes(&draw.word()), "fulfilled"), (no(&draw.word()), "rejected")] {
        let ready: P = match result.clone() {
            Ok(value) => cx.call_fn("Promise::resolved", || Promise::resolved(value)).await?,
            Err(error) => cx.call_fn("Promise::rejected", || Promise::rejected(error)).await?,
        };
        stands(&cx, &ready, settled, &format!("of a promise made settled with {result:?}"), help)
            .await?;
        ends(
            outcome(&cx, "a promise", || ready).await?,
            result.clone(),
            0,
            "a promise made settled",
            help,
        )?;
        let mut promise = cx.call_fn(NEW, || after(100, result.clone())).await?;
        stands(&cx, &promise, "pending", "before it is settled", help).await?;
        sleep(ms(50)).await;
        stands(&cx, &promise, "pending", "at 50 of 100 ms", help).await?;
        sleep(ms(150)).await;
        let case = format!("after it is settled with {result:?}");
        stands(&cx, &promise, settled, &case, help).await?;
        let _ = cx.call("a promise", &mut promise).await?;
        let case = format!("after its result was handed out ({result:?})");
        stands(&cx, &promise, settled, &case, help).await?;
        // A bug of the caller's. What the poll does is open, a panic included; the state stays.
        let again = FutureExt::catch_unwind(AssertUnwindSafe(poll_immediate(&mut promise)));
        let _ = cx.call("a promise that is polled once more", again).await?;
        let help = "look whether the result is still there before you change the state, as a panic keeps what was changed \
                    before it";
        let case = format!("after it was polled once more ({result:?})");
        stands(&cx, &promise, settled, &case, help).await?;
    }
    Ok(())
}

/// A promise is a future: it wakes the task that awaits it, also when another task polled it before.
pub async fn is_a_future(cx: Cx) -> Outcome {
    let help = "keep the waker of the latest poll and wake it when the promise is settled";
    let mut draw = cx.draw();
    for result in [yes(&draw.word()), no(&draw.word())] {
        for time in [0, draw.between(1..=100), 60_000] {
            let planned = result.clone();
            let awaited = outcome(&cx, "a promise", || after(time, planned)).await?;
            ends(awaited, result.clone(), time.into(), "an awaited promise", help)?;
        }
    }
    let help = "each poll may come from another task: replace the waker that is kept";
    let mut promise = cx.call_fn(NEW, || after(300, yes("moved"))).await?;
    // Polled by one task, then handed to another: the second waker is the one that counts.
    let first = cx.call("a promise", timeout(ms(100), &mut promise)).await?;
    ensure!(first.value.is_err(), "a promise was ready before it was settled");
    let observed = outcome(&cx, "a promise", || async { tokio::spawn(promise).await.ok() }).await?;
    ends(observed, Some(yes("moved")), 200, "a promise that moved to another task", help)?;
    // Three tasks in turn, the last one of which waits among others.
    let mut promise = cx.call_fn(NEW, || after(300, yes("moved"))).await?;
    for _ in 0..2 {
        let looked = async {
            let mut some = FuturesUnordered::new();
            some.push(&mut promise);
            timeout(ms(100), some.next()).await.is_ok()
        };
        ensure!(
            !cx.call("a promise", looked).await?.value,
            "a promise was ready before it was settled"
        );
    }
    let observed = outcome(&cx, "a promise", || promise).await?;
    ends(observed, yes("moved"), 100, "a promise that moved twice", help)?;
    // Two tasks whose wakers are of one kind.
    let mut promise = cx.call_fn(NEW, || after(300, yes("moved"))).await?;
    let looked = async {
        let mut some = FuturesUnordered::new();
        some.push(&mut promise);
        timeout(ms(100), some.next()).await.is_ok()
    };
    ensure!(
        !cx.call("a promise", looked).await?.value,
        "a promise was ready before it was settled"
    );
    let awaited = outcome(&cx, "a promise", || async {
        let mut others = FuturesUnordered::new();
        others.push(&mut promise);
        others.next().await
    });
    let case = "a promise that moved from a task to a second one of the same kind";
    ends(awaited.await?, Some(yes("moved")), 200, case, help)?;
    let help = "a promise stays pending until it is settled: it has no time limit";
    for result in [yes("late"), no("late")] {
        let awaited = slow_outcome(&cx, "a promise", || after(SLOW, result.clone())).await?;
        ends(awaited, result, SLOW.into(), "a promise that is settled after 25 years", help)?;
    }
    Ok(())
}

pub async fn from_future(cx: Cx) -> Outcome {
    let help = "a promise is eager: the future runs in a task from the beginning, and to its end";
    let mut draw = cx.draw();
    for result in [yes(&draw.word()), no(&draw.word())] {
        for time in [0, 100] {
            let notes = Notes::default();
            let (log, planned) = (notes.clone(), result.clone());
            let begun = Arc::new(AtomicBool::new(false));
            let begins = Arc::clone(&begun);
            let (promise, early): (P, bool) = cx
                .call_fn("Promise::from_future", move || {
                    let promise = Promise::from_future(async move {
                        begins.store(true, SeqCst);
                        if time > 0 {
                            sleep(ms(time)).await;
                        }
                        log.add("the future's end");
                        planned
                    });
                    (promise, begun.load(SeqCst))
                })
                .await?;
            ensure!(!early, "the future was polled before from_future had returned";
                expected = "its first poll in a task, after the call",
                observed = "a poll inside of the call",
                help = "give the future to tokio::spawn as it is");
            sleep(ms(150)).await;
            notes.are(
                &["the future's end"],
                "a future of 100 ms, not awaited, after 150 ms",
                help,
            )?;
            let case = "a promise made from a future, awaited after the future's end";
            ends(outcome(&cx, "a promise", || promise).await?, result.clone(), 0, case, help)?;
        }
    }
    let slow = slow_outcome(&cx, "Promise::from_future", || {
        P::from_future(async {
            sleep(ms(SLOW)).await;
            yes("late")
        })
    });
    let help = "the future runs to its end, however long that takes";
    ends(slow.await?, yes("late"), SLOW.into(), "a promise of a future of 25 years", help)?;
    panics_outside_of_a_runtime(&cx)
}

/// Makes promises on a thread that belongs to no runtime, where no task can be spawned.
fn panics_outside_of_a_runtime(cx: &Cx) -> Outcome {
    type Make = fn() -> bool;
    fn panics<T>(make: impl FnOnce() -> T) -> bool {
        catch_unwind(AssertUnwindSafe(make)).is_err()
    }
    let all: [(&str, Make); 8] = [
        ("from_future", || panics(|| P::from_future(async { yes("nowhere") }))),
        ("then", || panics(|| P::resolved(String::new()).then(|_| yes("nowhere")))),
        ("catch", || panics(|| P::resolved(String::new()).catch(Err))),
        ("finally", || panics(|| P::resolved(String::new()).finally(|| ()))),
        ("all", || panics(|| promise::all([P::resolved(String::new())]))),
        ("all_settled", || panics(|| promise::all_settled([P::resolved(String::new())]))),
        ("race", || panics(|| promise::race([P::resolved(String::new())]))),
        ("any", || panics(|| promise::any([P::resolved(String::new())]))),
    ];
    let name = "promises on a thread without a runtime";
    for panicked in cx.on_threads(name, 1, move |_| all.map(|(name, make)| (name, make())))? {
        if let Some((name, _)) = panicked.into_iter().find(|(_, panicked)| !panicked) {
            return Err(Fail::new(format!("{name} does not panic on a thread that belongs to no runtime"))
                .expected("a panic, as its documentation says: a promise that no task can settle is the caller's mistake")
                .observed("a promise")
                .help("`Promise::new` turns a panic into a rejection, also that of `tokio::spawn`: spawn outside of its executor"));
        }
    }
    Ok(())
}

pub async fn abandoned(cx: Cx) -> Outcome {
    let help = "count the clones: only when the last is gone can nothing settle the promise";
    let promise = made(&cx, |resolver| {
        let other = resolver.clone();
        in_background(async move {
            sleep(ms(100)).await;
            drop(resolver);
            sleep(ms(100)).await;
            drop(other);
        });
    });
    let promise = promise.await?;
    let case = "a promise whose two resolvers are dropped at 100 and at 200 ms";
    let observed = outcome(&cx, "a promise without a resolver", || promise).await?;
    ends(observed, Err(Oops::Abandoned), 200, case, help)?;
    let promise = made(&cx, drop).await?;
    cx.settle().await;
    stands(&cx, &promise, "rejected", "of a promise whose executor dropped its resolver", help)
        .await?;
    let case = "a promise whose executor dropped its resolver";
    let observed = outcome(&cx, "a promise without a resolver", || promise).await?;
    ends(observed, Err(Oops::Abandoned), 0, case, help)?;
    // A panic of the task that holds the resolver drops it.
    let promise = made(&cx, |resolver| {
        in_background(async move {
            let _held = resolver;
            sleep(ms(100)).await;
            std::panic::panic_any("the task is broken");
        });
    });
    let promise = promise.await?;
    let case = "a promise whose resolver is in a task that panics at 100 ms";
    let observed = outcome(&cx, "a promise without a resolver", || promise).await?;
    ends(observed, Err(Oops::Abandoned), 100, case, help)?;
    // It stays rejected when its result was taken.
    let mut promise = made(&cx, drop).await?;
    let case = "of an abandoned promise";
    stands(&cx, &promise, "rejected", &format!("{case}, before it is awaited"), help).await?;
    let _ = cx.call("a promise without a resolver", &mut promise).await?;
    let help = "the state stays as it was settled: remember it when the result is taken, also for a promise that \
                was abandoned";
    stands(&cx, &promise, "rejected", &format!("{case}, after its result was taken"), help).await
}

pub async fn panics(cx: Cx) -> Outcome {
    let help =
        "a panic is what a throw is in JavaScript: catch it, and reject with Broken::Panicked";
    let mut draw = cx.draw();
    let panicked = |text: &str| -> Settled { Err(Oops::Panicked(text.to_owned())) };
    let promise = made(&cx, |_| panic!("in the executor")).await?;
    let observed = outcome(&cx, "a promise", || promise).await?;
    ends(observed, panicked("in the executor"), 0, "the executor panicked", help)?;
    // Another resolver that is still there does not matter.
    let promise = made(&cx, |resolver| {
        let other = resolver.clone();
        in_background(async move {
            sleep(ms(500)).await;
            other.resolve("too late".to_owned());
        });
        panic!("in the executor");
    });
    let promise = promise.await?;
    let observed = outcome(&cx, "a promise", || promise).await?;
    let case = "the executor panicked, and a clone of its resolver lives on";
    ends(observed, panicked("in the executor"), 0, case, help)?;
    let promise = made(&cx, |resolver| {
        resolver.resolve("in time".to_owned());
        panic!("in the executor");
    });
    let promise = promise.await?;
    let observed = outcome(&cx, "a promise", || promise).await?;
    ends(observed, yes("in time"), 0, "the executor panicked after it had resolved", help)?;
    // A text that is put together is a `String`, a literal is a `&str`.
    for text in texts(&mut draw) {
        let why = text.clone();
        let promise = made(&cx, move |_| panic!("{why}")).await?;
        let observed = outcome(&cx, "a promise", || promise).await?;
        ends(observed, panicked(&text), 0, "the executor panicked with a text of its own", help)?;
        for time in [0, 100] {
            let why = text.clone();
            let future = async move {
                if time > 0 {
                    sleep(ms(time)).await;
                }
                panic!("{why}")
            };
            let observed = outcome(&cx, "Promise::from_future", || P::from_future(future)).await?;
            ends(observed, panicked(&text), time.into(), "the future panicked", help)?;
        }
        let (one, two) = (text.clone(), text.clone());
        let observed = outcome(&cx, "Promise::then", || {
            after(100, yes("")).then(move |_| -> Settled { panic!("{one}") })
        });
        ends(observed.await?, panicked(&text), 100, "a handler of then panicked", help)?;
        let observed = outcome(&cx, "Promise::catch", || {
            after(100, no("")).catch(move |_| -> Settled { panic!("{two}") })
        });
        ends(observed.await?, panicked(&text), 100, "a handler of catch panicked", help)?;
        let why = text.clone();
        let observed = outcome(&cx, "Promise::finally", || {
            after(100, yes("")).finally(move || -> () { panic!("{why}") })
        });
        ends(observed.await?, panicked(&text), 100, "a handler of finally panicked", help)?;
    }
    Ok(())
}
