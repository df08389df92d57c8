//! The saga engine, on steps that are nothing but names.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome, Timeline, ensure, ensure_eq};
use level3::deadline::Deadline;
use level3::journal::{
    Claimed, Failure, FailureKind, Journal, MemoryJournal, Opened, Payload, Record, SagaId,
    Standing,
};
use level3::saga::{End, Known, Owner, Saga, SagaError, Step, StepError, UndoError, nobody};
use tokio::time::sleep;

use crate::world::{lock, ms};

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
            let known = if context.known == Known::Done { "" } else { "?" };
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
    async fn run(self, cx: &Cx) -> Result<(End<Vec<String>>, Log, MemoryJournal, Duration), Fail> {
        let journal = MemoryJournal::new();
        let saga = Arc::new(self.saga);
        let kept: Arc<dyn Journal> = Arc::new(journal.clone());
        let deadline = Deadline::after(ms(10_000));
        let call = cx
            .call("Saga::execute", async {
                saga.execute(kept, SagaId::new("one"), Vec::new(), deadline).await
            })
            .await?;
        let took = call.took;
        match call.value {
            Ok(end) => Ok((end, self.log, journal, took)),
            Err(error) => Err(Fail::new("the saga has no end").observed(format!("{error:?}"))),
        }
    }
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
    let (end, log, _, took) = bench.run(&cx).await?;
    ensure_eq!(
        lock(&log).clone(),
        ["reserve", "ride", "capture"],
        "the steps do not run once each, in order"
    );
    ensure_eq!(took, ms(30), "three steps of 10 ms do not take 30 ms");
    let state = ["reserve", "ride", "capture"].map(str::to_owned).to_vec();
    ensure_eq!(end, End::Completed(state), "the state of one step does not reach the next");
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
        matches!(&end, End::Compensated { failure, .. } if failure.step == "capture" && failure.kind == FailureKind::Transient),
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

pub async fn unknown_is_undone(cx: Cx) -> Outcome {
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
            expected = "the undo of capture with Known::Unknown", observed = format!("{:?}", lock(&log)),
            help = "arm the undo before the step is called, not when it has returned: a request that timed out may have been carried out"
        );
    }
    Ok(())
}

pub async fn not_done_is_not_undone(cx: Cx) -> Outcome {
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
        matches!(end, End::Compensated { .. }) && undone(&log).len() == 4,
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
        let End::Parked { stuck, .. } = end else {
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

pub async fn optional_steps(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)
        .step("capture", Does::Works, Undo::Works)
        .add("mail", Does::NotDone(FailureKind::Transient), Undo::Works, Step::not_critical)
        .step("close", Does::Works, Undo::Works);
    let (end, log, ..) = bench.run(&cx).await?;
    ensure!(
        matches!(end, End::Completed(_)),
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
        matches!(&end, End::Compensated { failure, .. } if failure.kind == FailureKind::Panicked),
        "a panic is not a failure like others";
        expected = "Compensated, because of a panic", observed = format!("{end:?}")
    );
    ensure!(
        undone(&log).contains(&"reserve".to_owned()),
        "after a panic the steps before it are not undone"; observed = format!("{:?}", lock(&log))
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
    let kept: Arc<dyn Journal> = Arc::new(journal.clone());
    let (saga, log) = (Arc::new(bench.saga), bench.log);
    let deadline = Deadline::after(ms(10_000));
    let running = saga.execute(kept, SagaId::new("one"), Vec::new(), deadline);
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
                let story = journal.read(id).await.ok().flatten();
                let known = story.is_some_and(|story| position(&story.records, wanted).is_some());
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
    Ok(())
}

/// A saga whose owner died, and who takes it over.
async fn left_behind(
    bench: &Bench,
    records: Vec<Record>,
) -> Result<(MemoryJournal, Claimed), Fail> {
    let journal = MemoryJournal::new();
    let gone = |_| Fail::new("the journal in memory does not work");
    let opened = bench.saga.open(&journal, SagaId::new("one"), &Vec::new()).await;
    let Ok(Opened::New(lease)) = opened else {
        return Err(Fail::new("Saga::open does not open a new saga"));
    };
    journal.append(&lease, records).await.map_err(gone)?;
    sleep(ms(60_000)).await;
    let claimed = journal.claim(SagaId::new("one")).await.map_err(gone)?;
    Ok((journal, claimed))
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
    let failure = Failure {
        step: "mail".into(),
        kind: FailureKind::Transient,
        message: "no answer".to_owned(),
    };
    records.push(Record::StepStarted { step: "mail".into() });
    records.push(Record::StepFailed { failure, may_have_acted: true });
    let (journal, claimed) = left_behind(&bench, records).await?;
    let Claimed::Yours(lease, story) = claimed else {
        return Err(Fail::new("a saga without an owner cannot be claimed"));
    };
    let owner = Owner { journal: &journal, lease, watcher: &nobody };
    let call = bench.saga.resume(&owner, &story, Deadline::after(ms(10_000)));
    let end = cx.call("Saga::resume", call).await?.value;
    ensure!(
        matches!(&end, Ok(End::Completed(state)) if state.last().is_some_and(|s| s == "close")),
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
    let (journal, claimed) = left_behind(&bench, records).await?;
    let Claimed::Yours(lease, story) = claimed else {
        return Err(Fail::new("a saga without an owner cannot be claimed"));
    };
    let owner = Owner { journal: &journal, lease, watcher: &nobody };
    let call = bench.saga.resume(&owner, &story, Deadline::after(ms(10_000)));
    let end = cx.call("Saga::resume", call).await?.value;
    ensure!(matches!(end, Ok(End::Compensated { .. })), "a saga whose pivot is not done is not undone"; observed = format!("{end:?}"));
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
    let (journal, claimed) = left_behind(&bench, Vec::new()).await?;
    let Claimed::Yours(mut lease, _) = claimed else {
        return Err(Fail::new("a saga without an owner cannot be claimed"));
    };
    // The right of the owner before.
    lease.epoch -= 1;
    let owner = Owner { journal: &journal, lease, watcher: &nobody };
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
