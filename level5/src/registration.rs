//! A registration form: rules that answer at once, rules that ask the service, a rule across two fields, and the errors
//! of the server.
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
/// The domain of the email is one of disposable addresses.
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
/// The name of the rule that asks whether the email is disposable.
pub const NOT_DISPOSABLE: &str = "email-not-disposable";
/// The name of the rule that asks whether the email is blocked.
pub const NOT_BLOCKED: &str = "email-not-blocked";

/// The account that the user wants to register.
///
/// ```
/// use level5::registration::{EMAIL, PASSWORD, Registration, USERNAME};
///
/// let registration = Registration {
///     username: "walker".to_owned(),
///     email: "anna@example.com".to_owned(),
///     password: "secret-7".to_owned(),
/// };
/// assert_eq!(registration.username, "walker");
/// // The form has a field for each of the three.
/// let names = [USERNAME, EMAIL, PASSWORD].map(|field| field.as_str());
/// assert_eq!(names, ["username", "email", "password"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The name under which the user logs in.
    pub username: String,
    /// The address.
    pub email: String,
    /// The password.
    pub password: String,
}

/// The number of an account.
///
/// ```
/// # use level5::form_validator::CheckFailed;
/// # use level5::registration::{AccountId, Accounts, RegisterError, Registration};
/// # struct Service;
/// # impl Accounts for Service {
/// #     async fn is_free(&self, username: &str) -> Result<bool, CheckFailed> {
/// #         Ok(username != "anna")
/// #     }
/// #     async fn has_domain(&self, _: &str) -> Result<bool, CheckFailed> {
/// #         Ok(true)
/// #     }
/// #     async fn is_disposable(&self, _: &str) -> Result<bool, CheckFailed> {
/// #         Ok(false)
/// #     }
/// #     async fn is_blocked(&self, _: &str) -> Result<bool, CheckFailed> {
/// #         Ok(false)
/// #     }
/// #     async fn register(&self, _: Registration) -> Result<AccountId, RegisterError> {
/// #         Ok(AccountId(7))
/// #     }
/// # }
/// use level5::registration::{EMAIL, PASSWORD, RegistrationForm, USERNAME};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let registration = RegistrationForm::new(Service)?;
/// let form = registration.form();
/// form.set(USERNAME, "walker")?;
/// form.set(EMAIL, "anna@example.com")?;
/// form.set(PASSWORD, "secret-7")?;
/// let AccountId(number) = registration.submit().await?;
/// assert_eq!(number, 7);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountId(pub u64);

/// Why an account was not registered.
///
/// ```
/// use level5::registration::RegisterError;
///
/// let taken = RegisterError::Status { status: 409, field: Some("email".to_owned()) };
/// assert_eq!(taken.to_string(), "the server answered with status 409");
/// assert_eq!(RegisterError::NoAnswer.to_string(), "the server gave no answer");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The server did not answer with the status of a success.
    #[error("the server answered with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The field whose value another account has, with status 409.
        field: Option<String>,
    },
    /// There was no answer.
    #[error("the server gave no answer")]
    NoAnswer,
}

/// The service with the accounts.
///
/// ```
/// use level5::form_validator::{CheckFailed, FieldStatus};
/// use level5::registration::{AccountId, Accounts, RegisterError, Registration};
/// use level5::registration::{RegistrationForm, USERNAME, USERNAME_TAKEN};
///
/// /// A service for a test: "anna" is taken.
/// struct Service;
///
/// impl Accounts for Service {
///     async fn is_free(&self, username: &str) -> Result<bool, CheckFailed> {
///         Ok(username != "anna")
///     }
///
///     async fn has_domain(&self, _: &str) -> Result<bool, CheckFailed> {
///         Ok(true)
///     }
///
///     async fn is_disposable(&self, _: &str) -> Result<bool, CheckFailed> {
///         Ok(false)
///     }
///
///     async fn is_blocked(&self, _: &str) -> Result<bool, CheckFailed> {
///         Ok(false)
///     }
///
///     async fn register(&self, _: Registration) -> Result<AccountId, RegisterError> {
///         Err(RegisterError::NoAnswer)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let registration = RegistrationForm::new(Service)?;
/// registration.form().set(USERNAME, "anna")?;
/// let status = registration.form().validate(USERNAME).await?;
/// assert_eq!(status, FieldStatus::Invalid { errors: vec![USERNAME_TAKEN], warnings: vec![] });
/// # Ok(())
/// # }
/// ```
pub trait Accounts: Send + Sync + 'static {
    /// Returns whether no account has the username.
    ///
    /// # Errors
    ///
    /// [`CheckFailed`] if the service cannot say.
    fn is_free(&self, username: &str) -> impl Future<Output = Result<bool, CheckFailed>> + Send;

    /// Returns whether the domain of the email takes mail.
    ///
    /// # Errors
    ///
    /// [`CheckFailed`] if the service cannot say.
    fn has_domain(&self, email: &str) -> impl Future<Output = Result<bool, CheckFailed>> + Send;

    /// Returns whether the email is disposable: an address that is used once.
    ///
    /// # Errors
    ///
    /// [`CheckFailed`] if the service cannot say.
    fn is_disposable(&self, email: &str) -> impl Future<Output = Result<bool, CheckFailed>> + Send;

    /// Returns whether the email is blocked.
    ///
    /// # Errors
    ///
    /// [`CheckFailed`] if the service cannot say.
    fn is_blocked(&self, email: &str) -> impl Future<Output = Result<bool, CheckFailed>> + Send;

    /// Registers an account. The form calls this once for a submit and does not try again.
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
///
/// ```
/// # use level5::form_validator::CheckFailed;
/// # use level5::registration::{AccountId, Accounts, RegisterError, Registration};
/// # struct Service;
/// # impl Accounts for Service {
/// #     async fn is_free(&self, username: &str) -> Result<bool, CheckFailed> {
/// #         Ok(username != "anna")
/// #     }
/// #     async fn has_domain(&self, _: &str) -> Result<bool, CheckFailed> {
/// #         Ok(true)
/// #     }
/// #     async fn is_disposable(&self, _: &str) -> Result<bool, CheckFailed> {
/// #         Ok(false)
/// #     }
/// #     async fn is_blocked(&self, _: &str) -> Result<bool, CheckFailed> {
/// #         Ok(false)
/// #     }
/// #     async fn register(&self, _: Registration) -> Result<AccountId, RegisterError> {
/// #         Ok(AccountId(7))
/// #     }
/// # }
/// use level5::form_validator::SubmitError;
/// use level5::registration::{PASSWORD, RegistrationForm, messages};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let registration = RegistrationForm::new(Service)?;
/// registration.form().set(PASSWORD, "secret")?;
/// let refused = registration.submit().await.unwrap_err();
/// let SubmitError::NotValid(fields) = refused else { panic!("the password is too short") };
/// assert_eq!(messages(&fields[&PASSWORD]), ["A password has at least 8 characters."]);
/// # Ok(())
/// # }
/// ```
pub struct RegistrationForm<A> {
    /// Shared with the rules, which ask it in tasks of the form. The form itself uses it to register.
    accounts: Arc<A>,
    form: Form,
}

impl<A> fmt::Debug for RegistrationForm<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrationForm").finish_non_exhaustive()
    }
}

impl<A: Accounts> RegistrationForm<A> {
    /// Makes an empty form.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] of the form's rules.
    pub fn new(accounts: A) -> Result<Self, ConfigError> {
        let accounts = Arc::new(accounts);
        let after =
            |millis| Checking { debounce: Duration::from_millis(millis), ..Checking::default() };
        // Each rule owns the service together with the others: a check runs in a task, which cannot borrow.
        let ask = |question| Ask { accounts: Arc::clone(&accounts), question };
        // The order of the rules is that of their errors on the page. The plain rules decide whether the service is
        // asked at all: without them it would be asked about names of one letter. The rule across two fields belongs
        // to the username alone; the form runs it when either field changes.
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
            // Three rules and not one that asks three questions: they run at the same time, each has its own kept
            // verdicts, and a failure of one leaves the answers of the others.
            .rule(EMAIL, ask(Question::Domain), after(300))
            .rule(EMAIL, ask(Question::Disposable), after(300))
            .rule(EMAIL, ask(Question::Blocked), after(300))
            .sync_rule(PASSWORD, "password-length", &[], |text, _| {
                length(text, 8, PASSWORD_TOO_SHORT)
            })
            .build()?;
        Ok(Self { accounts, form })
    }

    /// Returns the form, to set fields and to watch them.
    // starter: keep
    pub const fn form(&self) -> &Form {
        &self.form
    }

    /// Validates the form and registers an account, once. After a success the form is empty and pristine.
    ///
    /// The status 409 with the field `username` or `email` becomes an error of that field: [`USERNAME_TAKEN`] or
    /// [`EMAIL_TAKEN`]. Every other status from 400 to 499 becomes the error [`REFUSED`] of the form, and every other
    /// failure [`TRY_LATER`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`].
    ///
    /// # Cancellation
    ///
    /// As of [`Form::submit`].
    pub async fn submit(&self) -> Result<AccountId, SubmitError> {
        // `values` are those that were validated. They are not read from the form here, since the user may have typed
        // on.
        let send = |values: Snapshot| async move {
            let value = |field| values.get(field).unwrap_or_default().to_owned();
            let (username, email, password) = (value(USERNAME), value(EMAIL), value(PASSWORD));
            let registration = Registration { username, email, password };
            // Not tried again after a missing answer: the account may exist, and a second attempt would report the
            // user's own name as taken.
            let account = self.accounts.register(registration).await;
            let account = account.map_err(|error| server_errors(&error))?;
            // Inside of `send`, while the submit is still under way. After its end a submit of another thread could
            // begin before the reset, find the form valid, and register the account again.
            self.form.reset();
            Ok(account)
        };
        self.form.submit(send).await
    }
}

/// Returns the message of an error for the user, or `None` if this form does not have the code.
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

/// Returns the messages that a page shows below a field: those of its errors in their order, then one if checks failed.
///
/// A failed check of the username has another message than one of the email.
#[must_use]
pub fn messages(status: &FieldStatus) -> Vec<&'static str> {
    let (errors, failed) = match status {
        FieldStatus::Invalid { errors, .. } => (errors.as_slice(), [].as_slice()),
        FieldStatus::Unknown { errors, failed, .. } => (errors.as_slice(), failed.as_slice()),
        // A pending field shows no error: an earlier one was about another value.
        FieldStatus::Pristine | FieldStatus::Pending | FieldStatus::Valid { .. } => {
            return Vec::new();
        }
    };
    let failed = failed.iter().map(|check| match check.rule {
        USERNAME_FREE => "We cannot see at the moment whether this username is free.",
        _ => "We cannot check this email at the moment.",
    });
    let mut texts: Vec<_> = errors.iter().filter_map(|code| message(*code)).chain(failed).collect();
    // Three checks of the email may fail, with one message. Equal messages stand side by side, so this finds them.
    texts.dedup();
    texts
}

/// The errors that a failed registration adds to the form. The order of the arms matters: a conflict about a known
/// field comes before the other refusals.
fn server_errors(error: &RegisterError) -> ServerErrors {
    let (field, form) = match error {
        RegisterError::Status { status: 409, field: Some(field) } if field == USERNAME.as_str() => {
            (Some((USERNAME, USERNAME_TAKEN)), None)
        }
        RegisterError::Status { status: 409, field: Some(field) } if field == EMAIL.as_str() => {
            (Some((EMAIL, EMAIL_TAKEN)), None)
        }
        // Also a 409 about a field that this form does not have. It must not be lost, so it is an error of the whole
        // form.
        RegisterError::Status { status: 400..=499, .. } => (None, Some(REFUSED)),
        RegisterError::Status { .. } | RegisterError::NoAnswer => (None, Some(TRY_LATER)),
    };
    ServerErrors { fields: field.into_iter().collect(), form: form.into_iter().collect() }
}

/// The rule that a text is required and has at least `least` characters. It has one error: an empty field is not also
/// too short.
fn length(text: &str, least: usize, too_short: Code) -> Verdict {
    // Characters are counted and not bytes: "é" is one character of two bytes.
    if text.trim().is_empty() {
        Verdict::error(REQUIRED)
    } else if text.chars().count() < least {
        Verdict::error(too_short)
    } else {
        Verdict::ok()
    }
}

/// The rule that an email is required and has the form of an address: one `@` between a name and a domain of at least
/// two parts.
fn syntax(email: &str) -> Verdict {
    if email.trim().is_empty() {
        return Verdict::error(REQUIRED);
    }
    // Deliberately coarse. A stricter rule would refuse addresses that exist; whether mail arrives is asked of the
    // service.
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

/// The rule across two fields: the username differs from the name in the email. It belongs to the username and reads
/// the email, so its error goes when either field changes.
fn unlike_email(username: &str, form: &Snapshot) -> Verdict {
    let email = form.get(EMAIL).unwrap_or_default();
    match email.split_once('@') {
        // An empty username has one error, that of `length`. An email such as `@a.example` has an empty name too, and
        // must not add a second one.
        _ if username.trim().is_empty() => Verdict::ok(),
        Some((name, _)) if name.to_lowercase() == username.to_lowercase() => {
            Verdict::error(TOO_SIMILAR)
        }
        _ => Verdict::ok(),
    }
}

/// The questions that rules ask the service.
#[derive(Clone, Copy)]
enum Question {
    Free,
    Domain,
    Disposable,
    Blocked,
}

/// A rule that asks the service one question. One type for all four: they differ in the question and in nothing else.
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
        // Two questions are about a fault, so their answers are negated. A failure of the service passes through `?`:
        // without an answer the value is neither right nor wrong.
        let (accepted, code) = match self.question {
            Question::Free => (self.accounts.is_free(value).await?, USERNAME_TAKEN),
            Question::Domain => (self.accounts.has_domain(value).await?, EMAIL_DOMAIN),
            Question::Disposable => (!self.accounts.is_disposable(value).await?, EMAIL_DISPOSABLE),
            Question::Blocked => (!self.accounts.is_blocked(value).await?, EMAIL_BLOCKED),
        };
        Ok(if accepted { Verdict::ok() } else { Verdict::error(code) })
    }
}
