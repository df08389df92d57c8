//! Reset and drop, and a form that has nothing to do.

use std::time::Duration;

use futures::future::join;
use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ensure_eq, ensure_still, moved, ms};
use level5::form_validator::{FieldStatus, FormStatus, ServerErrors, SubmitError, Verdict};
use tokio::time::sleep;

use super::fakes::{Ends, Service};
use super::{
    AGAIN, EMAIL, HOUR, NAME, PASSWORD, SUBMIT, Stage, TAKEN, VALIDATE, VALIDATE_ALL, after, shown,
};

pub async fn reset_makes_pristine(cx: Cx) -> Outcome {
    const HELP: &str = "empty all values, forget touches, answers and errors of the server, and drop what waits and runs";
    let service = Service::new(cx.timeline(), "free", 100).reads(&[EMAIL]);
    service.ends("bad", Ends::With(Verdict::error(TAKEN)));
    let stage = Stage::new(&cx, |form| {
        form.field(NAME)
            .field(EMAIL)
            .field(PASSWORD)
            .rule(NAME, service.clone(), after(50))
            .rule(PASSWORD, service.clone(), after(50))
            .sync_rule(EMAIL, "plain", &[], |_, _| Verdict::error(TAKEN))
    })
    .await?;
    // At 500 ms the name is invalid; then one check runs, and one waits.
    stage.set(NAME, "bad").await?;
    stage.set_at(380, PASSWORD, "x").await?;
    stage.set_at(450, EMAIL, "e").await?;
    stage.set_at(490, EMAIL, "f").await?;
    stage.at(500).await;
    let before = service.count();
    cx.call_fn("Form::reset", || stage.form.reset()).await?;
    for when in ["right after `reset`", "ten seconds after `reset`"] {
        for field in [NAME, EMAIL, PASSWORD] {
            stage.shows(field, "pristine", when, HELP)?;
            let value = stage.form.value(field).unwrap_or_default();
            ensure_eq!(value, "", "{when}: the value of {field}"; help = HELP);
        }
        ensure_eq!(stage.form_status(), FormStatus::Pristine, "{when}: the status of the form"; help = HELP);
        stage.at(stage.now() + 10_000).await;
    }
    ensure_eq!(service.count(), before, "the checks that began after `reset`"; help = HELP);
    ensure_eq!(service.running(), 0, "the checks that still run after `reset`"; help = HELP);
    // A caller who waits for a check that is dropped.
    stage.set(NAME, "slow").await?;
    let resets = async {
        sleep(ms(20)).await;
        stage.form.reset();
    };
    let (status, ()) = cx.call(VALIDATE, join(stage.form.validate(NAME), resets)).await?.value;
    let status = status.map_or_else(|error| error.to_string(), |status| shown(&status));
    ensure_eq!(status, "pristine", "`reset` while `validate` waits for a check: what it returns"; help = HELP);
    sent_before(&cx).await?;
    // It works as a new one.
    let began = stage.now();
    stage.set(EMAIL, "e").await?;
    stage.shows(
        NAME,
        "pristine",
        "a field that this one reads was set, after `reset`",
        "`reset` forgets that a field was touched",
    )?;
    stage.set(NAME, "good").await?;
    stage.shows_at(began + 150, NAME, "valid", "a field was set after `reset`", HELP).await
}

/// What the server says of a form that was reset meanwhile: its errors are about values that are gone.
async fn sent_before(cx: &Cx) -> Outcome {
    const HELP: &str =
        "`reset` is a change of every field: errors of what was sent before land nowhere";
    let fields = [NAME, EMAIL, PASSWORD, AGAIN];
    // With a value, set to nothing, and never set; and one that is filled in again with what was sent.
    for again in [None, Some("a"), Some("b")] {
        let stage =
            Stage::new(cx, |form| fields.into_iter().fold(form, |form, field| form.field(field)))
                .await?;
        stage.set(NAME, "a").await?;
        stage.set(EMAIL, "e").await?;
        stage.set(PASSWORD, "").await?;
        let refuses = |_| async {
            sleep(ms(100)).await;
            let fields = fields.map(|field| (field, TAKEN)).to_vec();
            Err::<(), _>(ServerErrors { fields, form: Vec::new() })
        };
        let resets = async {
            sleep(ms(50)).await;
            stage.form.reset();
            again.map_or(Ok(()), |value| stage.form.set(NAME, value))
        };
        let (sent, set) = cx.call(SUBMIT, join(stage.form.submit(refuses), resets)).await?.value;
        ensure!(matches!(sent, Err(SubmitError::Refused(_))) && set.is_ok(), "the server refuses a form that was reset meanwhile, and `submit` returns {sent:?}"; expected = "Refused");
        let then = again
            .map_or_else(String::new, |value| format!(", and the name set to `{value}` again"));
        let when = format!(
            "a form whose {NAME} is `a`, whose {EMAIL} is `e` and whose {PASSWORD} and {AGAIN} are empty is sent; meanwhile it is reset{then}, and the server refuses all fields"
        );
        for field in fields {
            let expected = if field == NAME && again.is_some() { "valid" } else { "pristine" };
            stage.shows(field, expected, &when, HELP)?;
        }
        ensure_eq!(stage.form_status(), FormStatus::Pristine, "{when}: the status of the form"; help = HELP);
    }
    Ok(())
}

pub async fn ends_with_the_form(cx: Cx) -> Outcome {
    const HELP: &str = "the form owns its tasks, and they do not own the form: a handle that aborts in its destructor, and a `Weak` reference to the state";
    let service = Service::new(cx.timeline(), "free", 1000);
    let tasks = cx.alive_tasks();
    let stage = Stage::new(&cx, |form| {
        form.field(NAME)
            .field(EMAIL)
            .field(PASSWORD)
            .rule(NAME, service.clone(), after(0))
            .rule(EMAIL, service.clone(), after(500))
            .rule(PASSWORD, service.clone(), after(0))
    })
    .await?;
    // A caller who leaves: the checks belong to the form.
    dropped_at(&cx, VALIDATE, 100, stage.form.validate(PASSWORD)).await?;
    dropped_at(&cx, VALIDATE_ALL, 100, stage.form.validate_all()).await?;
    stage.at(1300).await;
    for field in [NAME, EMAIL, PASSWORD] {
        stage.shows(
            field,
            "valid",
            "a `validate` and a `validate_all` were dropped after 100 ms; the checks take 1 s",
            "checks go on when their caller leaves; the field would stay pending",
        )?;
    }
    // Many values: no more tasks than checks.
    for number in 0..200 {
        stage.form.set(EMAIL, &number.to_string()).map_err(|error| Fail::new(error.to_string()))?;
    }
    cx.settle().await;
    let alive = cx.alive_tasks().saturating_sub(tasks);
    ensure!(alive <= 10, "200 values of a field, one after the other: {alive} tasks are alive";
        expected = "tasks for what waits and runs now, not for old values", help = HELP);
    stage.set(NAME, "a").await?;
    stage.at(1500).await;
    ensure_eq!(service.running(), 1, "the checks that run before the form is dropped");
    let (field, form) = (stage.form.field(NAME), stage.form.status());
    let mut field = field.map_err(|error| Fail::new(error.to_string()))?;
    let mut form = form;
    field.mark_unchanged();
    form.mark_unchanged();
    let count = service.count();
    cx.call_fn("drop(Form)", || drop(stage)).await?;
    cx.settle().await;
    ensure_eq!(service.running(), 0, "the checks that run after the form was dropped"; help = HELP);
    let alive = cx.alive_tasks().saturating_sub(tasks);
    ensure!(alive == 0, "the form was dropped, and {alive} of its tasks are left"; expected = "none", help = HELP);
    ensure!(field.changed().await.is_err() && form.changed().await.is_err(), "the form was dropped, and its receivers see a change"; expected = "their end", help = HELP);
    cx.pass(HOUR).await;
    ensure_eq!(service.count(), count, "checks that began after the form was dropped"; help = HELP);
    Ok(())
}

pub async fn sleeps_until_woken(cx: Cx) -> Outcome {
    const HELP: &str = "no loop in a form checks whether something has happened: a task sleeps until its debounce is over, and a caller awaits a change of the status";
    let service = Service::new(cx.timeline(), "free", 0);
    let hour = 3_600_000;
    service.takes("slow", hour - 1);
    let long = level5::form_validator::Checking { timeout: HOUR, ..after(100) };
    let stage = Stage::new(&cx, |form| {
        form.field(NAME).field(EMAIL).rule(NAME, service.clone(), long).rule(
            EMAIL,
            service.clone(),
            after(100),
        )
    })
    .await?;
    stage.set(EMAIL, "x").await?;
    let before = cx.parks();
    cx.pass(Duration::from_secs(60)).await;
    ensure_still(&cx, before, "a form whose check has ended, for a minute", HELP)?;
    cx.pass(168 * HOUR).await;
    stage.shows(EMAIL, "valid", "a week later", HELP)?;
    stage.set(NAME, "slow").await?;
    // A short while first: what wakes up all the time is found before it has cost much.
    let before = cx.parks();
    cx.pass(Duration::from_secs(60)).await;
    ensure_still(&cx, before, "a form whose check runs, for a minute", HELP)?;
    stage.set(NAME, "").await?;
    stage.set(NAME, "slow").await?;
    let before = cx.parks();
    let call = cx.call_within(2 * HOUR, VALIDATE_ALL, stage.form.validate_all()).await?;
    ensure_still(&cx, before, "a form whose check runs, for nearly an hour", HELP)?;
    let status = call.value.get(&NAME).map(shown);
    ensure_eq!((status.as_deref(), call.took), (Some("valid"), ms(hour - 1)), "a check of nearly an hour"; help = HELP);
    ensure!(call.polls <= 50, "`validate_all` waits for a check of nearly an hour, and is polled {} times", call.polls;
        expected = "a few times: it is woken when something happens", help = HELP);
    // A call that moves to another task is woken there.
    service.takes("quick", 200);
    stage.set(NAME, "quick").await?;
    let status = cx.call(VALIDATE, moved(100, stage.form.validate(NAME))).await?.value;
    let valid = FieldStatus::Valid { warnings: Vec::new() };
    ensure_eq!(status, Ok(valid), "`validate`, which moves to another task while it waits"; help = HELP);
    Ok(())
}
