//! The state of a form: values, the run of each rule, and the statuses that are published.
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
//! wait. Statuses are published before the lock is free, so that readers see them in the order of the changes.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, watch};

use super::check::{Check, Outcome, Task, text_of};
use super::graph::Reads;
use super::status::{Answer, status_of};
use super::{CheckFailed, Code, FieldId, FieldStatus, FormStatus, Snapshot, Verdict};

/// The state of a form, under one std lock: a change of one field may concern the rules of another one, and the form's
/// status is made of all. The tasks of the checks have weak references to it, so the form alone keeps it alive. A
/// strong one would be a cycle: the state owns the tasks.
pub(super) struct Fields {
    /// For the tasks that it starts, to report their outcomes.
    me: Weak<Mutex<Self>>,
    fields: BTreeMap<FieldId, Field>,
    /// For each field the fields whose rules read it.
    readers: BTreeMap<FieldId, BTreeSet<FieldId>>,
    /// A `watch`, because a reader needs the newest status and not each one.
    status: watch::Sender<FormStatus>,
    /// Whether a submit is under way.
    pub(super) submitting: bool,
    /// Numbers the runs, so that an outcome counts only if it is of the newest run of its rule.
    runs: u64,
    /// Counts the resets. A call that has begun before a reset touches no field after it.
    pub(super) resets: u64,
}

/// A field and its rules.
struct Field {
    /// Shared with the snapshots, so that a snapshot copies no text.
    value: Arc<str>,
    /// Counts the changes of the value. An error of the server is about the version that was sent.
    version: u64,
    /// Whether the field was set or validated since the form was made or reset. Until then none of its rules runs.
    touched: bool,
    rules: Vec<RuleOf>,
    /// The errors of the last submit, until the value changes.
    server: Vec<Code>,
    status: watch::Sender<FieldStatus>,
}

/// A rule of a field, with its last answer. The builder makes it without one.
pub(super) struct RuleOf {
    name: &'static str,
    /// The field itself and those that the rule reads.
    sees: BTreeSet<FieldId>,
    kind: Kind,
}

/// A rule that answers at once.
pub(super) type PlainRule = Box<dyn Fn(&str, &Snapshot) -> Verdict + Send + Sync>;

/// The two kinds of rules.
enum Kind {
    Plain { rule: PlainRule, answer: Option<Outcome> },
    Asks { check: Check, run: Run },
}

/// The state of a check. To replace a `Running` is to end its task.
enum Run {
    /// Not needed, or not yet.
    Idle,
    /// A task waits for the debounce or for the rule. `form` are the values that it is about, and `hurry` ends the
    /// debounce.
    Running { form: Snapshot, number: u64, hurry: Arc<Notify>, _task: Task },
    /// The outcome about these values. A failure stays too, so that the status can name it.
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
        // An error of the server shows in any case. A form that was reset has none.
        if !self.touched && self.server.is_empty() {
            return FieldStatus::Pristine;
        }
        status_of(self.rules.iter().map(RuleOf::answer), &self.server)
    }
}

/// All fields at one moment at which none was pending: the statuses, and the values and versions that they are about.
pub(super) struct Settled {
    pub(super) statuses: BTreeMap<FieldId, FieldStatus>,
    pub(super) values: Snapshot,
    pub(super) versions: BTreeMap<FieldId, u64>,
}

impl Fields {
    pub(super) fn new(rules: BTreeMap<FieldId, Vec<RuleOf>>, reads: &Reads) -> Arc<Mutex<Self>> {
        // The rules say what they read; a change needs the other direction.
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
        // The state has a weak reference to itself, which exists only inside `new_cyclic`.
        Arc::new_cyclic(|me| {
            let me = Weak::clone(me);
            Mutex::new(Self { me, fields, readers, status, submitting: false, runs: 0, resets: 0 })
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

    /// Sets the value of a field. Its rules run, and those rules of touched fields that read it.
    pub(super) fn set(&mut self, id: FieldId, value: &str) {
        let Some(field) = self.fields.get_mut(&id) else { return };
        let changed = *field.value != *value;
        // A page may report the same value several times, for example when the field loses the focus. That must not
        // begin a debounce again or hide what the server said.
        if field.touched && !changed {
            return;
        }
        field.touched = true;
        if changed {
            field.value = Arc::from(value);
            field.version += 1;
        }
        // The server's errors were about the old value.
        field.server.clear();
        self.recheck(id);
        if changed {
            for reader in self.readers.get(&id).cloned().unwrap_or_default() {
                // A field that the user has not reached must not show errors because of another one. `recheck` leaves
                // the rules that do not see the changed value, so the readers of this reader need no look.
                if self.fields.get(&reader).is_some_and(|field| field.touched) {
                    self.recheck(reader);
                }
            }
        }
        // Once, after all fields: in between, a reader would see the field with its new status and the fields that
        // read it with old ones.
        self.publish();
    }

    /// Runs every rule of a field without a further wait, failed ones again.
    pub(super) fn check_now(&mut self, id: FieldId) {
        let Some(field) = self.fields.get_mut(&id) else { return };
        field.touched = true;
        // A failed check counts as one that never ran: `recheck` begins it, although its values are the same. A
        // verdict stays.
        for rule in &mut field.rules {
            if let Kind::Asks { run: run @ Run::Done { outcome: Err(_), .. }, .. } = &mut rule.kind
            {
                *run = Run::Idle;
            }
        }
        self.recheck(id);
        for rule in self.fields.get(&id).iter().flat_map(|field| &field.rules) {
            if let Kind::Asks { run: Run::Running { hurry, .. }, .. } = &rule.kind {
                // Without effect on a run that asks already. `notify_one` and not `notify_waiters`: the task may not
                // have been polled yet, and only `notify_one` leaves a permit for it.
                hurry.notify_one();
            }
        }
        self.publish();
    }

    /// Adds the server's errors to the fields that still have the versions that were sent.
    pub(super) fn server_says(
        &mut self,
        errors: &[(FieldId, Code)],
        versions: &BTreeMap<FieldId, u64>,
    ) {
        for (id, code) in errors {
            if let Some(field) = self.fields.get_mut(id)
                // The user may have typed on while the form was sent; the error is not about the new value.
                && versions.get(id) == Some(&field.version)
                && !field.server.contains(code)
            {
                field.server.push(*code);
            }
        }
        self.publish();
    }

    /// Makes all fields as they were at first. Runs end; verdicts stay known.
    pub(super) fn reset(&mut self) {
        self.resets += 1;
        for field in self.fields.values_mut() {
            field.value = Arc::from("");
            // Also where the value was empty before: an error about a form that is being sent must not land afterwards.
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

    /// All fields, or the receiver of one that is pending, to wait for.
    pub(super) fn settled(&self) -> Result<Settled, watch::Receiver<FieldStatus>> {
        let statuses = self.fields.iter().map(|(id, field)| (*id, field.status.borrow().clone()));
        let statuses: BTreeMap<_, _> = statuses.collect();
        for (id, field) in &self.fields {
            if statuses.get(id) == Some(&FieldStatus::Pending) {
                return Err(field.status.subscribe());
            }
        }
        // Under the lock under which the statuses were read: these are the values that were found valid.
        let values = self.values(self.fields.keys());
        let versions = self.fields.iter().map(|(id, field)| (*id, field.version)).collect();
        Ok(Settled { statuses, values, versions })
    }

    /// Runs the plain rules of a field, and begins the checks whose values have changed. A check whose values are the
    /// same goes on, or keeps its outcome.
    fn recheck(&mut self, id: FieldId) {
        // The snapshots first: they read other fields, and below one field is borrowed mutably.
        let Some(field) = self.fields.get(&id) else { return };
        let forms: Vec<_> = field.rules.iter().map(|rule| self.values(&rule.sees)).collect();
        let Some(field) = self.fields.get_mut(&id) else { return };
        let mut accepted = true;
        for (RuleOf { kind, .. }, form) in field.rules.iter_mut().zip(&forms) {
            let Kind::Plain { rule, answer } = kind else { continue };
            // Every plain rule runs, also after one with errors: the user sees all errors at once. A panic is caught
            // here, or it would leave the state half changed.
            let verdict = catch_unwind(AssertUnwindSafe(|| rule(&field.value, form)));
            let outcome = verdict.map_err(|panic| CheckFailed::Panicked(text_of(&*panic)));
            // Without a verdict there is no reason to ask a service either.
            accepted &= outcome.as_ref().is_ok_and(|verdict| verdict.errors.is_empty());
            *answer = Some(outcome);
        }
        for (slot, (RuleOf { kind, .. }, form)) in field.rules.iter_mut().zip(forms).enumerate() {
            let Kind::Asks { check, run } = kind else { continue };
            // A service is not asked about a value that is known to be wrong. `Idle` drops the task of an earlier
            // value.
            if !accepted {
                *run = Run::Idle;
                continue;
            }
            let same = match run {
                Run::Idle => false,
                Run::Running { form: of, .. } | Run::Done { form: of, .. } => *of == form,
            };
            if !same {
                // The old run ends when this one replaces it. Its outcome may wait for the lock at this moment: the
                // number tells it apart.
                let number = self.runs;
                *run = begin(check, form, Place { field: id, slot, number }, &self.me);
                self.runs += 1;
            }
        }
    }

    /// The values of some fields, all of this moment.
    fn values<'a>(&self, ids: impl IntoIterator<Item = &'a FieldId>) -> Snapshot {
        ids.into_iter().filter_map(|id| Some((*id, self.value(*id)?))).collect()
    }

    /// Takes the outcome of a run, unless another run has replaced it.
    fn ends(&mut self, place: &Place, outcome: Outcome) {
        let Some(field) = self.fields.get_mut(&place.field) else { return };
        if let Some(RuleOf { kind: Kind::Asks { run, .. }, .. }) = field.rules.get_mut(place.slot)
            && let Run::Running { form, number, .. } = run
            && *number == place.number
        {
            // Drops the handle of the task that calls this. An abort has no effect on it: it waits for nothing any
            // more.
            *run = Run::Done { form: form.clone(), outcome };
            self.publish();
        }
    }

    /// Publishes the statuses that have changed: those of the fields first, then that of the form.
    fn publish(&self) {
        let statuses: Vec<_> = self.fields.values().map(Field::status).collect();
        for (field, new) in self.fields.values().zip(&statuses) {
            // Only a change wakes readers: a page that draws at each wake-up would draw all fields at each key.
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

/// The run of a rule: the address to which a task reports.
struct Place {
    field: FieldId,
    /// The place of the rule among those of the field.
    slot: usize,
    number: u64,
}

/// The run of a check: done, if a verdict is known, or a task that finds one.
fn begin(check: &Check, form: Snapshot, place: Place, fields: &Weak<Mutex<Fields>>) -> Run {
    if let Some(verdict) = check.known(&form) {
        return Run::Done { form, outcome: Ok(verdict) };
    }
    let hurry = Arc::new(Notify::new());
    let number = place.number;
    // The task works without the lock and locks only to report: a service may take seconds.
    let runs = check.clone().run(form.clone(), Arc::clone(&hurry));
    let fields = Weak::clone(fields);
    let task = tokio::spawn(async move {
        let outcome = runs.await;
        // The form is gone, and with it every reader.
        let Some(fields) = fields.upgrade() else { return };
        lock(&fields).ends(&place, outcome);
    });
    Run::Running { form, number, hurry, _task: Task(task.abort_handle()) }
}

/// Locks, also after a panic. Plain rules are caught, so a panic under the lock is one of a reader's waker, before
/// which the state is whole, or of `tokio::spawn` outside of a runtime. After that one a check is missing, and the
/// next validation begins it.
pub(super) fn lock(fields: &Mutex<Fields>) -> MutexGuard<'_, Fields> {
    fields.lock().unwrap_or_else(PoisonError::into_inner)
}
