//! Steps whose time is over before they are called: the writes of the journal, other steps or earlier owners have used
//! it up.

use std::sync::Arc;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level3::deadline::Deadline;
use level3::journal::{FailureKind, Journal, MemoryJournal, Record, SagaId};
use level3::saga::{SagaOutcome, SagaOwner, Step, ignore_events};

use super::resumed::{done, left_behind, started};
use crate::faulty::{Fault, Faulty};
use crate::steps::{Bench, Does, Undo, called, calls, execute, said, shown, state_of};

/// Longer than the steps have, and shorter than a lease.
const TOO_LONG: Fault = Fault::Slow(11_000);

/// What was called, without the lines of the journal. In which order steps are undone is another criterion's matter.
fn without_writes(bench: &Bench) -> Vec<String> {
    let mut calls: Vec<String> =
        called(&bench.log).into_iter().filter(|line| !line.starts_with("wrote")).collect();
    let forward = calls.iter().filter(|line| !line.starts_with("undo")).count();
    calls[forward..].sort();
    calls
}

/// The writes use up the time of the steps. An engine may write the end of a step and the start of the next one
/// together or one after the other: with these figures that makes no difference.
pub async fn takes_the_steps_time(cx: &Cx) -> Outcome {
    let cases: [(u64, &[&str], &str); 2] =
        [(6000, &["reserve", "undo reserve"], "ride"), (11_000, &[], "reserve")];
    for (takes, expected, late) in cases {
        let mut bench = Bench::new(cx)
            .step("reserve", Does::Works, Undo::Works)
            .step("ride", Does::Works, Undo::Works)
            .step("capture", Does::Works, Undo::Works);
        let saga = Arc::new(bench.take());
        let faulty = Faulty::new(&MemoryJournal::new(), 1, Fault::Slow(takes), &bench.log);
        let journal: Arc<dyn Journal> = Arc::new(faulty.shown_in(cx.timeline()));
        let end = cx.call("Saga::execute", execute(&saga, &journal, "one")).await?.value;
        let calls = without_writes(&bench);
        ensure!(
            calls == expected,
            "each write of the journal takes {} s, and the steps have 8.5 s: they do not have the time for these calls", takes / 1000;
            expected = format!("{}: when {late} could be called, the time of the steps is over", if expected.is_empty() { "no call".to_owned() } else { expected.join(", ") }),
            observed = format!("{}, then {}", shown(&calls), said(&end)),
            help = "look at the deadline again when the record is written: a step that was not called has done nothing"
        );
    }
    Ok(())
}

const OPTIONAL: &str = "a step that is not critical fails with the kind Deadline as it may fail in any other way: the saga goes on, \
                        and ends only at a critical step that has no time";

/// No time is left for a step that is not critical.
pub async fn optional_steps_have_none(cx: &Cx) -> Outcome {
    // The steps have ten seconds, less 500 ms for each undo.
    let bench = || Bench::new(cx).step("capture", Does::Works, Undo::Works);
    let is_called = |calls: &[String], name: &str| calls.iter().any(|call| call == name);
    let optional =
        |bench: Bench, name, does| bench.add(name, does, Undo::Works, Step::not_critical);
    let looks = optional(bench(), "look", Does::Hangs);
    let cases = [
        (
            "a step before it that is not critical was stopped at its deadline",
            optional(looks, "mail", Does::Works),
            Fault::Slow(0),
            10_000,
            &["capture", "look"][..],
        ),
        (
            "the journal takes 6 s for each write",
            optional(bench(), "mail", Does::Works),
            Fault::Slow(6000),
            10_000,
            &["capture"],
        ),
        (
            "the deadline is over when the saga begins",
            optional(Bench::new(cx), "mail", Does::Works),
            Fault::Slow(0),
            0,
            &[],
        ),
        (
            "the journal takes 11 s for each write",
            optional(Bench::new(cx), "mail", Does::Works),
            TOO_LONG,
            10_000,
            &[],
        ),
    ];
    for (why, mut bench, fault, limit, expected) in cases {
        let (saga, memory) = (Arc::new(bench.take()), MemoryJournal::new());
        let journal: Arc<dyn Journal> =
            Arc::new(Faulty::new(&memory, 1, fault, &bench.log).shown_in(cx.timeline()));
        // A case of its own: the benches were all made before.
        cx.timeline().restart();
        let run = saga.execute(journal, SagaId::new("one"), Vec::new(), Deadline::after(ms(limit)));
        let end = cx.call("Saga::execute", run).await?.value;
        let calls = without_writes(&bench);
        ensure!(
            !is_called(&calls, "mail"),
            "the last step, mail, is called although no time is left for it, since {why}";
            expected = "mail is not called, and fails with the kind Deadline",
            observed = format!("{}, then {}", shown(&calls), said(&end)),
            help = "look at the deadline again just before the call, when the record of the step is written: until then the steps \
                    before it and the journal may have used up the time"
        );
        ensure!(
            calls == expected && said(&end) == "Completed",
            "no time is left for the last step, mail, which is not critical, since {why}: the saga ends otherwise";
            expected = format!("{}, then Completed", shown(&expected.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())),
            observed = format!("{}, then {}", shown(&calls), said(&end)), help = OPTIONAL
        );
        let kept: Vec<&str> = expected.iter().copied().filter(|name| *name != "look").collect();
        let state = end.as_ref().map(state_of).cloned().unwrap_or_default();
        ensure_eq!(
            state,
            kept,
            "the state of a saga that had no time for its last step, which is not critical"
        );
        let Ok(Some(saga_log)) = memory.read(SagaId::new("one")).await else {
            return Err(Fail::new("the journal knows no such saga"));
        };
        let read = saga.outcome_of(&saga_log);
        ensure!(
            matches!(read, Ok(Some(SagaOutcome::Completed(_)))),
            "no time was left for the last step, which is not critical, and the records tell another end";
            expected = "Completed", observed = format!("{read:?}")
        );
    }
    // A critical step ends it, and says so.
    let mut bench =
        optional(Bench::new(cx), "mail", Does::Works).step("capture", Does::Works, Undo::Works);
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let saga = Arc::new(bench.take());
    let run = saga.execute(journal, SagaId::new("one"), Vec::new(), Deadline::after(ms(0)));
    let end = cx.call("Saga::execute", run).await?.value;
    let expected = "Compensated, since capture failed (Deadline)";
    ensure!(
        called(&bench.log).is_empty() && said(&end) == expected,
        "no time is left for mail, which is not critical, and for capture, which is: the saga ends otherwise";
        expected = format!("no call, then {expected}"),
        observed = format!("{}, then {}", calls(&bench.log), said(&end)), help = OPTIONAL
    );
    Ok(())
}

/// A step that had begun before the restart is not called again, since its time is over: its first call may have had
/// its effect.
pub async fn what_had_begun_stays_unknown(cx: &Cx) -> Outcome {
    let begun = || {
        let mut records = done("capture", &["capture"])?;
        records.push(started("ride"));
        Ok::<Vec<Record>, Fail>(records)
    };
    let no_time = "the time of the steps is over when the next owner comes";
    let slow = "the journal takes 11 s for each write, and the steps have less";
    for (why, fault, limit) in [(no_time, Fault::Slow(0), 0), (slow, TOO_LONG, 10_000)] {
        for optional in [false, true] {
            let change = if optional { Step::not_critical } else { |step| step };
            let bench = Bench::new(cx)
                .add("capture", Does::Works, Undo::Works, Step::pivot)
                .add("ride", Does::Works, Undo::Works, change)
                .step("close", Does::NotDone(FailureKind::Rejected), Undo::Works);
            let (memory, lease, saga_log) = left_behind(&bench, begun()?).await?;
            let journal = Faulty::new(&memory, 0, fault, &bench.log);
            let owner = SagaOwner { journal: &journal, lease, observer: &ignore_events };
            let resume = bench.saga.resume(&owner, &saga_log, Deadline::after(ms(limit)));
            let end = cx.call("Saga::resume", resume).await?.value;
            let expected = ["undo capture", "undo ride?"];
            let calls = without_writes(&bench);
            let which = if optional { "an optional step" } else { "a step" };
            let observed = || format!("{}, then {}", shown(&calls), said(&end));
            ensure!(
                !calls.iter().any(|call| call == "ride"),
                "{which}, ride, had begun before the process ended, behind the pivot: the next owner calls it although {why}";
                expected = "no call of ride; it fails with the kind Deadline, and its undo is given Unknown",
                observed = observed(),
                help = "look at the deadline again just before the call, when the record of the step is written; that it had begun \
                        before gives it no more time"
            );
            ensure!(
                calls == expected,
                "{which}, ride, had begun before the process ended, behind the pivot, and the next owner does not call it, since {why}: {}",
                if calls.iter().any(|call| call == "undo ride?") { "the other calls are wrong" } else { "it is not undone as one whose outcome is unknown" };
                expected = "the undo of ride with StepOutcome::Unknown, and that of capture",
                observed = observed(),
                help = "the first call may have had its effect, whether or not there is a second one"
            );
        }
    }
    Ok(())
}
