//! Backward: what is undone, in which order, how often, and what is parked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome, Timeline, ensure, ensure_eq, ms};
use level3::deadline::Deadline;
use level3::journal::{FailureKind, Journal, MemoryJournal, SagaId};
use level3::retry::{Backoff, Jitter, NoJitter};
use level3::saga::{Saga, SagaOutcome, Step, StepError, UndoError, undo_backoff};
use tokio::time::{Instant, sleep};

use crate::faulty::{Fault, Faulty};
use crate::parts::nz;
use crate::steps::{
    Bench, Does, Panics, State, Undo, called, calls, execute, is_parked_in, said, shown, state_of,
    undone,
};

const REFUSED: Does = Does::NotDone(FailureKind::Transient);

pub async fn undoes_in_reverse(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)
        .step("reserve", Does::Works, Undo::Works)
        .step("look", Does::Works, Undo::None)
        .step("ride", Does::Works, Undo::Works)
        .step("points", Does::Works, Undo::Works)
        .step("capture", REFUSED, Undo::Works)
        .step("close", Does::Works, Undo::Works);
    let (end, log, ..) = bench.run(&cx).await?;
    let undone: Vec<String> =
        undone(&log).into_iter().filter(|name| !name.starts_with("capture")).collect();
    ensure_eq!(
        undone,
        ["points", "ride", "reserve"],
        "the steps are not undone once each, the last one first"
    );
    ensure!(
        matches!(&end, SagaOutcome::Compensated { failure, .. } if failure.step == "capture" && failure.kind == FailureKind::Transient && failure.message == "refused"),
        "the end does not say which step failed, and how";
        expected = "Compensated, because of capture, transient, \"refused\"", observed = format!("{end:?}")
    );
    let state = ["reserve", "look", "ride", "points", "-points", "-ride", "-reserve"];
    let found: Vec<_> = state_of(&end).iter().filter(|name| !name.contains("capture")).collect();
    ensure_eq!(found, state, "the state after the last undo";
        help = "an undo gets the state that the step or undo before it returned; a step that failed leaves the one \
                from before");
    Ok(())
}

/// Undos that do not go, and what becomes of them.
const STUBBORN: [(Undo, &str); 5] = [
    (Undo::FailsForGood, "refuses for good"),
    (Undo::FailsTimes(1000), "fails each time"),
    (Undo::HangsTimes(1000), "hangs each time"),
    (Undo::PanicsTimes(1000, Panics::AtOnce), "panics each time"),
    (Undo::PanicsTimes(1000, Panics::WhenCalled), "panics each time it is called"),
];

pub async fn a_failed_undo_stops_no_other(cx: Cx) -> Outcome {
    // Those that hang and panic have criteria of their own.
    for (undo, how) in [STUBBORN[0], STUBBORN[1]] {
        let bench = Bench::new(&cx)
            .step("reserve", Does::Works, Undo::Works)
            .step("ride", Does::Works, undo)
            .step("points", Does::Works, undo)
            .step("capture", REFUSED, Undo::Works);
        let (_, log, ..) = bench.run(&cx).await?;
        let undone = undone(&log);
        let once = undone.iter().filter(|name| *name == "reserve").count() == 1;
        ensure!(
            once && undone.iter().any(|name| name == "ride"),
            "an undo that fails stops the others";
            expected = format!("reserve is undone once, and ride is tried, although the undo of points {how}"),
            observed = format!("{undone:?}")
        );
    }
    Ok(())
}

pub async fn tries_an_undo_again(cx: Cx) -> Outcome {
    for times in [1, 3, 10] {
        let bench = Bench::new(&cx).step("reserve", Does::Works, Undo::FailsTimes(times)).step(
            "capture",
            REFUSED,
            Undo::Works,
        );
        let (end, log, ..) = bench.run(&cx).await?;
        let attempts = undone(&log).len();
        let times_said = match times {
            1 => "once",
            3 => "three times",
            _ => "ten times",
        };
        ensure!(
            matches!(end, SagaOutcome::Compensated { .. }) && attempts == times as usize + 1,
            "an undo that fails {times_said} is not tried until it works";
            expected = format!("{} attempts, then Compensated", times + 1),
            observed = format!("{attempts} attempts, then {}", said(&Ok(end)))
        );
    }
    keeps_what_the_others_returned(&cx).await?;
    // An outage for which a breaker opens.
    let schedule = cx.call_fn("undo_backoff", undo_backoff).await?;
    let attempts = schedule.attempts().get();
    let pauses = (1..attempts).map(|attempt| schedule.delay(attempt, 0.0));
    let (sum, longest) = pauses.fold((Duration::ZERO, Duration::ZERO), |(sum, longest), pause| {
        (sum + pause, longest.max(pause))
    });
    ensure!(
        sum >= ms(60_000) && longest < ms(20_000) && attempts <= 1000,
        "the schedule of undos does not outlive an outage of a minute";
        expected = "pauses of 60 s or more in all, even with the shortest jitter, each below 20 s, and an end",
        observed = format!("{attempts} attempts, pauses of {} ms in all, {} ms at most", sum.as_millis(), longest.as_millis())
    );
    Ok(())
}

/// An undo that is tried again gets the state as it is then: other undos have worked since its first attempt.
async fn keeps_what_the_others_returned(cx: &Cx) -> Outcome {
    let run = async |points, ride, reserve| {
        let bench = Bench::new(cx)
            .step("reserve", Does::Works, reserve)
            .step("ride", Does::Works, ride)
            .step("points", Does::Works, points)
            .step("capture", REFUSED, Undo::Works);
        let (saga, journal) = (Arc::new(bench.saga), MemoryJournal::new());
        let kept: Arc<dyn Journal> = Arc::new(journal.clone());
        let end = cx.call("Saga::execute", execute(&saga, &kept, "one")).await?.value;
        let Ok(Some(saga_log)) = journal.read(SagaId::new("one")).await else {
            return Err(Fail::new("the journal knows no such saga"));
        };
        let sorted = |end: Option<&SagaOutcome<State>>| {
            let mut state = end.map(state_of).cloned().unwrap_or_default();
            state.sort();
            state
        };
        let read = saga.outcome_of(&saga_log).ok().flatten();
        let names: BTreeSet<String> = undone(&bench.log).into_iter().collect();
        let is_undone = matches!(end, Ok(SagaOutcome::Compensated { .. })) && names.len() == 3;
        Ok((is_undone, [sorted(end.as_ref().ok()), sorted(read.as_ref())]))
    };
    let expected = ["-points", "-reserve", "-ride", "points", "reserve", "ride"];
    // What the undos return without a failure is a criterion of its own.
    if run(Undo::Works, Undo::Works, Undo::Works).await?.1 != [expected; 2] {
        return Ok(());
    }
    let cases = [
        (Undo::FailsTimes(1), Undo::Works, Undo::Works),
        (Undo::Works, Undo::FailsTimes(2), Undo::Works),
        (Undo::FailsTimes(3), Undo::FailsTimes(1), Undo::FailsTimes(2)),
        (Undo::FailsTimes(1), Undo::FailsTimes(1), Undo::FailsTimes(1)),
    ];
    for (points, ride, reserve) in cases {
        let (is_undone, [ran, read]) = run(points, ride, reserve).await?;
        // Whether each of them is tried until it works is judged elsewhere.
        if !is_undone {
            continue;
        }
        ensure!(
            ran == expected && read == expected,
            "three steps are undone, some of them at a later attempt (the undo of points {points}, that of ride {ride}, that of reserve {reserve}): what an undo has returned is lost";
            expected = format!("in any order, {}", expected.join(", ")),
            observed = format!("execute: {}; outcome_of: {}", ran.join(", "), read.join(", ")),
            help = "each attempt gets the state that the last undo which worked has returned, not the state of its own first attempt"
        );
    }
    Ok(())
}

/// Always the same number.
#[derive(Debug)]
struct Unit(f64);

impl Jitter for Unit {
    fn unit(&self) -> f64 {
        self.0
    }
}

pub async fn keeps_its_schedule(cx: Cx) -> Outcome {
    // A Jitter of the caller's may return any number: `delay` takes it as the nearest that is allowed.
    let cases: [(u32, Arc<dyn Jitter>, &[u64]); 7] = [
        (1, Arc::new(NoJitter), &[0]),
        (2, Arc::new(NoJitter), &[0, 100]),
        (5, Arc::new(NoJitter), &[0, 100, 300, 700, 1100]),
        (4, Arc::new(Unit(0.0)), &[0, 50, 150, 350]),
        (4, Arc::new(Unit(7.0)), &[0, 100, 300, 700]),
        (4, Arc::new(Unit(-7.0)), &[0, 50, 150, 350]),
        (4, Arc::new(Unit(f64::NAN)), &[0, 100, 300, 700]),
    ];
    for (attempts, jitter, expected) in cases {
        let backoff = Backoff::new(ms(100), 2.0, ms(400), nz(attempts));
        let backoff =
            backoff.map_err(|why| Fail::new(format!("Backoff::new refuses its figures: {why}")))?;
        let at = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (seen, timeline): (_, Timeline) = (Arc::clone(&at), cx.timeline().clone());
        let saga = Saga::new("test")
            .step(Step::new("reserve", |state: u32, _| async move { Ok(state) }).undo(
                ms(500),
                move |_, context| {
                    timeline.record("reserve", format!("undo called, attempt {}", context.attempt));
                    grader_kit::lock(&seen).push(Instant::now());
                    async { Err(UndoError::transient("not yet")) }
                },
            ))
            .step(Step::new("capture", |_, _| async {
                Err(StepError::not_done(FailureKind::Rejected, "refused"))
            }))
            .undo_with(backoff, jitter);
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
        let began = Instant::now();
        let deadline = Deadline::after(ms(10_000));
        let run = Arc::new(saga);
        let run = run.execute(journal, SagaId::new("one"), 0, deadline);
        let end = cx.call("Saga::execute", run).await?.value;
        let at: Vec<u64> =
            grader_kit::lock(&at).iter().map(|at| (*at - began).as_millis() as u64).collect();
        ensure_eq!(at, expected, "attempts to undo, in ms, with {attempts} attempts from 100 ms on, at most 400 ms";
            help = "undo_with gives the schedule: after attempt n comes the pause `delay(n, jitter.unit())`");
        let parked = matches!(&end, Ok(SagaOutcome::Parked { .. }));
        ensure!(parked, "an undo that has no attempt left is not parked"; observed = format!("{end:?}"));
    }
    Ok(())
}

pub async fn parks_an_undo_that_keeps_failing(cx: Cx) -> Outcome {
    for (undo, cause) in [(Undo::FailsTimes(1000), "not yet"), (Undo::FailsForGood, "never")] {
        let bench = Bench::new(&cx)
            .step("fine", Does::Works, Undo::Works)
            .step("reserve", Does::Works, undo)
            .step("capture", REFUSED, Undo::Works);
        let (end, log, journal, _) = bench.run(&cx).await?;
        let observed = format!("{end:?}");
        let SagaOutcome::Parked { stuck, failure, .. } = end else {
            return Err(Fail::new("what cannot be undone is not parked").observed(observed));
        };
        let attempts = undone(&log).iter().filter(|name| *name == "reserve").count();
        let told: Vec<_> = stuck
            .iter()
            .map(|s| (s.step.as_str(), s.cause.as_str(), s.attempts as usize))
            .collect();
        ensure_eq!(
            told,
            [("reserve", cause, attempts)],
            "what is parked does not tell step, cause and attempts"
        );
        ensure!(failure.step == "capture", "what is parked does not tell why it was undone"; observed = observed);
        let most = if cause == "never" { 1 } else { 1000 };
        let kind = if most == 1 { "UndoError::permanent" } else { "UndoError::transient" };
        ensure!(attempts <= most, "an undo that fails with {kind} each time is tried {attempts} times"; expected = if most == 1 { "once".to_owned() } else { format!("{most} times at most") },
            help = "UndoError::retryable says whether another attempt may succeed; if not, the undo is parked at once");
        is_parked_in(&journal).await?;
    }
    parks_optional_ones(&cx).await
}

/// An optional step is undone, and parked, by the same rule.
async fn parks_optional_ones(cx: &Cx) -> Outcome {
    let done_or_not = [Does::Works, Does::Unknown(FailureKind::Transient)];
    for (does, critical) in
        done_or_not.into_iter().flat_map(|does| [(does, Undo::Works), (does, Undo::FailsForGood)])
    {
        let bench = Bench::new(cx)
            .step("reserve", Does::Works, critical)
            .add("mail", does, Undo::FailsForGood, Step::not_critical)
            .step("capture", REFUSED, Undo::Works);
        let (end, _, journal, _) = bench.run(cx).await?;
        let mut stuck: Vec<String> = match &end {
            SagaOutcome::Parked { stuck, .. } => {
                stuck.iter().map(|stuck| stuck.step.clone()).collect()
            }
            _ => Vec::new(),
        };
        let expected: &[&str] = match critical {
            Undo::Works => &["mail"],
            _ => &["reserve", "mail"],
        };
        let as_listed = stuck.join(", ");
        // `reserve` comes after `mail` in this order and before it in that of the steps.
        stuck.sort_unstable_by(|one, other| other.cmp(one));
        ensure!(
            stuck == expected,
            "an optional step has had an effect, or may have had one, and its undo is refused for good: it is not parked";
            expected = format!("Parked, with {}", expected.join(" and ")),
            observed = said(&Ok(end)),
            help = "an effect that stays is parked, whether its step was critical or not"
        );
        ensure!(
            as_listed == expected.join(", "),
            "the parked undos are not in the order of the steps";
            expected = expected.join(", "), observed = as_listed,
            help = "sort what is parked by the saga's steps: undos run in another order, and end in a third one"
        );
        is_parked_in(&journal).await?;
    }
    Ok(())
}

/// An undo that needs some attempts, and one that never works, beside one that does.
async fn survives(
    cx: &Cx,
    some: (usize, Undo),
    never: Undo,
    how: &str,
    longest: Duration,
) -> Outcome {
    let (times, some) = some;
    let often = if times == 2 { "twice".to_owned() } else { format!("{times} times") };
    let bench = Bench::new(cx)
        .step("reserve", Does::Works, Undo::Works)
        .step("ride", Does::Works, some)
        .step("capture", REFUSED, Undo::Works);
    let (end, log, _, took) = bench.run(cx).await?;
    ensure!(
        matches!(end, SagaOutcome::Compensated { .. }),
        "an undo that {how} {often} is not tried until it works";
        expected = "a failed attempt like others: tried again, then Compensated", observed = said(&Ok(end))
    );
    let undone_names = undone(&log);
    ensure!(
        undone_names.iter().filter(|name| *name == "ride").count() == times + 1 && undone_names.iter().any(|name| name == "reserve"),
        "an undo that {how} {often} is not tried until it works, or stops the others";
        expected = format!("ride {} times, reserve once", times + 1), observed = format!("{undone_names:?}")
    );
    ensure!(took < longest, "an undo that {how} {often} took {} ms", took.as_millis(); expected = format!("less than {} ms", longest.as_millis()));

    let bench = Bench::new(cx)
        .step("reserve", Does::Works, Undo::Works)
        .step("ride", Does::Works, never)
        .step("capture", REFUSED, Undo::Works);
    let (end, log, journal, _) = bench.run(cx).await?;
    let observed = said(&Ok(end.clone()));
    let SagaOutcome::Parked { stuck, .. } = end else {
        return Err(
            Fail::new(format!("an undo that {how} each time is not parked")).observed(observed)
        );
    };
    let stuck_as: Vec<_> = stuck.iter().map(|s| s.step.as_str()).collect();
    ensure_eq!(stuck_as, ["ride"], "what is parked when an undo {how} each time");
    ensure!(!stuck[0].cause.is_empty(), "what is parked when an undo {how} has no cause");
    if matches!(never, Undo::PanicsTimes(..)) {
        ensure!(stuck[0].cause.contains("a bug in the step"), "what the panic of an undo said is lost";
            expected = "the text of the panic in the cause, where it has one", observed = stuck[0].cause.clone(),
            help = "the payload of a panic is a &str or, for a text with values in it, a String");
    }
    ensure!(undone(&log).iter().any(|name| name == "reserve"), "an undo that {how} each time stops the others";
        observed = calls(&log));
    is_parked_in(&journal).await?;
    Ok(())
}

pub async fn cuts_a_hung_undo(cx: Cx) -> Outcome {
    // Attempts of 500 ms, and pauses of 200 ms, 400 ms, and so on.
    for (times, longest) in [(2, ms(10_000)), (6, ms(60_000))] {
        let some = (times, Undo::HangsTimes(times as u32));
        survives(&cx, some, STUBBORN[2].0, "hangs", longest).await?;
    }
    its_limit_is_its_own(&cx).await
}

/// The time of the journal is not that of an attempt, which has up to 500 ms from its call on.
async fn its_limit_is_its_own(cx: &Cx) -> Outcome {
    let run = async |takes| {
        let bench = Bench::new(cx)
            .step("reserve", Does::Works, Undo::Works)
            .step("ride", Does::Works, Undo::FailsTimes(1))
            .step("capture", REFUSED, Undo::Works);
        let (saga, log) = (Arc::new(bench.saga), bench.log);
        let slow = Faulty::new(&MemoryJournal::new(), 1, Fault::Slow(takes), &log);
        let journal: Arc<dyn Journal> = Arc::new(slow);
        let end = cx.call("Saga::execute", execute(&saga, &journal, "one")).await?.value;
        let mut undone: Vec<String> =
            called(&log).into_iter().filter(|line| line.starts_with("undo ")).collect();
        undone.sort();
        let fits = undone == ["undo reserve", "undo ride", "undo ride"]
            && matches!(end, Ok(SagaOutcome::Compensated { .. }));
        Ok::<_, Fail>((fits, format!("{}, then {}", shown(&undone), said(&end))))
    };
    // That a failed undo is tried again, and stops no other, are criteria of their own.
    if !run(0).await?.0 {
        return Ok(());
    }
    for takes in [400, 500, 1000] {
        let (fits, observed) = run(takes).await?;
        ensure!(
            fits,
            "each write of the journal takes {takes} ms, and each attempt to undo has 500 ms and takes 10: the saga is undone otherwise";
            expected = "the undo of ride at its second attempt, that of reserve at its first, then Compensated",
            observed = observed,
            help = "the limit of an attempt begins when the undo is called: its record is written by then"
        );
    }
    Ok(())
}

pub async fn contains_a_panicking_undo(cx: Cx) -> Outcome {
    for panics in [Panics::AtOnce, Panics::WhenCalled, Panics::Later] {
        let never = Undo::PanicsTimes(1000, panics);
        for (times, longest) in [(2, ms(10_000)), (6, ms(60_000))] {
            let some = (times, Undo::PanicsTimes(times as u32, panics));
            survives(&cx, some, never, "panics", longest).await?;
        }
    }
    // Time for tasks that a panic may have left behind.
    sleep(ms(1)).await;
    Ok(())
}
