//! A journal that cannot be written: without the record there is no effect.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use grader_kit::{Cx, Outcome, ensure, ms};
use level3::journal::{FailureKind, Journal, JournalError, MemoryJournal, Standing};
use level3::saga::SagaError;
use tokio::time::timeout;

use super::out_of_time;
use crate::faulty::{Fault, Faulty};
use crate::steps::{Bench, Does, Log, Undo, called, calls, execute, said, shown};

/// The first call that no written record has announced.
fn unannounced(log: &Log) -> Option<String> {
    let mut announced: Vec<String> = Vec::new();
    for line in called(log) {
        if let Some(name) = line.strip_prefix("wrote ") {
            announced.push(name.to_owned());
            continue;
        }
        let name = line.trim_end_matches('?');
        match announced.iter().position(|known| known == name) {
            Some(at) => drop(announced.swap_remove(at)),
            None => return Some(line),
        }
    }
    None
}

pub async fn no_record_no_effect(cx: Cx) -> Outcome {
    let faults = [
        (Fault::Is(JournalError::Unavailable), "cannot be reached"),
        (Fault::Once(JournalError::Unavailable), "cannot be reached for one write"),
        (Fault::Hangs, "hangs"),
        (Fault::Panics, "panics"),
        (Fault::Slow(1000), "takes 1 s for each write"),
    ];
    for (fault, how) in faults {
        for fails in [false, true] {
            for from in 0..=8 {
                let capture =
                    if fails { Does::Unknown(FailureKind::Transient) } else { Does::Works };
                let bench = Bench::new(&cx)
                    .step("reserve", Does::Works, Undo::Works)
                    .step("ride", Does::Works, Undo::FailsTimes(1))
                    .step("capture", capture, Undo::Works);
                let (saga, memory, log) = (Arc::new(bench.saga), MemoryJournal::new(), bench.log);
                let faulty = Faulty::new(&memory, from, fault, &log).shown_in(cx.timeline());
                let met = faulty.calls_after();
                let journal: Arc<dyn Journal> = Arc::new(faulty);
                let run = AssertUnwindSafe(execute(&saga, &journal, "one")).catch_unwind();
                let call = cx.call("Saga::execute", timeout(ms(60_000), run)).await?;
                // When a port panics, the panic may pass or be an error.
                let end = call.value.map(|end| end.unwrap_or(Err(SagaError::Lost)));
                let observed = || {
                    let end = end.as_ref().map_or("no end within 60 s".to_owned(), said);
                    format!("{end}; in order: {}", calls(&log))
                };
                let when = match fault {
                    Fault::Once(_) => format!("the journal {how}, number {}", from + 1),
                    _ => format!("the journal {how} from write {} on", from + 1),
                };
                let early = unannounced(&log);
                ensure!(
                    early.is_none(),
                    "{when}, and `{}` is called although no record of it was written", shown(&early.into_iter().collect::<Vec<_>>());
                    expected = "no record, no effect", observed = observed(),
                    help = "await the write of StepStarted or UndoStarted, and go on only when it has succeeded: after a crash \
                            the journal is all that is known"
                );
                if met.first_fault().is_none() {
                    continue;
                }
                let fits = matches!(
                    (fault, &end),
                    (Fault::Is(_), Ok(Err(SagaError::JournalUnavailable)))
                        | (Fault::Panics, Ok(Err(_)))
                        | (Fault::Hangs, Err(_) | Ok(Err(_)))
                        | (Fault::Slow(_), Ok(Ok(_)))
                        // It may try again, and it may give up.
                        | (Fault::Once(_), Ok(Ok(_) | Err(SagaError::JournalUnavailable)))
                );
                let expected = match fault {
                    Fault::Is(_) => "JournalUnavailable, after a bounded number of tries",
                    Fault::Slow(_) => "an end: slow is not gone",
                    Fault::Once(_) => "an end, or JournalUnavailable",
                    _ => "no end: what is not written has not ended",
                };
                ensure!(fits, "{when}, and the run ends in another way"; expected = expected, observed = observed());
                let ended = memory.count(Standing::Ended) + memory.count(Standing::Parked);
                ensure!(ended == 0 || matches!(&end, Ok(Ok(_))), "{when}, and the saga has an end there"; observed = observed());
                ensure!(
                    ended == 1 || !matches!(&end, Ok(Ok(_))), "{when}, and the saga has an end that is not written";
                    expected = "the record of the end, or JournalUnavailable", observed = observed(),
                    help = "await the write of Completed, Compensated or Parked before you return the outcome, and write \
                            again what a failed write has not written"
                );
            }
        }
    }
    out_of_time::takes_the_steps_time(&cx).await
}
