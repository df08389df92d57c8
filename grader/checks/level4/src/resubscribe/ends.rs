//! Drops, panics, large figures.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::pin::pin;

use futures::{FutureExt as _, StreamExt as _, stream};
use grader_kit::marbles::Marbles;
use grader_kit::{Cx, Outcome, dropped_at, ensure, ensure_eq, ms, scarce};
use level4::resubscribe::breaker::State;
use level4::resubscribe::{Again, Resubscribe};
use tokio::time::{sleep, timeout};

use super::source::{Source, Step};
use super::{RESUBSCRIBE, Status, after, always, breaker, expect, make, nz32, rule, shown};
use crate::ops::NEWEST_WAKER;
use crate::panics::Payload;

pub async fn a_failed_source_is_dropped(cx: Cx) -> Outcome {
    for (what, script) in [
        (
            "fails after an item",
            vec![Step::Item(1), Step::Wait(10), Step::Error(503), Step::Item(8)],
        ),
        ("fails at once", vec![Step::Error(503), Step::Item(8), Step::Item(9)]),
    ] {
        let source = Source::new(&cx, [script.clone()], vec![Step::Wait(5_000)]);
        let alive = async {
            sleep(ms(500)).await;
            let during = source.alive();
            sleep(ms(1_000)).await;
            (during, source.alive())
        };
        let stream = make(&source, always(after(3)?));
        let both = futures::future::join(Marbles::record(2_000, stream, shown), alive);
        let (seen, alive) = cx.call(RESUBSCRIBE, both).await?.value;
        ensure_eq!(alive, (0, 1), "a source that {what}: how many are alive during the wait, and after the next subscription";
            help = "drop what has failed before the wait begins");
        let expected: &[(u64, &str)] =
            if matches!(script.first(), Some(Step::Item(_))) { &[(0, "1")] } else { &[] };
        seen.ensure(
            &super::events(expected.iter().copied()),
            &format!("a source that {what}, and would then yield items"),
            "after its error a source is over",
        )?;
    }
    // The last one too.
    let source = Source::failing(&cx, &[503]);
    let mut stream = pin!(make(&source, always(Again::Never)));
    cx.call(RESUBSCRIBE, stream.next()).await?;
    ensure!(source.alive() == 0, "the last error came out, and its source is still alive"; expected = "it is dropped");
    Ok(())
}

pub async fn a_dropped_stream_stops(cx: Cx) -> Outcome {
    for (what, script, at) in [
        ("while it waits", vec![Step::Error(503)], 500),
        ("while a source is silent", vec![Step::Item(1)], 500),
        ("before the first item", vec![Step::Wait(10_000), Step::Item(1)], 500),
    ] {
        let source = Source::new(&cx, [], script);
        let (before, how) = (cx.alive_tasks(), always(after(9)?));
        let all = async { pin!(make(&source, how)).for_each(|_| async {}).await };
        dropped_at(&cx, RESUBSCRIBE, at, all).await?;
        let count = source.subscriptions().len();
        ensure!(source.alive() == 0, "a stream was dropped {what}, and its source is alive"; expected = "the source is dropped with it");
        ensure!(
            cx.alive_tasks() <= before,
            "a stream was dropped {what}, and a task of it is left"
        );
        sleep(ms(100_000)).await;
        ensure!(source.subscriptions().len() == count, "a stream was dropped {what}, and subscribes later";
            help = "no task and no timer of its own: all happens inside of the stream's polls");
    }
    // A probe.
    let shared = breaker(1, 1)?;
    let how =
        || Resubscribe { breaker: Some(std::sync::Arc::clone(&shared)), ..always(Again::Never) };
    let source = Source::failing(&cx, &[503]);
    cx.call(RESUBSCRIBE, Marbles::record(100, make(&source, how()), shown)).await?;
    sleep(ms(60_000)).await;
    let silent = Source::new(&cx, [], Vec::new());
    let all = async { pin!(make(&silent, how())).for_each(|_| async {}).await };
    dropped_at(&cx, RESUBSCRIBE, 500, all).await?;
    let source = Source::new(&cx, [], vec![Step::Item(1), Step::End]);
    let what = "a probe was dropped before its first item, and another stream asks the breaker";
    expect(
        &cx,
        (&source, how()),
        100,
        &[(0, "1"), (0, "|")],
        what,
        "what is dropped releases its place",
    )
    .await
}

pub async fn a_panic_passes(cx: Cx) -> Outcome {
    for payload in Payload::all(&cx.draw().word()) {
        let panics: [(&str, Vec<Step>, Resubscribe<Status>); 4] = [
            (
                "`make` at a second subscription",
                vec![Step::MakePanics(payload.clone())],
                always(after(3)?),
            ),
            ("a source at its first item", vec![Step::Panic(payload.clone())], always(after(3)?)),
            (
                "a source at a later item",
                vec![Step::Item(1), Step::Panic(payload.clone())],
                always(after(3)?),
            ),
            (
                "`make` with a breaker",
                vec![Step::MakePanics(payload.clone())],
                Resubscribe { breaker: Some(breaker(9, 1)?), ..always(after(3)?) },
            ),
        ];
        for (what, script, how) in panics {
            let source = Source::new(&cx, [vec![Step::Error(503)], script], vec![Step::End]);
            let all = async { pin!(make(&source, how)).for_each(|_| async {}).await };
            let caught = cx.call(RESUBSCRIBE, AssertUnwindSafe(all).catch_unwind()).await?.value;
            let passed = caught.as_ref().is_err_and(|panic| payload.is(panic.as_ref()));
            ensure!(passed, "a panic of {what} does not reach the caller as it is");
            ensure!(source.alive() == 0, "a panic of {what}, and a source is alive");
        }
    }
    // A rule.
    let source = Source::failing(&cx, &[503]);
    let rules = vec![rule(|_| Payload::Literal("a bug").throw(), Again::Never)];
    let how = Resubscribe { rules, ..Resubscribe::default() };
    let all = async { pin!(make(&source, how)).for_each(|_| async {}).await };
    let caught = cx.call(RESUBSCRIBE, AssertUnwindSafe(all).catch_unwind()).await?.value;
    ensure!(caught.is_err(), "a panic of a rule does not reach the caller");
    // The place of a probe.
    let shared = breaker(1, 1)?;
    let how =
        || Resubscribe { breaker: Some(std::sync::Arc::clone(&shared)), ..always(Again::Never) };
    let source = Source::new(
        &cx,
        [vec![Step::Error(503)], vec![Step::Panic(Payload::Literal("a bug"))]],
        vec![Step::Item(1)],
    );
    for _ in 0..2 {
        let all = async { pin!(make(&source, how())).for_each(|_| async {}).await };
        let _ = cx.call(RESUBSCRIBE, AssertUnwindSafe(all).catch_unwind()).await?;
        sleep(ms(60_000)).await;
    }
    ensure_eq!(shared.state(), State::HalfOpen, "a probe that has panicked");
    expect(
        &cx,
        (&source, how()),
        100,
        &[(0, "1")],
        "a stream after a probe that has panicked",
        "a panic releases the place of a probe",
    )
    .await
}

pub async fn begins_with_the_first_poll(cx: Cx) -> Outcome {
    let source = Source::new(&cx, [], vec![Step::Item(1), Step::End]);
    let stream = cx.call_fn(RESUBSCRIBE, || make(&source, Resubscribe::default())).await?;
    sleep(ms(10_000)).await;
    ensure!(source.subscriptions().is_empty(), "a stream was made and not polled, and has subscribed"; expected = "a stream does nothing before its first poll");
    let seen = cx.call(RESUBSCRIBE, Marbles::record(100, stream, shown)).await?.value;
    seen.ensure(
        &super::events([(0, "1"), (0, "|")]),
        "a stream that is polled late",
        "it begins with its first poll",
    )
}

pub async fn keeps_nothing_of_what_has_ended(cx: Cx) -> Outcome {
    const EACH: u32 = 10_000;
    let made = Cell::new(0_u32);
    let how = || -> Result<_, grader_kit::Fail> {
        let rules = vec![rule(|error| error.0 == 429, Again::AtOnce { attempts: nz32(u32::MAX) })];
        let otherwise = Again::AtOnce { attempts: nz32(u32::MAX) };
        Ok(Resubscribe {
            rules,
            otherwise,
            breaker: Some(breaker(u32::MAX, 1)?),
            ..Resubscribe::default()
        })
    };
    let mut memory = None;
    let round = || {
        made.set(made.get() + 1);
        let number = made.get();
        stream::iter([Ok(number), Err(Status(if number.is_multiple_of(2) { 429 } else { 503 }))])
    };
    let mut out = pin!(level4::resubscribe::resubscribe(round, how()?));
    for _ in 0..10 {
        // Each call has its own limit of polls.
        let some = async {
            for _ in 0..EACH {
                let _ = out.next().await;
            }
        };
        cx.call(RESUBSCRIBE, some).await?;
        memory.get_or_insert_with(|| scarce(256 << 10));
    }
    drop(memory);
    ensure_eq!(
        made.get(),
        10 * EACH,
        "a source that fails after each item; the subscriptions for {} items",
        10 * EACH
    );
    Ok(())
}

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    let scripts =
        [vec![Step::Error(503)], vec![Step::Item(1), Step::Wait(120_000), Step::Error(503)]];
    let source = Source::new(&cx, scripts, vec![Step::Item(2)]);
    let mut stream = pin!(make(&source, always(super::backoff(60_000, 9)?)));
    let reads = async { while let Ok(Some(_)) = timeout(ms(130_000), stream.next()).await {} };
    let call = cx.call(RESUBSCRIBE, reads).await?;
    ensure!(call.polls < 100, "waits of a minute and a source that is silent for 120 s take {} polls", call.polls;
        expected = "a few", help = "no loop that checks repeatedly");
    // A stream that one task has polled and another one awaits.
    for (what, script, expected) in [
        ("before the first item", vec![Step::Wait(50), Step::Item(1)], [(50, "1"), (120, "2")]),
        ("in a wait", vec![Step::Error(503)], [(1_000, "1"), (1_070, "2")]),
    ] {
        let script = [script, vec![Step::Wait(70), Step::Item(2)]].concat();
        let next = vec![Step::Item(1), Step::Wait(70), Step::Item(2)];
        let source = Source::new(&cx, [script], next);
        let mut stream = Box::pin(make(&source, always(after(3)?)));
        ensure!(
            stream.next().now_or_never().is_none(),
            "a source yields nothing at once, and the stream is ready"
        );
        let seen = cx.call(RESUBSCRIBE, Marbles::record(1_500, stream, shown)).await?.value;
        seen.ensure(
            &super::events(expected),
            &format!("a stream that was polled by one task {what}, and is awaited by another one"),
            NEWEST_WAKER,
        )?;
    }
    Ok(())
}
