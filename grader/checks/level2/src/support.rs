//! What the criteria have in common.

use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use grader_kit::{Cx, Fail, Outcome, ensure, list, ms};
use level2::model::Section;
use tokio::time::{sleep, timeout};

use crate::fake::{Fake, Payload};

/// Sections as a learner reads them: `sales, users`.
pub fn names<'a>(sections: impl IntoIterator<Item = &'a Section>) -> String {
    list(sections.into_iter().map(|section| section.name()))
}

/// What a call returned, when it had to succeed.
pub fn succeeded<T, E: Display>(result: Result<T, E>, why: &str) -> Result<T, Fail> {
    result.map_err(|error| {
        Fail::new(format!("returned an error although {why}")).observed(error.to_string())
    })
}

/// The moment of the return, in virtual time.
pub fn returned_at(took: Duration, expected_ms: u64, because: &str, help: &str) -> Outcome {
    ensure!(took == ms(expected_ms), "returned at {} ms", took.as_millis();
        expected = format!("{expected_ms} ms: {because}"),
        observed = format!("{} ms", took.as_millis()), help = help);
    Ok(())
}

/// The time a result states for itself.
pub fn states_time(stated: Duration, expected_ms: u64) -> Outcome {
    ensure!(stated == ms(expected_ms), "`took` says {} ms", stated.as_micros() as f64 / 1000.0;
        expected = format!("{expected_ms} ms, from the first poll of the load to its return"),
        help = "note tokio::time::Instant::now() first and store its elapsed() at the return: \
                std's clock does not see virtual time");
    Ok(())
}

/// Lets everything that was dropped or aborted come to rest; then no call and no task may be alive.
pub async fn nothing_left(cx: &Cx, fake: &Fake, when: &str) -> Outcome {
    cx.settle().await;
    let running = fake.running();
    ensure!(running.is_empty(), "{} source call(s) still run {when}", running.len();
        expected = "no call is left",
        observed = format!("still running: {}", names(&running)),
        help = "a call stops when its future is dropped. A spawned task is not stopped by dropping \
                its JoinHandle: keep the calls inside the load's own future, or use a JoinSet");
    let tasks = cx.alive_tasks();
    ensure!(tasks == 0, "{tasks} spawned task(s) are alive {when}";
        expected = "no task is left",
        help = "dropping a JoinHandle leaves its task running: use a JoinSet, or abort the tasks in \
                a destructor");
    Ok(())
}

/// Runs `load` for `at` milliseconds and drops it. A `whole` load comes first and must end: what never
/// gets anywhere leaves nothing behind either.
pub async fn dropped_at<F: Future>(cx: &Cx, name: &str, whole: F, at: u64, load: F) -> Outcome {
    cx.call(name, whole).await?;
    // What that load may have left in the background is another criterion's business: it ends now.
    sleep(ms(10_000)).await;
    grader_kit::dropped_at(cx, name, at, load).await
}

/// Drops `load` before its first poll and at each of `moments`, in milliseconds after its first poll (0 is
/// right after it), each time with new sources. Nothing may be left.
pub async fn dropped_everywhere<F: Future>(
    cx: &Cx,
    name: &str,
    moments: &[u64],
    fake: impl Fn() -> Fake,
    load: impl Fn(&Fake) -> F,
) -> Outcome {
    let never = fake();
    drop(load(&never));
    cx.settle().await;
    let called = never.called();
    ensure!(called.is_empty(), "{name} calls sources before it is polled";
        expected = "a future does nothing until it is polled", observed = names(&called),
        help = "make the calls inside the future, not before it is returned");
    for at in moments {
        let fake = fake();
        grader_kit::dropped_at(cx, name, *at, load(&fake)).await?;
        // What never gets anywhere leaves nothing behind either. (A task that was spawned in the first
        // poll has not run yet.)
        ensure!(
            *at == 0 || !fake.seen().is_empty(),
            "{name} had called no source when it was dropped at {at} ms"
        );
        nothing_left(cx, &fake, &format!("after {name} was dropped at {at} ms")).await?;
    }
    Ok(())
}

/// A load that has to panic with the payload of a source, `at` milliseconds after its first poll, and to stop
/// its other calls.
pub async fn passes_a_panic_on<F: Future>(
    cx: &Cx,
    name: &str,
    fake: &Fake,
    (payload, at): (&Payload, u64),
    load: F,
) -> Outcome {
    const HELP: &str = "a panic is a bug and no outcome: let it pass. A future that is awaited passes \
                        it on by itself; a task's JoinError holds it: \
                        std::panic::resume_unwind(error.into_panic())";
    let caught = AssertUnwindSafe(load).catch_unwind();
    let call = cx.call(name, timeout(ms(at + 60_000), caught)).await?;
    let text = payload.text();
    let payload = match call.value {
        Ok(Err(payload)) => payload,
        Ok(Ok(_)) => {
            return Err(Fail::new(format!("{name} returned although a source panicked"))
                .expected(format!("the panic {text:?} reaches the caller"))
                .help(HELP));
        }
        Err(_) => {
            return Err(Fail::new(format!("{name} hangs after a source panicked"))
                .expected(format!("the panic {text:?} reaches the caller"))
                .help(HELP));
        }
    };
    let observed = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a text".to_owned(),
    };
    ensure!(observed.contains(&text), "the panic of a source reaches the caller of {name} without its text";
        expected = text, observed = observed, help = HELP);
    ensure!(call.took == ms(at), "the panic reaches the caller of {name} at {} ms", call.took.as_millis();
        expected = format!("{at} ms: at the moment at which the source panicked"), help = HELP);
    nothing_left(cx, fake, &format!("after a source's panic has ended {name}")).await
}
