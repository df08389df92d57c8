//! What the form sends, and what it shows of the outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::future::join;
use grader_kit::{Cx, Fail, Outcome, ensure_eq, ms};
use level5::form_validator::{CheckFailed, FieldId, FormStatus, SubmitError};
use level5::registration::{
    AccountId, Accounts, EMAIL, EMAIL_TAKEN, PASSWORD, REFUSED, RegisterError, Registration,
    RegistrationForm, TRY_LATER, USERNAME, USERNAME_TAKEN,
};
use tokio::runtime::Builder;
use tokio::time::sleep;

use super::fakes::{Says, Users};
use super::{SUBMIT, Stage};

const FIELDS: [FieldId; 3] = [USERNAME, EMAIL, PASSWORD];

async fn fills(stage: &Stage<'_>, name: &str, password: &str) -> Outcome {
    for (field, value) in [(USERNAME, name), (EMAIL, "mail@example.com"), (PASSWORD, password)] {
        stage.types(field, value).await?;
    }
    Ok(())
}

/// The outcome of a submit as a message shows it.
fn outcome(outcome: &Result<AccountId, SubmitError>) -> String {
    match outcome {
        Ok(AccountId(number)) => format!("account {number}"),
        Err(SubmitError::NotValid(_)) => "not valid".to_owned(),
        Err(SubmitError::AlreadySubmitting) => "already submitting".to_owned(),
        Err(SubmitError::Refused(errors)) => {
            let fields = errors.fields.iter().map(|(field, code)| format!("{field} {code}"));
            let form = errors.form.iter().map(|code| format!("form {code}"));
            fields.chain(form).collect::<Vec<_>>().join(", ")
        }
    }
}

pub async fn registers_what_was_typed(cx: Cx) -> Outcome {
    const HELP: &str = "`Form::submit` waits for the checks and sends once; hand the three values to `register` as they are";
    let users = Users::new(cx.timeline());
    let stage = Stage::new(&cx, &users).await?;
    let mut draw = cx.draw();
    let (name, password) = (format!(" {} Ä", draw.word()), format!(" {}  X ", "é".repeat(8)));
    // Not valid: nothing is filled in, then a name is taken.
    let sent = cx.call(SUBMIT, stage.page.submit()).await?.value;
    ensure_eq!(outcome(&sent), "not valid", "an empty form is sent"; help = HELP);
    users.says("free", Says::No);
    fills(&stage, "taken", &password).await?;
    let sent = cx.call(SUBMIT, stage.page.submit()).await?.value;
    ensure_eq!(outcome(&sent), "not valid", "a form is sent whose username is taken"; help = HELP);
    ensure_eq!(users.registered().len(), 0, "registrations of forms that are not valid"; help = HELP);
    users.says("free", Says::Yes);
    fills(&stage, &name, &password).await?;
    let later = async {
        sleep(ms(50)).await;
        stage.page.submit().await
    };
    let (first, second) = cx.call(SUBMIT, join(stage.page.submit(), later)).await?.value;
    ensure_eq!((outcome(&first).as_str(), outcome(&second).as_str()), ("account 1", "already submitting"), "two clicks"; help = HELP);
    let email = "mail@example.com".to_owned();
    ensure_eq!(users.registered(), [Registration { username: name, email, password }], "what was registered"; help = HELP);
    registers_what_was_validated(&cx).await
}

/// The user types on while the checks of a submit run, and while the account is registered.
async fn registers_what_was_validated(cx: &Cx) -> Outcome {
    const HELP: &str = "`Form::submit` hands the values that it has validated to its function: register those, and read none from the form";
    let mut draw = cx.draw();
    for during_the_checks in [true, false] {
        // The email is checked for 200 ms, and then the username, whose rules read it.
        let at = if during_the_checks { draw.between(1..=399) } else { draw.between(401..=499) };
        for field in FIELDS {
            let users = Users::new(cx.timeline());
            let stage = Stage::new(cx, &users).await?;
            fills(&stage, "anna", "12345678").await?;
            let changed = if field == EMAIL { "new@example.com" } else { "a new value" };
            let types = async {
                sleep(ms(at)).await;
                stage.page.form().set(field, changed)
            };
            let (sent, _) = cx.call(SUBMIT, join(stage.page.submit(), types)).await?.value;
            let value = |of: FieldId, typed: &str| {
                if of == field && during_the_checks { changed.to_owned() } else { typed.to_owned() }
            };
            let expected = Registration {
                username: value(USERNAME, "anna"),
                email: value(EMAIL, "mail@example.com"),
                password: value(PASSWORD, "12345678"),
            };
            let mut registered = users.registered();
            // No service is asked about a password: whether it was found valid before or after the change is open.
            if let [only] = registered.as_mut_slice()
                && field == PASSWORD
                && during_the_checks
                && only.password == "12345678"
            {
                only.password.clone_from(&expected.password);
            }
            ensure_eq!((outcome(&sent), registered), ("account 1".to_owned(), vec![expected]), "a submit whose checks take 400 ms and whose registration takes 100 ms, and after {at} ms the user types `{changed}` as {field}: the outcome, and what was registered"; help = HELP);
        }
    }
    Ok(())
}

pub async fn a_conflict_lands_on_its_field(cx: Cx) -> Outcome {
    const HELP: &str =
        "status 409 with the field's name: an error of that field in `ServerErrors::fields`";
    for (field, other, code) in [(EMAIL, USERNAME, EMAIL_TAKEN), (USERNAME, EMAIL, USERNAME_TAKEN)]
    {
        let users = Users::new(cx.timeline());
        let stage = Stage::new(&cx, &users).await?;
        fills(&stage, "anna", "12345678").await?;
        users
            .refuses(RegisterError::Status { status: 409, field: Some(field.as_str().to_owned()) });
        let sent = cx.call(SUBMIT, stage.page.submit()).await?.value;
        ensure_eq!(outcome(&sent), format!("{field} {code}"), "status 409 with the field `{field}`"; help = HELP);
        stage.shows(
            field,
            code.as_str(),
            "the server answered with a conflict of this field",
            HELP,
        )?;
        for valid in [other, PASSWORD] {
            stage.shows(
                valid,
                "valid",
                &format!("the server answered with a conflict of {field}"),
                HELP,
            )?;
        }
        let again = stage.now() + 5000;
        stage
            .shows_at(
                again,
                field,
                code.as_str(),
                "a while later",
                "the error stays until the field changes",
            )
            .await?;
        const STAYS: &str = "the error stays until the field itself changes";
        let registered = users.registered().len();
        let sent = cx.call(SUBMIT, stage.page.submit()).await?.value;
        ensure_eq!((outcome(&sent).as_str(), users.registered().len()), ("not valid", registered), "the same form is sent again after a conflict of {field}: the outcome, and the registrations so far"; help = STAYS);
        let changed = if other == EMAIL { "another@example.com" } else { "berta" };
        stage.types(other, changed).await?;
        stage.types(PASSWORD, "another password").await?;
        let again = stage.now() + 1000;
        stage
            .shows_at(again, field, code.as_str(), "the two other fields were changed", STAYS)
            .await?;
        let value = if field == EMAIL { "other@example.com" } else { "otto" };
        stage.types(field, value).await?;
        stage.shows_at(again + 1000, field, "valid", "the field was changed", HELP).await?;
        let sent = cx.call(SUBMIT, stage.page.submit()).await?.value;
        ensure_eq!(outcome(&sent), "account 2", "the form is sent again, with another value"; help = HELP);
    }
    Ok(())
}

pub async fn other_failures_are_the_forms(cx: Cx) -> Outcome {
    const HELP: &str = "only 409 with one of the two names is an error of a field; 400 to 499 is `REFUSED`, and the rest is `TRY_LATER`";
    let of = |status, field: Option<&str>| RegisterError::Status {
        status,
        field: field.map(str::to_owned),
    };
    let mut draw = cx.draw();
    let drawn = u16::try_from(draw.between(500..=599)).unwrap_or(500);
    let mut cases = vec![
        (of(409, None), REFUSED),
        (of(409, Some("plan")), REFUSED),
        (of(409, Some("password")), REFUSED),
        (of(409, Some("")), REFUSED),
        // Names of no field of this form.
        (of(409, Some("Email")), REFUSED),
        (of(409, Some("USERNAME")), REFUSED),
        (of(409, Some(" email")), REFUSED),
        (of(409, Some("usernames")), REFUSED),
        (of(400, Some("email")), REFUSED),
        (of(410, Some("email")), REFUSED),
        (of(422, Some("username")), REFUSED),
        (of(499, None), REFUSED),
        (of(500, Some("email")), TRY_LATER),
        (of(drawn, None), TRY_LATER),
        (of(304, None), TRY_LATER),
        (of(399, Some("username")), TRY_LATER),
        (RegisterError::NoAnswer, TRY_LATER),
        (of(0, None), TRY_LATER),
        (of(u16::MAX, Some("email")), TRY_LATER),
    ];
    // Every status that a server may refuse with, and with 409 no field of the form.
    for status in 400..=499 {
        let field = *draw.pick(&[None, Some("plan"), Some("username"), Some("email")]);
        cases.push((of(status, field.filter(|_| status != 409)), REFUSED));
    }
    for _ in 0..20 {
        let (low, high) = (draw.between(100..=399), draw.between(500..=u64::from(u16::MAX)));
        for status in [low, high] {
            cases.push((of(u16::try_from(status).unwrap_or(500), None), TRY_LATER));
        }
    }
    let users = Users::new(cx.timeline());
    let stage = Stage::new(&cx, &users).await?;
    fills(&stage, "anna", "12345678").await?;
    for (error, code) in cases {
        users.refuses(error.clone());
        let sent = cx.call(SUBMIT, stage.page.submit()).await?.value;
        ensure_eq!(outcome(&sent), format!("form {code}"), "the server: {error:?}"; help = HELP);
        for field in FIELDS {
            stage.shows(field, "valid", &format!("the server: {error:?}"), HELP)?;
        }
    }
    Ok(())
}

pub async fn empties_after_success(cx: Cx) -> Outcome {
    const HELP: &str = "`Form::reset` when the registration has succeeded, and only then";
    const INSIDE: &str = "empty the form inside of the function that `Form::submit` calls: the submit is under way until it returns";
    let users = Users::new(cx.timeline());
    let stage = Stage::new(&cx, &users).await?;
    fills(&stage, "anna", "12345678").await?;
    users.refuses(RegisterError::NoAnswer);
    let sent = cx.call(SUBMIT, stage.page.submit()).await?.value;
    ensure_eq!(sent.is_err(), true, "the server gives no answer, and `submit` returns a success");
    let value =
        |field| stage.page.form().value(field).map_err(|error| Fail::new(error.to_string()));
    for (field, expected) in FIELDS.into_iter().zip(["anna", "mail@example.com", "12345678"]) {
        ensure_eq!(value(field)?, expected, "the value of {field}, after a failure"; help = HELP);
    }
    let sent = cx.call(SUBMIT, stage.page.submit()).await?.value;
    ensure_eq!(outcome(&sent), "account 2", "the same form, sent again");
    let asked = users.asked().len();
    for wait in [0, 60_000] {
        sleep(ms(wait)).await;
        for field in FIELDS {
            ensure_eq!(value(field)?, "", "the value of {field}, {wait} ms after a success"; help = HELP);
            stage.shows(field, "pristine", &format!("{wait} ms after a success"), HELP)?;
        }
        ensure_eq!(stage.form_status(), FormStatus::Pristine, "the status of the form, {wait} ms after a success"; help = HELP);
    }
    ensure_eq!(users.asked().len(), asked, "what was asked after a success"; help = HELP);
    // An impatient user, who clicks again and again in the moment of the success.
    fills(&stage, "anna", "12345678").await?;
    stage.at(stage.now() + 1000).await;
    let before = users.registered().len();
    let again = async {
        sleep(ms(100)).await;
        for _ in 0..64 {
            match stage.page.submit().await {
                Err(SubmitError::AlreadySubmitting) => tokio::task::yield_now().await,
                other => return other,
            }
        }
        Err(SubmitError::AlreadySubmitting)
    };
    let (first, second) = cx.call(SUBMIT, join(stage.page.submit(), again)).await?.value;
    ensure_eq!(outcome(&first), format!("account {}", before + 1), "a registration"; help = INSIDE);
    ensure_eq!(outcome(&second), "not valid", "the first click after a success"; help = INSIDE);
    ensure_eq!(users.registered().len(), before + 1, "registrations, with a click in the moment of the success"; help = INSIDE);
    Ok(())
}

/// The real time after which no further round begins.
const BUDGET: Duration = Duration::from_secs(10);
/// How many threads submit at once.
const THREADS: usize = 4;

pub async fn threads_register_once(cx: Cx) -> Outcome {
    const HELP: &str = "empty the form inside of the function that `Form::submit` calls: the submit is under way until it returns";
    let counts = Counts::default();
    let accounts = counts.clone();
    let page = cx.call_fn("RegistrationForm::new", || RegistrationForm::new(accounts)).await?;
    let page = Arc::new(page.map_err(|error| Fail::new(error.to_string()))?);
    // By the real time: on a busy machine the threads keep one another from their lock for long, and a round may take a
    // second. A run that has seen fewer rounds is a weaker test, and no failure.
    let began = std::time::Instant::now();
    for round in 1..=100 {
        if began.elapsed() > BUDGET {
            break;
        }
        for (field, value) in
            [(USERNAME, "anna"), (EMAIL, "mail@example.com"), (PASSWORD, "12345678")]
        {
            let set = cx.call_fn("Form::set", || page.form().set(field, value)).await?;
            set.map_err(|error| Fail::new(error.to_string()))?;
        }
        // All verdicts are known afterwards: no submit has to wait.
        cx.call("Form::validate_all", page.form().validate_all()).await?;
        let shared = Arc::clone(&page);
        cx.on_threads(SUBMIT, THREADS, move |_| {
            let Ok(runtime) = Builder::new_current_thread().enable_time().build() else { return };
            runtime.block_on(async {
                while shared.submit().await == Err(SubmitError::AlreadySubmitting) {}
            });
        })?;
        ensure_eq!(counts.0.load(SeqCst), round, "registrations, when the form was filled in {round} times and {THREADS} threads submitted at once each time"; help = HELP);
    }
    Ok(())
}

/// A service that likes everything at once, and counts registrations.
#[derive(Clone, Default)]
struct Counts(Arc<AtomicUsize>);

impl Accounts for Counts {
    async fn is_free(&self, _: &str) -> Result<bool, CheckFailed> {
        Ok(true)
    }

    async fn has_domain(&self, _: &str) -> Result<bool, CheckFailed> {
        Ok(true)
    }

    async fn is_disposable(&self, _: &str) -> Result<bool, CheckFailed> {
        Ok(false)
    }

    async fn is_blocked(&self, _: &str) -> Result<bool, CheckFailed> {
        Ok(false)
    }

    async fn register(&self, _: Registration) -> Result<AccountId, RegisterError> {
        self.0.fetch_add(1, SeqCst);
        // The other threads try again and again meanwhile.
        for _ in 0..3 {
            std::thread::yield_now();
        }
        Ok(AccountId(1))
    }
}
