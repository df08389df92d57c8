//! `registration::RegistrationForm`.

mod codes;
mod fakes;
mod rules;
mod sends;

use grader_kit::{Cx, Fail, Outcome, ensure_eq, ms};
use level5::form_validator::{Code, FieldId, FieldStatus, FormStatus};
use level5::registration::RegistrationForm;
use tokio::time::{Instant, sleep_until};

pub use codes::every_code_has_its_message;
pub use rules::{
    a_broken_check_hides_nothing, addresses_are_checked, asks_about_valid_emails,
    asks_for_the_username, differs_from_the_email, lengths_are_checked, shows_every_reason,
};
pub use sends::{
    a_conflict_lands_on_its_field, empties_after_success, other_failures_are_the_forms,
    registers_what_was_typed, threads_register_once,
};

use fakes::Users;

const SUBMIT: &str = "RegistrationForm::submit";

/// A status as a message shows it.
fn shown(status: &FieldStatus) -> String {
    match status {
        FieldStatus::Pristine => "pristine".to_owned(),
        FieldStatus::Pending => "pending".to_owned(),
        FieldStatus::Valid { .. } => "valid".to_owned(),
        FieldStatus::Invalid { errors, .. } => grader_kit::list(errors),
        FieldStatus::Unknown { failed, errors, .. } => {
            let failed = failed.iter().map(|check| check.rule.to_owned());
            let errors = errors.iter().map(Code::to_string);
            format!("unknown: {}", failed.chain(errors).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A form on the stage: what the user types at which millisecond, and what it shows then.
struct Stage<'a> {
    cx: &'a Cx,
    page: RegistrationForm<Users>,
    since: Instant,
}

impl<'a> Stage<'a> {
    async fn new(cx: &'a Cx, users: &Users) -> Result<Self, Fail> {
        let accounts = users.clone();
        let made = cx.call_fn("RegistrationForm::new", || RegistrationForm::new(accounts)).await?;
        let page = made.map_err(|error| {
            Fail::new(format!("`RegistrationForm::new` returns an error: {error:?}"))
        })?;
        users.begin();
        Ok(Self { cx, page, since: Instant::now() })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits until so many milliseconds after the making, and until all that is due then is done.
    async fn at(&self, time: u64) {
        sleep_until(self.since + ms(time)).await;
        self.cx.settle().await;
    }

    async fn types(&self, field: FieldId, value: &str) -> Outcome {
        self.cx.timeline().record("the user", format!("types `{value}` as {field}"));
        let set = self.cx.call_fn("Form::set", || self.page.form().set(field, value)).await?;
        set.map_err(|error| Fail::new(format!("the field {field} cannot be set: {error}")))
    }

    async fn types_at(&self, time: u64, field: FieldId, value: &str) -> Outcome {
        self.at(time).await;
        self.types(field, value).await
    }

    fn status(&self, field: FieldId) -> String {
        match self.page.form().field(field) {
            Ok(status) => shown(&status.borrow()),
            Err(error) => error.to_string(),
        }
    }

    /// The plain rules accept the value, or say this. Whether a service is asked then is not looked at.
    fn says(&self, field: FieldId, expected: &str, when: &str, help: &str) -> Outcome {
        let status = self.status(field);
        let status = if matches!(&*status, "pending" | "valid") { "accepted" } else { &*status };
        ensure_eq!(status, expected, "{when}: what {field} shows"; help = help);
        Ok(())
    }

    fn form_status(&self) -> FormStatus {
        *self.page.form().status().borrow()
    }

    fn shows(&self, field: FieldId, expected: &str, when: &str, help: &str) -> Outcome {
        ensure_eq!(self.status(field), expected, "{when}: the status of {field} at {} ms", self.now(); help = help);
        Ok(())
    }

    async fn shows_at(
        &self,
        time: u64,
        field: FieldId,
        expected: &str,
        when: &str,
        help: &str,
    ) -> Outcome {
        self.at(time).await;
        self.shows(field, expected, when, help)
    }
}
