//! Failures of tasks that nobody awaits.

use std::sync::{Arc, Mutex, PoisonError};

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level1::background::{Cause, Failure, Tracker};
use tokio::time::sleep;

const SPAWN: &str = "Tracker::spawn";

type Told = Arc<Mutex<Vec<Failure>>>;

/// A tracker, and what its handler was told.
async fn tracker(cx: &Cx) -> Result<(Tracker, Told), Fail> {
    let told = Told::default();
    let record = Arc::clone(&told);
    let tracker = cx
        .call_fn("Tracker::new", move || {
            Tracker::new(move |failure| {
                record.lock().unwrap_or_else(PoisonError::into_inner).push(failure.clone());
            })
        })
        .await?;
    Ok((tracker, told))
}

fn seen(told: &Told) -> Vec<Failure> {
    told.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn failure(task: &str, cause: Cause) -> Failure {
    Failure { task: task.to_owned(), cause }
}

/// Waits, with the same watch over panics as a call.
async fn wait(cx: &Cx, time: u64) -> Outcome {
    cx.call(SPAWN, sleep(ms(time))).await.map(drop)
}

async fn failures(cx: &Cx, tracker: &Tracker) -> Result<Vec<Failure>, Fail> {
    cx.call_fn("Tracker::failures", || tracker.failures()).await
}

/// The text of a failure names the task and the reason.
async fn text_of(cx: &Cx, failures: &[Failure]) -> Outcome {
    for failure in failures {
        let text = cx.call_fn("Failure::fmt", || failure.to_string()).await?;
        let (Cause::Error(reason) | Cause::Panic(reason)) = &failure.cause;
        ensure!(text.contains(&failure.task) && text.contains(reason), "the text of a failure leaves something out";
            expected = format!("a text with {:?} and {reason:?} in it", failure.task),
            observed = format!("{text:?}"),
            help = "the line in the log is all that is left of the task");
    }
    Ok(())
}

pub async fn errors(cx: Cx) -> Outcome {
    let (tracker, told) = tracker(&cx).await?;
    cx.call_fn(SPAWN, || {
        tracker.spawn("save user 2", async {
            sleep(ms(200)).await;
            Err::<(), _>("disk full")
        });
        tracker.spawn("send mail", async {
            sleep(ms(100)).await;
            Err::<u8, _>("no route")
        });
        tracker.spawn("warm cache", async { Ok::<_, &str>(5) });
    })
    .await?;
    wait(&cx, 1_000).await?;
    let expected = vec![
        failure("send mail", Cause::Error("no route".to_owned())),
        failure("save user 2", Cause::Error("disk full".to_owned())),
    ];
    ensure_eq!(failures(&cx, &tracker).await?, expected, "the record of failures";
        help = "each error once, with its task's name and its own text, in the order in which they \
                happened; a success is no failure");
    ensure_eq!(seen(&told), expected, "what the handler was told";
        help = "the handler is told of each failure once");
    text_of(&cx, &expected).await?;
    Ok(())
}

pub async fn panics(cx: Cx) -> Outcome {
    let (tracker, told) = tracker(&cx).await?;
    cx.call_fn(SPAWN, || {
        tracker.spawn("index", async {
            sleep(ms(100)).await;
            if true {
                panic!("the printer is on fire");
            }
            Ok::<(), &str>(())
        });
    })
    .await?;
    wait(&cx, 1_000).await?;
    let expected = vec![failure("index", Cause::Panic("the printer is on fire".to_owned()))];
    ensure_eq!(failures(&cx, &tracker).await?, expected, "the record after a panic";
        help = "a panic ends a task without a trace unless it is caught: FutureExt::catch_unwind, or \
                the JoinError of its handle. panics::message has its text");
    ensure_eq!(seen(&told), expected, "what the handler was told after a panic");
    text_of(&cx, &expected).await?;
    Ok(())
}

/// The handler panics, and asks the tracker: neither may do harm.
pub async fn handler_is_contained(cx: Cx) -> Outcome {
    let tracker: Arc<Mutex<Option<Tracker>>> = Arc::default();
    let itself = Arc::clone(&tracker);
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let count = Arc::clone(&recorded);
    let made = cx
        .call_fn("Tracker::new", move || {
            Tracker::new(move |_| {
                let tracker = itself.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let known = tracker.map_or(0, |tracker| tracker.failures().len());
                count.lock().unwrap_or_else(PoisonError::into_inner).push(known);
                panic!("the handler is broken too");
            })
        })
        .await?;
    *tracker.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
    cx.call_fn(SPAWN, || {
        for after in [100, 200] {
            made.spawn("task", async move {
                sleep(ms(after)).await;
                Err::<(), _>("no")
            });
        }
    })
    .await?;
    wait(&cx, 1_000).await?;
    let recorded = recorded.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure_eq!(recorded, vec![1, 2], "failures on record at each call of a handler that panics";
        help = "record first, then tell; do not hold the lock while the handler runs, and contain its \
                panic");
    let running = cx.call_fn("Tracker::running", || made.running()).await?;
    ensure_eq!(running, 0, "tasks counted as running after a handler's panic";
        help = "count a task out in whichever way it ends: a guard with Drop does");
    Ok(())
}

pub async fn running(cx: Cx) -> Outcome {
    let (tracker, _) = tracker(&cx).await?;
    let count = async |at: &str, expected: usize| -> Outcome {
        let running = cx.call_fn("Tracker::running", || tracker.running()).await?;
        ensure_eq!(running, expected, "tasks counted as running {}", at);
        Ok(())
    };
    let debug = cx.call_fn("Tracker::fmt", || format!("{tracker:?}")).await?;
    ensure!(debug.contains("Tracker"), "the Debug text of a tracker is {debug:?}";
        expected = "a text with the type's name in it");
    count("before the first", 0).await?;
    cx.call_fn(SPAWN, || {
        for after in [100, 200, 300] {
            tracker.spawn("task", async move {
                sleep(ms(after)).await;
                if after == 100 {
                    panic!("one of them panics");
                }
                if after == 200 { Err("no") } else { Ok(()) }
            });
        }
    })
    .await?;
    count("after three were spawned", 3).await?;
    wait(&cx, 150).await?;
    count("after one has panicked", 2).await?;
    wait(&cx, 100).await?;
    count("after one more has failed", 1).await?;
    wait(&cx, 100).await?;
    count("after all have ended", 0).await
}

pub async fn drained(cx: Cx) -> Outcome {
    let (tracker, _) = tracker(&cx).await?;
    let idle = cx.call("Tracker::drained", tracker.drained()).await?;
    ensure_eq!(idle.took, ms(0), "waited although nothing runs");
    cx.call_fn(SPAWN, || {
        for after in [100, 300] {
            tracker.spawn("task", async move {
                sleep(ms(after)).await;
                Err::<(), _>("no")
            });
        }
    })
    .await?;
    let call = cx.call("Tracker::drained", tracker.drained()).await?;
    ensure!(call.took == ms(300), "drained after {} ms", call.took.as_millis();
        expected = "300 ms, when the last task has ended",
        observed = format!("{} ms", call.took.as_millis()),
        help = "wait until none is running");
    Ok(())
}
