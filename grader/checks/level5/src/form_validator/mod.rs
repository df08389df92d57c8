//! `form_validator::Form`.

mod answers;
mod builds;
mod checks;
mod ends;
mod fakes;
mod reads;
mod sends;
mod validates;

use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome, ensure_eq, ms};
use level5::form_validator::{
    Checking, Code, ConfigError, FieldId, FieldStatus, Form, FormBuilder, FormStatus, Verdict,
};
use tokio::time::{Instant, sleep_until};

pub use answers::{
    a_failed_check_is_repeated, a_failed_check_is_unknown, a_panic_is_a_failed_check,
    verdicts_are_remembered, verdicts_get_old,
};
pub use builds::{a_cycle_is_named, bad_settings_are_refused, unknown_fields_are_errors};
pub use checks::{
    all_rules_run, one_check_after_the_debounce, pending_at_once, plain_rules_answer_at_once,
    plain_rules_come_first, the_newest_value_counts, the_same_value_changes_nothing,
};
pub use ends::{ends_with_the_form, reset_makes_pristine, sleeps_until_woken};
pub use reads::{
    a_change_checks_its_readers, a_change_checks_nothing_else, rules_see_what_they_read,
};
pub use sends::{
    server_errors_are_about_what_was_sent, server_errors_stay, submit_waits_for_checks,
    submits_once, submits_only_valid_forms, warnings_do_not_block,
};
pub use validates::{the_form_follows_its_fields, validates_all_at_once, validates_reads_first};

const BUILD: &str = "FormBuilder::build";
const SET: &str = "Form::set";
const VALIDATE: &str = "Form::validate";
const VALIDATE_ALL: &str = "Form::validate_all";
const SUBMIT: &str = "Form::submit";

const NAME: FieldId = FieldId::new("name");
const EMAIL: FieldId = FieldId::new("email");
const PASSWORD: FieldId = FieldId::new("password");
const AGAIN: FieldId = FieldId::new("again");

const SHORT: Code = Code::new("short");
const TAKEN: Code = Code::new("taken");
const DIFFERS: Code = Code::new("differs");
const WEAK: Code = Code::new("weak");

/// A debounce of so many milliseconds, and all else as usual.
fn after(debounce: u64) -> Checking {
    Checking { debounce: ms(debounce), ..Checking::default() }
}

/// At least so many characters.
fn at_least(characters: usize) -> impl Fn(&str, &level5::form_validator::Snapshot) -> Verdict {
    move |value, _| {
        if value.chars().count() < characters { Verdict::error(SHORT) } else { Verdict::ok() }
    }
}

/// Both fields have the same value.
fn same_as(other: FieldId) -> impl Fn(&str, &level5::form_validator::Snapshot) -> Verdict {
    move |value, form| {
        if form.get(other) == Some(value) { Verdict::ok() } else { Verdict::error(DIFFERS) }
    }
}

fn codes(codes: &[Code]) -> String {
    grader_kit::list(codes)
}

/// A status as a message shows it.
fn shown(status: &FieldStatus) -> String {
    let warned = |text: String, warnings: &[Code]| {
        if warnings.is_empty() { text } else { format!("{text}, warned: {}", codes(warnings)) }
    };
    match status {
        FieldStatus::Pristine => "pristine".to_owned(),
        FieldStatus::Pending => "pending".to_owned(),
        FieldStatus::Valid { warnings } => warned("valid".to_owned(), warnings),
        FieldStatus::Invalid { errors, warnings } => {
            warned(format!("invalid: {}", codes(errors)), warnings)
        }
        FieldStatus::Unknown { failed, errors, warnings } => {
            let failed = failed.iter().map(|check| format!("{}: {}", check.rule, check.why));
            let failed = format!("unknown ({})", grader_kit::list(failed));
            let errors =
                if errors.is_empty() { failed } else { format!("{failed}, {}", codes(errors)) };
            warned(errors, warnings)
        }
    }
}

/// A form on the stage: what is done with it at which millisecond, and what it shows then.
struct Stage<'a> {
    cx: &'a Cx,
    form: Form,
    since: Instant,
}

impl<'a> Stage<'a> {
    /// Builds the form.
    async fn new(cx: &'a Cx, build: impl FnOnce(FormBuilder) -> FormBuilder) -> Result<Self, Fail> {
        let form = built(cx, build).await?.map_err(|error| {
            Fail::new(format!("the form is refused: {error:?}")).expected("it is accepted")
        })?;
        cx.timeline().record("the grader", "made a form");
        Ok(Self { cx, form, since: Instant::now() })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits until so many milliseconds after the making, and until all that is due then is done.
    async fn at(&self, time: u64) {
        sleep_until(self.since + ms(time)).await;
        self.cx.settle().await;
    }

    /// Sets a field, at this time.
    async fn set_at(&self, time: u64, field: FieldId, value: &str) -> Outcome {
        self.at(time).await;
        self.set(field, value).await
    }

    async fn set(&self, field: FieldId, value: &str) -> Outcome {
        self.cx.timeline().record("the user", format!("sets {field} to `{value}`"));
        let set = self.cx.call_fn(SET, || self.form.set(field, value)).await?;
        set.map_err(|error| Fail::new(format!("`set` of the field {field} of this form: {error}")))
    }

    fn status(&self, field: FieldId) -> String {
        match self.form.field(field) {
            Ok(status) => shown(&status.borrow()),
            Err(error) => error.to_string(),
        }
    }

    fn form_status(&self) -> FormStatus {
        *self.form.status().borrow()
    }

    /// The field has this status now.
    fn shows(&self, field: FieldId, expected: &str, when: &str, help: &str) -> Outcome {
        ensure_eq!(self.status(field), expected, "{when}: the status of {field} at {} ms", self.now(); help = help);
        Ok(())
    }

    /// The field has this status at this time.
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

/// What becomes of a builder.
async fn built(
    cx: &Cx,
    build: impl FnOnce(FormBuilder) -> FormBuilder,
) -> Result<Result<Form, ConfigError>, Fail> {
    cx.call_fn(BUILD, || build(FormBuilder::new()).build()).await
}

const HOUR: Duration = Duration::from_secs(3600);
