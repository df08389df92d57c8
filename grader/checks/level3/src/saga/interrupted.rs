//! A saga whose owner died before its pivot was done: the next owner undoes it, and the records say why.

use grader_kit::{Cx, Fail, Outcome, ensure, ms};
use level3::deadline::Deadline;
use level3::journal::{FailureKind, Journal, MemoryJournal, SagaId};
use level3::saga::{SagaError, SagaOutcome, SagaOwner, Step, ignore_events};

use super::names;
use super::resumed::{done, left_behind, started};
use crate::steps::{
    Bench, Does, State, Undo, called, calls, given_right, records_told, said, shown, undone_sorted,
};

pub async fn undoes_before_the_pivot(cx: Cx) -> Outcome {
    let bench = || {
        Bench::new(&cx)
            .step("reserve", Does::Works, Undo::Works)
            .add("capture", Does::Works, Undo::Works, Step::pivot)
            .step("close", Does::Works, Undo::Works)
    };
    let mut records = done("reserve", &["reserve"])?;
    records.push(started("capture"));
    for (records, expected, last) in [
        (records, &["capture?", "reserve"][..], "capture"),
        (done("reserve", &["reserve"])?, &["reserve"], "reserve"),
        (vec![started("reserve")], &["reserve?"], "reserve"),
        // The kind of the saga: no step had begun.
        (Vec::new(), &[], "test"),
    ] {
        let bench = bench();
        let (journal, lease, saga_log) = left_behind(&bench, records).await?;
        let owner = SagaOwner { journal: &journal, lease, observer: &ignore_events };
        let call = bench.saga.resume(&owner, &saga_log, Deadline::after(ms(10_000)));
        let end = cx.call("Saga::resume", call).await?.value;
        ensure!(matches!(&end, Ok(SagaOutcome::Compensated { failure, .. }) if failure.kind == FailureKind::Interrupted),
            "a saga whose pivot is not done is not undone";
            expected = "Compensated, since it was interrupted", observed = format!("{end:?}"));
        given_right(&bench.log, expected)?;
        ensure!(
            undone_sorted(&bench.log) == expected,
            "the next owner undoes other steps than those that had begun when the process died";
            expected = format!("the undos of: {}", shown(&names(expected))), observed = calls(&bench.log),
            help = "StepStarted arms the undo of its step: with StepDone its outcome is known, without it is not"
        );
        ensure!(called(&bench.log).len() == expected.len(), "a saga whose pivot is not done goes forward";
            observed = calls(&bench.log));
        let named = match &end {
            Ok(SagaOutcome::Compensated { failure, .. }) => failure.step.to_string(),
            _ => String::new(),
        };
        ensure!(named == last, "a saga that was interrupted is undone, and its failure names another step than the last that had begun";
            expected = if expected.is_empty() { "test, the kind of the saga: no step had begun".to_owned() } else { last.to_owned() },
            observed = format!("{named}; the records were: {}", records_told(&saga_log.records)),
            help = "find the last step with a StepStarted; without one, the failure names the saga's kind");
        says_why_it_went_back(&bench, &journal, &end).await?;
    }
    Ok(())
}

/// The records of a saga that another owner has undone determine its outcome, the cause included.
async fn says_why_it_went_back(
    bench: &Bench,
    journal: &MemoryJournal,
    end: &Result<SagaOutcome<State>, SagaError>,
) -> Outcome {
    let Ok(Some(saga_log)) = journal.read(SagaId::new("one")).await else {
        return Err(Fail::new("the journal knows no such saga"));
    };
    let with_message = |end: &Result<SagaOutcome<State>, SagaError>| match end {
        Ok(SagaOutcome::Compensated { failure, .. }) => {
            format!("{}: {}", said(end), failure.message)
        }
        _ => said(end),
    };
    let observed = match bench.saga.outcome_of(&saga_log) {
        // That the end is written, and read, is a criterion of its own.
        Ok(None) => return Ok(()),
        Ok(Some(read)) => with_message(&Ok(read)),
        Err(error) => said(&Err(error)),
    };
    let expected = with_message(end);
    ensure!(
        observed == expected,
        "a saga that was interrupted is undone, and outcome_of reads another outcome from its records";
        expected = expected,
        observed = format!("{observed}; the records are: {}", records_told(&saga_log.records)),
        help = "write Compensating with the failure before the first undo, also when `resume` decides to go back"
    );
    Ok(())
}
