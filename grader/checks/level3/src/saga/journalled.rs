//! The saga engine and its journal: what is written before it is tried, and what is made of it by whoever
//! takes over.

use std::sync::{Arc, Mutex};

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, lock, ms};
use level3::deadline::Deadline;
use level3::journal::{
    Claimed, FailureKind, Journal, Lease, MemoryJournal, Opened, Payload, Record, SagaFailure,
    SagaId, SagaLog,
};
use level3::saga::{Saga, SagaError, SagaOutcome, SagaOwner, Step, StepError, ignore_events};
use tokio::time::sleep;

use super::{Bench, Does, Undo, execute};

/// A journal that notes what the steps had done when a record was written.
fn position(records: &[Record], wanted: impl Fn(&Record) -> bool) -> Option<usize> {
    records.iter().position(wanted)
}

pub async fn writes_ahead(cx: Cx) -> Outcome {
    let journal = MemoryJournal::new();
    let seen: Arc<Mutex<Vec<(&'static str, bool)>>> = Arc::default();
    let id = SagaId::new("one");
    // Each call looks whether the journal knows of it already.
    let announced = {
        let (journal, seen, id) = (journal.clone(), Arc::clone(&seen), id.clone());
        Arc::new(move |what: &'static str, wanted: fn(&Record) -> bool| {
            let (journal, seen, id) = (journal.clone(), Arc::clone(&seen), id.clone());
            async move {
                let saga_log = journal.read(id).await.ok().flatten();
                let known =
                    saga_log.is_some_and(|saga_log| position(&saga_log.records, wanted).is_some());
                lock(&seen).push((what, known));
            }
        })
    };
    let (a, b, c) = (Arc::clone(&announced), Arc::clone(&announced), announced);
    let saga = Saga::new("test")
        .step(
            Step::new("reserve", move |state: u32, _| {
                let look = a(
                    "reserve",
                    |r| matches!(r, Record::StepStarted { step } if step == "reserve"),
                );
                async move {
                    look.await;
                    Ok(state)
                }
            })
            .undo(ms(500), move |state, _| {
                let look = b(
                    "undo of reserve",
                    |r| matches!(r, Record::UndoStarted { step, .. } if step == "reserve"),
                );
                async move {
                    look.await;
                    Ok(state)
                }
            }),
        )
        .step(Step::new("capture", move |_: u32, _| {
            let look =
                c("capture", |r| matches!(r, Record::StepStarted { step } if step == "capture"));
            async move {
                look.await;
                Err(StepError::not_done(FailureKind::Transient, "refused"))
            }
        }));
    let kept: Arc<dyn Journal> = Arc::new(journal.clone());
    let saga = Arc::new(saga);
    let deadline = Deadline::after(ms(10_000));
    cx.call("Saga::execute", async { saga.execute(kept, id, 7, deadline).await }).await?;
    let expected = [("reserve", true), ("capture", true), ("undo of reserve", true)];
    ensure_eq!(
        lock(&seen).clone(), expected, "something is tried before the journal knows of it";
        help = "write StepStarted before the step and UndoStarted before the undo: after a crash nobody else can tell"
    );
    end_of_reads_the_records(&cx).await
}

/// What [`Saga::outcome_of`] reads is what happened, state and all.
async fn end_of_reads_the_records(cx: &Cx) -> Outcome {
    let kinds = [
        ("Completed", Does::Works, Undo::Works),
        ("Compensated", Does::NotDone(FailureKind::Transient), Undo::Works),
        ("Parked", Does::NotDone(FailureKind::Transient), Undo::FailsForGood),
    ];
    for (expected, capture, undo) in kinds {
        let bench = Bench::new(cx)
            .step("reserve", Does::Works, undo)
            .step("ride", Does::Works, Undo::Works)
            .step("capture", capture, Undo::Works);
        let (saga, journal) = (Arc::new(bench.saga), MemoryJournal::new());
        // What it says itself is other criteria's matter.
        let _ = cx.call("Saga::execute", execute(Arc::clone(&saga), &journal)).await?;
        let Ok(Some(saga_log)) = journal.read(SagaId::new("one")).await else {
            return Err(Fail::new("the journal knows no such saga"));
        };
        let read = saga.outcome_of(&saga_log);
        let fits = match (expected, &read) {
            ("Completed", Ok(Some(SagaOutcome::Completed(state)))) => {
                *state == ["reserve", "ride", "capture"]
            }
            ("Compensated", Ok(Some(SagaOutcome::Compensated { state, failure }))) => {
                *state == ["reserve", "ride"] && failure.step == "capture"
            }
            ("Parked", Ok(Some(SagaOutcome::Parked { stuck, .. }))) => {
                matches!(&stuck[..], [one] if one.step == "reserve" && one.cause == "never")
            }
            _ => false,
        };
        ensure!(
            fits, "the records tell another end";
            expected = expected, observed = format!("{read:?}"),
            help = "a record of a step that is done holds the state after it, one of an undo that is parked its cause"
        );
    }
    Ok(())
}

/// A saga whose owner died, and who takes it over.
async fn left_behind(
    bench: &Bench,
    records: Vec<Record>,
) -> Result<(MemoryJournal, Lease, SagaLog), Fail> {
    let journal = MemoryJournal::new();
    let gone = |_| Fail::new("the journal in memory does not work");
    let opened = bench.saga.open(&journal, SagaId::new("one"), &Vec::new()).await;
    let Ok(Opened::New(lease)) = opened else {
        return Err(Fail::new("Saga::open does not open a new saga"));
    };
    journal.append(&lease, records).await.map_err(gone)?;
    sleep(ms(60_000)).await;
    match journal.claim(SagaId::new("one")).await.map_err(gone)? {
        Claimed::Acquired(lease, saga_log) => Ok((journal, lease, saga_log)),
        _ => Err(Fail::new("a saga without an owner cannot be claimed")),
    }
}

/// What comes of it when somebody takes it over.
async fn resumed(
    cx: &Cx,
    bench: &Bench,
    records: Vec<Record>,
) -> Result<Result<SagaOutcome<Vec<String>>, SagaError>, Fail> {
    let (journal, lease, saga_log) = left_behind(bench, records).await?;
    let owner = SagaOwner { journal: &journal, lease, observer: &ignore_events };
    let call = bench.saga.resume(&owner, &saga_log, Deadline::after(ms(10_000)));
    Ok(cx.call("Saga::resume", call).await?.value)
}

fn done(step: &'static str, state: &[&str]) -> Result<Vec<Record>, Fail> {
    let state = Payload::of(&state).map_err(|_| Fail::new("a state cannot be written"))?;
    Ok(vec![
        Record::StepStarted { step: step.into() },
        Record::StepDone { step: step.into(), state },
    ])
}

pub async fn finishes_past_the_pivot(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)
        .step("reserve", Does::Works, Undo::Works)
        .add("capture", Does::Works, Undo::Works, Step::pivot)
        .add("mail", Does::Works, Undo::Works, Step::not_critical)
        .step("close", Does::Works, Undo::Works);
    let mut records = done("reserve", &["reserve"])?;
    records.extend(done("capture", &["reserve", "capture"])?);
    let failure = SagaFailure {
        step: "mail".into(),
        kind: FailureKind::Transient,
        message: "no answer".to_owned(),
    };
    records.push(Record::StepStarted { step: "mail".into() });
    records.push(Record::StepFailed { failure, may_have_acted: true });
    let end = resumed(&cx, &bench, records).await?;
    ensure!(
        matches!(&end, Ok(SagaOutcome::Completed(state)) if state.last().is_some_and(|s| s == "close")),
        "a saga whose pivot is done is not finished";
        expected = "Completed", observed = format!("{end:?}")
    );
    ensure_eq!(
        lock(&bench.log).clone(), ["close"], "what is over already is called again";
        help = "StepDone and StepFailed both end a step: a saga that is not going back has gone on behind it"
    );
    Ok(())
}

pub async fn undoes_before_the_pivot(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)
        .step("reserve", Does::Works, Undo::Works)
        .add("capture", Does::Works, Undo::Works, Step::pivot)
        .step("close", Does::Works, Undo::Works);
    let mut records = done("reserve", &["reserve"])?;
    records.push(Record::StepStarted { step: "capture".into() });
    let end = resumed(&cx, &bench, records).await?;
    ensure!(matches!(end, Ok(SagaOutcome::Compensated { .. })), "a saga whose pivot is not done is not undone"; observed = format!("{end:?}"));
    let mut undone = lock(&bench.log).clone();
    undone.sort();
    ensure_eq!(
        undone,
        ["undo capture?", "undo reserve"],
        "what had begun when the process died is not undone, and nothing else"
    );
    Ok(())
}

pub async fn stops_when_fenced(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)
        .step("reserve", Does::Works, Undo::Works)
        .step("ride", Does::Works, Undo::Works)
        .step("capture", Does::Works, Undo::Works);
    let (journal, mut lease, _) = left_behind(&bench, Vec::new()).await?;
    // The right of the owner before.
    lease.epoch -= 1;
    let owner = SagaOwner { journal: &journal, lease, observer: &ignore_events };
    let call = bench.saga.run(&owner, Vec::new(), Deadline::after(ms(10_000)));
    let end = cx.call("Saga::run", call).await?.value;
    ensure_eq!(end, Err(SagaError::Fenced), "an owner whose saga was taken over goes on");
    ensure!(
        lock(&bench.log).is_empty(),
        "an owner whose saga was taken over calls a step";
        expected = "no call: the record before it was refused", observed = format!("{:?}", lock(&bench.log))
    );
    Ok(())
}
