//! A saga that another owner takes over.

use std::sync::Arc;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level3::deadline::Deadline;
use level3::journal::{
    Claimed, FailureKind, Journal, Lease, MemoryJournal, Opened, Payload, Record, SagaFailure,
    SagaId, SagaLog,
};
use level3::retry::{Backoff, NoJitter};
use level3::saga::{SagaError, SagaOutcome, SagaOwner, Step, ignore_events};
use tokio::time::{sleep, timeout};

use crate::faulty::{Fault, Faulty};
use crate::parts::nz;
use crate::steps::{
    Bench, Does, KINDS, Panics, State, Undo, called, calls, given_right, reads_an_end,
    records_told, said, state_of, undone, undone_sorted,
};

/// A saga whose owner died after it had written these records, and the right to go on with it.
pub async fn left_behind(
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
    let (lease, saga_log) = claimed(&journal).await?;
    Ok((journal, lease, saga_log))
}

/// Claims the saga `one`.
pub async fn claimed(journal: &MemoryJournal) -> Result<(Lease, SagaLog), Fail> {
    let gone = |_| Fail::new("the journal in memory does not work");
    match journal.claim(SagaId::new("one")).await.map_err(gone)? {
        Claimed::Acquired(lease, saga_log) => Ok((lease, saga_log)),
        _ => Err(Fail::new("a saga without an owner cannot be claimed")),
    }
}

/// The outcome when another owner takes the saga over, within ten seconds.
pub async fn resumed(
    cx: &Cx,
    bench: &Bench,
    records: Vec<Record>,
) -> Result<Result<SagaOutcome<State>, SagaError>, Fail> {
    let (journal, lease, saga_log) = left_behind(bench, records).await?;
    let owner = SagaOwner { journal: &journal, lease, observer: &ignore_events };
    let call = bench.saga.resume(&owner, &saga_log, Deadline::after(ms(10_000)));
    Ok(cx.call("Saga::resume", call).await?.value)
}

fn written(state: &[&str]) -> Result<Payload, Fail> {
    Payload::of(&state).map_err(|_| Fail::new("a state cannot be written"))
}

pub fn started(step: &'static str) -> Record {
    Record::StepStarted { step: step.into() }
}

pub fn done(step: &'static str, state: &[&str]) -> Result<Vec<Record>, Fail> {
    Ok(vec![started(step), Record::StepDone { step: step.into(), state: written(state)? }])
}

fn failure(step: &'static str) -> SagaFailure {
    SagaFailure { step: step.into(), kind: FailureKind::Transient, message: "no answer".to_owned() }
}

pub async fn finishes_past_the_pivot(cx: Cx) -> Outcome {
    for may_have_acted in [true, false] {
        let bench = Bench::new(&cx)
            .step("reserve", Does::Works, Undo::Works)
            .add("capture", Does::Works, Undo::Works, Step::pivot)
            .add("mail", Does::Works, Undo::Works, Step::not_critical)
            .step("close", Does::Works, Undo::Works);
        let mut records = done("reserve", &["reserve"])?;
        records.extend(done("capture", &["reserve", "capture"])?);
        records.push(started("mail"));
        records.push(Record::StepFailed { failure: failure("mail"), may_have_acted });
        let end = resumed(&cx, &bench, records).await?;
        ensure!(
            matches!(end, Ok(SagaOutcome::Completed(_))),
            "a saga whose pivot is done is not finished";
            expected = "Completed", observed = format!("{end:?}")
        );
        ensure_eq!(
            called(&bench.log), ["close"], "what is over already is called again";
            help = "StepDone and StepFailed both end a step: a saga that is not going back has gone on behind it"
        );
        ensure!(
            matches!(&end, Ok(SagaOutcome::Completed(state)) if *state == ["reserve", "capture", "close"]),
            "a saga that is finished by another owner loses its state";
            expected = "the state of the records and that of close", observed = format!("{end:?}")
        );
    }
    writes_that_an_optional_step_has_failed(&cx).await?;
    completes_with_every_critical_step(&cx).await?;
    // Everything was done, only the end is not written.
    let bench = Bench::new(&cx).add("capture", Does::Works, Undo::Works, Step::pivot);
    let end = resumed(&cx, &bench, done("capture", &["capture"])?).await?;
    ensure!(matches!(end, Ok(SagaOutcome::Completed(_))) && called(&bench.log).is_empty(),
        "a saga whose steps are all done is not finished"; expected = "Completed, without a call", observed = format!("{end:?}"));
    // A step that had begun behind the pivot is called again.
    let bench = Bench::new(&cx).add("capture", Does::Works, Undo::Works, Step::pivot).step(
        "close",
        Does::Works,
        Undo::Works,
    );
    let mut records = done("capture", &["capture"])?;
    records.push(started("close"));
    let end = resumed(&cx, &bench, records).await?;
    ensure!(matches!(end, Ok(SagaOutcome::Completed(_))) && called(&bench.log) == ["close"],
        "a step that had begun behind the pivot is not called again"; expected = "close, then Completed",
        observed = format!("{}, then {}", calls(&bench.log), said(&end)));
    Ok(())
}

/// A critical step has failed past the pivot, and the process dies at one write after another. Whether the next owner
/// takes what is written as the decision to go back, or calls the step again, is free.
async fn completes_with_every_critical_step(cx: &Cx) -> Outcome {
    for at in 1..=12 {
        let bench = |ride| {
            Bench::new(cx)
                .step("reserve", Does::Works, Undo::Works)
                .add("capture", Does::Works, Undo::Works, Step::pivot)
                .step("ride", ride, Undo::Works)
                .step("close", Does::Works, Undo::Works)
        };
        let first = bench(Does::NotDone(FailureKind::Rejected));
        let memory = MemoryJournal::new();
        let journal = Faulty::new(&memory, at, Fault::Hangs, &Arc::default());
        let opened = first.saga.open(&journal, SagaId::new("one"), &Vec::new()).await;
        let Ok(Opened::New(lease)) = opened else {
            return Err(Fail::new("Saga::open does not open a new saga"));
        };
        let owner = SagaOwner { journal: &journal, lease, observer: &ignore_events };
        let run = first.saga.run(&owner, Vec::new(), Deadline::after(ms(10_000)));
        let dies = journal.failed();
        let until_it_dies = async {
            tokio::select! {
                _ = run => false,
                () = dies.notified() => true,
            }
        };
        if !cx.call("Saga::run", until_it_dies).await?.value {
            break;
        }
        sleep(ms(60_000)).await;
        let (next, (lease, saga_log)) = (bench(Does::Works), claimed(&memory).await?);
        if saga_log.records.iter().any(|record| matches!(record, Record::Compensating { .. })) {
            // That a saga which was going back still goes back is a criterion of its own.
            break;
        }
        let owner = SagaOwner { journal: &memory, lease, observer: &ignore_events };
        let resume = next.saga.resume(&owner, &saga_log, Deadline::after(ms(10_000)));
        let end = cx.call("Saga::resume", resume).await?.value;
        let is_without = |state: &State| !state.iter().any(|name| name == "ride");
        ensure!(
            !matches!(&end, Ok(SagaOutcome::Completed(state)) if is_without(state)),
            "the critical step ride has failed past the pivot, the process has died at its write number {at}, and the next owner completes the saga without ride";
            expected = "undone, or ride called again: a saga is Completed when each critical step is done",
            observed = format!("{}, then {}; the records were: {}", calls(&next.log), said(&end), records_told(&saga_log.records)),
            help = "write StepFailed of a critical step in one batch with Compensating, or let StepFailed of a critical step mean that the saga goes back"
        );
    }
    Ok(())
}

/// The process ends while the step behind an optional one that has failed runs.
async fn writes_that_an_optional_step_has_failed(cx: &Cx) -> Outcome {
    for does in [Does::NotDone(FailureKind::Transient), Does::Unknown(FailureKind::Transient)] {
        let bench = |ledger| {
            Bench::new(cx)
                .add("capture", Does::Works, Undo::Works, Step::pivot)
                .add("mail", does, Undo::Works, Step::not_critical)
                .step("ledger", ledger, Undo::Works)
        };
        let (first, journal) = (bench(Does::Hangs), MemoryJournal::new());
        let opened = first.saga.open(&journal, SagaId::new("one"), &Vec::new()).await;
        let Ok(Opened::New(lease)) = opened else {
            return Err(Fail::new("Saga::open does not open a new saga"));
        };
        let owner = SagaOwner { journal: &journal, lease, observer: &ignore_events };
        let run = first.saga.run(&owner, Vec::new(), Deadline::after(ms(10_000)));
        if timeout(ms(1000), cx.call("Saga::run", run)).await.is_ok() {
            // That the saga goes on behind an optional step that has failed is a criterion of its own.
            continue;
        }
        let before = calls(&first.log);
        sleep(ms(60_000)).await;
        let (next, (lease, saga_log)) = (bench(Does::Works), claimed(&journal).await?);
        let owner = SagaOwner { journal: &journal, lease, observer: &ignore_events };
        let resume = next.saga.resume(&owner, &saga_log, Deadline::after(ms(10_000)));
        let end = cx.call("Saga::resume", resume).await?.value;
        ensure!(
            called(&next.log) == ["ledger"] && matches!(end, Ok(SagaOutcome::Completed(_))),
            "an optional step has failed behind the pivot, the process has ended in the step after it, and the next owner calls something else";
            expected = "ledger, then Completed: an optional step that has failed is over",
            observed = format!("{before} before; the next owner: {}, then {}", calls(&next.log), said(&end)),
            help = "write StepFailed for an optional step as well, at the latest with the StepStarted of the next one"
        );
    }
    Ok(())
}

pub async fn goes_on_undoing(cx: Cx) -> Outcome {
    let bench = |undo: Undo| {
        Bench::new(&cx)
            .step("reserve", Does::Works, undo)
            .add("capture", Does::Works, Undo::Works, Step::pivot)
            .step("ride", Does::Works, Undo::Works)
            .step("close", Does::Works, Undo::Works)
    };
    // Three steps are done, the pivot among them; the fourth has failed, and the saga is going back.
    let mut records = done("reserve", &["reserve"])?;
    records.extend(done("capture", &["reserve", "capture"])?);
    records.extend(done("ride", &["reserve", "capture", "ride"])?);
    records.push(started("close"));
    records.push(Record::StepFailed { failure: failure("close"), may_have_acted: false });
    records.push(Record::Compensating { failure: failure("close") });
    let undo =
        |step: &'static str, attempt: u32| Record::UndoStarted { step: step.into(), attempt };
    let undone_ride = vec![
        undo("ride", 1),
        Record::UndoDone {
            step: "ride".into(),
            state: written(&["reserve", "capture", "ride", "-ride"])?,
        },
    ];
    let after = |more: Vec<Record>| records.iter().cloned().chain(more).collect::<Vec<_>>();
    let mut half = undone_ride.clone();
    half.push(undo("capture", 1));
    let cases = [
        ("had just decided to go back", after(Vec::new()), &["capture", "reserve", "ride"][..]),
        ("was undoing ride", after(vec![undo("ride", 1)]), &["capture", "reserve", "ride"]),
        ("had undone ride", after(undone_ride), &["capture", "reserve"]),
        ("was undoing capture", after(half.clone()), &["capture", "reserve"]),
    ];
    for (when, records, expected) in cases {
        let bench = bench(Undo::Works);
        let end = resumed(&cx, &bench, records).await?;
        ensure!(
            undone_sorted(&bench.log) == expected && called(&bench.log).len() == expected.len(),
            "the process ended when the saga {when}, and the next owner calls something else";
            expected = format!("the undos of {}, and no step", expected.join(", ")),
            observed = format!("{}, then {}", calls(&bench.log), said(&end)),
            help = "Compensating decides: a saga that goes back goes on going back, also past its pivot. UndoDone ends an undo."
        );
        let why =
            matches!(&end, Ok(SagaOutcome::Compensated { failure, .. }) if failure.step == "close");
        ensure!(why, "a saga that is undone by another owner does not say why";
            expected = "Compensated, since close failed", observed = format!("{end:?}"));
        let mut state = end.ok().map(|end| state_of(&end).clone()).unwrap_or_default();
        // In which order they are undone is another criterion's matter.
        state.sort();
        let expected = ["-capture", "-reserve", "-ride", "capture", "reserve", "ride"];
        ensure_eq!(state, expected,
            "the process ended when the saga {when}, and another owner has ended it: the state after the last undo, sorted";
            help = "StepDone and UndoDone hold the state that the step or the undo has returned: the next undo gets that of the last of them");
    }
    // Parked: tried again when it is taken over.
    let mut parked = half;
    parked.push(Record::UndoParked {
        step: "capture".into(),
        cause: "not yet".to_owned(),
        attempts: 1,
    });
    parked.push(undo("reserve", 1));
    parked.push(Record::UndoParked {
        step: "reserve".into(),
        cause: "never".to_owned(),
        attempts: 1,
    });
    parked.push(Record::Parked);
    for (undo, expected) in [
        (Undo::Works, "Compensated, since close failed (Transient)"),
        (Undo::FailsForGood, "Parked (reserve after 2), since close failed (Transient)"),
    ] {
        let bench = bench(undo);
        let (journal, lease, saga_log) = left_behind(&bench, after(parked.clone())).await?;
        let owner = SagaOwner { journal: &journal, lease, observer: &ignore_events };
        let call = bench.saga.resume(&owner, &saga_log, Deadline::after(ms(10_000)));
        let end = cx.call("Saga::resume", call).await?.value;
        let observed = format!("{}, then {}", calls(&bench.log), said(&end));
        ensure!(undone_sorted(&bench.log) == ["capture", "reserve"], "two undos are parked, and the owner that takes the saga over does not try each of them once";
            expected = "the undos of capture and of reserve, once each", observed = observed,
            help = "a parked undo is tried again; one that works, or fails for good, is not tried twice");
        ensure!(said(&end) == expected, "what was parked is tried again when the saga is taken over, and the outcome is another one";
            expected = expected, observed = observed,
            help = "attempts are counted on from the records: the number of the last UndoStarted, and one more");
        let Ok(Some(saga_log)) = journal.read(SagaId::new("one")).await else {
            return Err(Fail::new("the journal knows no such saga"));
        };
        let read = bench.saga.outcome_of(&saga_log);
        reads_an_end(&saga_log, &read)?;
        let state = |end: &SagaOutcome<State>| state_of(end).clone();
        let states =
            (read.as_ref().ok().and_then(Option::as_ref).map(state), end.as_ref().ok().map(state));
        ensure_eq!(
            states.0, states.1,
            "the state that outcome_of reads, and the one that resume has returned";
            help = "a record of an undo that is done holds the state after it"
        );
        let read = read.map(|end| end.map(|end| said(&Ok(end))));
        ensure!(
            matches!(&read, Ok(Some(read)) if read == expected),
            "outcome_of reads another end than the one that resume has returned";
            expected = expected, observed = format!("{read:?}"),
            help = "an undo that begins again is no longer stuck: forget what an earlier record says of it"
        );
    }
    // The process ended in the second attempt of an undo: the attempts go on from there.
    let again = bench(Undo::FailsForGood);
    let begun = after(vec![undo("ride", 1), undo("reserve", 1), undo("reserve", 2)]);
    let end = resumed(&cx, &again, begun).await?;
    let expected = "Parked (reserve after 3), since close failed (Transient)";
    ensure!(said(&end) == expected, "two attempts to undo reserve had begun when the process ended, and the next one fails for good: the outcome counts other attempts";
        expected = expected, observed = format!("{}, then {}", calls(&again.log), said(&end)),
        help = "UndoStarted names the number of its attempt: an owner that takes the saga over goes on with the next one");
    attempts_that_are_left(&cx).await
}

/// The attempts of earlier owners count: the next one makes those that are left, no more and no fewer.
async fn attempts_that_are_left(cx: &Cx) -> Outcome {
    let most = u32::try_from(cx.draw().between(3..=7)).unwrap_or(3);
    let backoff = Backoff::new(ms(100), 1.0, ms(100), nz(most));
    let backoff =
        backoff.map_err(|why| Fail::new(format!("Backoff::new refuses its figures: {why}")))?;
    let bench =
        || {
            let mut bench = Bench::new(cx)
                .step("reserve", Does::Works, Undo::FailsTimes(1000))
                .step("close", Does::NotDone(FailureKind::Rejected), Undo::Works);
            bench.saga = bench.take().undo_with(backoff, Arc::new(NoJitter));
            bench
        };
    // How many attempts there are is a criterion of its own.
    let total = undone(&bench().run(cx).await?.1).len();
    for before in [1, total / 2, total.saturating_sub(1)] {
        let mut records = done("reserve", &["reserve"])?;
        records.push(started("close"));
        records.push(Record::StepFailed { failure: failure("close"), may_have_acted: false });
        records.push(Record::Compensating { failure: failure("close") });
        let undo = |attempt| Record::UndoStarted { step: "reserve".into(), attempt };
        records.extend((1..=before as u32).map(undo));
        let bench = bench();
        let end = resumed(cx, &bench, records).await?;
        let (made, left) = (undone(&bench.log).len(), total.saturating_sub(before));
        ensure!(
            made == left || before == 0 || left == 0,
            "an undo that fails each time has {total} attempts; {before} had begun when the process ended, and the next owner makes {made}";
            expected = format!("{left}: those that are left; an owner that came with all of them would never park it, restart after restart"),
            observed = format!("{}, then {}", calls(&bench.log), said(&end)),
            help = "compare the number of the attempt, which goes on from that of the last UndoStarted, with those that there are; not how often this owner has tried"
        );
    }
    Ok(())
}

pub async fn what_had_begun_is_unknown(cx: Cx) -> Outcome {
    let not_done = KINDS.into_iter().map(Does::NotDone);
    for does in not_done.chain([Does::Panics(Panics::AtOnce)]) {
        // `ride` had begun behind the pivot. It is called again, and says that it has done nothing.
        let bench = Bench::new(&cx)
            .add("capture", Does::Works, Undo::Works, Step::pivot)
            .step("ride", does, Undo::Works)
            .step("close", Does::Works, Undo::Works);
        let mut records = done("capture", &["capture"])?;
        records.push(started("ride"));
        let end = resumed(&cx, &bench, records).await?;
        given_right(&bench.log, &["capture", "ride?"])?;
        ensure!(
            undone_sorted(&bench.log) == ["capture", "ride?"],
            "a step that had begun before the process ended is called again, has no effect this time, and is not undone";
            expected = "the undo of ride with StepOutcome::Unknown, and that of capture",
            observed = format!("{}, then {}", calls(&bench.log), said(&end)),
            help = "Effect::None speaks of the second call; the first one may have had its effect"
        );
        ensure!(matches!(end, Ok(SagaOutcome::Compensated { .. })), "a saga that fails behind its pivot is not undone";
            expected = "Compensated", observed = said(&end));
    }
    // The same of an optional step, when a later one fails.
    let bench = Bench::new(&cx)
        .add("capture", Does::Works, Undo::Works, Step::pivot)
        .add("mail", Does::NotDone(FailureKind::Transient), Undo::Works, Step::not_critical)
        .step("close", Does::NotDone(FailureKind::Rejected), Undo::Works);
    let mut records = done("capture", &["capture"])?;
    records.push(started("mail"));
    let end = resumed(&cx, &bench, records).await?;
    given_right(&bench.log, &["capture", "mail?"])?;
    ensure!(undone_sorted(&bench.log) == ["capture", "mail?"], "an optional step that had begun before the process ended is not undone";
        expected = "the undo of mail with StepOutcome::Unknown, and that of capture",
        observed = format!("{}, then {}", calls(&bench.log), said(&end)));
    super::out_of_time::what_had_begun_stays_unknown(&cx).await
}
