//! The saga engine against its model.

use std::sync::Arc;

use grader_kit::{Cx, Fail, Outcome, ms};
use level3::deadline::Deadline;
use level3::journal::{FailureKind, Journal, MemoryJournal, Opened, Record, SagaId};
use level3::retry::{Backoff, NoJitter};
use level3::saga::{Saga, SagaError, SagaOutcome, SagaOwner, Step, ignore_events};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};

use super::{Difference, Played, Script, compare};
use crate::faulty::{Fault, Faulty};
use crate::parts::nz;
use crate::steps::{
    Bench, Does, Panics, State, Undo, called, described, records_told, said, shown, state_of,
};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Attempts to undo.
const ATTEMPTS: u32 = 3;

#[derive(Debug, Clone)]
struct Part {
    name: &'static str,
    does: Does,
    undo: Undo,
    critical: bool,
    pivot: bool,
}

#[derive(Debug, Clone)]
struct Play {
    parts: Vec<Part>,
    /// The process ends at this write, if the saga comes so far.
    ends_at: Option<usize>,
}

fn plays() -> impl Strategy<Value = Play> {
    let kind = || {
        prop_oneof![
            Just(FailureKind::Declined),
            Just(FailureKind::Rejected),
            Just(FailureKind::Transient),
            Just(FailureKind::Unavailable),
        ]
    };
    let panics =
        || prop_oneof![Just(Panics::WhenCalled), Just(Panics::AtOnce), Just(Panics::Later)];
    let does = prop_oneof![
        6 => Just(Does::Works),
        1 => kind().prop_map(Does::NotDone),
        1 => kind().prop_map(Does::Unknown),
        1 => panics().prop_map(Does::Panics),
    ];
    let undo = prop_oneof![
        4 => Just(Undo::Works),
        1 => Just(Undo::None),
        2 => (1..=ATTEMPTS).prop_map(Undo::FailsTimes),
        1 => Just(Undo::FailsForGood),
        1 => (1..=ATTEMPTS).prop_map(Undo::HangsTimes),
        1 => (1..=ATTEMPTS, panics()).prop_map(|(times, panics)| Undo::PanicsTimes(times, panics)),
    ];
    let part = (does, undo, prop::bool::weighted(0.75), prop::bool::weighted(0.2));
    let parts = prop::collection::vec(part, 1..NAMES.len());
    (parts, any::<bool>(), 1_usize..14).prop_map(|(parts, dies, at)| {
        let parts = parts
            .into_iter()
            .zip(NAMES)
            .map(|((does, undo, critical, pivot), name)| Part { name, does, undo, critical, pivot })
            .collect();
        Play { parts, ends_at: dies.then_some(at) }
    })
}

impl Script for Play {
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .parts
            .iter()
            .map(|part| {
                let Part { name, does, undo, critical, pivot } = part;
                let optional = if *critical { "" } else { ", not critical" };
                let pivot = if *pivot { ", a pivot" } else { "" };
                format!("a step{optional}{pivot}: {}", described(name, *does, *undo))
            })
            .collect();
        lines.push(format!("run it; an undo has {ATTEMPTS} attempts"));
        if let Some(at) = self.ends_at {
            lines.push(format!(
                "the process dies in its append number {at}, not counting Begun; after a minute another owner resumes the saga"
            ));
        }
        lines
    }
}

/// What is known of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Known {
    begun: bool,
    done: bool,
    /// Failed, and whether it may have acted.
    failed: Option<bool>,
    undone: bool,
    attempts: u32,
}

/// Where a saga stands, as its records say.
#[derive(Debug, Clone)]
struct Stand {
    steps: Vec<Known>,
    state: State,
    /// Why it goes back: the step's name and the kind.
    failure: Option<(String, FailureKind)>,
    over: bool,
}

impl Stand {
    fn new(parts: &[Part]) -> Self {
        let steps = vec![Known::default(); parts.len()];
        Self { steps, state: State::new(), failure: None, over: false }
    }

    /// Reads the records, as their documentation says what they mean.
    fn read(parts: &[Part], records: &[Record]) -> Self {
        let mut stand = Self::new(parts);
        let at = |name: &str| parts.iter().position(|part| part.name == name).unwrap_or_default();
        for record in records {
            match record {
                Record::StepStarted { step } => stand.steps[at(step)].begun = true,
                Record::StepDone { step, state } => {
                    stand.steps[at(step)].done = true;
                    stand.state = state.read().unwrap_or_default();
                }
                Record::StepFailed { failure, may_have_acted } => {
                    stand.steps[at(&failure.step)].failed = Some(*may_have_acted);
                }
                Record::Compensating { failure } => {
                    stand.failure = Some((failure.step.to_string(), failure.kind));
                }
                Record::UndoStarted { step, attempt } => stand.steps[at(step)].attempts = *attempt,
                Record::UndoDone { step, state } => {
                    stand.steps[at(step)].undone = true;
                    stand.state = state.read().unwrap_or_default();
                }
                Record::Begun { .. } | Record::UndoParked { .. } => {}
                Record::Parked | Record::Completed | Record::Compensated => stand.over = true,
            }
        }
        stand
    }

    /// The critical step whose failure is in the records, without the decision to go back.
    fn failed_on_its_way(&self, parts: &[Part]) -> Option<&'static str> {
        let has_failed = |(part, step): &(&Part, &Known)| part.critical && step.failed.is_some();
        let failed = parts.iter().zip(&self.steps).find(has_failed).map(|(part, _)| part.name);
        failed.filter(|_| self.failure.is_none())
    }
}

/// What a saga does: the steps that are called, in order; the undos of each step, with what is known; the end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    forward: Vec<String>,
    /// The first attempt of each undo, in order.
    first: Vec<String>,
    /// All attempts, sorted: in which order undos are tried again is free.
    attempts: Vec<String>,
    end: String,
    state: State,
}

impl Seen {
    fn of(calls: &[String], end: &Result<SagaOutcome<State>, SagaError>) -> Self {
        let undo = |line: &&String| line.starts_with("undo ");
        let mut attempts: Vec<String> = calls.iter().filter(undo).cloned().collect();
        let mut first = attempts.clone();
        let mut known = std::collections::HashSet::new();
        first.retain(|line| known.insert(line.clone()));
        attempts.sort();
        let forward = calls.iter().filter(|line| !undo(line)).cloned().collect();
        let mut state = end.as_ref().map(state_of).cloned().unwrap_or_default();
        // Undos that are tried again end in an order that is free.
        let undone = state.iter().position(|name| name.starts_with('-')).unwrap_or(state.len());
        state[undone..].sort();
        Self { forward, first, attempts, end: said(end), state }
    }

    /// What two of them differ in, in words: of this one, and of the other one.
    fn differences(&self, other: &Self) -> (String, String) {
        let parts = |seen: &Self| {
            [
                format!("the steps that are called: {}", shown(&seen.forward)),
                format!("the order in which undos are called first: {}", shown(&seen.first)),
                format!("all calls of undos, in any order: {}", shown(&seen.attempts)),
                format!("the end: {}", seen.end),
                format!("the state, with the undos sorted: {}", shown(&seen.state)),
            ]
        };
        let (own, others) = (parts(self), parts(other));
        let differ = || own.iter().zip(&others).filter(|(own, other)| own != other);
        let own = differ().map(|(own, _)| own.clone()).collect::<Vec<_>>();
        let others = differ().map(|(_, other)| other.clone()).collect::<Vec<_>>();
        (own.join("; "), others.join("; "))
    }
}

/// How the first calls of each undo went, so that a second owner's go on from there.
fn model(parts: &[Part], mut stand: Stand, resumed: bool, calls_before: &[String]) -> Seen {
    let mut calls = Vec::new();
    let past = parts.iter().zip(&stand.steps).any(|(part, step)| part.pivot && step.done);
    if resumed && stand.failure.is_none() && !past {
        let begun = parts.iter().zip(&stand.steps).rfind(|(_, step)| step.begun);
        let name = begun.map_or("test", |(part, _)| part.name);
        stand.failure = Some((name.to_owned(), FailureKind::Interrupted));
    }
    if stand.failure.is_none() {
        for (part, step) in parts.iter().zip(&mut stand.steps) {
            if step.done || step.failed.is_some() {
                continue;
            }
            calls.push(part.name.to_owned());
            let begun_before = std::mem::replace(&mut step.begun, true);
            let (may_have_acted, kind) = match part.does {
                Does::NotDone(kind) => (begun_before, kind),
                Does::Unknown(kind) => (true, kind),
                Does::Panics(_) => (true, FailureKind::Panicked),
                Does::Works | Does::Hangs => {
                    step.done = true;
                    stand.state.push(part.name.to_owned());
                    continue;
                }
            };
            step.failed = Some(may_have_acted);
            if part.critical {
                stand.failure = Some((part.name.to_owned(), kind));
                break;
            }
        }
    }
    let Some((failed, kind)) = stand.failure else {
        return Seen::of(&calls, &Ok(SagaOutcome::Completed(stand.state)));
    };
    let mut stuck = Vec::new();
    for (part, step) in parts.iter().zip(&stand.steps).rev() {
        let armed = step.begun && !step.undone && (step.done || step.failed != Some(false));
        if !armed || part.undo == Undo::None {
            continue;
        }
        let line = format!("undo {}{}", part.name, if step.done { "" } else { "?" });
        let before = calls_before
            .iter()
            .filter(|call| call.trim_end_matches('?') == line.trim_end_matches('?'));
        let (before, mut attempts) = (before.count() as u32, step.attempts);
        let mut calls_so_far = before;
        let parked = loop {
            attempts += 1;
            calls_so_far += 1;
            calls.push(line.clone());
            let fails = match part.undo {
                Undo::FailsTimes(times) | Undo::HangsTimes(times) | Undo::PanicsTimes(times, _) => {
                    calls_so_far <= times
                }
                Undo::FailsForGood => break true,
                Undo::Works | Undo::None => false,
            };
            if !fails {
                break false;
            }
            if attempts >= ATTEMPTS {
                break true;
            }
        };
        if parked {
            stuck.push(format!("{} after {attempts}", part.name));
        } else {
            stand.state.push(format!("-{}", part.name));
        }
    }
    let mut seen = Seen::of(&calls, &Ok(SagaOutcome::Completed(stand.state)));
    stuck.sort();
    seen.end = match stuck.is_empty() {
        true => format!("Compensated, since {failed} failed ({kind:?})"),
        false => format!("Parked ({}), since {failed} failed ({kind:?})", stuck.join(", ")),
    };
    seen
}

/// Agrees with the model of a saga.
pub async fn saga(cx: Cx) -> Outcome {
    compare(&cx, plays(), async |play: &Play| played(&cx, play).await).await
}

fn differs(play: &Play, headline: &str, expected: String, observed: String) -> Played {
    let (step, headline) = (play.lines().len(), headline.to_owned());
    Ok(Err(Difference { step, headline, expected, observed }))
}

async fn played(cx: &Cx, play: &Play) -> Played {
    let mut bench = Bench::quiet(cx);
    for part in &play.parts {
        let Part { name, does, undo, critical, pivot } = *part;
        bench = bench.add(name, does, undo, move |step: Step<State>| {
            let step = if critical { step } else { step.not_critical() };
            if pivot { step.pivot() } else { step }
        });
    }
    let backoff = Backoff::new(ms(100), 1.0, ms(100), nz(ATTEMPTS));
    let backoff =
        backoff.map_err(|why| Fail::new(format!("Backoff::new refuses its figures: {why}")))?;
    let saga = bench.saga.undo_with(backoff, Arc::new(NoJitter));
    let memory = MemoryJournal::new();
    let journal =
        Faulty::new(&memory, play.ends_at.unwrap_or(usize::MAX), Fault::Hangs, &Arc::default());
    let opened = saga.open(&journal, SagaId::new("one"), &State::new()).await;
    let Ok(Opened::New(lease)) = opened else {
        return Err(Fail::new("Saga::open does not open a new saga"));
    };
    let owner = SagaOwner { journal: &journal, lease, observer: &ignore_events };
    let run = saga.run(&owner, State::new(), Deadline::after(ms(100_000)));
    let failed = journal.failed();
    // The process ends as soon as the journal gives no answer.
    let until_it_ends = async {
        tokio::select! {
            end = run => Some(end),
            () = failed.notified() => None,
        }
    };
    let run = cx.call("Saga::run", until_it_ends).await?.value;
    let calls = called(&bench.log);
    let found = match run {
        Some(end) => {
            let (wanted, found) =
                (model(&play.parts, Stand::new(&play.parts), false, &[]), Seen::of(&calls, &end));
            if wanted != found {
                let (wanted, found) = wanted.differences(&found);
                return differs(play, "the saga does something else", wanted, found);
            }
            return outcome_fits(play, &saga, &memory, &found).await;
        }
        None => calls,
    };
    // The lease is the same: its owner is gone, and other criteria are about two owners.
    let Ok(Some(saga_log)) = memory.read(SagaId::new("one")).await else {
        return Err(Fail::new("the journal knows no such saga"));
    };
    let lease = owner.lease;
    let stand = Stand::read(&play.parts, &saga_log.records);
    let failed = stand.failed_on_its_way(&play.parts);
    let wanted = model(&play.parts, stand, true, &found);
    let owner = SagaOwner { journal: &memory, lease, observer: &ignore_events };
    cx.timeline().record("the grader", "the process has died; the next owner resumes the saga");
    let resume = saga.resume(&owner, &saga_log, Deadline::after(ms(100_000)));
    let end = cx.call("Saga::resume", resume).await?.value;
    if let Some(name) = failed {
        // Whether the failure alone says that the saga goes back, or the step is called again, is free.
        let is_done = |state: &State| state.iter().any(|done| done == name);
        return match &end {
            Ok(SagaOutcome::Completed(state)) if !is_done(state) => differs(
                play,
                "the next owner completes the saga without a critical step that has failed",
                format!("undone, or {name} called again"),
                format!("{}; the records were: {}", said(&end), records_told(&saga_log.records)),
            ),
            _ => Ok(Ok(())),
        };
    }
    let seen = Seen::of(&called(&bench.log)[found.len()..], &end);
    if wanted != seen {
        let (wanted, seen) = wanted.differences(&seen);
        let observed = format!("{seen}; the records were: {}", records_told(&saga_log.records));
        return differs(play, "the next owner does something else", wanted, observed);
    }
    outcome_fits(play, &saga, &memory, &seen).await
}

/// The records tell the end that the run has told.
async fn outcome_fits(
    play: &Play,
    saga: &Saga<State>,
    memory: &MemoryJournal,
    seen: &Seen,
) -> Played {
    let Ok(Some(saga_log)) = memory.read(SagaId::new("one")).await else {
        return Err(Fail::new("the journal knows no such saga"));
    };
    let read = saga.outcome_of(&saga_log);
    let read = match read {
        Ok(Some(end)) => said(&Ok(end)),
        Ok(None) => format!("None; the records: {}", records_told(&saga_log.records)),
        Err(error) => said(&Err(error)),
    };
    if read == seen.end {
        return Ok(Ok(()));
    }
    differs(play, "the records tell another end", seen.end.clone(), read)
}
