//! The events that an observer gets.

use std::sync::{Arc, Mutex};

use grader_kit::{Cx, Fail, Outcome, ensure, lock, ms};
use level3::deadline::Deadline;
use level3::journal::{FailureKind, MemoryJournal, Opened, SagaId};
use level3::saga::{SagaEvent, SagaOwner, Step};

use crate::faulty::{Fault, Faulty};
use crate::steps::{Bench, Does, Log, Undo, called, is_parked_in, said};

/// An event, taken apart.
fn line(event: &SagaEvent<'_>) -> String {
    match event {
        SagaEvent::StepStarted { step } => format!("{step} started"),
        SagaEvent::StepDone { step, took } => format!("{step} done in {} ms", took.as_millis()),
        SagaEvent::StepFailed { failure, critical, took } => format!(
            "{} failed ({:?}) in {} ms, critical: {critical}",
            failure.step,
            failure.kind,
            took.as_millis()
        ),
        SagaEvent::Undone { step, attempts } => format!("{step} undone, attempts: {attempts}"),
        SagaEvent::UndoFailed { step, cause, attempts, parked } => {
            format!("undo of {step} failed ({cause}), attempts: {attempts}, parked: {parked}")
        }
    }
}

/// The line of an event without its time.
fn without_time(line: &str) -> String {
    match line.split_once(" in ") {
        Some((what, rest)) => {
            format!("{what}{}", rest.split_once(" ms").map_or(rest, |(_, rest)| rest))
        }
        None => line.to_owned(),
    }
}

/// The lines of events as a message shows them.
fn events(lines: &[String]) -> String {
    if lines.is_empty() { "no event".to_owned() } else { lines.join("; ") }
}

fn bench(cx: &Cx) -> Bench {
    Bench::new(cx)
        .step("reserve", Does::Works, Undo::FailsForGood)
        .add("mail", Does::NotDone(FailureKind::Transient), Undo::Works, Step::not_critical)
        .step("ride", Does::Works, Undo::FailsTimes(1))
        .step("capture", Does::Unknown(FailureKind::Unavailable), Undo::Works)
}

/// Runs a saga with an observer.
async fn observed(
    cx: &Cx,
    bench: &Bench,
    observer: impl Fn(SagaEvent<'_>) + Send + Sync,
) -> Result<(MemoryJournal, String), Fail> {
    observed_slowly(cx, bench, 0, observer).await
}

/// The same, with a journal that takes some milliseconds for each write.
async fn observed_slowly(
    cx: &Cx,
    bench: &Bench,
    takes: u64,
    observer: impl Fn(SagaEvent<'_>) + Send + Sync,
) -> Result<(MemoryJournal, String), Fail> {
    let memory = MemoryJournal::new();
    let journal = Faulty::new(&memory, 1, Fault::Slow(takes), &Log::default());
    let opened = bench.saga.open(&journal, SagaId::new("one"), &Vec::new()).await;
    let Ok(Opened::New(lease)) = opened else {
        return Err(Fail::new("Saga::open does not open a new saga"));
    };
    let owner = SagaOwner { journal: &journal, lease, observer: &observer };
    let run = bench.saga.run(&owner, Vec::new(), Deadline::after(ms(10_000)));
    let end = cx.call("Saga::run", run).await?.value;
    Ok((memory, said(&end)))
}

const END: &str = "Parked (reserve after 1), since capture failed (Unavailable)";

pub async fn notifies_its_observer(cx: Cx) -> Outcome {
    for takes in [0, cx.draw().between(1..=400)] {
        tells_of_each_step(&cx, takes).await?;
    }
    tells_of_no_skipped_step(&cx).await
}

/// No time is left for the last two steps: they are not called, and raise no event.
async fn tells_of_no_skipped_step(cx: &Cx) -> Outcome {
    for critical in [false, true] {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let bench = Bench::new(cx)
            .step("reserve", Does::Works, Undo::Works)
            .add("look", Does::Hangs, Undo::Works, Step::not_critical)
            .add("mail", Does::Works, Undo::Works, Step::not_critical);
        let bench = if critical { bench.step("close", Does::Works, Undo::Works) } else { bench };
        observed(cx, &bench, |event| lock(&seen).push(line(&event))).await?;
        if called(&bench.log).iter().any(|name| name == "mail" || name == "close") {
            // That steps without time are not called is a criterion of its own.
            return Ok(());
        }
        let seen = lock(&seen).clone();
        ensure!(
            !seen.iter().any(|line| line.starts_with("mail ") || line.starts_with("close ")),
            "an observer gets an event of a step that was not called, since no time was left for it";
            expected = "events of reserve and look only: a step that is skipped raises none",
            observed = events(&seen),
            help = "call the observer for a step only when the step is called, and for the outcome of that call"
        );
    }
    Ok(())
}

/// What the observer gets does not depend on the time that the journal takes for each write.
async fn tells_of_each_step(cx: &Cx, takes: u64) -> Outcome {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let bench = bench(cx);
    let (_, end) =
        observed_slowly(cx, &bench, takes, |event| lock(&seen).push(line(&event))).await?;
    ensure!(end == END, "the end of a saga with an observer"; expected = END, observed = end);
    let journal = match takes {
        0 => String::new(),
        _ => format!(" (each write of the journal takes {takes} ms)"),
    };
    let mut expected = vec![
        "reserve started",
        "reserve done in 10 ms",
        "mail started",
        "mail failed (Transient) in 10 ms, critical: false",
        "ride started",
        "ride done in 10 ms",
        "capture started",
        "capture failed (Unavailable) in 10 ms, critical: true",
    ];
    let seen = lock(&seen).clone();
    let (forward, back) = seen.split_at(expected.len().min(seen.len()));
    let untimed =
        |lines: &[String]| -> Vec<String> { lines.iter().map(|line| without_time(line)).collect() };
    let only_times_differ =
        untimed(forward) == expected.iter().map(|line| without_time(line)).collect::<Vec<_>>();
    ensure!(
        forward == expected, "an observer gets other events while the saga goes forward{journal}";
        expected = format!("in the order of time: {}", expected.join("; ")),
        observed = events(forward),
        help = if only_times_differ {
            "`took` is the time from the call of the step to its outcome, without that of the journal"
        } else {
            "call the observer when a step starts, when it is done and when it fails, whether it is critical or not"
        }
    );
    // In which order undos are tried again is free.
    expected = vec![
        "capture undone, attempts: 1",
        "ride undone, attempts: 2",
        "undo of reserve failed (never), attempts: 1, parked: true",
        "undo of ride failed (not yet), attempts: 1, parked: false",
    ];
    let mut back = back.to_vec();
    back.sort();
    ensure!(
        back == expected, "an observer gets other events while the saga goes back{journal}";
        expected = format!("in any order, here sorted: {}", expected.join("; ")),
        observed = events(&back),
        help = "call the observer for each undo that is done, and for each attempt of an undo that failed; `parked` is \
                true if no attempt follows"
    );
    Ok(())
}

pub async fn an_observer_decides_nothing(cx: Cx) -> Outcome {
    let plain = bench(&cx);
    let (journal, expected) = observed(&cx, &plain, |_| {}).await?;
    ensure!(expected == END, "the end of a saga whose observer does nothing"; expected = END, observed = expected);
    is_parked_in(&journal).await?;
    for nth in 0..12 {
        let bench = bench(&cx);
        let count = Mutex::new(0);
        let observer = |_: SagaEvent<'_>| {
            let mut count = lock(&count);
            *count += 1;
            assert!(*count != nth + 1, "an observer with a bug");
        };
        let (journal, end) = observed(&cx, &bench, observer).await.map_err(|fail| {
            fail.help("an observer is foreign code: contain its panic, or the saga stops half way")
        })?;
        ensure!(
            end == expected && called(&bench.log) == called(&plain.log),
            "an observer that panics at event {} changes what the saga does", nth + 1;
            expected = format!("{:?}, then {expected}", called(&plain.log)),
            observed = format!("{:?}, then {end}", called(&bench.log)),
            help = "an observer is foreign code: contain its panic, or the saga stops half way"
        );
        is_parked_in(&journal).await.map_err(|fail| Fail {
            headline: format!("an observer panics at event {}: {}", nth + 1, fail.headline),
            ..fail
        })?;
    }
    Ok(())
}
