//! The saga engine, on steps that are nothing but names.

mod journalled;

pub use journalled::*;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome, Timeline, ensure, ensure_eq, lock, ms};
use level3::deadline::Deadline;
use level3::journal::{FailureKind, MemoryJournal, SagaId, Standing};
use level3::saga::{Saga, SagaError, SagaOutcome, Step, StepError, StepOutcome, UndoError};
use tokio::time::sleep;

type Log = Arc<Mutex<Vec<String>>>;

/// What a step of a test does.
#[derive(Clone, Copy)]
enum Does {
    Works,
    /// Fails, and nothing was done.
    NotDone(FailureKind),
    /// Fails, and nobody knows.
    Unknown(FailureKind),
    Hangs,
    Panics,
}

/// What undoing it does: fails so many times, or for good.
#[derive(Clone, Copy)]
enum Undo {
    Works,
    FailsTimes(u32),
    FailsForGood,
}

struct Bench {
    log: Log,
    timeline: Timeline,
    saga: Saga<Vec<String>>,
}

impl Bench {
    fn new(cx: &Cx) -> Self {
        Self { log: Log::default(), timeline: cx.timeline().clone(), saga: Saga::new("test") }
    }

    fn step(self, name: &'static str, does: Does, undo: Undo) -> Self {
        self.add(name, does, undo, |step| step)
    }

    fn add(
        mut self,
        name: &'static str,
        does: Does,
        undo: Undo,
        change: fn(Step<Vec<String>>) -> Step<Vec<String>>,
    ) -> Self {
        let (log, timeline) = (Arc::clone(&self.log), self.timeline.clone());
        let step = Step::new(name, move |mut state: Vec<String>, _| {
            lock(&log).push(name.to_owned());
            timeline.record(name, "called");
            async move {
                sleep(ms(10)).await;
                match does {
                    Does::Works => {
                        state.push(name.to_owned());
                        Ok(state)
                    }
                    Does::NotDone(kind) => Err(StepError::not_done(kind, "refused")),
                    Does::Unknown(kind) => Err(StepError::unknown(kind, "no answer")),
                    Does::Hangs => std::future::pending().await,
                    Does::Panics => panic!("a bug in the step {name}"),
                }
            }
        });
        let (log, timeline) = (Arc::clone(&self.log), self.timeline.clone());
        let calls = Arc::new(AtomicU32::new(0));
        let step = step.undo(ms(500), move |state: Vec<String>, context| {
            let nth = calls.fetch_add(1, Ordering::Relaxed) + 1;
            let known = if context.known == StepOutcome::Done { "" } else { "?" };
            lock(&log).push(format!("undo {name}{known}"));
            timeline.record(name, format!("undone, attempt {nth}"));
            async move {
                sleep(ms(10)).await;
                match undo {
                    Undo::FailsTimes(times) if nth <= times => Err(UndoError::transient("not yet")),
                    Undo::FailsForGood => Err(UndoError::permanent("never")),
                    _ => Ok(state),
                }
            }
        });
        self.saga = self.saga.step(change(step));
        self
    }

    /// Runs it, and returns its end.
    async fn run(
        self,
        cx: &Cx,
    ) -> Result<(SagaOutcome<Vec<String>>, Log, MemoryJournal, Duration), Fail> {
        let journal = MemoryJournal::new();
        let call = cx.call("Saga::execute", execute(Arc::new(self.saga), &journal)).await?;
        let took = call.took;
        match call.value {
            Ok(end) => Ok((end, self.log, journal, took)),
            Err(error) => Err(Fail::new("the saga has no end").observed(format!("{error:?}"))),
        }
    }
}

/// Runs the saga `one`, which has ten seconds.
async fn execute(
    saga: Arc<Saga<Vec<String>>>,
    journal: &MemoryJournal,
) -> Result<SagaOutcome<Vec<String>>, SagaError> {
    let deadline = Deadline::after(ms(10_000));
    saga.execute(Arc::new(journal.clone()), SagaId::new("one"), Vec::new(), deadline).await
}

fn undone(log: &Log) -> Vec<String> {
    let undone = |line: &String| line.strip_prefix("undo ").map(str::to_owned);
    lock(log).iter().filter_map(undone).collect()
}

pub async fn runs_in_order(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)
        .step("reserve", Does::Works, Undo::Works)
        .step("ride", Does::Works, Undo::Works)
        .step("capture", Does::Works, Undo::Works);
    ensure_eq!(bench.saga.kind(), "test", "a saga is of another kind than it was made");
    let idle: Step<Vec<String>> = Step::new("idle", |state: Vec<String>, _| async { Ok(state) });
    ensure_eq!(idle.name(), "idle", "a step has another name than it was given");
    let (end, log, _, took) = bench.run(&cx).await?;
    ensure_eq!(
        lock(&log).clone(),
        ["reserve", "ride", "capture"],
        "the steps do not run once each, in order"
    );
    ensure_eq!(took, ms(30), "three steps of 10 ms do not take 30 ms");
    let state = ["reserve", "ride", "capture"].map(str::to_owned).to_vec();
    ensure_eq!(end, SagaOutcome::Completed(state), "the state of one step does not reach the next");
    Ok(())
}

pub async fn undoes_in_reverse(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)
        .step("reserve", Does::Works, Undo::Works)
        .step("ride", Does::Works, Undo::Works)
        .step("capture", Does::NotDone(FailureKind::Transient), Undo::Works);
    let (end, log, ..) = bench.run(&cx).await?;
    let undone: Vec<String> =
        undone(&log).into_iter().filter(|name| name == "reserve" || name == "ride").collect();
    ensure_eq!(
        undone,
        ["ride", "reserve"],
        "the steps are not undone once each, the last one first"
    );
    ensure!(
        matches!(&end, SagaOutcome::Compensated { failure, .. } if failure.step == "capture" && failure.kind == FailureKind::Transient),
        "the end does not say which step failed, and how";
        expected = "Compensated, because of capture, transient", observed = format!("{end:?}")
    );
    Ok(())
}

const KINDS: [FailureKind; 4] = [
    FailureKind::Transient,
    FailureKind::Rejected,
    FailureKind::Unavailable,
    FailureKind::Interrupted,
];

pub async fn undoes_the_unknown(cx: Cx) -> Outcome {
    for kind in KINDS {
        let bench = Bench::new(&cx).step("reserve", Does::Works, Undo::Works).step(
            "capture",
            Does::Unknown(kind),
            Undo::Works,
        );
        let (_, log, ..) = bench.run(&cx).await?;
        ensure!(
            undone(&log).contains(&"capture?".to_owned()),
            "a step whose outcome is unknown ({kind:?}) is not undone";
            expected = "the undo of capture with StepOutcome::Unknown", observed = format!("{:?}", lock(&log)),
            help = "arm the undo before the step is called, not when it has returned: a request that timed out may have been carried out"
        );
    }
    Ok(())
}

pub async fn leaves_what_was_not_done(cx: Cx) -> Outcome {
    for kind in KINDS {
        let bench = Bench::new(&cx).step("reserve", Does::Works, Undo::Works).step(
            "capture",
            Does::NotDone(kind),
            Undo::Works,
        );
        let (_, log, ..) = bench.run(&cx).await?;
        ensure!(
            !undone(&log).iter().any(|name| name.starts_with("capture")),
            "a step that certainly did nothing ({kind:?}) is undone";
            expected = "only reserve is undone", observed = format!("{:?}", lock(&log)),
            help = "Effect::None means that there is nothing to give back"
        );
    }
    Ok(())
}

pub async fn a_failed_undo_stops_no_other(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)
        .step("reserve", Does::Works, Undo::Works)
        .step("ride", Does::Works, Undo::FailsForGood)
        .step("capture", Does::NotDone(FailureKind::Transient), Undo::Works);
    let (_, log, ..) = bench.run(&cx).await?;
    ensure!(
        undone(&log).contains(&"reserve".to_owned()),
        "an undo that fails stops the others";
        expected = "reserve is undone although ride cannot be", observed = format!("{:?}", lock(&log))
    );
    Ok(())
}

pub async fn tries_an_undo_again(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx).step("reserve", Does::Works, Undo::FailsTimes(3)).step(
        "capture",
        Does::NotDone(FailureKind::Transient),
        Undo::Works,
    );
    let (end, log, ..) = bench.run(&cx).await?;
    ensure!(
        matches!(end, SagaOutcome::Compensated { .. }) && undone(&log).len() == 4,
        "an undo that fails three times is not tried until it works";
        expected = "4 attempts, then Compensated",
        observed = format!("{} attempts, then {end:?}", undone(&log).len())
    );
    Ok(())
}

pub async fn parks_what_will_not_go(cx: Cx) -> Outcome {
    for (undo, cause) in [(Undo::FailsTimes(1000), "not yet"), (Undo::FailsForGood, "never")] {
        let bench = Bench::new(&cx).step("reserve", Does::Works, undo).step(
            "capture",
            Does::NotDone(FailureKind::Transient),
            Undo::Works,
        );
        let (end, log, journal, _) = bench.run(&cx).await?;
        let observed = format!("{end:?}");
        let SagaOutcome::Parked { stuck, .. } = end else {
            return Err(Fail::new("what cannot be undone is not parked").observed(observed));
        };
        let attempts = undone(&log).len();
        let told: Vec<_> = stuck
            .iter()
            .map(|s| (s.step.as_str(), s.cause.as_str(), s.attempts as usize))
            .collect();
        ensure_eq!(
            told,
            [("reserve", cause, attempts)],
            "what is parked does not tell step, cause and attempts"
        );
        let most = if cause == "never" { 1 } else { 100 };
        ensure!(attempts <= most, "an undo that fails ({cause}) is tried {attempts} times"; expected = format!("{most} times at most"));
        ensure_eq!(
            journal.count(Standing::Parked),
            1,
            "the journal does not say that it is parked"
        );
    }
    Ok(())
}

pub async fn optional_steps_may_fail(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)
        .step("capture", Does::Works, Undo::Works)
        .add("mail", Does::NotDone(FailureKind::Transient), Undo::Works, Step::not_critical)
        .step("close", Does::Works, Undo::Works);
    let (end, log, ..) = bench.run(&cx).await?;
    ensure!(
        matches!(end, SagaOutcome::Completed(_)),
        "a step that is not critical ends the saga"; observed = format!("{end:?}")
    );
    ensure_eq!(
        lock(&log).clone(),
        ["capture", "mail", "close"],
        "the saga does not go on behind it"
    );
    Ok(())
}

pub async fn contains_panics(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx).step("reserve", Does::Works, Undo::Works).step(
        "capture",
        Does::Panics,
        Undo::Works,
    );
    let (end, log, ..) = bench.run(&cx).await?;
    ensure!(
        matches!(&end, SagaOutcome::Compensated { failure, .. } if failure.kind == FailureKind::Panicked),
        "a panic is not a failure like others";
        expected = "Compensated, because of a panic", observed = format!("{end:?}")
    );
    ensure!(
        undone(&log).contains(&"reserve".to_owned()),
        "after a panic the steps before it are not undone"; observed = format!("{:?}", lock(&log))
    );
    let told = matches!(&end, SagaOutcome::Compensated { failure, .. } if failure.message.contains("a bug in the step"));
    ensure!(
        told, "what the panic said is lost"; observed = format!("{end:?}"),
        help = "the payload of a panic is a &str or a String: put it into the failure's message"
    );
    Ok(())
}

pub async fn keeps_a_reserve(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx).step("reserve", Does::Works, Undo::Works).step(
        "capture",
        Does::Hangs,
        Undo::Works,
    );
    let reserve = bench.saga.reserve();
    ensure_eq!(reserve, ms(1000), "two undos of 500 ms need another reserve");
    let (_, log, _, took) = bench.run(&cx).await?;
    ensure!(
        took <= ms(10_000) && took >= ms(9_000),
        "a hung step is not stopped when just the reserve is left";
        expected = "stopped at 9000 ms, undone before 10 000 ms",
        observed = format!("over at {} ms", took.as_millis()),
        help = "the deadline is for both directions: forward steps end at deadline.earlier_by(reserve)"
    );
    ensure!(!undone(&log).is_empty(), "nothing is undone after a deadline"; observed = format!("{:?}", lock(&log)));
    Ok(())
}

pub async fn survives_a_dropped_caller(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)
        .step("reserve", Does::Works, Undo::Works)
        .step("ride", Does::Works, Undo::Works)
        .step("capture", Does::Works, Undo::Works);
    let journal = MemoryJournal::new();
    let (saga, log) = (Arc::new(bench.saga), bench.log);
    let running = execute(saga, &journal);
    let dropped = tokio::time::timeout(ms(15), running).await.is_err();
    ensure!(dropped, "the saga is over before its steps can be");
    cx.timeline().record("caller", "goes away");
    sleep(ms(1000)).await;
    ensure!(
        journal.count(Standing::Ended) == 1 && journal.count(Standing::Open) == 0,
        "the saga stops when its caller goes away";
        expected = "it is run to its end", observed = format!("{:?}", lock(&log)),
        help = "a dropped future stops where it is: the saga belongs into a task of its own"
    );
    Ok(())
}
