//! The saga engine and its journal: what is written before it is tried, and what is read from it.

use std::sync::{Arc, Mutex};

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, lock, ms};
use level3::deadline::Deadline;
use level3::journal::{
    FailureKind, Journal, JournalError, Lease, MemoryJournal, Payload, Record, SagaId, SagaLog,
    Standing,
};
use level3::saga::{Saga, SagaError, SagaOutcome, SagaOwner, Step, StepError, ignore_events};
use tokio::time::sleep;

use super::resumed::{claimed, left_behind};
use crate::faulty::{Fault, Faulty};
use crate::steps::{Bench, Does, Undo, called, calls, execute, reads_an_end, said};

/// Where a record stands among others.
fn position(records: &[Record], wanted: impl Fn(&Record) -> bool) -> Option<usize> {
    records.iter().position(wanted)
}

pub async fn writes_ahead(cx: Cx) -> Outcome {
    let journal = MemoryJournal::new();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
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
                let known = if known { "announced" } else { "not announced" };
                lock(&seen).push(format!("{what}: {known}"));
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
    let expected = ["reserve: announced", "capture: announced", "undo of reserve: announced"];
    ensure_eq!(
        lock(&seen).clone(), expected, "something is tried before the journal knows of it";
        help = "write StepStarted before the step and UndoStarted before the undo: after a crash only the journal can say what was under way"
    );
    end_of_reads_the_records(&cx).await?;
    states_that_do_not_change(&cx).await?;
    parked_in_one_order(&cx).await
}

/// Steps and undos some of which return the state that they were given, in any order.
async fn states_that_do_not_change(cx: &Cx) -> Outcome {
    const NAMES: [&str; 6] = ["one", "two", "three", "four", "five", "six"];
    let mut draw = cx.draw();
    for round in 0..8 {
        let adds: Vec<u32> = NAMES.iter().map(|_| draw.index(2) as u32).collect();
        let fails = round % 2 == 1;
        let mut saga = Saga::new("test");
        for (name, add) in NAMES.into_iter().zip(adds.iter().copied()) {
            let step = Step::new(name, move |state: u32, _| async move { Ok(state + add) });
            let twice = draw.index(2) as u32;
            saga = saga.step(step.undo(ms(500), move |state, _| async move { Ok(state + twice) }));
        }
        if fails {
            saga = saga.step(Step::new("fails", |_, _| async {
                Err(StepError::not_done(FailureKind::Transient, "refused"))
            }));
        }
        let (saga, journal, id) = (Arc::new(saga), MemoryJournal::new(), SagaId::new("one"));
        let kept: Arc<dyn Journal> = Arc::new(journal.clone());
        let run = saga.execute(kept, id.clone(), 7, Deadline::after(ms(10_000)));
        let end = cx.call("Saga::execute", run).await?.value;
        let Ok(Some(saga_log)) = journal.read(id).await else {
            return Err(Fail::new("the journal knows no such saga"));
        };
        // The state after each step, by its record.
        let seen: Vec<Option<u32>> = saga_log
            .records
            .iter()
            .filter_map(|record| match record {
                Record::StepDone { state, .. } => Some(state.read().ok()),
                _ => None,
            })
            .collect();
        let states: Vec<Option<u32>> = adds
            .iter()
            .scan(7, |state, add| {
                *state += add;
                Some(Some(*state))
            })
            .collect();
        ensure!(
            seen == states,
            "six steps add {adds:?} to a state of 7, and the records hold other states";
            expected = format!("{states:?}"), observed = format!("{seen:?}"),
            help = "a step that returns the state that it was given is done too: its record holds the state as it is now"
        );
        // The state that execute returns is a criterion of its own.
        let end = match (fails, states.last()) {
            (false, Some(Some(state))) => Ok(SagaOutcome::Completed(*state)),
            _ => end,
        };
        let read = saga.outcome_of(&saga_log);
        reads_an_end(&saga_log, &read)?;
        ensure!(
            matches!((&read, &end), (Ok(Some(read)), Ok(end)) if read == end),
            "outcome_of reads another end than that of the saga, after steps some of which leave the state as it is";
            expected = format!("{end:?}"), observed = format!("{read:?}")
        );
    }
    Ok(())
}

/// Two undos are parked, the later step's first: the run and the records list them in one order.
async fn parked_in_one_order(cx: &Cx) -> Outcome {
    let pairs = [
        (Undo::FailsTimes(1000), Undo::FailsForGood),
        (Undo::FailsForGood, Undo::FailsTimes(1000)),
        (Undo::FailsForGood, Undo::FailsForGood),
    ];
    for (reserve, ride) in pairs {
        let bench = Bench::new(cx)
            .step("reserve", Does::Works, reserve)
            .step("ride", Does::Works, ride)
            .step("capture", Does::NotDone(FailureKind::Rejected), Undo::Works);
        let (saga, journal) = (Arc::new(bench.saga), MemoryJournal::new());
        let kept: Arc<dyn Journal> = Arc::new(journal.clone());
        let end = cx.call("Saga::execute", execute(&saga, &kept, "one")).await?.value;
        let Ok(Some(saga_log)) = journal.read(SagaId::new("one")).await else {
            return Err(Fail::new("the journal knows no such saga"));
        };
        let names = |end: Option<SagaOutcome<_>>| match end {
            Some(SagaOutcome::Parked { stuck, .. }) => {
                stuck.into_iter().map(|stuck| stuck.step).collect()
            }
            _ => Vec::new(),
        };
        let (ran, read) = (names(end.ok()), names(saga.outcome_of(&saga_log).ok().flatten()));
        ensure!(
            ran == read && ran == ["reserve", "ride"], "two undos are parked, and the run and the records do not list the same";
            expected = "reserve, ride: the order of the steps",
            observed = format!("execute: {}; outcome_of: {}", ran.join(", "), read.join(", ")),
            help = "sort what is parked by the saga's steps: the order in which undos fail is chance"
        );
    }
    Ok(())
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
        let kept: Arc<dyn Journal> = Arc::new(journal.clone());
        let _ = cx.call("Saga::execute", execute(&saga, &kept, "one")).await?;
        let Ok(Some(saga_log)) = journal.read(SagaId::new("one")).await else {
            return Err(Fail::new("the journal knows no such saga"));
        };
        let read = saga.outcome_of(&saga_log);
        reads_an_end(&saga_log, &read)?;
        let fits = match (expected, &read) {
            ("Completed", Ok(Some(SagaOutcome::Completed(state)))) => {
                *state == ["reserve", "ride", "capture"]
            }
            ("Compensated", Ok(Some(SagaOutcome::Compensated { state, failure }))) => {
                let mut state = state.clone();
                state.sort();
                state == ["-reserve", "-ride", "reserve", "ride"] && failure.step == "capture"
            }
            ("Parked", Ok(Some(SagaOutcome::Parked { stuck, .. }))) => {
                matches!(&stuck[..], [one] if one.step == "reserve" && one.cause == "never")
            }
            _ => false,
        };
        ensure!(
            fits, "the records tell another end";
            expected = format!("{expected}: the end that execute has returned"), observed = format!("{read:?}"),
            help = "a record of a step that is done holds the state after it, one of an undo that is parked its cause"
        );
        let first = saga.begun_with(&saga_log);
        ensure!(matches!(&first, Ok(state) if state.is_empty()), "begun_with does not read the state that the saga began with";
            expected = "no step's name", observed = format!("{first:?}"));
        let open = SagaLog { standing: Standing::Open, records: saga_log.records[..1].into() };
        let read = saga.outcome_of(&open);
        ensure!(matches!(read, Ok(None)), "outcome_of tells an end of a saga that has only begun"; expected = "None", observed = format!("{read:?}"));
    }
    Ok(())
}

pub async fn reads_a_batch_twice(cx: Cx) -> Outcome {
    // Each batch in turn is written and its answer lost, so an engine that offers it again writes it twice.
    for (fails, undo) in
        [(false, Undo::Works), (true, Undo::FailsTimes(1)), (true, Undo::FailsForGood)]
    {
        for nth in 1..=8 {
            let capture = if fails { Does::NotDone(FailureKind::Rejected) } else { Does::Works };
            let bench = Bench::quiet(&cx)
                .step("reserve", Does::Works, undo)
                .step("ride", Does::Works, Undo::Works)
                .add("capture", capture, Undo::Works, Step::pivot);
            let (saga, memory) = (Arc::new(bench.saga), MemoryJournal::new());
            let faulty = Faulty::new(&memory, nth, Fault::WrittenOnce, &bench.log);
            let journal: Arc<dyn Journal> = Arc::new(faulty);
            let mut end = cx.call("Saga::execute", execute(&saga, &journal, "one")).await?.value;
            if matches!(end, Err(SagaError::JournalUnavailable)) {
                // It has given up, which it may: the next owner ends it.
                sleep(ms(60_000)).await;
                // Unless the write whose answer was lost is that of the end.
                if memory.count(Standing::Ended) + memory.count(Standing::Parked) == 0 {
                    let (lease, saga_log) = claimed(&memory).await?;
                    let owner = SagaOwner { journal: &memory, lease, observer: &ignore_events };
                    let resume = saga.resume(&owner, &saga_log, Deadline::after(ms(10_000)));
                    end = cx.call("Saga::resume", resume).await?.value;
                }
            }
            let Ok(Some(saga_log)) = memory.read(SagaId::new("one")).await else {
                return Err(Fail::new("the journal knows no such saga"));
            };
            let read = saga.outcome_of(&saga_log).map(|read| read.map(|read| said(&Ok(read))));
            reads_an_end(&saga_log, &read).map_err(|fail| Fail {
                headline: format!("the answer to write {nth} was lost: {}", fail.headline),
                ..fail
            })?;
            let has_given_up = matches!(end, Err(SagaError::JournalUnavailable));
            let fits = matches!(&read, Ok(Some(read)) if has_given_up || (*read == said(&end) && end.is_ok()));
            ensure!(
                fits, "the answer to a write was lost, and the records tell another end";
                expected = format!("{}, as the run says", said(&end)),
                observed = format!("{read:?}, when the answer to write {nth} was lost"),
                help = "a batch may stand in the journal twice: reading a record twice must change nothing"
            );
        }
    }
    Ok(())
}

pub async fn refuses_other_records(cx: Cx) -> Outcome {
    let begun = |kind: &'static str, state: &str| {
        let state = Payload::of(&vec![state]);
        let state = state.map_err(|_| Fail::new("a state cannot be written"))?;
        Ok::<_, Fail>(Record::Begun { kind: kind.into(), state })
    };
    let started = |step: &'static str| Record::StepStarted { step: step.into() };
    let number = Payload::of(&7).map_err(|_| Fail::new("a state cannot be written"))?;
    let cases = [
        ("of a saga of another kind", vec![begun("another", "x")?]),
        ("with an unknown step", vec![begun("test", "x")?, started("stranger")]),
        ("without a beginning", vec![started("reserve"), Record::Completed]),
        ("without a record", Vec::new()),
        ("with another state", vec![Record::Begun { kind: "test".into(), state: number }]),
    ];
    for (which, records) in cases {
        let bench = Bench::new(&cx).step("reserve", Does::Works, Undo::Works);
        let (memory, lease, _) = left_behind(&bench, Vec::new()).await?;
        let saga_log = SagaLog { standing: Standing::Open, records: records.into() };
        let read = cx.call_fn("Saga::outcome_of", || bench.saga.outcome_of(&saga_log)).await?;
        ensure!(matches!(read, Err(SagaError::State(_))), "a log {which} is read as if it were this saga's";
            expected = "SagaError::State", observed = format!("{read:?}"));
        let owner = SagaOwner { journal: &memory, lease, observer: &ignore_events };
        let resume = bench.saga.resume(&owner, &saga_log, Deadline::after(ms(10_000)));
        let end = cx.call("Saga::resume", resume).await?.value;
        ensure!(matches!(end, Err(SagaError::State(_))), "a log {which} is resumed"; expected = "SagaError::State", observed = said(&end));
        ensure!(called(&bench.log).is_empty(), "a log {which} makes the saga call a step"; observed = calls(&bench.log));
    }
    Ok(())
}

pub async fn stops_when_fenced(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)
        .step("reserve", Does::Works, Undo::Works)
        .step("ride", Does::Works, Undo::Works)
        .step("capture", Does::Works, Undo::Works);
    let (journal, mut lease, _): (MemoryJournal, Lease, SagaLog) =
        left_behind(&bench, Vec::new()).await?;
    // The right of the owner before.
    lease.epoch -= 1;
    let owner = SagaOwner { journal: &journal, lease, observer: &ignore_events };
    let call = bench.saga.run(&owner, Vec::new(), Deadline::after(ms(10_000)));
    let end = cx.call("Saga::run", call).await?.value;
    ensure_eq!(said(&end), "the error Fenced", "an owner whose saga was taken over goes on");
    ensure!(
        called(&bench.log).is_empty(),
        "an owner whose saga was taken over calls a step";
        expected = "no call: the record before it was refused", observed = calls(&bench.log)
    );
    // Taken over later, while the saga goes forward and while it goes back, up to the record of its end.
    let refused = Does::NotDone(FailureKind::Rejected);
    let scripts = [
        (Does::Works, Undo::Works),
        (Does::Unknown(FailureKind::Transient), Undo::FailsTimes(1)),
        (refused, Undo::FailsForGood),
    ];
    for (capture, undo) in scripts {
        for nth in 1..=10 {
            let bench = Bench::quiet(&cx)
                .step("reserve", Does::Works, Undo::Works)
                .step("ride", Does::Works, undo)
                .step("capture", capture, Undo::Works);
            let saga = Arc::new(bench.saga);
            let faulty = Faulty::new(
                &MemoryJournal::new(),
                nth,
                Fault::Is(JournalError::Fenced),
                &bench.log,
            );
            let after = faulty.calls_after();
            let journal: Arc<dyn Journal> = Arc::new(faulty);
            let end = cx.call("Saga::execute", execute(&saga, &journal, "one")).await?.value;
            // An engine that writes less often is over before.
            let Some(after) = after.first_fault() else { continue };
            ensure_eq!(
                said(&end), "the error Fenced",
                "an owner whose saga is taken over at write {nth} goes on";
                help = "the write of the end counts too: an end that is not written is the new owner's to report"
            );
            let late: Vec<String> = called(&bench.log).split_off(after);
            let late: Vec<_> = late.iter().filter(|line| !line.starts_with("wrote")).collect();
            ensure!(late.is_empty(), "an owner whose saga is taken over at write {nth} makes a call"; expected = "none", observed = format!("{late:?}"));
        }
    }
    // The time of a task that was left behind.
    sleep(ms(1000)).await;
    Ok(())
}
