//! Sagas whose steps are nothing but names, for the criteria of the saga.

use std::fmt;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome, Timeline, ensure, list, lock, ms};
use level3::deadline::Deadline;
use level3::journal::{FailureKind, Journal, MemoryJournal, Record, SagaId, SagaLog, Standing};
use level3::saga::{Saga, SagaError, SagaOutcome, Step, StepError, StepOutcome, UndoError};
use tokio::time::sleep;

use crate::faulty::told;

/// What was called, in order: `name`, `undo name` for what was done, `undo name?` for what may have been.
pub type Log = Arc<Mutex<Vec<String>>>;

/// The names of the steps that worked, and of the undos that worked after a `-`.
pub type State = Vec<String>;

/// How long a step and an undo take.
pub const TAKES: Duration = ms(10);

/// How long one attempt to undo may take.
pub const LIMIT: Duration = ms(500);

/// All kinds of failure.
pub const KINDS: [FailureKind; 7] = [
    FailureKind::Declined,
    FailureKind::Rejected,
    FailureKind::Transient,
    FailureKind::Unavailable,
    FailureKind::Deadline,
    FailureKind::Panicked,
    FailureKind::Interrupted,
];

/// How a step or an undo panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Panics {
    /// While it is called, before there is a future; with a `String`.
    WhenCalled,
    /// At its first poll, with a `&str`.
    AtOnce,
    /// After a while, with a `String`.
    Later,
}

/// What a step of a test does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    Works,
    /// Fails, and nothing was done.
    NotDone(FailureKind),
    /// Fails, and whether something was done is unknown.
    Unknown(FailureKind),
    Hangs,
    Panics(Panics),
}

impl fmt::Display for Panics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WhenCalled => "panics when it is called, before there is a future",
            Self::AtOnce => "panics at its first poll",
            Self::Later => "panics at a later poll",
        })
    }
}

/// As the rest of a sentence about the step: "fails with Effect::None (Rejected)".
impl fmt::Display for Does {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works => f.write_str("works"),
            Self::NotDone(kind) => write!(f, "fails with Effect::None ({kind:?})"),
            Self::Unknown(kind) => write!(f, "fails with Effect::Unknown ({kind:?})"),
            Self::Hangs => f.write_str("hangs"),
            Self::Panics(panics) => panics.fmt(f),
        }
    }
}

/// As the rest of a sentence about the undo.
impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = |times: &u32| match times {
            1 => "in its first attempt".to_owned(),
            times => format!("in its first {times} attempts"),
        };
        match self {
            Self::Works => f.write_str("works"),
            Self::FailsTimes(1000) => f.write_str("fails with UndoError::transient each time"),
            Self::FailsTimes(times) => {
                write!(f, "fails with UndoError::transient {}", first(times))
            }
            Self::FailsForGood => f.write_str("fails with UndoError::permanent"),
            Self::HangsTimes(times) => write!(f, "hangs {}", first(times)),
            Self::PanicsTimes(times, panics) => write!(f, "{panics}, {}", first(times)),
            Self::None => f.write_str("does not exist"),
        }
    }
}

/// A step and its undo in words.
pub fn described(name: &str, does: Does, undo: Undo) -> String {
    match undo {
        Undo::None => format!("{name} {does}, and has no undo"),
        undo => format!("{name} {does}, and its undo {undo}"),
    }
}

/// What undoing it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undo {
    Works,
    FailsTimes(u32),
    FailsForGood,
    HangsTimes(u32),
    PanicsTimes(u32, Panics),
    /// The step has no undo.
    None,
}

/// A saga that is put together, and what its steps have seen.
pub struct Bench {
    pub log: Log,
    timeline: Timeline,
    pub saga: Saga<State>,
    /// What its steps do, for messages.
    script: Vec<String>,
    /// Panics without the hook, so that they leave no notes.
    quiet: bool,
}

impl Bench {
    pub fn new(cx: &Cx) -> Self {
        // A bench is a case of its own: what was seen before belongs to another one.
        cx.timeline().restart();
        let (log, saga) = (Log::default(), Saga::new("test"));
        Self { log, timeline: cx.timeline().clone(), saga, script: Vec::new(), quiet: false }
    }

    /// As [`new`](Self::new); its panics are not worth a note.
    pub fn quiet(cx: &Cx) -> Self {
        Self { quiet: true, ..Self::new(cx) }
    }

    /// The saga, for a task. What its steps have seen stays here.
    pub fn take(&mut self) -> Saga<State> {
        std::mem::replace(&mut self.saga, Saga::new("test"))
    }

    /// Adds a critical step.
    pub fn step(self, name: &'static str, does: Does, undo: Undo) -> Self {
        self.add(name, does, undo, |step| step)
    }

    pub fn add(
        mut self,
        name: &'static str,
        does: Does,
        undo: Undo,
        change: impl Fn(Step<State>) -> Step<State>,
    ) -> Self {
        self.script.push(described(name, does, undo));
        let (log, timeline, quiet) = (Arc::clone(&self.log), self.timeline.clone(), self.quiet);
        let step = Step::new(name, move |mut state: State, _| {
            lock(&log).push(name.to_owned());
            timeline.record(name, "called");
            let panics = if let Does::Panics(panics) = does { Some(panics) } else { None };
            panic_at(panics, Panics::WhenCalled, name, quiet);
            let timeline = timeline.clone();
            async move {
                panic_at(panics, Panics::AtOnce, name, quiet);
                sleep(TAKES).await;
                panic_at(panics, Panics::Later, name, quiet);
                match does {
                    Does::NotDone(kind) => {
                        state.push("never".to_owned());
                        Err(StepError::not_done(kind, "refused"))
                    }
                    Does::Unknown(kind) => Err(StepError::unknown(kind, "no answer")),
                    Does::Hangs => timeline.no_answer(name).await,
                    _ => {
                        state.push(name.to_owned());
                        Ok(state)
                    }
                }
            }
        });
        let step = if undo == Undo::None { step } else { self.undone(step, name, undo) };
        self.saga = self.saga.step(change(step));
        self
    }

    fn undone(&self, step: Step<State>, name: &'static str, undo: Undo) -> Step<State> {
        let (log, timeline, quiet) = (Arc::clone(&self.log), self.timeline.clone(), self.quiet);
        let calls = Arc::new(AtomicU32::new(0));
        step.undo(LIMIT, move |mut state: State, context| {
            let nth = calls.fetch_add(1, Ordering::Relaxed) + 1;
            let known = if matches!(context.known, StepOutcome::Done) { "" } else { "?" };
            lock(&log).push(format!("undo {name}{known}"));
            timeline.record(name, format!("undo called, attempt {nth}"));
            let timeline = timeline.clone();
            let panics = match undo {
                Undo::PanicsTimes(times, panics) if nth <= times => Some(panics),
                _ => None,
            };
            panic_at(panics, Panics::WhenCalled, name, quiet);
            async move {
                panic_at(panics, Panics::AtOnce, name, quiet);
                sleep(TAKES).await;
                panic_at(panics, Panics::Later, name, quiet);
                match undo {
                    Undo::FailsTimes(times) if nth <= times => Err(UndoError::transient("not yet")),
                    Undo::FailsForGood => Err(UndoError::permanent("never")),
                    Undo::HangsTimes(times) if nth <= times => {
                        timeline.no_answer(format!("the undo of {name}")).await
                    }
                    _ => {
                        state.push(format!("-{name}"));
                        Ok(state)
                    }
                }
            }
        })
    }

    /// Runs it, and returns its end.
    pub async fn run(
        self,
        cx: &Cx,
    ) -> Result<(SagaOutcome<State>, Log, MemoryJournal, Duration), Fail> {
        let journal = MemoryJournal::new();
        let kept: Arc<dyn Journal> = Arc::new(journal.clone());
        let call = cx.call("Saga::execute", execute(&Arc::new(self.saga), &kept, "one")).await?;
        let took = call.took;
        match call.value {
            Ok(end) => Ok((end, self.log, journal, took)),
            error => Err(no_outcome(&error, &self.script)),
        }
    }
}

/// The failure of a run that returned an error where it had to return an outcome.
fn no_outcome(error: &Result<SagaOutcome<State>, SagaError>, script: &[String]) -> Fail {
    let fail = Fail::new("execute returned an error instead of an outcome")
        .expected("an outcome: Completed, Compensated or Parked")
        .observed(format!("{}; the steps: {}", said(error), script.join("; ")));
    match error {
        Err(SagaError::Lost) => fail.help(
            "Lost means that the task of the run ended without a result, as a panic ends it. A step or an undo may panic \
             when it is called, before there is a future, and at each poll: catch both",
        ),
        _ => fail,
    }
}

fn panic_at(panics: Option<Panics>, here: Panics, name: &str, quiet: bool) {
    if panics != Some(here) {
        return;
    }
    match here {
        _ if quiet => resume_unwind(Box::new("a bug in the step")),
        Panics::AtOnce => panic!("a bug in the step"),
        Panics::WhenCalled | Panics::Later => panic!("a bug in the step {name}"),
    }
}

/// Runs a saga that has ten seconds.
pub async fn execute(
    saga: &Arc<Saga<State>>,
    journal: &Arc<dyn Journal>,
    name: &str,
) -> Result<SagaOutcome<State>, SagaError> {
    let deadline = Deadline::after(ms(10_000));
    saga.execute(Arc::clone(journal), SagaId::new(name), Vec::new(), deadline).await
}

/// Everything that was called.
pub fn called(log: &Log) -> Vec<String> {
    lock(log).clone()
}

/// Everything that was called, in order, as a message shows it.
pub fn calls(log: &Log) -> String {
    shown(&called(log))
}

/// Lines of a [`Log`] as a message shows them.
pub fn shown(lines: &[String]) -> String {
    let shown = |line: &String| match (line.strip_prefix("wrote "), line.strip_suffix('?')) {
        (Some(of), _) => format!("the record of {of} is written"),
        (None, Some(undo)) => format!("{undo} (given Unknown)"),
        (None, None) if line.starts_with("undo ") => format!("{line} (given Done)"),
        (None, None) => line.clone(),
    };
    list(lines.iter().map(shown))
}

/// The undos that were called, without the word.
pub fn undone(log: &Log) -> Vec<String> {
    let undone = |line: &String| line.strip_prefix("undo ").map(str::to_owned);
    lock(log).iter().filter_map(undone).collect()
}

/// The undos that were called, sorted: for what is not about their order.
pub fn undone_sorted(log: &Log) -> Vec<String> {
    let mut names = undone(log);
    names.sort();
    names
}

/// Fails if the undos of `log` are those of the steps in `expected`, and one of them was given the wrong outcome of its
/// step. `expected` is sorted. Other undos than these are for the caller's own check.
pub fn given_right(log: &Log, expected: &[&str]) -> Outcome {
    let (undone, bare) = (undone_sorted(log), |name: &str| name.trim_end_matches('?').to_owned());
    let steps = |names: &mut dyn Iterator<Item = String>| {
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let ran = steps(&mut undone.iter().map(|name| bare(name)));
    let fits = undone == expected || ran != steps(&mut expected.iter().map(|name| bare(name)));
    let lines: Vec<String> = expected.iter().map(|name| format!("undo {name}")).collect();
    ensure!(
        fits, "an undo ran, and was given the wrong outcome of its step";
        expected = format!("{}, in any order", shown(&lines)),
        observed = calls(log),
        help = "UndoContext::known is Done if the step has returned Ok. It is Unknown if the step failed with Effect::Unknown, \
                panicked, was stopped, or had begun when the process died"
    );
    Ok(())
}

/// An end in short: how, why and what is stuck. The state is left out.
pub fn said(end: &Result<SagaOutcome<State>, SagaError>) -> String {
    match end {
        Ok(SagaOutcome::Completed(_)) => "Completed".to_owned(),
        Ok(SagaOutcome::Compensated { failure, .. }) => {
            format!("Compensated, since {} failed ({:?})", failure.step, failure.kind)
        }
        Ok(SagaOutcome::Parked { failure, stuck, .. }) => {
            let mut stuck: Vec<_> = stuck
                .iter()
                .map(|stuck| format!("{} after {}", stuck.step, stuck.attempts))
                .collect();
            stuck.sort();
            let stuck = stuck.join(", ");
            format!("Parked ({stuck}), since {} failed ({:?})", failure.step, failure.kind)
        }
        Err(SagaError::Fenced) => "the error Fenced".to_owned(),
        Err(SagaError::JournalUnavailable) => "the error JournalUnavailable".to_owned(),
        Err(SagaError::State(why)) => format!("the error State: {why}"),
        Err(SagaError::Exists(_)) => "the error Exists".to_owned(),
        Err(SagaError::Lost) => "the error Lost".to_owned(),
    }
}

/// The state of an end.
pub fn state_of(end: &SagaOutcome<State>) -> &State {
    match end {
        SagaOutcome::Completed(state)
        | SagaOutcome::Compensated { state, .. }
        | SagaOutcome::Parked { state, .. } => state,
    }
}

/// What a saga without a record of its end needs.
pub const WRITE_THE_END: &str = "write Completed, Compensated or Parked as the last record, and return the end only when that write has \
                                 succeeded: without it every new owner takes the saga for one that is still running";

/// The record of the end, if the last record is one.
pub fn end_record(records: &[Record]) -> Option<&Record> {
    let is_end = |record: &&Record| {
        matches!(record, Record::Completed | Record::Compensated | Record::Parked)
    };
    records.last().filter(is_end)
}

/// The records of a journal, as a message shows them: of many, the last ones.
pub fn records_told(records: &[Record]) -> String {
    const MOST: usize = 12;
    let before = records.len().saturating_sub(MOST);
    let last = list(records[before..].iter().map(told));
    if before == 0 { last } else { format!("{before} records, then {last}") }
}

/// Fails if a run has returned and its records tell no end, or if `outcome_of` has read no end from records that do.
pub fn reads_an_end<T>(saga_log: &SagaLog, read: &Result<Option<T>, SagaError>) -> Outcome {
    let records = format!("the records: {}", records_told(&saga_log.records));
    match end_record(&saga_log.records) {
        Some(_) if !matches!(read, Ok(None)) => Ok(()),
        None => Err(Fail::new("the run has returned, and the journal has no record of the saga's end")
            .expected("Completed, Compensated or Parked as the last record")
            .observed(records)
            .help(WRITE_THE_END)),
        Some(end) => Err(Fail::new(format!(
            "the last record is {}, and outcome_of returns None, as for a saga that is still running",
            told(end)
        ))
        .expected("the end that the records tell")
        .observed(records)
        .help("Completed, Compensated and Parked each end a saga: outcome_of returns None only if none of them is the last")),
    }
}

/// Fails if a saga has ended Parked and its journal does not say so.
pub async fn is_parked_in(journal: &MemoryJournal) -> Outcome {
    let parked = journal.count(Standing::Parked);
    let records = match journal.read(SagaId::new("one")).await {
        Ok(Some(saga_log)) => records_told(&saga_log.records),
        _ => "none".to_owned(),
    };
    ensure!(
        parked == 1, "the saga has ended Parked, and the journal has no record of that";
        expected = "the record Parked as the last one", observed = format!("the records: {records}"),
        help = WRITE_THE_END
    );
    Ok(())
}
