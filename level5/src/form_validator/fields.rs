//! The state of a form: values, how far each rule is with them, and the statuses that are published.
//!
//! ```text
//!                    values change             debounce over, or hurried
//!   Idle ──────────────────────────▶ Running ─── (waits) ──▶ (asks) ───▶ Done(verdict or failure)
//!    ▲  ▲                              │   ▲                               │      │
//!    │  └── a plain rule has errors ───┘   └── values change, or a failed ─┘      │
//!    └─────────────────────── the same, and reset ────────────────────────────────┘
//! ```
//!
//! Everything here runs under the lock of the form, in one step from one consistent state to the next, and does not
//! wait. Statuses are published before the lock is free, so that readers see them in the order in which they were.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, watch};

use super::check::{Check, Outcome, Task, text_of};
use super::graph::Reads;
use super::status::{Answer, status_of};
use super::{CheckFailed, Code, FieldId, FieldStatus, FormStatus, Snapshot, Verdict};

/// The state of a form. The tasks of its checks have weak references to it, so that the form alone keeps it.
pub(super) struct Fields {
    me: Weak<Mutex<Self>>,
    fields: BTreeMap<FieldId, Field>,
    /// For each field those whose rules read it.
    readers: BTreeMap<FieldId, BTreeSet<FieldId>>,
    status: watch::Sender<FormStatus>,
    /// Whether a submit is on its way.
    pub(super) submitting: bool,
    /// Numbers the runs, so that an outcome is known to be of the newest run of its rule.
    runs: u64,
}

struct Field {
    value: Arc<str>,
    /// Counts the changes of the value: what the server says is about the version that was sent.
    version: u64,
    touched: bool,
    rules: Vec<RuleOf>,
    server: Vec<Code>,
    status: watch::Sender<FieldStatus>,
}

/// The rule of a field, before the form is made and after.
pub(super) struct RuleOf {
    name: &'static str,
    /// The field itself and those that the rule reads.
    sees: BTreeSet<FieldId>,
    kind: Kind,
}

/// A rule that answers at once.
pub(super) type PlainRule = Box<dyn Fn(&str, &Snapshot) -> Verdict + Send + Sync>;

enum Kind {
    Plain { rule: PlainRule, answer: Option<Outcome> },
    Asks { check: Check, run: Run },
}

/// How far a check is.
enum Run {
    Idle,
    Running { form: Snapshot, number: u64, hurry: Arc<Notify>, _task: Task },
    Done { form: Snapshot, outcome: Outcome },
}

impl RuleOf {
    pub(super) fn plain(name: &'static str, sees: BTreeSet<FieldId>, rule: PlainRule) -> Self {
        Self { name, sees, kind: Kind::Plain { rule, answer: None } }
    }

    pub(super) fn asks(name: &'static str, sees: BTreeSet<FieldId>, check: Check) -> Self {
        Self { name, sees, kind: Kind::Asks { check, run: Run::Idle } }
    }

    fn answer(&self) -> (&'static str, Answer<'_>) {
        let answer = match &self.kind {
            Kind::Plain { answer: None, .. } | Kind::Asks { run: Run::Idle, .. } => Answer::None,
            Kind::Asks { run: Run::Running { .. }, .. } => Answer::Pending,
            Kind::Plain { answer: Some(outcome), .. }
            | Kind::Asks { run: Run::Done { outcome, .. }, .. } => match outcome {
                Ok(verdict) => Answer::Given(verdict),
                Err(why) => Answer::Failed(why),
            },
        };
        (self.name, answer)
    }
}

impl Field {
    fn status(&self) -> FieldStatus {
        if !self.touched && self.server.is_empty() {
            return FieldStatus::Pristine;
        }
        status_of(self.rules.iter().map(RuleOf::answer), &self.server)
    }
}

/// All fields at one moment at which none was pending.
pub(super) struct Settled {
    pub(super) statuses: BTreeMap<FieldId, FieldStatus>,
    pub(super) values: Snapshot,
    pub(super) versions: BTreeMap<FieldId, u64>,
}

impl Fields {
    pub(super) fn new(rules: BTreeMap<FieldId, Vec<RuleOf>>, reads: &Reads) -> Arc<Mutex<Self>> {
        let mut readers: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (reader, fields) in reads {
            for field in fields {
                readers.entry(*field).or_default().insert(*reader);
            }
        }
        let field = |rules| Field {
            value: Arc::from(""),
            version: 0,
            touched: false,
            rules,
            server: Vec::new(),
            status: watch::Sender::new(FieldStatus::Pristine),
        };
        let fields = rules.into_iter().map(|(id, rules)| (id, field(rules))).collect();
        let status = watch::Sender::new(FormStatus::Pristine);
        Arc::new_cyclic(|me| {
            let me = Weak::clone(me);
            Mutex::new(Self { me, fields, readers, status, submitting: false, runs: 0 })
        })
    }

    pub(super) fn has(&self, id: FieldId) -> bool {
        self.fields.contains_key(&id)
    }

    pub(super) fn value(&self, id: FieldId) -> Option<Arc<str>> {
        self.fields.get(&id).map(|field| Arc::clone(&field.value))
    }

    pub(super) fn watch(&self, id: FieldId) -> Option<watch::Receiver<FieldStatus>> {
        self.fields.get(&id).map(|field| field.status.subscribe())
    }

    pub(super) fn watch_form(&self) -> watch::Receiver<FormStatus> {
        self.status.subscribe()
    }

    /// A new value of a field. Its rules run, and those rules of touched fields that read it.
    pub(super) fn set(&mut self, id: FieldId, value: &str) {
        let Some(field) = self.fields.get_mut(&id) else { return };
        let changed = *field.value != *value;
        if field.touched && !changed {
            return;
        }
        field.touched = true;
        if changed {
            field.value = Arc::from(value);
            field.version += 1;
        }
        // What the server did not accept was the old value.
        field.server.clear();
        self.recheck(id);
        if changed {
            for reader in self.readers.get(&id).cloned().unwrap_or_default() {
                if self.fields.get(&reader).is_some_and(|field| field.touched) {
                    self.recheck(reader);
                }
            }
        }
        self.publish();
    }

    /// Has every rule of a field run without a further wait, failed ones again.
    pub(super) fn check_now(&mut self, id: FieldId) {
        let Some(field) = self.fields.get_mut(&id) else { return };
        field.touched = true;
        for rule in &mut field.rules {
            if let Kind::Asks { run: run @ Run::Done { outcome: Err(_), .. }, .. } = &mut rule.kind
            {
                *run = Run::Idle;
            }
        }
        self.recheck(id);
        for rule in self.fields.get(&id).iter().flat_map(|field| &field.rules) {
            if let Kind::Asks { run: Run::Running { hurry, .. }, .. } = &rule.kind {
                // Without effect on a run that asks already.
                hurry.notify_one();
            }
        }
        self.publish();
    }

    /// What the server said about the versions that it was sent.
    pub(super) fn server_says(
        &mut self,
        errors: &[(FieldId, Code)],
        versions: &BTreeMap<FieldId, u64>,
    ) {
        for (id, code) in errors {
            if let Some(field) = self.fields.get_mut(id)
                && versions.get(id) == Some(&field.version)
                && !field.server.contains(code)
            {
                field.server.push(*code);
            }
        }
        self.publish();
    }

    /// All fields as they were made. Runs end; verdicts stay known.
    pub(super) fn reset(&mut self) {
        for field in self.fields.values_mut() {
            field.value = Arc::from("");
            field.version += 1;
            field.touched = false;
            field.server.clear();
            for rule in &mut field.rules {
                match &mut rule.kind {
                    Kind::Plain { answer, .. } => *answer = None,
                    Kind::Asks { run, .. } => *run = Run::Idle,
                }
            }
        }
        self.publish();
    }

    /// All fields, or one that is pending.
    pub(super) fn settled(&self) -> Result<Settled, watch::Receiver<FieldStatus>> {
        let statuses = self.fields.iter().map(|(id, field)| (*id, field.status.borrow().clone()));
        let statuses: BTreeMap<_, _> = statuses.collect();
        for (id, field) in &self.fields {
            if statuses.get(id) == Some(&FieldStatus::Pending) {
                return Err(field.status.subscribe());
            }
        }
        let values = self.values(self.fields.keys());
        let versions = self.fields.iter().map(|(id, field)| (*id, field.version)).collect();
        Ok(Settled { statuses, values, versions })
    }

    /// Runs the plain rules of a field, and the checks whose values have changed. A check whose values are the same is
    /// left as it is, also while it runs.
    fn recheck(&mut self, id: FieldId) {
        let Some(field) = self.fields.get(&id) else { return };
        let forms: Vec<_> = field.rules.iter().map(|rule| self.values(&rule.sees)).collect();
        let Some(field) = self.fields.get_mut(&id) else { return };
        let mut accepted = true;
        for (RuleOf { kind, .. }, form) in field.rules.iter_mut().zip(&forms) {
            let Kind::Plain { rule, answer } = kind else { continue };
            let verdict = catch_unwind(AssertUnwindSafe(|| rule(&field.value, form)));
            let outcome = verdict.map_err(|panic| CheckFailed::Panicked(text_of(&*panic)));
            accepted &= outcome.as_ref().is_ok_and(|verdict| verdict.errors.is_empty());
            *answer = Some(outcome);
        }
        for (slot, (RuleOf { kind, .. }, form)) in field.rules.iter_mut().zip(forms).enumerate() {
            let Kind::Asks { check, run } = kind else { continue };
            if !accepted {
                *run = Run::Idle;
                continue;
            }
            let same = match run {
                Run::Idle => false,
                Run::Running { form: of, .. } | Run::Done { form: of, .. } => *of == form,
            };
            if !same {
                let number = self.runs;
                *run = begin(check, form, Place { field: id, slot, number }, &self.me);
                self.runs += 1;
            }
        }
    }

    /// The values of some fields.
    fn values<'a>(&self, ids: impl IntoIterator<Item = &'a FieldId>) -> Snapshot {
        ids.into_iter().filter_map(|id| Some((*id, self.value(*id)?))).collect()
    }

    /// The outcome of a run, unless a newer one has taken its place.
    fn ends(&mut self, place: &Place, outcome: Outcome) {
        let Some(field) = self.fields.get_mut(&place.field) else { return };
        if let Some(RuleOf { kind: Kind::Asks { run, .. }, .. }) = field.rules.get_mut(place.slot)
            && let Run::Running { form, number, .. } = run
            && *number == place.number
        {
            *run = Run::Done { form: form.clone(), outcome };
            self.publish();
        }
    }

    /// Publishes what has changed: the fields first, then the form that is made of them.
    fn publish(&self) {
        let statuses: Vec<_> = self.fields.values().map(Field::status).collect();
        for (field, new) in self.fields.values().zip(&statuses) {
            field.status.send_if_modified(|status| {
                let changed = *status != *new;
                if changed {
                    status.clone_from(new);
                }
                changed
            });
        }
        let new = FormStatus::of(statuses.iter());
        self.status.send_if_modified(|status| std::mem::replace(status, new) != new);
    }
}

/// Which run of which rule.
struct Place {
    field: FieldId,
    slot: usize,
    number: u64,
}

/// The verdict that is known, or a task that finds it.
fn begin(check: &Check, form: Snapshot, place: Place, fields: &Weak<Mutex<Fields>>) -> Run {
    if let Some(verdict) = check.known(&form) {
        return Run::Done { form, outcome: Ok(verdict) };
    }
    let hurry = Arc::new(Notify::new());
    let number = place.number;
    let runs = check.clone().run(form.clone(), Arc::clone(&hurry));
    let fields = Weak::clone(fields);
    let task = tokio::spawn(async move {
        let outcome = runs.await;
        // The form is gone: no reader is left.
        let Some(fields) = fields.upgrade() else { return };
        lock(&fields).ends(&place, outcome);
    });
    Run::Running { form, number, hurry, _task: Task(task.abort_handle()) }
}

/// A panic under the lock could only be one of a reader's waker; the state is whole before wakers are called.
pub(super) fn lock(fields: &Mutex<Fields>) -> MutexGuard<'_, Fields> {
    fields.lock().unwrap_or_else(PoisonError::into_inner)
}
