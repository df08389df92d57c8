//! The form as its user sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, watch};

use super::engine::{Engine, Entry, lock};
use super::{FieldId, FieldStatus, FormStatus, ServerErrors, Snapshot};

/// The form does not have this field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the form has no field {0}")]
pub struct UnknownField(pub FieldId);

/// Why a form was not sent, or was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Not every field is valid. Nothing was sent.
    #[error("not every field is valid")]
    NotValid(BTreeMap<FieldId, FieldStatus>),
    /// Another submit of the form is on its way. Nothing was sent.
    #[error("the form is being sent already")]
    AlreadySubmitting,
    /// The server does not accept what was sent.
    #[error("the server refused the form")]
    Refused(ServerErrors),
}

/// A form whose fields are checked while the user fills them in.
pub struct Form {
    engine: Arc<Mutex<Engine>>,
    reads: BTreeMap<FieldId, BTreeSet<FieldId>>,
    sending: Semaphore,
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Form")
    }
}

impl Form {
    pub(super) fn new(fields: BTreeSet<FieldId>, entries: Vec<Entry>) -> Self {
        let mut reads: BTreeMap<_, BTreeSet<_>> =
            fields.iter().map(|field| (*field, BTreeSet::new())).collect();
        for entry in &entries {
            reads.entry(entry.field).or_default().extend(entry.reads.iter().copied());
        }
        Self { engine: Engine::new(&fields, entries), reads, sending: Semaphore::new(1) }
    }

    fn known(&self, field: FieldId) -> Result<(), UnknownField> {
        if self.reads.contains_key(&field) { Ok(()) } else { Err(UnknownField(field)) }
    }

    /// Sets the value of a field.
    ///
    /// # Errors
    ///
    /// [`UnknownField`].
    pub fn set(&self, field: FieldId, value: &str) -> Result<(), UnknownField> {
        self.known(field)?;
        lock(&self.engine).set(field, value);
        Ok(())
    }

    /// The value of a field.
    ///
    /// # Errors
    ///
    /// [`UnknownField`].
    pub fn value(&self, field: FieldId) -> Result<String, UnknownField> {
        let engine = lock(&self.engine);
        engine.values.get(&field).map(|value| value.text.to_string()).ok_or(UnknownField(field))
    }

    /// The status of a field.
    ///
    /// # Errors
    ///
    /// [`UnknownField`].
    pub fn field(&self, field: FieldId) -> Result<watch::Receiver<FieldStatus>, UnknownField> {
        let engine = lock(&self.engine);
        engine.statuses.get(&field).map(watch::Sender::subscribe).ok_or(UnknownField(field))
    }

    /// The status of the form.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<FormStatus> {
        lock(&self.engine).form.subscribe()
    }

    /// Validates a field.
    ///
    /// # Errors
    ///
    /// [`UnknownField`].
    pub async fn validate(&self, field: FieldId) -> Result<FieldStatus, UnknownField> {
        self.known(field)?;
        let statuses = self.answered([field].into()).await;
        Ok(statuses.0.get(&field).cloned().unwrap_or(FieldStatus::Pristine))
    }

    /// Validates all fields.
    pub async fn validate_all(&self) -> BTreeMap<FieldId, FieldStatus> {
        self.answered(self.reads.keys().copied().collect()).await.0
    }

    /// Validates all fields, and sends them if they are valid.
    ///
    /// # Errors
    ///
    /// [`SubmitError`].
    pub async fn submit<T, F>(&self, send: impl FnOnce(Snapshot) -> F) -> Result<T, SubmitError>
    where
        F: Future<Output = Result<T, ServerErrors>>,
    {
        let Ok(_permit) = self.sending.try_acquire() else {
            return Err(SubmitError::AlreadySubmitting);
        };
        let (statuses, values) = self.answered(self.reads.keys().copied().collect()).await;
        if statuses.values().any(|status| !matches!(status, FieldStatus::Valid { .. })) {
            return Err(SubmitError::NotValid(statuses));
        }
        let versions: BTreeMap<_, _> =
            values.iter().map(|(field, (_, version))| (*field, *version)).collect();
        let sent = send(values.into_iter().map(|(field, (text, _))| (field, text)).collect()).await;
        sent.map_err(|errors| {
            let mut engine = lock(&self.engine);
            for (field, code) in &errors.fields {
                if let Some(value) = engine.values.get_mut(field)
                    && versions.get(field) == Some(&value.version)
                    && !value.server.contains(code)
                {
                    value.server.push(*code);
                }
            }
            engine.publish();
            drop(engine);
            SubmitError::Refused(errors)
        })
    }

    /// Empties all fields.
    pub fn reset(&self) {
        lock(&self.engine).reset();
    }

    /// Begins each of the fields when those of them that it reads have been answered, and waits until none of them is
    /// pending. Returns the statuses, and values with their versions, of one moment.
    #[expect(clippy::type_complexity, reason = "it stands here only")]
    async fn answered(
        &self,
        fields: BTreeSet<FieldId>,
    ) -> (BTreeMap<FieldId, FieldStatus>, BTreeMap<FieldId, (Arc<str>, u64)>) {
        let mut epoch = lock(&self.engine).epoch.subscribe();
        let (mut waits, mut runs) = (fields.clone(), BTreeSet::new());
        loop {
            epoch.mark_unchanged();
            {
                let mut engine = lock(&self.engine);
                loop {
                    runs.retain(|field| engine.status(*field) == FieldStatus::Pending);
                    let free = |field: &FieldId| {
                        let reads = self.reads.get(field);
                        !reads.is_some_and(|reads| {
                            reads.iter().any(|read| waits.contains(read) || runs.contains(read))
                        })
                    };
                    let Some(field) = waits.iter().copied().find(free) else { break };
                    waits.remove(&field);
                    runs.insert(field);
                    if let Some(value) = engine.values.get_mut(&field) {
                        value.touched = true;
                    }
                    engine.run(field, true);
                    engine.publish();
                }
                let pending = |field: &FieldId| engine.status(*field) == FieldStatus::Pending;
                if waits.is_empty() && !fields.iter().any(pending) {
                    let statuses = fields.iter().map(|field| (*field, engine.status(*field)));
                    let values = engine.values.iter();
                    let values = values
                        .map(|(field, value)| (*field, (Arc::clone(&value.text), value.version)));
                    return (statuses.collect(), values.collect());
                }
                epoch.mark_unchanged();
            }
            if epoch.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
