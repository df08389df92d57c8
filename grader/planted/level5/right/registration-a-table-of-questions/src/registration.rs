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
        let mut builder = FormBuilder::new()
            .sync_rule(PASSWORD, "password", &[], |text, _| {
                long_enough(text, 8, PASSWORD_TOO_SHORT)
            })
            .sync_rule(EMAIL, "email", &[], |text, _| address(text))
            .sync_rule(USERNAME, "name", &[EMAIL], |text, form| {
                let mut verdict = long_enough(text, 3, USERNAME_TOO_SHORT);
                let email = form.get(EMAIL).unwrap_or("");
                if let Some(at) = email.find('@')
                    && email[..at].to_lowercase() == text.to_lowercase()
                    && verdict.errors.is_empty()
                {
                    verdict.errors.push(TOO_SIMILAR);
                }
                verdict
            });
        let questions: [(FieldId, &'static str, u64, Code, Ask<A>); 4] = [
            (USERNAME, USERNAME_FREE, 500, USERNAME_TAKEN, |to, text| {
                Box::pin(async move { to.is_free(&text).await })
            }),
            (EMAIL, DOMAIN_VALID, 300, EMAIL_DOMAIN, |to, text| {
                Box::pin(async move { to.has_domain(&text).await })
            }),
            (EMAIL, NOT_DISPOSABLE, 300, EMAIL_DISPOSABLE, |to, text| {
                Box::pin(async move { to.is_disposable(&text).await.map(|is| !is) })
            }),
            (EMAIL, NOT_BLOCKED, 300, EMAIL_BLOCKED, |to, text| {
                Box::pin(async move { to.is_blocked(&text).await.map(|is| !is) })
            }),
        ];
        for (field, name, wait, code, ask) in questions {
            let rule = Question { name, code, ask, accounts: Arc::clone(&accounts) };
            let checking =
                Checking { debounce: Duration::from_millis(wait), ..Checking::default() };
            builder = builder.rule(field, rule, checking);
        }
        let form = builder.field(PASSWORD).field(EMAIL).field(USERNAME).build()?;
        Ok(Self { accounts, form })
    }

    /// The form: to set fields, and to watch them.
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

fn long_enough(text: &str, least: usize, too_short: Code) -> Verdict {
    match text {
        text if text.chars().all(char::is_whitespace) => Verdict::error(REQUIRED),
        text if text.chars().nth(least - 1).is_none() => Verdict::error(too_short),
        _ => Verdict::ok(),
    }
}

/// Reads the text once: characters since the last `@` or dot, and how many of these there were.
fn address(text: &str) -> Verdict {
    if text.chars().all(char::is_whitespace) {
        return Verdict::error(REQUIRED);
    }
    let (mut ats, mut dots, mut since, mut right) = (0, 0, 0, true);
    for letter in text.chars() {
        match letter {
            '@' => {
                right &= since > 0 && ats == 0;
                (ats, dots, since) = (ats + 1, 0, 0);
            }
            '.' if ats > 0 => {
                right &= since > 0;
                (dots, since) = (dots + 1, 0);
            }
            letter => {
                right &= !letter.is_whitespace();
                since += 1;
            }
        }
    }
    if right && ats == 1 && dots > 0 && since > 0 {
        Verdict::ok()
    } else {
        Verdict::error(EMAIL_SYNTAX)
    }
}

type Asked = std::pin::Pin<Box<dyn Future<Output = Result<bool, CheckFailed>> + Send>>;
type Ask<A> = fn(Arc<A>, String) -> Asked;

struct Question<A> {
    name: &'static str,
    code: Code,
    ask: Ask<A>,
    accounts: Arc<A>,
}

impl<A: Accounts> Rule for Question<A> {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn check(&self, value: &str, _: &Snapshot) -> Result<Verdict, CheckFailed> {
        let accepted = (self.ask)(Arc::clone(&self.accounts), value.to_owned()).await?;
        let errors = if accepted { Vec::new() } else { vec![self.code] };
        Ok(Verdict { errors, warnings: Vec::new() })
    }
}
