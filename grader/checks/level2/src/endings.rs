//! Loads that are dropped, and loads that panic.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use grader_kit::{Cx, Fail, Outcome, ensure, ms};
use tokio::time::timeout;

use crate::fake::{Fake, Payload};
use crate::support::{names, nothing_kept_by_a_panic, nothing_left};

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
/// its other calls. Its future is dropped with the panic.
pub async fn passes_a_panic_on<F: Future>(
    cx: &Cx,
    name: &str,
    fake: &Fake,
    panic: (&Payload, u64),
    load: F,
) -> Outcome {
    panics_with(cx, name, panic, load).await?;
    nothing_left(cx, fake, &format!("after a source's panic has ended {name}")).await
}

/// The same, and the other calls have to be stopped while the caller keeps the future.
pub async fn passes_a_panic_on_and_keeps_nothing<F: Future>(
    cx: &Cx,
    name: &str,
    fake: &Fake,
    panic: (&Payload, u64),
    load: F,
) -> Outcome {
    let mut load = Box::pin(load);
    panics_with(cx, name, panic, load.as_mut()).await?;
    let when = format!("after a source's panic has ended {name}");
    nothing_kept_by_a_panic(cx, fake, load, &when).await
}

/// `load` has to panic with this payload, so many milliseconds after its first poll.
async fn panics_with<F: Future>(
    cx: &Cx,
    name: &str,
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
    ensure!(observed == text, "the panic of a source reaches the caller of {name} without its text";
        expected = text, observed = observed, help = HELP);
    ensure!(call.took == ms(at), "the panic reaches the caller of {name} at {} ms", call.took.as_millis();
        expected = format!("{at} ms: at the moment at which the source panicked"), help = HELP);
    Ok(())
}
