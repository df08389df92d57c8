//! The state, and the tasks that answer about it.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::status::{Answer, status_of};
use super::{
    CheckFailed, Checking, Code, FieldId, FieldStatus, FormStatus, Rule, Snapshot, Verdict,
};

pub(super) type Outcome = Result<Verdict, CheckFailed>;
type Question = Arc<dyn Fn(Snapshot) -> BoxFuture<'static, Outcome> + Send + Sync>;

pub(super) struct Entry {
    pub(super) field: FieldId,
    pub(super) name: &'static str,
    pub(super) reads: BTreeSet<FieldId>,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Plain(Plain),
    Asks(Asks),
}

pub(super) struct Plain {
    #[expect(clippy::type_complexity, reason = "it stands here only")]
    pub(super) rule: Box<dyn Fn(&str, &Snapshot) -> Verdict + Send + Sync>,
    pub(super) answer: Option<Outcome>,
}

/// What a task has to find out.
#[derive(Clone)]
struct Job {
    form: Snapshot,
    number: u64,
    hurry: bool,
}

pub(super) struct Asks {
    pub(super) checking: Checking,
    question: Question,
    jobs: watch::Sender<Option<Job>>,
    about: Option<Snapshot>,
    answer: Option<Outcome>,
    number: u64,
}

impl Asks {
    pub(super) fn new(field: FieldId, rule: impl Rule, checking: Checking) -> Self {
        let rule = Arc::new(rule);
        let question: Question = Arc::new(move |form: Snapshot| {
            let rule = Arc::clone(&rule);
            async move { rule.check(form.get(field).unwrap_or_default(), &form).await }.boxed()
        });
        let jobs = watch::Sender::new(None);
        Self { checking, question, jobs, about: None, answer: None, number: 0 }
    }

    fn stop(&mut self) {
        self.number += 1;
        (self.about, self.answer) = (None, None);
        self.jobs.send_replace(None);
    }
}

#[derive(Default)]
pub(super) struct Value {
    pub(super) text: Arc<str>,
    pub(super) touched: bool,
    pub(super) version: u64,
    pub(super) server: Vec<Code>,
}

pub(super) struct Engine {
    pub(super) values: BTreeMap<FieldId, Value>,
    pub(super) entries: Vec<Entry>,
    pub(super) statuses: BTreeMap<FieldId, watch::Sender<FieldStatus>>,
    pub(super) form: watch::Sender<FormStatus>,
    pub(super) epoch: watch::Sender<u64>,
}

pub(super) fn lock(engine: &Mutex<Engine>) -> MutexGuard<'_, Engine> {
    engine.lock().unwrap_or_else(PoisonError::into_inner)
}

fn said(panic: Box<dyn Any + Send>) -> CheckFailed {
    let text = match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic
            .downcast_ref::<&str>()
            .map_or_else(|| "no message".to_owned(), |text| (*text).to_owned()),
    };
    CheckFailed::Panicked(text)
}

impl Engine {
    pub(super) fn new(fields: &BTreeSet<FieldId>, entries: Vec<Entry>) -> Arc<Mutex<Self>> {
        let values = fields.iter().map(|field| (*field, Value::default())).collect();
        let cell = |field: &FieldId| (*field, watch::Sender::new(FieldStatus::Pristine));
        let statuses = fields.iter().map(cell).collect();
        let (form, epoch) = (watch::Sender::new(FormStatus::Pristine), watch::Sender::new(0));
        let engine = Arc::new(Mutex::new(Self { values, entries, statuses, form, epoch }));
        for (index, entry) in lock(&engine).entries.iter().enumerate() {
            if let Kind::Asks(asks) = &entry.kind {
                let task = Task {
                    jobs: asks.jobs.subscribe(),
                    question: Arc::clone(&asks.question),
                    checking: asks.checking,
                    engine: Arc::downgrade(&engine),
                    index,
                    kept: Vec::new(),
                };
                tokio::spawn(task.serve());
            }
        }
        engine
    }

    pub(super) fn set(&mut self, field: FieldId, text: &str) {
        let Some(value) = self.values.get_mut(&field) else { return };
        let before = std::mem::replace(&mut value.touched, true);
        if before && *value.text == *text {
            return;
        }
        let changes = *value.text != *text;
        value.server = Vec::new();
        if changes {
            value.text = text.into();
            value.version += 1;
        }
        let readers = |entry: &&Entry| changes && entry.reads.contains(&field);
        let mut fields: BTreeSet<_> =
            self.entries.iter().filter(readers).map(|entry| entry.field).collect();
        fields.insert(field);
        for field in fields {
            self.run(field, false);
        }
        self.publish();
    }

    /// Brings the rules of a touched field to its values of now.
    pub(super) fn run(&mut self, field: FieldId, now: bool) {
        let values = &self.values;
        if !values.get(&field).is_some_and(|value| value.touched) {
            return;
        }
        let see = |reads: &BTreeSet<FieldId>| -> Snapshot {
            let all = reads.iter().chain([&field]);
            all.filter_map(|id| Some((*id, Arc::clone(&values.get(id)?.text)))).collect()
        };
        let mut right = true;
        for entry in self.entries.iter_mut().filter(|entry| entry.field == field) {
            if let Kind::Plain(plain) = &mut entry.kind {
                let form = see(&entry.reads);
                let verdict = catch_unwind(AssertUnwindSafe(|| {
                    (plain.rule)(form.get(field).unwrap_or_default(), &form)
                }));
                let outcome = verdict.map_err(said);
                right &= matches!(&outcome, Ok(verdict) if verdict.errors.is_empty());
                plain.answer = Some(outcome);
            }
        }
        for entry in self.entries.iter_mut().filter(|entry| entry.field == field) {
            let Kind::Asks(asks) = &mut entry.kind else { continue };
            if !right {
                asks.stop();
                continue;
            }
            let form = see(&entry.reads);
            let failed = now && matches!(asks.answer, Some(Err(_)));
            if failed || asks.about.as_ref() != Some(&form) {
                asks.number += 1;
                asks.answer = None;
                asks.about = Some(form.clone());
                asks.jobs.send_replace(Some(Job { form, number: asks.number, hurry: now }));
            } else if now && asks.answer.is_none() {
                asks.jobs.send_replace(Some(Job { form, number: asks.number, hurry: true }));
            }
        }
    }

    pub(super) fn reset(&mut self) {
        for value in self.values.values_mut() {
            *value = Value { version: value.version + 1, ..Value::default() };
        }
        for entry in &mut self.entries {
            match &mut entry.kind {
                Kind::Plain(plain) => plain.answer = None,
                Kind::Asks(asks) => asks.stop(),
            }
        }
        self.publish();
    }

    pub(super) fn status(&self, field: FieldId) -> FieldStatus {
        let Some(value) = self.values.get(&field) else { return FieldStatus::Pristine };
        if !value.touched {
            return FieldStatus::Pristine;
        }
        let answers = self.entries.iter().filter(|entry| entry.field == field).map(|entry| {
            let given = |outcome: &'_ Option<Outcome>, none| match outcome {
                None => none,
                Some(Ok(_)) => 2,
                Some(Err(_)) => 3,
            };
            let (outcome, which) = match &entry.kind {
                Kind::Plain(plain) => (&plain.answer, given(&plain.answer, 0)),
                Kind::Asks(asks) if asks.about.is_none() => (&asks.answer, 0),
                Kind::Asks(asks) => (&asks.answer, given(&asks.answer, 1)),
            };
            let answer = match (which, outcome) {
                (1, _) => Answer::Pending,
                (_, Some(Ok(verdict))) => Answer::Given(verdict),
                (_, Some(Err(why))) => Answer::Failed(why),
                _ => Answer::None,
            };
            (entry.name, answer)
        });
        status_of(answers, &value.server)
    }

    pub(super) fn publish(&self) {
        let all: Vec<FieldStatus> = self.values.keys().map(|field| self.status(*field)).collect();
        for (cell, new) in self.statuses.values().zip(&all) {
            if *cell.borrow() != *new {
                cell.send_replace(new.clone());
            }
        }
        let form = FormStatus::of(all.iter());
        if *self.form.borrow() != form {
            self.form.send_replace(form);
        }
        self.epoch.send_modify(|epoch| *epoch += 1);
    }
}

/// The life of a rule that asks.
struct Task {
    jobs: watch::Receiver<Option<Job>>,
    question: Question,
    checking: Checking,
    engine: Weak<Mutex<Engine>>,
    index: usize,
    /// Verdicts with their arrival, the one that was used last at the end.
    kept: Vec<(Snapshot, Verdict, Instant)>,
}

impl Task {
    async fn serve(mut self) {
        'next: loop {
            let job = self.jobs.borrow_and_update().clone();
            let Some(job) = job else {
                if self.jobs.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let mut waits = !job.hurry && self.checking.debounce > Duration::ZERO;
            {
                let mut timer = pin!(sleep(self.checking.debounce));
                while waits {
                    tokio::select! {
                        () = &mut timer => waits = false,
                        changed = self.jobs.changed() => {
                            if changed.is_err() {
                                return;
                            }
                            match &*self.jobs.borrow_and_update() {
                                Some(same) if same.number == job.number => waits = !same.hurry,
                                _ => continue 'next,
                            }
                        }
                    }
                }
            }
            if let Some(verdict) = self.known(&job.form) {
                self.answers(job.number, Ok(verdict));
            } else {
                let asked = AssertUnwindSafe((self.question)(job.form.clone())).catch_unwind();
                let mut asked = pin!(timeout(self.checking.timeout, asked));
                let outcome = loop {
                    tokio::select! {
                        outcome = &mut asked => break outcome,
                        changed = self.jobs.changed() => {
                            if changed.is_err() {
                                return;
                            }
                            let same = self.jobs.borrow_and_update().as_ref().map(|job| job.number);
                            if same != Some(job.number) {
                                continue 'next;
                            }
                        }
                    }
                };
                let outcome = match outcome {
                    Err(_) => Err(CheckFailed::TimedOut),
                    Ok(Err(panic)) => Err(said(panic)),
                    Ok(Ok(outcome)) => outcome,
                };
                if let Ok(verdict) = &outcome {
                    self.kept.retain(|(form, ..)| *form != job.form);
                    if self.kept.len() == self.checking.capacity.get() {
                        self.kept.remove(0);
                    }
                    self.kept.push((job.form.clone(), verdict.clone(), Instant::now()));
                }
                self.answers(job.number, outcome);
            }
            // Until there is another job.
            loop {
                if self.jobs.changed().await.is_err() {
                    return;
                }
                if self.jobs.borrow_and_update().as_ref().map(|job| job.number) != Some(job.number)
                {
                    continue 'next;
                }
            }
        }
    }

    fn known(&mut self, form: &Snapshot) -> Option<Verdict> {
        let at = self.kept.iter().position(|(of, ..)| of == form)?;
        let found = self.kept.remove(at);
        let verdict = (found.2.elapsed() < self.checking.ttl).then(|| found.1.clone());
        self.kept.push(found);
        verdict
    }

    fn answers(&self, number: u64, outcome: Outcome) {
        let Some(engine) = self.engine.upgrade() else { return };
        let mut engine = lock(&engine);
        if let Some(Entry { kind: Kind::Asks(asks), .. }) = engine.entries.get_mut(self.index)
            && asks.number == number
        {
            asks.answer = Some(outcome);
            engine.publish();
        }
    }
}
