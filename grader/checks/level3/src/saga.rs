//! The saga engine, on steps that are nothing but names.

mod interrupted;
mod journalled;
mod observed;
mod out_of_time;
mod resumed;
mod undo;
mod unwritten;

pub use interrupted::*;
pub use journalled::*;
pub use observed::*;
pub use resumed::*;
pub use undo::*;
pub use unwritten::*;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, lock, ms};
use level3::deadline::Deadline;
use level3::journal::{
    FailureKind, Journal, JournalError, MemoryJournal, Record, SagaFailure, SagaId, Standing,
};
use level3::saga::{Saga, SagaError, SagaOutcome, Step, StepError, StepOutcome, UndoError};
use tokio::time::{sleep, timeout};

use crate::faulty::{Fault, Faulty};
use crate::steps::{
    Bench, Does, KINDS, Log, Panics, State, Undo, WRITE_THE_END, called, calls, end_record,
    execute, given_right, records_told, said, shown, state_of, undone, undone_sorted,
};

/// A saga that completes.
fn three_steps(cx: &Cx) -> Bench {
    Bench::new(cx)
        .step("reserve", Does::Works, Undo::Works)
        .step("ride", Does::Works, Undo::Works)
        .step("capture", Does::Works, Undo::Works)
}

fn names(names: &[&str]) -> State {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub async fn runs_in_order(cx: Cx) -> Outcome {
    let bench = three_steps(&cx);
    ensure_eq!(bench.saga.kind(), "test", "a saga is of another kind than it was made");
    let idle: Step<State> = Step::new("idle", |state: State, _| async { Ok(state) });
    ensure_eq!(idle.name(), "idle", "a step has another name than it was given");
    let (end, log, _, took) = bench.run(&cx).await?;
    let steps = names(&["reserve", "ride", "capture"]);
    ensure_eq!(called(&log), steps, "the steps do not run once each, in order");
    ensure_eq!(took, ms(30), "three steps of 10 ms do not take 30 ms");
    ensure_eq!(said(&Ok(end.clone())), "Completed", "the end of a saga whose steps all work");
    ensure_eq!(*state_of(&end), steps, "the state of one step does not reach the next");
    // Without any step.
    let (end, _, journal, _) = Bench::new(&cx).run(&cx).await?;
    ensure_eq!(said(&Ok(end)), "Completed", "the end of a saga without steps");
    let ended = journal.count(Standing::Ended);
    ensure_eq!(
        ended, 1, "sagas that have ended in the journal, after one without steps";
        help = "the end of every saga is a record"
    );

    // Two sagas of one kind at the same time: their steps are shared, their states are not.
    let bench = three_steps(&cx);
    let (saga, log) = (Arc::new(bench.saga), bench.log);
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let both = async {
        let later = async {
            sleep(ms(15)).await;
            execute(&saga, &journal, "two").await
        };
        futures::join!(execute(&saga, &journal, "one"), later)
    };
    let (one, two) = cx.call("Saga::execute", both).await?.value;
    for (which, end) in [("the first", one), ("the second", two)] {
        let fits = matches!(&end, Ok(SagaOutcome::Completed(state)) if *state == steps);
        ensure!(fits, "{which} of two sagas that run at the same time ends otherwise than alone";
            expected = format!("Completed with {steps:?}"), observed = format!("{end:?}"),
            help = "what a run has done belongs to the run, not to the Saga");
    }
    ensure!(called(&log).len() == 6, "two sagas of three steps make {} calls", called(&log).len(); expected = "6");
    Ok(())
}

pub async fn steps_know_their_saga(cx: Cx) -> Outcome {
    for takes in [0, cx.draw().between(1..=2000)] {
        steps_know_it_with(&cx, takes).await?;
    }
    Ok(())
}

/// Each write of the journal takes so many milliseconds: time of the steps, and not of an attempt to undo.
async fn steps_know_it_with(cx: &Cx, takes: u64) -> Outcome {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (step, undo) = (Arc::clone(&seen), Arc::clone(&seen));
    let saga = Saga::sharing("test", Arc::new("the clients".to_owned()))
        .step(
            Step::new("reserve", move |state: u32, context| {
                let left = context.deadline.remaining().as_millis();
                let (saga, shared) = (&context.saga, &context.shared);
                let line = format!("step: saga {saga}, shared \"{shared}\", {left} ms left");
                lock(&step).push(line);
                async move { Ok(state + 1) }
            })
            .undo(ms(500), move |state, context| {
                let left = context.deadline.remaining().as_millis();
                let known = matches!(context.known, StepOutcome::Done);
                lock(&undo).push(format!(
                    "undo {}: saga {}, shared \"{}\", {left} ms left, state {state}, known to be done: {known}",
                    context.attempt, context.saga, context.shared
                ));
                let attempt = context.attempt;
                async move {
                    if attempt < 3 {
                        return Err(UndoError::transient("not yet"));
                    }
                    Ok(state + 1)
                }
            }),
        )
        .step(Step::new("fails", |_, _| async {
            Err(StepError::not_done(FailureKind::Rejected, "refused"))
        }));
    let saga = Arc::new(saga);
    let slow = Faulty::new(&MemoryJournal::new(), 1, Fault::Slow(takes), &Log::default());
    let journal: Arc<dyn Journal> = Arc::new(slow);
    let name = cx.draw().word();
    let run = saga.execute(journal, SagaId::new(&name), 7, Deadline::after(ms(10_000)));
    let end = cx.call("Saga::execute", run).await?.value;
    let undo = |attempt: u32| {
        format!(
            "undo {attempt}: saga {name}, shared \"the clients\", 500 ms left, state 8, known to be done: true"
        )
    };
    let left = 9500 - takes;
    let step = format!("step: saga {name}, shared \"the clients\", {left} ms left");
    let expected = [step, undo(1), undo(2), undo(3)];
    let seen = lock(&seen).clone();
    // Only what differs: the lines are long.
    let missing = || "no such call".to_owned();
    let differs = (0..expected.len().max(seen.len())).find(|&at| expected.get(at) != seen.get(at));
    let at = differs.unwrap_or_default();
    ensure!(
        differs.is_none(), "a step or an undo gets another context (each write of the journal takes {takes} ms)";
        expected = expected.get(at).cloned().unwrap_or_else(missing),
        observed = seen.get(at).cloned().unwrap_or_else(missing),
        help = "a step has until the deadline less the reserve, an attempt to undo its own limit; attempts count \
                from 1"
    );
    let fits = matches!(&end, Ok(SagaOutcome::Compensated { state: 9, .. }));
    ensure!(fits, "the state after the last undo is lost"; expected = "Compensated with 9", observed = format!("{end:?}"));
    Ok(())
}

pub async fn undoes_the_unknown(cx: Cx) -> Outcome {
    let help = "arm the undo before the step is called, not when it has returned: a request that timed out may \
                have been carried out";
    for kind in KINDS {
        let bench = Bench::new(&cx).step("reserve", Does::Works, Undo::Works).step(
            "capture",
            Does::Unknown(kind),
            Undo::Works,
        );
        let (_, log, ..) = bench.run(&cx).await?;
        given_right(&log, &["capture?", "reserve"])?;
        ensure!(
            undone_sorted(&log) == ["capture?", "reserve"],
            "a step whose outcome is unknown ({kind:?}) is not undone";
            expected = "the undo of capture with StepOutcome::Unknown, and that of reserve with Done",
            observed = calls(&log), help = help
        );
    }
    // An optional step has failed before, and its effect is unknown.
    for does in [Does::Unknown(FailureKind::Transient), Does::Panics(Panics::AtOnce)] {
        let bench = Bench::new(&cx).add("mail", does, Undo::Works, Step::not_critical).step(
            "capture",
            Does::NotDone(FailureKind::Rejected),
            Undo::Works,
        );
        let (_, log, ..) = bench.run(&cx).await?;
        given_right(&log, &["mail?"])?;
        ensure!(
            undone(&log) == ["mail?"],
            "an optional step whose outcome is unknown is not undone when a later step fails";
            expected = "the undo of mail with StepOutcome::Unknown",
            observed = calls(&log), help = help
        );
    }
    the_next_owner_undoes_the_unknown(&cx).await
}

/// The process loses its journal when the failure of an optional step is written, and another one takes over.
async fn the_next_owner_undoes_the_unknown(cx: &Cx) -> Outcome {
    let bench = || {
        Bench::new(cx)
            .add("mail", Does::Unknown(FailureKind::Transient), Undo::Works, Step::not_critical)
            .step("reserve", Does::Works, Undo::Works)
            .step("capture", Does::NotDone(FailureKind::Rejected), Undo::Works)
    };
    let undoes_it = async |records: Vec<Record>| {
        let next = bench();
        let end = resumed(cx, &next, records).await?;
        let undoes_it = undone(&next.log).iter().any(|name| name.starts_with("mail"));
        Ok::<_, Fail>((undoes_it, format!("{}, then {}", calls(&next.log), said(&end))))
    };
    // Whether it goes by such a record is a criterion of its own.
    let started = Record::StepStarted { step: "mail".into() };
    let message = "no answer".to_owned();
    let failure = SagaFailure { step: "mail".into(), kind: FailureKind::Transient, message };
    let failed = Record::StepFailed { failure, may_have_acted: true };
    if !undoes_it(vec![started, failed]).await?.0 {
        return Ok(());
    }
    for nth in 1..=8 {
        let (first, memory) = (bench(), MemoryJournal::new());
        let lost = Faulty::new(&memory, nth, Fault::Is(JournalError::Unavailable), &first.log);
        let (saga, kept): (_, Arc<dyn Journal>) = (Arc::new(first.saga), Arc::new(lost));
        let _ = cx.call("Saga::execute", execute(&saga, &kept, "one")).await?;
        let Ok(Some(saga_log)) = memory.read(SagaId::new("one")).await else { continue };
        let is_written = saga_log.records.iter().any(
            |record| matches!(record, Record::StepFailed { failure, .. } if failure.step == "mail"),
        );
        if !is_written || !undone(&first.log).is_empty() {
            continue;
        }
        let (undoes_it, observed) = undoes_it(saga_log.records[1..].to_vec()).await?;
        ensure!(
            undoes_it,
            "an optional step whose outcome is unknown is not undone by the owner that takes the saga over";
            expected = "the undo of mail: the record of its failure says that it may have had an effect",
            observed = format!("{} before; the next owner: {observed}", calls(&first.log)),
            help = "`may_have_acted` of StepFailed is for the next owner: write what the step reported, whether it is critical or not"
        );
    }
    Ok(())
}

pub async fn leaves_what_was_not_done(cx: Cx) -> Outcome {
    for kind in KINDS {
        let bench = Bench::new(&cx)
            .add("mail", Does::NotDone(kind), Undo::Works, Step::not_critical)
            .step("reserve", Does::Works, Undo::Works)
            .step("capture", Does::NotDone(kind), Undo::Works)
            .step("close", Does::Works, Undo::Works);
        let (_, log, ..) = bench.run(&cx).await?;
        let undone = undone(&log);
        let innocent = ["mail", "mail?", "capture", "capture?", "close", "close?"];
        ensure!(
            !undone.iter().any(|name| innocent.contains(&name.as_str())),
            "a step that certainly did nothing ({kind:?}) is undone";
            expected = "only reserve is undone", observed = calls(&log),
            help = "Effect::None means that there is nothing to undo"
        );
    }
    Ok(())
}

pub async fn optional_steps_may_fail(cx: Cx) -> Outcome {
    let failures = [
        Does::NotDone(FailureKind::Transient),
        Does::NotDone(FailureKind::Rejected),
        Does::Unknown(FailureKind::Unavailable),
        Does::Panics(Panics::Later),
    ];
    for does in failures {
        let bench = Bench::new(&cx)
            .step("capture", Does::Works, Undo::Works)
            .add("mail", does, Undo::Works, Step::not_critical)
            .step("close", Does::Works, Undo::Works);
        let (end, log, ..) = bench.run(&cx).await?;
        ensure!(
            matches!(end, SagaOutcome::Completed(_)),
            "a step that is not critical ends the saga";
            expected = "Completed", observed = format!("{}, when mail {does}", said(&Ok(end)))
        );
        ensure_eq!(called(&log), ["capture", "mail", "close"], "the saga does not go on behind it");
        ensure_eq!(*state_of(&end), ["capture", "close"], "the state after an optional step that failed";
            help = "a step that fails leaves the state from before");
    }
    out_of_time::optional_steps_have_none(&cx).await
}

pub async fn contains_panics(cx: Cx) -> Outcome {
    for panics in [Panics::AtOnce, Panics::WhenCalled, Panics::Later] {
        let bench = Bench::new(&cx).step("reserve", Does::Works, Undo::Works).step(
            "capture",
            Does::Panics(panics),
            Undo::Works,
        );
        let how = match panics {
            Panics::WhenCalled => "when it is called, before there is a future",
            Panics::AtOnce => "at its first poll",
            Panics::Later => "at a later poll",
        };
        let ended = bench.run(&cx).await;
        let (end, log, ..) = ended.map_err(|fail| {
            let headline = format!("the step capture panics {how}: {}", fail.headline);
            Fail { headline, ..fail }
        })?;
        ensure!(
            matches!(&end, SagaOutcome::Compensated { failure, .. } if failure.kind == FailureKind::Panicked),
            "the step capture panics {how}, and that is not a failure like others";
            expected = "Compensated, because of a panic", observed = format!("{end:?}")
        );
        given_right(&log, &["capture?", "reserve"])?;
        ensure!(
            undone_sorted(&log) == ["capture?", "reserve"],
            "the step capture panics {how}, and {}",
            match undone_sorted(&log).iter().any(|name| name == "capture?") {
                true => "the step before it is not undone, or an undo runs twice",
                false => "the step that panicked is not undone",
            };
            expected = "the undo of capture, whose outcome is unknown, and that of reserve, once each",
            observed = calls(&log),
            help = "a step that panicked may have had its effect: treat it as one that failed with Effect::Unknown"
        );
        let told = matches!(&end, SagaOutcome::Compensated { failure, .. } if failure.message.contains("a bug in the step"));
        ensure!(
            told, "what the panic said is lost"; observed = format!("{end:?}"),
            help = "the payload of a panic is a &str or a String: put it into the failure's message"
        );
    }
    Ok(())
}

pub async fn keeps_a_reserve(cx: Cx) -> Outcome {
    let bench = || {
        Bench::new(&cx).step("reserve", Does::Works, Undo::Works).step(
            "capture",
            Does::Hangs,
            Undo::Works,
        )
    };
    let reserve = bench().saga.reserve();
    ensure_eq!(reserve, ms(1000), "two undos of 500 ms need another reserve");
    let (end, log, _, took) = bench().run(&cx).await?;
    ensure!(
        took <= ms(10_000) && took >= ms(9_000),
        "a hung step is not stopped when just the reserve is left";
        expected = "stopped at 9000 ms, undone before 10 000 ms",
        observed = format!("over at {} ms", took.as_millis()),
        help = "the deadline is for both directions: forward steps end at deadline.earlier_by(reserve)"
    );
    given_right(&log, &["capture?", "reserve"])?;
    ensure!(undone_sorted(&log) == ["capture?", "reserve"], "what had begun is not undone after a deadline";
        expected = "the undo of capture, whose outcome is unknown, and that of reserve",
        observed = calls(&log));
    let expected = "Compensated, since capture failed (Deadline)";
    ensure_eq!(said(&Ok(end)), expected, "the end of a saga whose step was stopped");

    // No time at all, and no more time than the reserve.
    for limit in [ms(0), ms(900), ms(1000)] {
        let bench = bench();
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
        let run = Arc::new(bench.saga);
        let run = run.execute(journal, SagaId::new("late"), Vec::new(), Deadline::after(limit));
        let end = cx.call("Saga::execute", run).await?.value;
        ensure!(called(&bench.log).is_empty(), "a step is called although only {limit:?} are left, and the reserve is 1 s";
            expected = "no call", observed = calls(&bench.log));
        let expected = "Compensated, since reserve failed (Deadline)";
        ensure_eq!(said(&end), expected, "the end of a saga that had no time for its first step");
    }
    let mixed = Bench::new(&cx)
        .step("reserve", Does::Works, Undo::Works)
        .step("look", Does::Works, Undo::None)
        .add("mail", Does::Works, Undo::Works, Step::not_critical)
        .add("capture", Does::Works, Undo::Works, Step::pivot)
        .step("close", Does::Works, Undo::Works);
    ensure_eq!(
        mixed.saga.reserve(), ms(2000),
        "four undos of 500 ms, one of them of an optional step and two from the pivot on, need another reserve";
        help = "an optional step that has had an effect is undone like any other"
    );
    let step = |name: &'static str| {
        Step::new(name, |state: u32, _| async move { Ok(state) })
            .undo(Duration::MAX, |state, _| async move { Ok(state) })
    };
    let endless = Saga::new("test").step(step("a")).step(step("b"));
    let reserve = cx.call_fn("Saga::reserve", || endless.reserve()).await?;
    ensure_eq!(reserve, Duration::MAX, "the reserve of two undos without a limit"; help = "`saturating_add`");
    Ok(())
}

pub async fn survives_a_dropped_caller(cx: Cx) -> Outcome {
    // 10 ms a call: while the first, second and third step run, and while one is undone.
    let failing = |cx: &Cx| {
        Bench::new(cx)
            .step("reserve", Does::Works, Undo::Works)
            .step("ride", Does::Works, Undo::FailsTimes(1))
            .step("capture", Does::NotDone(FailureKind::Rejected), Undo::Works)
    };
    for (at, fails) in [
        (0, false),
        (5, false),
        (15, false),
        (25, false),
        (15, true),
        (35, true),
        (45, true),
        (100, true),
    ] {
        let bench = if fails { failing(&cx) } else { three_steps(&cx) };
        let (saga, log) = (Arc::new(bench.saga), bench.log);
        let memory = MemoryJournal::new();
        let journal: Arc<dyn Journal> = Arc::new(memory.clone());
        // The caller has the last handle of the saga and of its journal: both go with it.
        let running = async move { execute(&saga, &journal, "one").await };
        let running = cx.call("Saga::execute", running);
        match timeout(ms(at), running).await {
            Err(_) => cx.timeline().record("caller", format!("goes away at {at} ms")),
            Ok(Ok(_)) => return Err(Fail::new("the saga is over before its steps can be")),
            Ok(Err(fail)) => return Err(fail),
        }
        sleep(ms(2000)).await;
        let expected: &[&str] = if fails {
            &["reserve", "ride", "capture", "undo ride", "undo reserve", "undo ride"]
        } else {
            &["reserve", "ride", "capture"]
        };
        is_run_to_its_end(&memory, &log, expected, &format!("the caller goes away at {at} ms"))
            .await?;
        let calls = expected.len();
        ensure!(called(&log).len() == calls, "after its caller went away at {at} ms the saga made {} calls in all", called(&log).len();
            expected = format!("{calls}"), observed = crate::steps::calls(&log));
    }
    survives_while_it_is_opened(&cx).await
}

/// A saga whose caller has gone has made the calls that it makes with its caller there, and its end is written.
async fn is_run_to_its_end(
    memory: &MemoryJournal,
    log: &Log,
    expected: &[&str],
    when: &str,
) -> Outcome {
    if memory.count(Standing::Ended) == 1 && memory.count(Standing::Open) == 0 {
        return Ok(());
    }
    let fail = |headline: &str, observed: String| {
        Fail::new(format!("{when}: {headline}"))
            .expected(format!("{}, and the record of the end", shown(&names(expected))))
            .observed(format!("{}; {observed}", calls(log)))
    };
    let records = match memory.read(SagaId::new("one")).await {
        Ok(Some(saga_log)) => saga_log.records.to_vec(),
        _ => Vec::new(),
    };
    let told = format!("the records: {}", records_told(&records));
    if matches!(end_record(&records), Some(Record::Parked)) {
        return Err(fail("the saga is run on, and it ends Parked instead of Compensated", told).help(
            "an undo that fails with UndoError::transient is tried again after a pause, and parked only when no attempt is left",
        ));
    }
    let (mut made, mut all) = (called(log), names(expected));
    // In which order undos are tried again is another criterion's matter.
    made.sort();
    all.sort();
    if made == all {
        return Err(fail(
            "the saga makes all of its calls, and the journal has no record of its end",
            told,
        )
        .help(WRITE_THE_END));
    }
    Err(fail("2 s later the saga has no end, and not all of its calls were made", told).help(
        "a dropped future stops where it is: the saga belongs into a task of its own, and nothing that goes with the caller may \
         abort that task (a JoinSet does when it is dropped)",
    ))
}

/// The calls of a log, without the lines of its journal.
fn without_records(log: &Log) -> Log {
    let calls = called(log).into_iter().filter(|line| !line.starts_with("wrote "));
    Arc::new(Mutex::new(calls.collect()))
}

/// The caller goes away while the journal is still busy with the first record.
async fn survives_while_it_is_opened(cx: &Cx) -> Outcome {
    for at in [0, 50, 150] {
        let bench = three_steps(cx);
        let (saga, log, memory) = (Arc::new(bench.saga), bench.log, MemoryJournal::new());
        // Each write takes 100 ms, the first included.
        let slow: Arc<dyn Journal> = Arc::new(Faulty::new(&memory, 0, Fault::Slow(100), &log));
        let running = cx.call("Saga::execute", execute(&saga, &slow, "one"));
        if timeout(ms(at), running).await.is_ok() {
            return Err(Fail::new("the saga is over before its steps can be"));
        }
        cx.timeline().record("caller", format!("goes away at {at} ms"));
        sleep(ms(2000)).await;
        let when =
            format!("each write to the journal takes 100 ms, and the caller goes away at {at} ms");
        let all = ["reserve", "ride", "capture"];
        is_run_to_its_end(&memory, &without_records(&log), &all, &when).await.map_err(|fail| {
            if called(&log).is_empty() {
                return fail.help("once the future was polled, dropping it changes nothing: open the saga in the task as well");
            }
            fail
        })?;
    }
    Ok(())
}

pub async fn knows_each_name_once(cx: Cx) -> Outcome {
    let bench = three_steps(&cx);
    let (saga, log) = (Arc::new(bench.saga), bench.log);
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let first = cx.call("Saga::execute", execute(&saga, &journal, "one")).await?.value;
    ensure_eq!(said(&first), "Completed", "the end of a saga whose steps all work");
    let again = cx.call("Saga::execute", execute(&saga, &journal, "one")).await?.value;
    ensure_eq!(said(&again), "the error Exists", "a second saga with the same name";
        help = "`Opened::Known` says that it was begun before: nothing may be done again");
    ensure!(called(&log).len() == 3, "a second saga with the same name calls a step"; observed = calls(&log));
    let read = match &again {
        Err(SagaError::Exists(saga_log)) => saga.outcome_of(saga_log),
        _ => return Err(Fail::new("a second saga with the same name has another end")),
    };
    ensure!(matches!(read, Ok(Some(SagaOutcome::Completed(_)))), "the log in Exists does not say how the first saga ended";
        observed = format!("{read:?}"));
    Ok(())
}

pub async fn keeps_up_with_many(cx: Cx) -> Outcome {
    const STEPS: u32 = 1000;
    const SAGAS: usize = 300;
    let mut long: Saga<u32> = Saga::new("long");
    for nth in 1..=STEPS {
        // Names live as long as the program does; there are few.
        let name: &'static str = Box::leak(format!("step {nth}").into_boxed_str());
        let step = Step::new(name, move |state: u32, _| async move {
            if nth == STEPS {
                return Err(StepError::not_done(FailureKind::Rejected, "refused"));
            }
            Ok(state + 1)
        });
        long = long.step(step.undo(ms(1), |state, _| async move { Ok(state - 1) }));
    }
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let (long, deadline) = (Arc::new(long), Deadline::after(ms(100_000)));
    let run = long.execute(journal, SagaId::new("long"), 7, deadline);
    let end = cx.call("Saga::execute", run).await?.value;
    ensure!(
        matches!(end, Ok(SagaOutcome::Compensated { state: 7, .. })),
        "a saga whose step {STEPS} fails is not undone to its first step";
        expected = "Compensated, with the state that it began with", observed = format!("{end:?}")
    );

    let bench = three_steps(&cx);
    let saga = Arc::new(bench.saga);
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let all: Vec<String> = (0..SAGAS).map(|nth| format!("saga {nth}")).collect();
    let running = join_all(all.iter().map(|name| execute(&saga, &journal, name)));
    let call = cx.call("Saga::execute", running).await?;
    let completed =
        call.value.iter().filter(|end| matches!(end, Ok(SagaOutcome::Completed(_)))).count();
    ensure!(completed == SAGAS, "{completed} of {SAGAS} sagas at the same time complete");
    ensure!(call.leaked == 0, "{} tasks are left of {SAGAS} sagas that are over", call.leaked);
    Ok(())
}
