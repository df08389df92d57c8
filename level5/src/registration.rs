//! A registration form: rules that answer at once, rules that ask the service, a rule across two fields, and what the
//! server says in the end.
//!
//! ```text
//!  username   required, 3 characters, not the name in the email │ 500 ms │ is it free?
//!  email      required, syntax                                  │ 300 ms │ domain, disposable, blocked: at once
//!  password   required, 8 characters                            │
//! ```
//!
//! Lesson: `level5/lessons/registration.md`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::form_validator::{
    CheckFailed, Checking, Code, ConfigError, FieldId, FieldStatus, Form, FormBuilder, Rule,
    ServerErrors, Snapshot, SubmitError, Verdict,
};

/// The name under which the user logs in.
pub const USERNAME: FieldId = FieldId::new("username");
/// The address of the user.
pub const EMAIL: FieldId = FieldId::new("email");
/// The password.
pub const PASSWORD: FieldId = FieldId::new("password");

/// The field is empty, or has only white space.
pub const REQUIRED: Code = Code::new("required");
/// The username has fewer than three characters.
pub const USERNAME_TOO_SHORT: Code = Code::new("username-too-short");
/// The username is the name in the email.
pub const TOO_SIMILAR: Code = Code::new("username-like-email");
/// Another account has the username.
pub const USERNAME_TAKEN: Code = Code::new("username-taken");
/// The email is no address.
pub const EMAIL_SYNTAX: Code = Code::new("email-syntax");
/// The domain of the email takes no mail.
pub const EMAIL_DOMAIN: Code = Code::new("email-domain");
/// The domain of the email is one of addresses that are used once.
pub const EMAIL_DISPOSABLE: Code = Code::new("email-disposable");
/// The email is blocked.
pub const EMAIL_BLOCKED: Code = Code::new("email-blocked");
/// Another account has the email.
pub const EMAIL_TAKEN: Code = Code::new("email-taken");
/// The password has fewer than eight characters.
pub const PASSWORD_TOO_SHORT: Code = Code::new("password-too-short");
/// The server does not accept the registration.
pub const REFUSED: Code = Code::new("registration-refused");
/// The server cannot register accounts at the moment.
pub const TRY_LATER: Code = Code::new("try-later");

/// The name of the rule that asks whether the username is free.
pub const USERNAME_FREE: &str = "username-free";
/// The name of the rule that asks whether the domain of the email takes mail.
pub const DOMAIN_VALID: &str = "email-domain-valid";
/// The name of the rule that asks whether the email is one that is used once.
pub const NOT_DISPOSABLE: &str = "email-not-disposable";
/// The name of the rule that asks whether the email is blocked.
pub const NOT_BLOCKED: &str = "email-not-blocked";

/// What the user wants to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The name.
    pub username: String,
    /// The address.
    pub email: String,
    /// The password.
    pub password: String,
}

/// The number of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountId(pub u64);

/// Why an account was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The server answered with another status than that of a success.
    #[error("the server answered with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// With status 409: the field whose value another account has.
        field: Option<String>,
    },
    /// There was no answer.
    #[error("the server gave no answer")]
    NoAnswer,
}

/// The service with the accounts.
pub trait Accounts: Send + Sync + 'static {
    /// Whether no account has the username.
    ///
    /// # Errors
    ///
    /// [`CheckFailed`] if the service cannot say.
    fn is_free(&self, username: &str) -> impl Future<Output = Result<bool, CheckFailed>> + Send;

    /// Whether the domain of the email takes mail.
    ///
    /// # Errors
    ///
    /// [`CheckFailed`] if the service cannot say.
    fn has_domain(&self, email: &str) -> impl Future<Output = Result<bool, CheckFailed>> + Send;

    /// Whether the email is one that is used once.
    ///
    /// # Errors
    ///
    /// [`CheckFailed`] if the service cannot say.
    fn is_disposable(&self, email: &str) -> impl Future<Output = Result<bool, CheckFailed>> + Send;

    /// Whether the email is blocked.
    ///
    /// # Errors
    ///
    /// [`CheckFailed`] if the service cannot say.
    fn is_blocked(&self, email: &str) -> impl Future<Output = Result<bool, CheckFailed>> + Send;

    /// Registers an account. It is not asked twice for one submit.
    ///
    /// # Errors
    ///
    /// [`RegisterError`].
    fn register(
        &self,
        registration: Registration,
    ) -> impl Future<Output = Result<AccountId, RegisterError>> + Send;
}

/// The form with its rules, over a service with accounts.
pub struct RegistrationForm<A> {
    accounts: Arc<A>,
    form: Form,
}

impl<A> fmt::Debug for RegistrationForm<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrationForm").finish_non_exhaustive()
    }
}

impl<A: Accounts> RegistrationForm<A> {
    /// An empty form.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] of the form's rules.
    pub fn new(accounts: A) -> Result<Self, ConfigError> {
        let accounts = Arc::new(accounts);
        let after =
            |millis| Checking { debounce: Duration::from_millis(millis), ..Checking::default() };
        let ask = |question| Ask { accounts: Arc::clone(&accounts), question };
        let form = FormBuilder::new()
            .field(USERNAME)
            .field(EMAIL)
            .field(PASSWORD)
            .sync_rule(USERNAME, "username-length", &[], |name, _| {
                length(name, 3, USERNAME_TOO_SHORT)
            })
            .sync_rule(USERNAME, "username-unlike-email", &[EMAIL], unlike_email)
            .rule(USERNAME, ask(Question::Free), after(500))
            .sync_rule(EMAIL, "email-syntax", &[], |email, _| syntax(email))
            .rule(EMAIL, ask(Question::Domain), after(300))
            .rule(EMAIL, ask(Question::Disposable), after(300))
            .rule(EMAIL, ask(Question::Blocked), after(300))
            .sync_rule(PASSWORD, "password-length", &[], |text, _| {
                length(text, 8, PASSWORD_TOO_SHORT)
            })
            .build()?;
        Ok(Self { accounts, form })
    }

    /// The form: to set fields, and to watch them.
    // starter: keep
    pub const fn form(&self) -> &Form {
        &self.form
    }

    /// Validates the form and registers an account, once. After a success the form is empty and pristine.
    ///
    /// The status 409 with the field `username` or `email` is an error of that field: [`USERNAME_TAKEN`] or
    /// [`EMAIL_TAKEN`]. Of all others, a status from 400 to 499 is the form's error [`REFUSED`], and every other
    /// failure is [`TRY_LATER`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`].
    ///
    /// # Cancellation
    ///
    /// As of [`Form::submit`].
    pub async fn submit(&self) -> Result<AccountId, SubmitError> {
        let send = |values: Snapshot| async move {
            let value = |field| values.get(field).unwrap_or_default().to_owned();
            let (username, email, password) = (value(USERNAME), value(EMAIL), value(PASSWORD));
            let registration = Registration { username, email, password };
            self.accounts.register(registration).await.map_err(|error| server_errors(&error))
        };
        let account = self.form.submit(send).await?;
        self.form.reset();
        Ok(account)
    }
}

/// The text for a person of an error, or `None` if no rule of this form has the code.
#[must_use]
pub fn message(code: Code) -> Option<&'static str> {
    let text = match code {
        REQUIRED => "Please fill in this field.",
        USERNAME_TOO_SHORT => "A username has at least 3 characters.",
        TOO_SIMILAR => "The username must differ from the name in your email.",
        USERNAME_TAKEN => "This username is taken.",
        EMAIL_SYNTAX => "This is not an email address.",
        EMAIL_DOMAIN => "The domain of this email takes no mail.",
        EMAIL_DISPOSABLE => "Please use an email address that lasts.",
        EMAIL_BLOCKED => "This email address cannot be used here.",
        EMAIL_TAKEN => "There is an account with this email already.",
        PASSWORD_TOO_SHORT => "A password has at least 8 characters.",
        REFUSED => "The registration was not accepted.",
        TRY_LATER => "We cannot register accounts at the moment. Please try again later.",
        _ => return None,
    };
    Some(text)
}

/// All that a page shows below a field: the messages of its errors in their order, then one message if checks failed.
///
/// The message about a failed check of the username is another one than that about the email.
#[must_use]
pub fn messages(status: &FieldStatus) -> Vec<&'static str> {
    let (errors, failed) = match status {
        FieldStatus::Invalid { errors, .. } => (errors.as_slice(), [].as_slice()),
        FieldStatus::Unknown { errors, failed, .. } => (errors.as_slice(), failed.as_slice()),
        FieldStatus::Pristine | FieldStatus::Pending | FieldStatus::Valid { .. } => {
            return Vec::new();
        }
    };
    let failed = failed.iter().map(|check| match check.rule {
        USERNAME_FREE => "We cannot see at the moment whether this username is free.",
        _ => "We cannot check this email at the moment.",
    });
    let mut texts: Vec<_> = errors.iter().filter_map(|code| message(*code)).chain(failed).collect();
    texts.dedup();
    texts
}

/// Where the failure of a registration is shown.
fn server_errors(error: &RegisterError) -> ServerErrors {
    let (field, form) = match error {
        RegisterError::Status { status: 409, field: Some(field) } if field == USERNAME.as_str() => {
            (Some((USERNAME, USERNAME_TAKEN)), None)
        }
        RegisterError::Status { status: 409, field: Some(field) } if field == EMAIL.as_str() => {
            (Some((EMAIL, EMAIL_TAKEN)), None)
        }
        RegisterError::Status { status: 400..=499, .. } => (None, Some(REFUSED)),
        RegisterError::Status { .. } | RegisterError::NoAnswer => (None, Some(TRY_LATER)),
    };
    ServerErrors { fields: field.into_iter().collect(), form: form.into_iter().collect() }
}

/// Required, and of at least so many characters: one error of the two.
fn length(text: &str, least: usize, too_short: Code) -> Verdict {
    if text.trim().is_empty() {
        Verdict::error(REQUIRED)
    } else if text.chars().count() < least {
        Verdict::error(too_short)
    } else {
        Verdict::ok()
    }
}

/// Required, and with the form of an address: one `@` between a name and a domain of at least two parts.
fn syntax(email: &str) -> Verdict {
    if email.trim().is_empty() {
        return Verdict::error(REQUIRED);
    }
    let is_address = |(name, domain): (&str, &str)| {
        let mut parts = domain.split('.');
        !name.is_empty()
            && !domain.contains('@')
            && domain.contains('.')
            && parts.all(|part| !part.is_empty())
    };
    if !email.contains(char::is_whitespace) && email.split_once('@').is_some_and(is_address) {
        Verdict::ok()
    } else {
        Verdict::error(EMAIL_SYNTAX)
    }
}

/// The rule across two fields. It belongs to the username, so its error goes when either field is changed.
fn unlike_email(username: &str, form: &Snapshot) -> Verdict {
    let email = form.get(EMAIL).unwrap_or_default();
    match email.split_once('@') {
        // A username that is not filled in is like no other name: `length` has its only error.
        _ if username.trim().is_empty() => Verdict::ok(),
        Some((name, _)) if name.to_lowercase() == username.to_lowercase() => {
            Verdict::error(TOO_SIMILAR)
        }
        _ => Verdict::ok(),
    }
}

#[derive(Clone, Copy)]
enum Question {
    Free,
    Domain,
    Disposable,
    Blocked,
}

/// A rule that asks the service one question.
struct Ask<A> {
    accounts: Arc<A>,
    question: Question,
}

impl<A: Accounts> Rule for Ask<A> {
    fn name(&self) -> &'static str {
        match self.question {
            Question::Free => USERNAME_FREE,
            Question::Domain => DOMAIN_VALID,
            Question::Disposable => NOT_DISPOSABLE,
            Question::Blocked => NOT_BLOCKED,
        }
    }

    async fn check(&self, value: &str, _: &Snapshot) -> Result<Verdict, CheckFailed> {
        let (accepted, code) = match self.question {
            Question::Free => (self.accounts.is_free(value).await?, USERNAME_TAKEN),
            Question::Domain => (self.accounts.has_domain(value).await?, EMAIL_DOMAIN),
            Question::Disposable => (!self.accounts.is_disposable(value).await?, EMAIL_DISPOSABLE),
            Question::Blocked => (!self.accounts.is_blocked(value).await?, EMAIL_BLOCKED),
        };
        Ok(if accepted { Verdict::ok() } else { Verdict::error(code) })
    }
}
