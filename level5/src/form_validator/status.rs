//! The verdicts of rules, and the statuses of fields and forms that follow from them.

use super::{Code, FieldId};

/// The verdict of a rule about a value.
///
/// ```
/// use level5::form_validator::{Code, Verdict};
///
/// let strength = |password: &str| match password.len() {
///     0..8 => Verdict::error(Code::new("short")),
///     8..12 => Verdict::warning(Code::new("weak")),
///     _ => Verdict::ok(),
/// };
/// assert_eq!(strength("secret").errors, [Code::new("short")]);
/// assert_eq!(strength("secret-7-").warnings, [Code::new("weak")]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Why the value is not accepted. Empty if it is accepted.
    pub errors: Vec<Code>,
    /// Notes for the user. A warning does not make the value invalid.
    pub warnings: Vec<Code>,
}

impl Verdict {
    /// A verdict that accepts the value.
    // starter: keep
    #[must_use]
    pub fn ok() -> Self {
        Self::default()
    }

    /// A verdict that does not accept the value, for this reason.
    // starter: keep
    #[must_use]
    pub fn error(code: Code) -> Self {
        Self { errors: vec![code], warnings: Vec::new() }
    }

    /// A verdict that accepts the value, with a warning.
    // starter: keep
    #[must_use]
    pub fn warning(code: Code) -> Self {
        Self { errors: Vec::new(), warnings: vec![code] }
    }
}

/// Why a check has no verdict. The value may be right or wrong.
///
/// ```
/// use level5::form_validator::CheckFailed;
///
/// let failed = CheckFailed::Unavailable("503 from accounts".to_owned());
/// assert_eq!(failed.to_string(), "the check is not available: 503 from accounts");
/// assert_ne!(failed, CheckFailed::TimedOut);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckFailed {
    /// It had no answer within its time limit.
    #[error("the check took too long")]
    TimedOut,
    /// Its service gave no answer that can be used. The text is for a log.
    #[error("the check is not available: {0}")]
    Unavailable(String),
    /// The rule panicked, with this text.
    #[error("the check panicked: {0}")]
    Panicked(String),
}

/// A check of a field that has no verdict.
///
/// ```
/// use level5::form_validator::{CheckFailed, Checking, FailedCheck, FieldId, FieldStatus};
/// use level5::form_validator::{FormBuilder, Rule, Snapshot, Verdict};
///
/// const NAME: FieldId = FieldId::new("name");
///
/// /// A rule whose service never answers.
/// struct Hangs;
///
/// impl Rule for Hangs {
///     fn name(&self) -> &'static str {
///         "free"
///     }
///
///     async fn check(&self, _: &str, _: &Snapshot) -> Result<Verdict, CheckFailed> {
///         std::future::pending().await
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let form = FormBuilder::new().field(NAME).rule(NAME, Hangs, Checking::default()).build()?;
/// let FieldStatus::Unknown { failed, .. } = form.validate(NAME).await? else { panic!("it hangs") };
/// assert_eq!(failed, [FailedCheck { rule: "free", why: CheckFailed::TimedOut }]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCheck {
    /// The name of the rule.
    pub rule: &'static str,
    /// Why it has no verdict.
    pub why: CheckFailed,
}

/// The status of a field.
///
/// Errors and warnings are in the order in which the rules were added; the errors of the server follow them.
///
/// ```
/// use level5::form_validator::{Code, FieldId, FieldStatus, FormBuilder, Verdict};
///
/// const NAME: FieldId = FieldId::new("name");
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let form = FormBuilder::new()
///     .field(NAME)
///     .sync_rule(NAME, "length", &[], |value, _| {
///         if value.len() < 3 { Verdict::error(Code::new("short")) } else { Verdict::ok() }
///     })
///     .build()?;
/// form.set(NAME, "an")?;
/// let text = match &*form.field(NAME)?.borrow() {
///     FieldStatus::Pristine | FieldStatus::Valid { .. } => String::new(),
///     FieldStatus::Pending => "checking".to_owned(),
///     FieldStatus::Invalid { errors, .. } => format!("error: {}", errors[0]),
///     FieldStatus::Unknown { .. } => "could not be checked".to_owned(),
/// };
/// assert_eq!(text, "error: short");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldStatus {
    /// The field was not set since the form was made or reset, and not validated. Its rules have not run.
    Pristine,
    /// A check waits or runs. Earlier errors are not shown: they were about another value.
    Pending,
    /// All rules accept the value.
    Valid {
        /// What the user should know.
        warnings: Vec<Code>,
    },
    /// A rule or the server does not accept the value.
    Invalid {
        /// Why. Never empty.
        errors: Vec<Code>,
        /// What the user should know.
        warnings: Vec<Code>,
    },
    /// A check has no verdict. The field is neither valid nor invalid: validating it again runs the failed checks
    /// again.
    Unknown {
        /// The checks that have no verdict. Never empty.
        failed: Vec<FailedCheck>,
        /// What other rules, or the server, do not accept.
        errors: Vec<Code>,
        /// What the user should know.
        warnings: Vec<Code>,
    },
}

/// The status of a form: the first of these that fits.
///
/// ```
/// use level5::form_validator::{FieldId, FormBuilder, FormStatus};
///
/// const NAME: FieldId = FieldId::new("name");
///
/// let form = FormBuilder::new().field(NAME).build()?;
/// let status = form.status();
/// assert_eq!(*status.borrow(), FormStatus::Pristine);
/// form.set(NAME, "anna")?;
/// assert_eq!(*status.borrow(), FormStatus::Valid);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormStatus {
    /// A field is invalid.
    Invalid,
    /// A check waits or runs.
    Pending,
    /// A check has no verdict.
    Unknown,
    /// A field is pristine.
    Pristine,
    /// Every field is valid.
    Valid,
}

impl FormStatus {
    /// The status of a form with fields of these statuses.
    pub(super) fn of<'a>(fields: impl Iterator<Item = &'a FieldStatus> + Clone) -> Self {
        // An error first: it blocks the form whatever the other fields become, and the user can repair it while checks
        // run.
        let any = |is: fn(&FieldStatus) -> bool| fields.clone().any(is);
        if any(|field| matches!(field, FieldStatus::Invalid { .. })) {
            Self::Invalid
        } else if any(|field| matches!(field, FieldStatus::Pending)) {
            Self::Pending
        } else if any(|field| matches!(field, FieldStatus::Unknown { .. })) {
            Self::Unknown
        } else if any(|field| matches!(field, FieldStatus::Pristine)) {
            Self::Pristine
        } else {
            Self::Valid
        }
    }
}

/// The errors of a server that refused a form.
///
/// ```
/// use level5::form_validator::{Code, FieldId, FieldStatus, FormBuilder, ServerErrors};
///
/// const NAME: FieldId = FieldId::new("name");
/// const TAKEN: Code = Code::new("taken");
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let form = FormBuilder::new().field(NAME).build()?;
/// form.set(NAME, "anna")?;
/// let refused = ServerErrors { fields: vec![(NAME, TAKEN)], form: Vec::new() };
/// assert!(form.submit(|_| async { Err::<(), _>(refused) }).await.is_err());
/// let invalid = FieldStatus::Invalid { errors: vec![TAKEN], warnings: Vec::new() };
/// assert_eq!(*form.field(NAME)?.borrow(), invalid);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerErrors {
    /// Errors of fields. They are added to their fields; an error of a field that the form does not have is added to
    /// none.
    pub fields: Vec<(FieldId, Code)>,
    /// Errors of the form as a whole. They are in the result of [`Form::submit`](super::Form::submit) only.
    pub form: Vec<Code>,
}

/// The answer of a rule about the value that its field has now.
pub(super) enum Answer<'a> {
    /// It does not run, since an earlier rule does not accept the value.
    None,
    /// It waits or runs.
    Pending,
    Given(&'a Verdict),
    Failed(&'a CheckFailed),
}

/// The status of a field whose rules ran: their names and answers in their order, then what the server said.
pub(super) fn status_of<'a>(
    answers: impl Iterator<Item = (&'static str, Answer<'a>)>,
    server: &[Code],
) -> FieldStatus {
    let (mut errors, mut warnings, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for (rule, answer) in answers {
        match answer {
            Answer::None => {}
            // One open check is enough. The answers of the others are not shown yet, or errors would appear one by one.
            Answer::Pending => return FieldStatus::Pending,
            Answer::Given(verdict) => {
                errors.extend_from_slice(&verdict.errors);
                warnings.extend_from_slice(&verdict.warnings);
            }
            Answer::Failed(why) => failed.push(FailedCheck { rule, why: why.clone() }),
        }
    }
    errors.extend_from_slice(server);
    // A failed check before errors: the field would be invalid for reasons of which some are unknown.
    if !failed.is_empty() {
        FieldStatus::Unknown { failed, errors, warnings }
    } else if errors.is_empty() {
        FieldStatus::Valid { warnings }
    } else {
        FieldStatus::Invalid { errors, warnings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Code = Code::new("short");
    const TAKEN: Code = Code::new("taken");

    #[test]
    fn one_pending_check_is_enough() {
        let error = Verdict::error(SHORT);
        let answers = [("a", Answer::Given(&error)), ("b", Answer::Pending)];
        assert_eq!(status_of(answers.into_iter(), &[]), FieldStatus::Pending);
    }

    #[test]
    fn errors_stand_in_the_order_of_the_rules_and_the_servers_follow() {
        let error = Verdict::error(SHORT);
        let answers = [("a", Answer::None), ("b", Answer::Given(&error))];
        let expected = FieldStatus::Invalid { errors: vec![SHORT, TAKEN], warnings: Vec::new() };
        assert_eq!(status_of(answers.into_iter(), &[TAKEN]), expected);
    }

    #[test]
    fn an_error_makes_the_form_invalid_while_another_field_waits() {
        let invalid = FieldStatus::Invalid { errors: vec![SHORT], warnings: Vec::new() };
        let fields = [FieldStatus::Pending, invalid];
        assert_eq!(FormStatus::of(fields.iter()), FormStatus::Invalid);
    }
}
