//! One open page: its form, its commands, and what it shows.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::Pin;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _, stream};
use level5::form_validator::{ConfigError, FieldId, FieldStatus, FormStatus, SubmitError};
use level5::registration::{
    AccountId, EMAIL, PASSWORD, RegistrationForm, USERNAME, message, messages,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::accounts::{Mode, Simulated};

/// Commands that wait for a page. A browser sends the next one when the one before is accepted.
const WAITING: usize = 16;
/// The most characters of a value.
pub const LONGEST: usize = 200;
/// The fields, in the order of the page.
const FIELDS: [FieldId; 3] = [USERNAME, EMAIL, PASSWORD];

/// What a browser asks for. As JSON, for example: `{"set": {"field": "email", "value": "a"}}`, `{"check": "email"}`,
/// `"submit"`, or `{"service": "slow"}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// The user has typed.
    Set {
        /// The name of the field.
        field: String,
        /// Its whole value.
        value: String,
    },
    /// The user wants the failed checks of this field once more.
    Check(String),
    /// The user sends the form.
    Submit,
    /// Decides how the service of this page answers.
    Service(Mode),
}

/// What the page shows. No value of a field is in it: the browser has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageState {
    /// The fields, by name.
    pub fields: BTreeMap<&'static str, Field>,
    /// The form as a whole: pristine, pending, valid, invalid or unknown.
    pub form: &'static str,
    /// The last submit.
    pub submit: Submit,
    /// How the service answers.
    pub service: Mode,
}

/// What the page shows of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// pristine, pending, valid, invalid or unknown.
    pub status: &'static str,
    /// The messages below the field.
    pub messages: Vec<&'static str>,
    /// The warnings below the field.
    pub warnings: Vec<&'static str>,
}

/// How the last submit went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Submit {
    /// There was none, or the user has typed since.
    None,
    /// It is under way.
    Sending,
    /// A field is not valid: the page moves the focus to the first one that has a message.
    NotValid,
    /// The server has refused it. Errors of fields are with their fields.
    Refused {
        /// The messages of the form.
        messages: Vec<&'static str>,
    },
    /// An account was registered, and the form is empty.
    Done {
        /// Its number.
        account: u64,
    },
}

/// Opens a page: where its commands go, and what it shows, now and at each change. Dropping the stream ends the form,
/// with all its checks.
///
/// # Errors
///
/// [`ConfigError`] of the form's rules.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub fn open() -> Result<(mpsc::Sender<Command>, impl Stream<Item = PageState> + Send), ConfigError>
{
    let (accounts, mode) = Simulated::new();
    let form = RegistrationForm::new(accounts)?;
    let (sender, commands) = mpsc::channel(WAITING);
    let (shown, states) = watch::channel(None);
    // A task, because the form goes on while the browser reads slowly. The handle is part of the stream.
    let task = AbortOnDropHandle::new(tokio::spawn(drive(form, commands, mode, shown)));
    let states = stream::unfold((states, task), |(mut states, task)| async move {
        loop {
            states.changed().await.ok()?;
            let state = states.borrow_and_update().clone();
            if let Some(state) = state {
                return Some((state, (states, task)));
            }
        }
    });
    Ok((sender, states.boxed()))
}

type Sending<'a> = BoxFuture<'a, Result<AccountId, SubmitError>>;

/// Carries out commands, and shows each change.
async fn drive(
    form: RegistrationForm<Simulated>,
    mut commands: mpsc::Receiver<Command>,
    mode: watch::Sender<Mode>,
    shown: watch::Sender<Option<PageState>>,
) {
    let form = &form;
    let watched: Vec<_> =
        FIELDS.iter().filter_map(|field| form.form().field(*field).ok()).collect();
    let mut changes = stream::select_all(watched.into_iter().map(each_change));
    let mut status = form.form().status();
    let mut submit = Submit::None;
    let mut sending: Option<Sending<'_>> = None;
    loop {
        let state = state(form, *status.borrow_and_update(), &submit, *mode.borrow());
        shown.send_if_modified(|before| {
            let is_new = before.as_ref() != Some(&state);
            *before = Some(state);
            is_new
        });
        tokio::select! {
            command = commands.recv() => match command {
                // The browser has closed the page.
                None => return,
                Some(Command::Set { field, value }) => {
                    if let Some(field) = known(&field)
                        && form.form().set(field, &value).is_ok()
                        && sending.is_none()
                    {
                        submit = Submit::None;
                    }
                }
                Some(Command::Check(field)) => {
                    // The future is dropped after its first poll: the checks that it has begun belong to the form.
                    if let Some(field) = known(&field) {
                        let _ = futures::poll!(Box::pin(form.form().validate(field)));
                    }
                }
                // A second press while the first one is under way changes nothing.
                Some(Command::Submit) if sending.is_none() => {
                    submit = Submit::Sending;
                    sending = Some(Box::pin(form.submit()));
                }
                Some(Command::Submit) => {}
                Some(Command::Service(now)) => drop(mode.send_replace(now)),
            },
            sent = ended(&mut sending) => {
                sending = None;
                submit = outcome(sent);
            }
            _ = changes.next() => {}
            changed = status.changed() => if changed.is_err() { return },
        }
    }
}

/// Waits until the submit that is under way has ended. Does not return if there is none.
async fn ended(sending: &mut Option<Sending<'_>>) -> Result<AccountId, SubmitError> {
    match sending {
        Some(sending) => Pin::new(sending).await,
        None => pending().await,
    }
}

fn outcome(sent: Result<AccountId, SubmitError>) -> Submit {
    match sent {
        Ok(AccountId(account)) => Submit::Done { account },
        Err(SubmitError::NotValid(_) | SubmitError::AlreadySubmitting) => Submit::NotValid,
        Err(SubmitError::Refused(errors)) => {
            let texts = errors.form.iter().filter_map(|code| message(*code));
            Submit::Refused { messages: texts.collect() }
        }
    }
}

/// A stream that yields at each change of a field. Which change it was is read from the field.
fn each_change(field: watch::Receiver<FieldStatus>) -> Pin<Box<dyn Stream<Item = ()> + Send>> {
    stream::unfold(field, |mut field| async move {
        field.changed().await.ok()?;
        Some(((), field))
    })
    .boxed()
}

fn known(name: &str) -> Option<FieldId> {
    FIELDS.into_iter().find(|field| field.as_str() == name)
}

fn state(
    form: &RegistrationForm<Simulated>,
    status: FormStatus,
    submit: &Submit,
    service: Mode,
) -> PageState {
    let fields = FIELDS.iter().filter_map(|id| {
        let status = form.form().field(*id).ok()?;
        let status = status.borrow();
        Some((id.as_str(), field(&status)))
    });
    let form = match status {
        FormStatus::Invalid => "invalid",
        FormStatus::Pending => "pending",
        FormStatus::Unknown => "unknown",
        FormStatus::Pristine => "pristine",
        FormStatus::Valid => "valid",
    };
    PageState { fields: fields.collect(), form, submit: submit.clone(), service }
}

fn field(status: &FieldStatus) -> Field {
    let (name, warnings) = match status {
        FieldStatus::Pristine => ("pristine", [].as_slice()),
        FieldStatus::Pending => ("pending", [].as_slice()),
        FieldStatus::Valid { warnings } => ("valid", warnings.as_slice()),
        FieldStatus::Invalid { warnings, .. } => ("invalid", warnings.as_slice()),
        FieldStatus::Unknown { warnings, .. } => ("unknown", warnings.as_slice()),
    };
    let warnings = warnings.iter().filter_map(|code| message(*code)).collect();
    Field { status: name, messages: messages(status), warnings }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn until(
        states: &mut (impl Stream<Item = PageState> + Unpin),
        is_it: impl Fn(&PageState) -> bool,
    ) -> PageState {
        loop {
            let state = states.next().await.expect("the page is open");
            if is_it(&state) {
                return state;
            }
        }
    }

    fn set(field: &str, value: &str) -> Command {
        Command::Set { field: field.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn a_command_is_plain_json() {
        let read = |text| serde_json::from_str::<Command>(text).expect(text);
        assert_eq!(read(r#"{"set":{"field":"email","value":"a"}}"#), set("email", "a"));
        assert_eq!(read(r#"{"check":"email"}"#), Command::Check("email".to_owned()));
        assert_eq!(read(r#""submit""#), Command::Submit);
        assert_eq!(read(r#"{"service":"slow"}"#), Command::Service(Mode::Slow));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_service_is_unknown_and_a_second_check_repairs_it() {
        let (commands, mut states) = open().unwrap();
        commands.send(Command::Service(Mode::Fails)).await.unwrap();
        commands.send(set("username", "lin")).await.unwrap();
        until(&mut states, |state| state.fields["username"].status == "pending").await;
        let unknown =
            until(&mut states, |state| state.fields["username"].status == "unknown").await;
        assert_eq!(unknown.form, "unknown");
        assert_eq!(unknown.fields["username"].messages.len(), 1);
        commands.send(Command::Service(Mode::Works)).await.unwrap();
        commands.send(Command::Check("username".to_owned())).await.unwrap();
        until(&mut states, |state| state.fields["username"].status == "valid").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_an_error_of_its_field_and_a_success_empties_the_form() {
        let (commands, mut states) = open().unwrap();
        for (field, value) in
            [("username", "grace"), ("email", "g@mail.example"), ("password", "correct horse")]
        {
            commands.send(set(field, value)).await.unwrap();
        }
        commands.send(Command::Submit).await.unwrap();
        let refused =
            until(&mut states, |state| matches!(state.submit, Submit::Refused { .. })).await;
        assert_eq!(refused.fields["username"].messages, ["This username is taken."]);
        commands.send(set("username", "hopper")).await.unwrap();
        commands.send(Command::Submit).await.unwrap();
        // A second press does nothing.
        commands.send(Command::Submit).await.unwrap();
        let done = until(&mut states, |state| matches!(state.submit, Submit::Done { .. })).await;
        assert_eq!(done.submit, Submit::Done { account: 1 });
        assert!(done.fields.values().all(|field| field.status == "pristine"), "{done:?}");
    }
}
