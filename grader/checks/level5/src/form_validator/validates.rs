//! Validation of a whole form, and its status.

use futures::future::join;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level5::form_validator::{CheckFailed, FieldId, FormStatus, Verdict};
use tokio::time::sleep;

use super::fakes::{Ends, Service};
use super::{EMAIL, NAME, Stage, TAKEN, VALIDATE, VALIDATE_ALL, after, shown};

pub async fn the_form_follows_its_fields(cx: Cx) -> Outcome {
    const HELP: &str =
        "the status of the form is made of those of all fields, whenever one of them changes";
    let service = Service::new(cx.timeline(), "free", 100);
    service.ends("bad", Ends::With(Verdict::error(TAKEN)));
    for value in ["broken", "down"] {
        service.ends(value, Ends::Fails(CheckFailed::Unavailable("down".to_owned())));
    }
    let stage = Stage::new(&cx, |form| {
        form.field(NAME).field(EMAIL).rule(NAME, service.clone(), after(0)).rule(
            EMAIL,
            service.clone(),
            after(50),
        )
    })
    .await?;
    let now = |expected, when: &str| {
        ensure_eq!(stage.form_status(), expected, "{when}: the status of the form at {} ms", stage.now(); help = HELP);
        Ok::<_, grader_kit::Fail>(())
    };
    now(FormStatus::Pristine, "a form as it was made")?;
    stage.set(NAME, "good").await?;
    now(FormStatus::Pending, "one field is pending and one pristine")?;
    stage.at(100).await;
    now(FormStatus::Pristine, "one field is valid and one pristine")?;
    stage.set(EMAIL, "good").await?;
    now(FormStatus::Pending, "one field is valid and one pending")?;
    stage.at(249).await;
    now(FormStatus::Pending, "one field is valid and one pending")?;
    stage.at(250).await;
    now(FormStatus::Valid, "both fields are valid")?;
    stage.set_at(300, NAME, "bad").await?;
    stage.set_at(350, EMAIL, "broken").await?;
    stage.at(400).await;
    now(FormStatus::Invalid, "one field is invalid and one pending")?;
    stage.at(500).await;
    now(FormStatus::Invalid, "one field is invalid and one unknown")?;
    stage.set(NAME, "good ").await?;
    now(FormStatus::Pending, "one field is pending and one unknown")?;
    stage.at(600).await;
    now(FormStatus::Unknown, "one field is valid and one unknown")?;
    // It leaves `Pending` however a check ends, and readers see it.
    for (value, expected) in [
        ("good  ", FormStatus::Valid),
        ("down", FormStatus::Unknown),
        ("bad", FormStatus::Invalid),
        ("good", FormStatus::Valid),
    ] {
        let mut reader = stage.form.status();
        stage.set(EMAIL, value).await?;
        let seen = cx.call("watch::Receiver::wait_for", async {
            let pending = reader.changed().await.is_ok()
                && *reader.borrow_and_update() == FormStatus::Pending;
            let left = reader.wait_for(|status| *status != FormStatus::Pending).await;
            (pending, left.map(|status| *status).ok())
        });
        // A verdict that is known may be shown at once.
        let (pending, left) = seen.await?.value;
        ensure!(pending || value == "good", "`{value}` was set: a reader of the form's status does not see that it is pending"; help = HELP);
        ensure_eq!(left, Some(expected), "`{value}` was set: what a reader of the form's status sees when it is not pending any more"; help = HELP);
    }
    Ok(())
}

pub async fn validates_all_at_once(cx: Cx) -> Outcome {
    const HELP: &str = "touch every field, end the waits for a debounce, repeat what failed, and wait for all at the same time";
    let fields: [FieldId; 5] = ["pristine", "waits", "runs", "failed", "done"].map(FieldId::new);
    let services = fields.map(|field| Service::new(cx.timeline(), field.as_str(), 200));
    services[3].ends("x", Ends::Fails(CheckFailed::TimedOut));
    services[0].ends("", Ends::With(Verdict::error(TAKEN)));
    let stage = Stage::new(&cx, |form| {
        fields.iter().zip(&services).fold(form, |form, (field, service)| {
            let debounce = if field.as_str() == "waits" { 5000 } else { 100 };
            form.field(*field).rule(*field, service.clone(), after(debounce))
        })
    })
    .await?;
    for (at, number) in [(0, 3), (0, 4), (850, 2), (900, 1)] {
        stage.set_at(at, fields[number], "x").await?;
    }
    stage.at(1000).await;
    services[3].ends("x", Ends::With(Verdict::ok()));
    let unpolled = stage.form.validate_all();
    drop(unpolled);
    stage.shows(
        fields[0],
        "pristine",
        "a `validate_all` that was not polled",
        "a future does nothing before its first poll",
    )?;
    let call = cx.call(VALIDATE_ALL, stage.form.validate_all()).await?;
    let statuses: Vec<_> =
        call.value.iter().map(|(field, status)| format!("{field} {}", shown(status))).collect();
    let expected =
        ["done valid", "failed valid", "pristine invalid: taken", "runs valid", "waits valid"];
    ensure_eq!(statuses, expected, "`validate_all` at 1000 ms"; help = HELP);
    ensure_eq!(call.took, ms(200), "how long it took; each check takes 200 ms"; help = HELP);
    let asked: Vec<_> = services.iter().map(Service::asked).collect();
    let expected = [
        vec!["@1000-1200"],
        vec!["x@1000-1200"],
        vec!["x@950-1150"],
        vec!["x@100-300", "x@1000-1200"],
        vec!["x@100-300"],
    ];
    ensure_eq!(asked, expected, "the checks of fields that are pristine, wait for a debounce, run, have failed, and have a verdict, when all are validated at 1000 ms"; help = HELP);
    stage.at(10_000).await;
    ensure_eq!(services[1].count(), 1, "a check whose wait for its debounce was ended; its checks after the debounce would have ended"; help = HELP);
    // One field.
    stage.set(fields[1], "y").await?;
    let call = cx.call(VALIDATE, stage.form.validate(fields[1])).await?;
    ensure_eq!((call.value.map(|status| shown(&status)), call.took), (Ok("valid".to_owned()), ms(200)), "`validate` of a field that waits for its debounce"; help = HELP);
    several_rules(&cx, HELP).await?;
    one_of_several_fields(&cx).await?;
    // A value that arrives meanwhile: the answer is about it.
    services[2].ends("z", Ends::With(Verdict::error(TAKEN)));
    stage.set(fields[2], "y").await?;
    let types = async {
        sleep(ms(150)).await;
        stage.form.set(fields[2], "z")
    };
    let (statuses, _) = cx.call(VALIDATE_ALL, join(stage.form.validate_all(), types)).await?.value;
    let status = statuses.get(&fields[2]).map(shown);
    ensure_eq!(status.as_deref(), Some("invalid: taken"), "a field that was set while `validate_all` waited for it"; help = "no status that is returned is pending: wait until no field is");
    Ok(())
}

/// `validate` is about its field alone: it waits for no other one, and hurries and touches none.
async fn one_of_several_fields(cx: &Cx) -> Outcome {
    const HELP: &str = "`validate` touches its field, ends the debounces of its field, and returns when its field has its answers; the others go on as if it had not been called";
    let mut draw = cx.draw();
    for _ in 0..2 {
        let fields: [FieldId; 4] = ["own", "pristine", "waits", "failed"].map(FieldId::new);
        let services = fields.map(|field| Service::new(cx.timeline(), field.as_str(), 200));
        services[3].ends("x", Ends::Fails(CheckFailed::TimedOut));
        services[2].takes("x", 5000);
        let stage = Stage::new(cx, |form| {
            fields.iter().zip(&services).fold(form, |form, (field, service)| {
                form.field(*field).rule(*field, service.clone(), after(500))
            })
        })
        .await?;
        stage.set(fields[3], "x").await?;
        // At 700 ms its check has failed.
        let at = draw.between(800..=900);
        stage.set_at(at, fields[2], "x").await?;
        stage.set_at(at + 100, fields[0], "y").await?;
        let call = cx.call(VALIDATE, stage.form.validate(fields[0])).await?;
        ensure_eq!((call.value.map(|status| shown(&status)), call.took), (Ok("valid".to_owned()), ms(200)), "`validate` of a field whose check takes 200 ms, beside one whose check waits for its debounce: what it returns, and how long it takes"; help = HELP);
        stage.at(20_000).await;
        let asked: Vec<_> = services.iter().map(Service::began).collect();
        let expected = [
            vec![format!("y@{}", at + 100)],
            vec![],
            vec![format!("x@{}", at + 500)],
            vec!["x@500".to_owned()],
        ];
        ensure_eq!(asked, expected, "`validate` of one field at {} ms, beside one that is pristine, one that waits for its debounce of 500 ms since {at} ms, and one whose check has failed: the checks of each", at + 100; help = HELP);
        stage.shows(fields[1], "pristine", "`validate` of another field", HELP)?;
    }
    Ok(())
}

/// A field with several checks: all of them begin at once, whatever their debounces are and their order is.
async fn several_rules(cx: &Cx, help: &'static str) -> Outcome {
    let mut draw = cx.draw();
    for all in [false, true] {
        // In one breath, as by the enter key, no task has run between the two.
        for (set, one_breath) in [(false, false), (true, false), (false, true)] {
            let mut debounces = [5000, 0, 100, 700];
            draw.shuffle(&mut debounces);
            let services = debounces.map(|_| Service::new(cx.timeline(), "free", 200));
            let stage = Stage::new(cx, |form| {
                debounces
                    .iter()
                    .zip(&services)
                    .fold(form.field(NAME), |form, (debounce, service)| {
                        form.rule(NAME, service.clone(), after(*debounce))
                    })
            })
            .await?;
            if set {
                stage.set(NAME, "x").await?;
                stage.at(50).await;
            }
            let validates = async {
                if one_breath {
                    let _ = stage.form.set(NAME, "x");
                }
                if all {
                    drop(stage.form.validate_all().await);
                } else {
                    let _ = stage.form.validate(NAME).await;
                }
            };
            let call = cx.call(if all { VALIDATE_ALL } else { VALIDATE }, validates).await?;
            let (value, what) = match (set, one_breath) {
                (true, _) => ("x", "was set 50 ms before"),
                (_, true) => ("x", "is set in the same breath"),
                _ => ("", "is pristine"),
            };
            let began: Vec<_> = services.iter().map(|service| service.began().join(", ")).collect();
            // A check without a debounce began when the field was set.
            let expected = debounces.map(|debounce| match (set, debounce) {
                (true, 0) => format!("{value}@0"),
                (true, _) => format!("{value}@50"),
                (false, _) => format!("{value}@0"),
            });
            ensure_eq!(began, expected, "validation of a field that {what}, with debounces of {} ms: when its checks began", grader_kit::list(debounces); help = help);
            ensure_eq!(call.took, ms(200), "validation of a field that {what}, with debounces of {} ms: how long it took; each check takes 200 ms", grader_kit::list(debounces); help = help);
        }
    }
    Ok(())
}

pub async fn validates_reads_first(cx: Cx) -> Outcome {
    const HELP: &str = "a field begins when the fields that it reads have their answers; those that read none begin at once";
    let mut names = ["k", "l", "m", "n", "o"];
    cx.draw().shuffle(&mut names);
    let [a, b, c, d, e] = names.map(FieldId::new);
    let service =
        |reads: &[FieldId], takes| Service::new(cx.timeline(), "free", takes).reads(reads);
    let services = [
        service(&[], 100),
        service(&[a], 100),
        service(&[b, d], 100),
        service(&[], 50),
        service(&[d], 100),
    ];
    services[1].ends("", Ends::With(Verdict::error(TAKEN)));
    services[3].ends("", Ends::Fails(CheckFailed::TimedOut));
    let stage = Stage::new(&cx, |form| {
        [a, b, c, d, e].iter().zip(&services).fold(form, |form, (field, service)| {
            form.field(*field).rule(*field, service.clone(), after(500))
        })
    })
    .await?;
    let call = cx.call(VALIDATE_ALL, stage.form.validate_all()).await?;
    let began = services.each_ref().map(|service| service.asked().join(", "));
    let expected = ["@0-100", "@100-200", "@200-300", "@0-50", "@50-150"];
    ensure_eq!(began, expected, "the checks of a, of b, which reads a, of c, which reads b and d, of d, and of e, which reads d"; help = HELP);
    ensure_eq!(call.took, ms(300), "how long `validate_all` took"; help = HELP);
    Ok(())
}
