//! The form: its values, its statuses, and the submit.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, join_all};
use tokio::sync::watch;

use super::fields::{Fields, Settled, lock};
use super::graph::Reads;
use super::{FieldId, FieldStatus, FormStatus, ServerErrors, Snapshot};

/// The form does not have this field.
///
/// ```
/// use level5::form_validator::{FieldId, FormBuilder, UnknownField};
///
/// let form = FormBuilder::new().field(FieldId::new("name")).build()?;
/// let email = FieldId::new("email");
/// let error = form.value(email).unwrap_err();
/// assert_eq!(error, UnknownField(email));
/// assert_eq!(error.to_string(), "the form has no field email");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the form has no field {0}")]
pub struct UnknownField(pub FieldId);

/// Why a form was not sent, or was refused.
///
/// ```
/// use level5::form_validator::{Code, FieldId, FormBuilder, SubmitError, Verdict};
///
/// const NAME: FieldId = FieldId::new("name");
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let form = FormBuilder::new()
///     .field(NAME)
///     .sync_rule(NAME, "never", &[], |_, _| Verdict::error(Code::new("closed")))
///     .build()?;
/// let text = match form.submit(|_| async { Ok(()) }).await {
///     Ok(()) => "sent".to_owned(),
///     Err(SubmitError::NotValid(fields)) => format!("{} field to repair", fields.len()),
///     Err(SubmitError::AlreadySubmitting) => "one moment".to_owned(),
///     Err(SubmitError::Refused(errors)) => format!("refused: {:?}", errors.form),
/// };
/// assert_eq!(text, "1 field to repair");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Not every field is valid. Nothing was sent.
    #[error("not every field is valid")]
    NotValid(BTreeMap<FieldId, FieldStatus>),
    /// Another submit of the form is under way. Nothing was sent.
    #[error("the form is being sent already")]
    AlreadySubmitting,
    /// The server does not accept what was sent.
    #[error("the server refused the form")]
    Refused(ServerErrors),
}

/// A form whose fields are checked while the user fills them in.
///
/// Checks run in tasks. Dropping the form ends them, and the receivers of its statuses report that their sender is
/// gone.
///
/// ```
/// use level5::form_validator::{Code, FieldId, FieldStatus, FormBuilder, Verdict};
///
/// const NAME: FieldId = FieldId::new("name");
/// const REQUIRED: Code = Code::new("required");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let form = FormBuilder::new()
///     .field(NAME)
///     .sync_rule(NAME, "required", &[], |value, _| {
///         if value.is_empty() { Verdict::error(REQUIRED) } else { Verdict::ok() }
///     })
///     .build()?;
/// let name = form.field(NAME)?;
/// assert_eq!(*name.borrow(), FieldStatus::Pristine);
/// form.set(NAME, "anna")?;
/// assert_eq!(*name.borrow(), FieldStatus::Valid { warnings: vec![] });
/// # Ok(())
/// # }
/// ```
pub struct Form {
    /// The only strong reference that lasts: the state ends with the form.
    fields: Arc<Mutex<Fields>>,
    /// Which field waits for which others in `validate_all`. It does not change, so it needs no lock.
    reads: Reads,
    /// All fields, each after those that it reads.
    order: Vec<FieldId>,
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form").finish_non_exhaustive()
    }
}

impl Form {
    // starter: drop
    pub(super) fn new(fields: Arc<Mutex<Fields>>, reads: Reads, order: Vec<FieldId>) -> Self {
        Self { fields, reads, order }
    }

    /// Sets the value of a field, as the user types it.
    ///
    /// The rules of the field that answer at once run inside this call. If they accept the value, the field is pending
    /// until its other rules have answered: each of them waits for its debounce, and asks. If another value arrives
    /// before that, the check of the old one is dropped.
    ///
    /// If the value differs from the one before, the rules of other fields that read it run too, unless their field is
    /// pristine. The value that a field has already changes nothing, unless the field is pristine.
    ///
    /// # Errors
    ///
    /// [`UnknownField`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, if a check has to wait or ask.
    pub fn set(&self, field: FieldId, value: &str) -> Result<(), UnknownField> {
        let mut fields = lock(&self.fields);
        if !fields.has(field) {
            return Err(UnknownField(field));
        }
        fields.set(field, value);
        Ok(())
    }

    /// Returns the value of a field.
    ///
    /// # Errors
    ///
    /// [`UnknownField`].
    pub fn value(&self, field: FieldId) -> Result<String, UnknownField> {
        let value = lock(&self.fields).value(field);
        value.map(|value| value.to_string()).ok_or(UnknownField(field))
    }

    /// Returns a receiver of the status of a field, now and at each change. It ends with the form.
    ///
    /// # Errors
    ///
    /// [`UnknownField`].
    pub fn field(&self, field: FieldId) -> Result<watch::Receiver<FieldStatus>, UnknownField> {
        lock(&self.fields).watch(field).ok_or(UnknownField(field))
    }

    /// Returns a receiver of the status of the form, now and at each change. It ends with the form.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<FormStatus> {
        lock(&self.fields).watch_form()
    }

    /// Validates a field, also a pristine one, and waits for its status, which is never pending. It is pristine if the
    /// form was reset in between.
    ///
    /// A check that waits for its debounce asks at once, and one that failed asks again. A check that asks already goes
    /// on, and a verdict stays.
    ///
    /// # Errors
    ///
    /// [`UnknownField`].
    ///
    /// # Panics
    ///
    /// As [`set`](Self::set).
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. Checks that it began belong to the form, and go on when it is
    /// dropped.
    pub async fn validate(&self, field: FieldId) -> Result<FieldStatus, UnknownField> {
        // The lock is free before the wait: a check reports under it.
        let mut status = self.field(field)?;
        lock(&self.fields).check_now(field);
        Ok(settles(&mut status).await)
    }

    /// Validates all fields as [`validate`](Self::validate) does, at the same time, and waits for the status of each.
    ///
    /// A field whose rules read others begins when those have their answers. No status is pending.
    ///
    /// # Panics
    ///
    /// As [`set`](Self::set).
    ///
    /// # Cancellation
    ///
    /// As of [`validate`](Self::validate). A field that has not begun yet stays as it is.
    pub async fn validate_all(&self) -> BTreeMap<FieldId, FieldStatus> {
        self.settle().await.statuses
    }

    /// Validates all fields, and calls `send` with their values if all are valid.
    ///
    /// If the user changes a field while the checks run, the new value is checked and sent. The errors of fields that
    /// `send` returns are added to the fields that have not changed since. They stay until the field changes.
    ///
    /// # Errors
    ///
    /// [`SubmitError`].
    ///
    /// # Panics
    ///
    /// As [`set`](Self::set). A panic of `send` reaches the caller, and the form can be submitted again.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. Dropping it while it waits for checks means that nothing is
    /// sent; later it drops the future of `send`. Either way the form can be submitted again.
    pub async fn submit<T, F>(&self, send: impl FnOnce(Snapshot) -> F) -> Result<T, SubmitError>
    where
        F: Future<Output = Result<T, ServerErrors>>,
    {
        // A named guard, which lives to the end of the function on every way out. `_` alone would drop it at once.
        let _submitting = Submitting::begin(&self.fields).ok_or(SubmitError::AlreadySubmitting)?;
        // Values and statuses were read under one lock: the values that are sent are those that were found valid. Read
        // apart, a value that the user types between the two would be sent unchecked.
        let Settled { statuses, values, versions } = self.settle().await;
        if !statuses.values().all(|status| matches!(status, FieldStatus::Valid { .. })) {
            return Err(SubmitError::NotValid(statuses));
        }
        send(values).await.map_err(|errors| {
            lock(&self.fields).server_says(&errors.fields, &versions);
            SubmitError::Refused(errors)
        })
    }

    /// Empties all fields, and makes them pristine. Checks that run are dropped, and errors of the server are removed.
    pub fn reset(&self) {
        lock(&self.fields).reset();
    }

    /// Validates all fields, and waits until none is pending.
    async fn settle(&self) -> Settled {
        // A field waits for clones of the futures of those that it reads; in this order these exist. Shared, because
        // several fields may read one. Boxed, because a future that contains another one of its own type has no size.
        let mut answered: BTreeMap<FieldId, Shared<BoxFuture<'_, ()>>> = BTreeMap::new();
        let resets = lock(&self.fields).resets;
        for field in &self.order {
            let reads = self.reads.get(field).into_iter().flatten();
            let before: Vec<_> = reads.filter_map(|read| answered.get(read).cloned()).collect();
            let validates = async move {
                join_all(before).await;
                // A block of its own: the guard would otherwise live across the `.await` below.
                let status = {
                    let mut fields = lock(&self.fields);
                    // The form was reset while this field waited for its turn: it is pristine, and stays so. Compared
                    // under the lock under which the field is touched, so that no reset comes in between.
                    if fields.resets != resets {
                        return;
                    }
                    fields.check_now(*field);
                    fields.watch(*field)
                };
                if let Some(mut status) = status {
                    settles(&mut status).await;
                }
            };
            answered.insert(*field, validates.boxed().shared());
        }
        join_all(answered.into_values()).await;
        // The user may have typed on, and a field that had its answer waits again. One look under the lock decides; if
        // a field is pending, this waits for that field alone and looks at all of them afterwards.
        loop {
            // A statement of its own: in the `match`, the guard would live across the `.await`.
            let settled = lock(&self.fields).settled();
            match settled {
                Ok(settled) => return settled,
                Err(mut pending) => settles(&mut pending).await,
            };
        }
    }
}

/// Waits until a status is not pending. The receiver has the newest status, so a change before the wait is not missed.
async fn settles(status: &mut watch::Receiver<FieldStatus>) -> FieldStatus {
    let settled = status.wait_for(|status| *status != FieldStatus::Pending).await;
    // The sender lives as long as the form, which the caller borrows.
    settled.map_or(FieldStatus::Pristine, |status| status.clone())
}

/// A submit that is under way. Dropping it lets the next one begin, also when the caller drops the submit or `send`
/// panics.
struct Submitting<'a>(&'a Mutex<Fields>);

impl<'a> Submitting<'a> {
    fn begin(fields: &'a Mutex<Fields>) -> Option<Self> {
        // Read and set under one lock: of two submits at the same time one sees `true`.
        let before = std::mem::replace(&mut lock(fields).submitting, true);
        // Not `then_some`: its argument is made in any case, and the drop of that guard would clear the flag of the
        // other submit.
        (!before).then(|| Self(fields))
    }
}

impl Drop for Submitting<'_> {
    fn drop(&mut self) {
        lock(self.0).submitting = false;
    }
}
