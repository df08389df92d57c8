//! Sending a form, and what its server says.

use std::cell::{Cell, RefCell};

use futures::future::{join, join3};
use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ensure_eq, ms};
use level5::form_validator::{
    CheckFailed, Code, FieldId, FieldStatus, FormStatus, ServerErrors, Snapshot, SubmitError,
    Verdict,
};
use tokio::time::sleep;

use super::fakes::{Ends, Service};
use super::{
    AGAIN, EMAIL, NAME, PASSWORD, SHORT, SUBMIT, Stage, TAKEN, WEAK, after, at_least, same_as,
    shown,
};

/// A server that takes 100 ms, notes what it gets, and answers with a number or with these errors.
struct Server<'a> {
    stage: &'a Stage<'a>,
    got: RefCell<Vec<String>>,
    errors: RefCell<Option<ServerErrors>>,
    ended: Cell<usize>,
}

impl<'a> Server<'a> {
    fn new(stage: &'a Stage<'a>) -> Self {
        let (got, errors, ended) = (RefCell::default(), RefCell::default(), Cell::new(0));
        Self { stage, got, errors, ended }
    }

    fn refuses(&self, fields: &[(FieldId, Code)], form: &[Code]) {
        let errors = ServerErrors { fields: fields.to_vec(), form: form.to_vec() };
        *self.errors.borrow_mut() = Some(errors);
    }

    async fn send(&self, values: Snapshot) -> Result<u32, ServerErrors> {
        let values = values.iter().map(|(field, value)| format!("{field}={value}"));
        let got = format!("{}@{}", values.collect::<Vec<_>>().join(" "), self.stage.now());
        self.stage.cx.timeline().record("the server", format!("gets {got}"));
        self.got.borrow_mut().push(got);
        sleep(ms(100)).await;
        self.ended.set(self.ended.get() + 1);
        match self.errors.borrow_mut().take() {
            None => Ok(7),
            Some(errors) => Err(errors),
        }
    }

    async fn submit(&self) -> Result<u32, SubmitError> {
        self.stage.form.submit(|values| self.send(values)).await
    }

    fn got(&self) -> Vec<String> {
        self.got.borrow().clone()
    }
}

/// The outcome of a submit as a message shows it.
fn outcome(outcome: &Result<u32, SubmitError>) -> String {
    match outcome {
        Ok(number) => format!("sent: {number}"),
        Err(SubmitError::AlreadySubmitting) => "already submitting".to_owned(),
        Err(SubmitError::NotValid(fields)) => {
            let fields = fields.iter().map(|(field, status)| format!("{field} {}", shown(status)));
            format!("not valid: {}", fields.collect::<Vec<_>>().join("; "))
        }
        Err(SubmitError::Refused(errors)) => {
            let fields = errors.fields.iter().map(|(field, code)| format!("{field} {code}"));
            let all = fields.chain(errors.form.iter().map(Code::to_string));
            format!("refused: {}", all.collect::<Vec<_>>().join("; "))
        }
    }
}

pub async fn submit_waits_for_checks(cx: Cx) -> Outcome {
    const HELP: &str =
        "validate all, wait until no field is pending, and send what was validated, once";
    let service = Service::new(cx.timeline(), "free", 200);
    let stage = Stage::new(&cx, |form| {
        form.field(EMAIL).field(NAME).rule(NAME, service.clone(), after(100))
    })
    .await?;
    let server = Server::new(&stage);
    let unpolled = server.submit();
    drop(unpolled);
    stage.shows(
        EMAIL,
        "pristine",
        "a `submit` that was not polled",
        "a future does nothing before its first poll",
    )?;
    stage.set(NAME, "a").await?;
    stage.at(150).await;
    let sent = cx.call(SUBMIT, server.submit()).await?.value;
    ensure_eq!(outcome(&sent), "sent: 7", "a form is sent while a check runs"; help = HELP);
    ensure_eq!(server.got(), ["email= name=a@300"], "what the server got: a check runs from 100 to 300 ms, and `submit` is called at 150 ms"; help = HELP);
    // A check that waits; then one that finds an error.
    stage.set_at(1000, NAME, "b").await?;
    let sent = cx.call(SUBMIT, server.submit()).await?.value;
    ensure_eq!((outcome(&sent).as_str(), server.got().last().map(String::as_str)), ("sent: 7", Some("email= name=b@1200")), "a form is sent while a check waits for its debounce, at 1000 ms; the check takes 200 ms"; help = HELP);
    service.ends("c", Ends::With(Verdict::error(TAKEN)));
    stage.set_at(2000, NAME, "c").await?;
    let sent = cx.call(SUBMIT, server.submit()).await?.value;
    ensure_eq!(outcome(&sent), "not valid: email valid; name invalid: taken", "a form is sent while a check runs that will find an error"; help = HELP);
    // The user goes on typing.
    service.takes("e", 500);
    stage.set_at(3000, NAME, "d").await?;
    let types = async {
        sleep(ms(150)).await;
        stage.form.set(NAME, "e")
    };
    let (sent, _) = cx.call(SUBMIT, join(server.submit(), types)).await?.value;
    ensure_eq!(outcome(&sent), "sent: 7", "a form is sent, and a field is set while its check runs"; help = HELP);
    let got = server.got();
    let last = got.last().map(|got| got.split('@').next().unwrap_or_default().to_owned());
    ensure_eq!(last.as_deref(), Some("email= name=e"), "what the server got: a field is set while `submit` waits for its check"; help = "send the values that were validated last");
    let asked = service.asked();
    let last = asked.last().map(String::as_str).unwrap_or_default();
    ensure!(last.starts_with("e@") && last.contains('-'), "the value that was sent was not checked to the end: {last}"; help = HELP);
    ensure_eq!(got.len(), 3, "how often the server got a form, in three submits that were valid"; help = HELP);
    Ok(())
}

pub async fn submits_only_valid_forms(cx: Cx) -> Outcome {
    const HELP: &str = "send only if every status is `Valid`; return all statuses otherwise";
    let service = Service::new(cx.timeline(), "free", 50);
    service.ends("bad", Ends::With(Verdict { errors: vec![TAKEN], warnings: vec![WEAK] }));
    service.ends("broken", Ends::Fails(CheckFailed::Unavailable("down".to_owned())));
    let stage = Stage::new(&cx, |form| {
        form.field(NAME)
            .field(EMAIL)
            .field(PASSWORD)
            .rule(NAME, service.clone(), after(100))
            .sync_rule(EMAIL, "required", &[], at_least(1))
    })
    .await?;
    let server = Server::new(&stage);
    for (name, email, expected) in [
        ("", "", "not valid: email invalid: short; name valid; password valid"),
        ("bad", "e", "not valid: email valid; name invalid: taken, warned: weak; password valid"),
        (
            "broken",
            "e",
            "not valid: email valid; name unknown (free: the check is not available: down); password valid",
        ),
        ("good", "e", "sent: 7"),
        ("good", "", "not valid: email invalid: short; name valid; password valid"),
    ] {
        if !(name.is_empty() && email.is_empty()) {
            stage.set(NAME, name).await?;
            stage.set(EMAIL, email).await?;
        }
        let sent = cx.call(SUBMIT, server.submit()).await?.value;
        ensure_eq!(outcome(&sent), expected, "name `{name}` and email `{email}`"; help = HELP);
    }
    ensure_eq!(server.got().len(), 1, "one of five submits was valid; how many the server got"; help = HELP);
    Ok(())
}

pub async fn submits_once(cx: Cx) -> Outcome {
    const HELP: &str =
        "a flag that the first submit sets, and that a guard clears when it ends, in every way";
    let service = Service::new(cx.timeline(), "free", 100);
    let stage =
        Stage::new(&cx, |form| form.field(NAME).rule(NAME, service.clone(), after(0))).await?;
    let server = Server::new(&stage);
    stage.set(NAME, "a").await?;
    let later = async |at| {
        sleep(ms(at)).await;
        let sent = server.submit().await;
        format!("{} at {} ms", outcome(&sent), stage.now())
    };
    let (first, second, third) =
        cx.call(SUBMIT, join3(server.submit(), later(50), later(150))).await?.value;
    let seen = [outcome(&first), second, third];
    ensure_eq!(
        seen,
        ["sent: 7", "already submitting at 50 ms", "already submitting at 150 ms"],
        "a check runs until 100 ms and the server takes 100 ms more; submits at 0, 50 and 150 ms"; help = HELP
    );
    ensure_eq!(server.got(), ["name=a@100"], "what the server got"; help = HELP);
    let next = cx.call(SUBMIT, server.submit()).await?.value;
    ensure_eq!(outcome(&next), "sent: 7", "a submit after another one has ended"; help = HELP);
    // Dropped while it waits, and while it sends.
    let began = stage.now();
    stage.set(NAME, "b").await?;
    dropped_at(&cx, SUBMIT, 50, server.submit()).await?;
    stage.at(began + 300).await;
    ensure_eq!(server.got().len(), 2, "how many forms the server got; the third submit was dropped while it waited for a check"; help = "a submit that is dropped sends nothing: no task of its own");
    stage.shows(
        NAME,
        "valid",
        "a submit was dropped while it waited for a check",
        "the check belongs to the form and goes on",
    )?;
    dropped_at(&cx, SUBMIT, 50, server.submit()).await?;
    stage.at(began + 600).await;
    ensure_eq!((server.got().len(), server.ended.get()), (3, 2), "a submit was dropped while the server worked: what the server got, and how many it has answered"; help = "dropping a submit drops the future of `send`");
    let next = cx.call(SUBMIT, server.submit()).await?.value;
    ensure_eq!(outcome(&next), "sent: 7", "a submit after two that were dropped"; help = HELP);
    // An invalid one, and a panic.
    let panics = stage.form.submit(|_| async {
        sleep(ms(10)).await;
        std::panic::resume_unwind(Box::new("no luck"));
        #[expect(unreachable_code, reason = "it gives the future its type")]
        Ok::<u32, ServerErrors>(0)
    });
    let panics = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(panics));
    let passed = cx.call(SUBMIT, panics).await?.value.is_err();
    ensure!(passed, "`send` panics, and `submit` returns"; expected = "the panic reaches the caller");
    let next = cx.call(SUBMIT, server.submit()).await?.value;
    ensure_eq!(outcome(&next), "sent: 7", "a submit after one whose `send` panicked"; help = HELP);
    service.ends("c", Ends::With(Verdict::error(TAKEN)));
    stage.set(NAME, "c").await?;
    for call in 1..=2 {
        let next = cx.call(SUBMIT, server.submit()).await?.value;
        ensure_eq!(outcome(&next), "not valid: name invalid: taken", "submit number {call} of an invalid form"; help = HELP);
    }
    stays_under_way(&cx).await
}

/// What is done with the form while a submit waits or sends.
#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    Reset,
    ResetAndFilledIn,
    Set,
    SetToTheSame,
    Validate,
    ValidateAll,
    /// One that is refused, since the first one is under way.
    SubmitTwice,
    /// One that is polled and dropped.
    SubmitAndLeave,
}

/// Whatever is done with the form meanwhile: the submit is under way until it ends, and then the next one may begin.
async fn stays_under_way(cx: &Cx) -> Outcome {
    const HELP: &str = "only the end of the submit that is under way lets the next one begin: no `reset`, no new value and no other call";
    let mut draw = cx.draw();
    for meanwhile in [
        Meanwhile::Reset,
        Meanwhile::ResetAndFilledIn,
        Meanwhile::Set,
        Meanwhile::SetToTheSame,
        Meanwhile::Validate,
        Meanwhile::ValidateAll,
        Meanwhile::SubmitTwice,
        Meanwhile::SubmitAndLeave,
    ] {
        for sends in [false, true] {
            let service = Service::new(cx.timeline(), "free", 100);
            let stage =
                Stage::new(cx, |form| form.field(NAME).rule(NAME, service.clone(), after(0)))
                    .await?;
            let server = Server::new(&stage);
            stage.set(NAME, "a").await?;
            // It waits for the check until 100 ms, and sends until 200 ms.
            let at = if sends { draw.between(101..=150) } else { draw.between(1..=50) };
            let disturbs = async {
                sleep(ms(at)).await;
                let form = &stage.form;
                match meanwhile {
                    Meanwhile::Reset => form.reset(),
                    Meanwhile::ResetAndFilledIn => {
                        form.reset();
                        let _ = form.set(NAME, "b");
                    }
                    Meanwhile::Set => drop(form.set(NAME, "b")),
                    Meanwhile::SetToTheSame => drop(form.set(NAME, "a")),
                    Meanwhile::Validate => {
                        let _ = futures::FutureExt::now_or_never(form.validate(NAME));
                    }
                    Meanwhile::ValidateAll => {
                        let _ = futures::FutureExt::now_or_never(form.validate_all());
                    }
                    Meanwhile::SubmitTwice => {
                        drop(server.submit().await);
                        drop(server.submit().await);
                    }
                    Meanwhile::SubmitAndLeave => {
                        let _ = futures::FutureExt::now_or_never(server.submit());
                    }
                }
                sleep(ms(10)).await;
                server.submit().await
            };
            // It ends in any case: also if it has to wait for the answer about another value.
            let (first, second) = cx.call(SUBMIT, join(server.submit(), disturbs)).await?.value;
            let what = format!(
                "a submit {} after {at} ms, and then this is done: {meanwhile:?}",
                if sends { "is being sent" } else { "waits for a check" }
            );
            // A form that was reset while its submit waited has nothing to send any more: its submit may have ended.
            let reset = matches!(meanwhile, Meanwhile::Reset | Meanwhile::ResetAndFilledIn);
            let ended = !sends && reset && first.is_err();
            if !ended {
                ensure_eq!(outcome(&second), "already submitting", "{what}; another submit 10 ms later"; help = HELP);
            }
            if sends {
                ensure_eq!((outcome(&first), server.got()), ("sent: 7".to_owned(), vec!["name=a@100".to_owned()]), "{what}: the outcome of the first submit, and what the server got"; help = "what is on its way is not called back");
            }
            // A second one is sent alone; and only then.
            stage.set(NAME, "later").await?;
            let before = server.got().len();
            let next = cx.call(SUBMIT, server.submit()).await?.value;
            ensure_eq!((outcome(&next), server.got().len() - before), ("sent: 7".to_owned(), 1), "{what}; a submit after the first one has ended: its outcome, and how often the server gets a form"; help = HELP);
        }
    }
    Ok(())
}

/// Submits, and the outcome is this.
async fn refused(cx: &Cx, server: &Server<'_>, expected: &str, when: &str) -> Result<(), Fail> {
    let sent = cx.call(SUBMIT, server.submit()).await?.value;
    ensure_eq!(outcome(&sent), expected, "{when}");
    Ok(())
}

pub async fn server_errors_stay(cx: Cx) -> Outcome {
    const HELP: &str = "keep what the server said apart from the answers of rules, and clear it only when the value of the field changes";
    let service = Service::new(cx.timeline(), "free", 100).reads(&[EMAIL]);
    service.ends("b", Ends::With(Verdict::error(DIFFERS_FROM)));
    let stage = Stage::new(&cx, |form| {
        form.field(NAME)
            .field(EMAIL)
            .field(PASSWORD)
            .field(AGAIN)
            .rule(NAME, service.clone(), after(50))
            .sync_rule(PASSWORD, "weak", &[], |_, _| Verdict::warning(WEAK))
            .sync_rule(AGAIN, "same", &[PASSWORD], same_as(PASSWORD))
    })
    .await?;
    let server = Server::new(&stage);
    for (field, value) in [(NAME, "a"), (EMAIL, "e"), (PASSWORD, "p"), (AGAIN, "p")] {
        stage.set(field, value).await?;
    }
    let errors = [(NAME, TAKEN), (PASSWORD, SHORT), (AGAIN, TAKEN), (NAME, SHORT), (NAME, TAKEN)];
    server.refuses(&errors, &[WEAK]);
    let expected = "refused: name taken; password short; again taken; name short; name taken; weak";
    refused(&cx, &server, expected, "the server refuses a form").await?;
    let shown = |field, expected: &str, when: &str| stage.shows(field, expected, when, HELP);
    let when = "the server refused name, password and confirmation";
    shown(NAME, "invalid: taken, short", when)?;
    shown(PASSWORD, "invalid: short, warned: weak", when)?;
    shown(AGAIN, "invalid: taken", when)?;
    shown(EMAIL, "valid", when)?;
    ensure_eq!(stage.form_status(), FormStatus::Invalid, "{when}: the status of the form"; help = HELP);
    // A rule of another field's change; the answers of both are shown.
    let began = stage.now();
    stage.set(PASSWORD, "q").await?;
    shown(PASSWORD, "valid, warned: weak", "the field was changed")?;
    shown(AGAIN, "invalid: differs, taken", "a field that this one reads was changed")?;
    stage.set(EMAIL, "f").await?;
    stage.at(began + 200).await;
    shown(
        NAME,
        "invalid: taken, short",
        "a check that reads the email has run again, since that was changed",
    )?;
    let _ = cx.call("Form::validate", stage.form.validate(NAME)).await?;
    shown(NAME, "invalid: taken, short", "the field was validated again")?;
    stage.set(PASSWORD, "p").await?;
    let sent = "not valid: again invalid: taken; email valid; name invalid: taken, short; password valid, warned: weak";
    refused(&cx, &server, sent, "a form with errors of the server is sent again").await?;
    stage.set(NAME, "b").await?;
    shown(NAME, "pending", "the value was changed")?;
    stage.at(began + 500).await;
    shown(NAME, "invalid: differs", "the check of the new value has found an error")?;
    stage.set(NAME, "a").await?;
    stage.at(began + 900).await;
    shown(NAME, "valid", "the value that the server refused, after another one")?;
    stage.set(AGAIN, "").await?;
    stage.set(AGAIN, "p").await?;
    // A check that runs while the server answers.
    let types = async {
        sleep(ms(20)).await;
        stage.form.set(EMAIL, "g")
    };
    server.refuses(&[(NAME, TAKEN)], &[]);
    let (sent, _) = cx.call(SUBMIT, join(server.submit(), types)).await?.value;
    ensure_eq!(
        outcome(&sent),
        "refused: name taken",
        "the server refuses a form, while a check waits"
    );
    stage.at(began + 2000).await;
    shown(
        NAME,
        "invalid: taken",
        "the server refused the name, and then a check that ran has ended",
    )
}

const DIFFERS_FROM: Code = super::DIFFERS;

pub async fn server_errors_are_about_what_was_sent(cx: Cx) -> Outcome {
    const HELP: &str =
        "count the changes of each value, and let an error land only on the version that was sent";
    let stage = Stage::new(&cx, |form| form.field(NAME).field(EMAIL).field(PASSWORD)).await?;
    let server = Server::new(&stage);
    for (field, value) in [(NAME, "a"), (EMAIL, "e")] {
        stage.set(field, value).await?;
    }
    let absent = FieldId::new("absent");
    server.refuses(&[(absent, TAKEN), (NAME, TAKEN), (EMAIL, TAKEN), (PASSWORD, TAKEN)], &[]);
    let types = async {
        sleep(ms(30)).await;
        stage.form.set(NAME, "b")?;
        stage.form.set(PASSWORD, "p")?;
        // Tens of thousands of changes: a count of them in two bytes begins again.
        for number in 1..65_536 {
            stage.form.set(PASSWORD, if number % 2 == 0 { "p" } else { "q" })?;
        }
        Ok::<_, level5::form_validator::UnknownField>(())
    };
    let (sent, _) = cx.call(SUBMIT, join(server.submit(), types)).await?.value;
    ensure_eq!(
        outcome(&sent),
        "refused: absent taken; name taken; email taken; password taken",
        "the server refuses fields; `Refused` has all of its errors"
    );
    for (field, expected) in [(NAME, "valid"), (EMAIL, "invalid: taken"), (PASSWORD, "valid")] {
        stage.shows(
            field,
            expected,
            "the server refuses all fields; name and password were changed while it worked",
            HELP,
        )?;
    }
    // Reset while it is sent.
    stage.set(EMAIL, "f").await?;
    server.refuses(&[(EMAIL, TAKEN)], &[]);
    let resets = async {
        sleep(ms(30)).await;
        stage.form.reset();
    };
    let _ = cx.call(SUBMIT, join(server.submit(), resets)).await?;
    stage.shows(
        EMAIL,
        "pristine",
        "the form was reset while the server worked, which refuses the email",
        HELP,
    )
}

pub async fn warnings_do_not_block(cx: Cx) -> Outcome {
    const HELP: &str = "only `errors` make a field invalid";
    let service = Service::new(cx.timeline(), "free", 10);
    service.ends("a", Ends::With(Verdict::warning(TAKEN)));
    let stage = Stage::new(&cx, |form| {
        form.field(NAME).rule(NAME, service.clone(), after(10)).sync_rule(
            NAME,
            "plain",
            &[],
            |_, _| Verdict { errors: vec![], warnings: vec![WEAK, SHORT] },
        )
    })
    .await?;
    stage.set(NAME, "a").await?;
    stage.shows(
        NAME,
        "pending",
        "a plain rule warns",
        "a warning is no reason to ask no service",
    )?;
    stage
        .shows_at(
            20,
            NAME,
            "valid, warned: taken, weak, short",
            "a check and a plain rule warn",
            HELP,
        )
        .await?;
    ensure_eq!(stage.form_status(), FormStatus::Valid, "the status of a form with warnings"; help = HELP);
    let server = Server::new(&stage);
    let sent = cx.call(SUBMIT, server.submit()).await?.value;
    ensure_eq!(outcome(&sent), "sent: 7", "a form with warnings is sent"; help = HELP);
    let warned = stage.form.field(NAME).map(|status| status.borrow().clone());
    let expected = FieldStatus::Valid { warnings: vec![TAKEN, WEAK, SHORT] };
    ensure_eq!(warned, Ok(expected), "the status after that"; help = HELP);
    Ok(())
}
