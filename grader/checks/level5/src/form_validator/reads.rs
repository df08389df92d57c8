//! Rules that read other fields.

use grader_kit::{Cx, Outcome, ensure_eq};
use level5::form_validator::{FieldId, Verdict};

use super::fakes::{Ends, Service};
use super::{
    AGAIN, DIFFERS, EMAIL, NAME, PASSWORD, SUBMIT, Stage, TAKEN, VALIDATE, after, same_as,
};

pub async fn a_change_checks_its_readers(cx: Cx) -> Outcome {
    const HELP: &str = "when a value changes, run again the rules that read it, of every field that is not pristine, with the values of now";
    let stage = Stage::new(&cx, |form| {
        form.field(PASSWORD).field(AGAIN).sync_rule(AGAIN, "same", &[PASSWORD], same_as(PASSWORD))
    })
    .await?;
    stage.set(PASSWORD, "one").await?;
    stage.shows(
        AGAIN,
        "pristine",
        "a field that reads the changed one and is pristine",
        "a pristine field stays pristine until it is set or validated",
    )?;
    stage.set(AGAIN, "on").await?;
    stage.shows(AGAIN, "invalid: differs", "a confirmation that differs", HELP)?;
    stage.set(AGAIN, "one").await?;
    stage.shows(AGAIN, "valid", "the confirmation was made equal", HELP)?;
    stage.set(PASSWORD, "two").await?;
    stage.shows(
        AGAIN,
        "invalid: differs",
        "the password was changed behind its confirmation",
        HELP,
    )?;
    stage.set(PASSWORD, "one").await?;
    stage.shows(AGAIN, "valid", "the password was made equal to its confirmation", HELP)?;
    stage.shows(
        PASSWORD,
        "valid",
        "the field that is read",
        "an error across two fields belongs to the field of its rule",
    )?;
    // Several readers.
    let more = [EMAIL, AGAIN, FieldId::new("third")];
    let stage = Stage::new(&cx, |form| {
        more.iter().fold(form.field(PASSWORD), |form, field| {
            form.field(*field).sync_rule(*field, "same", &[PASSWORD], same_as(PASSWORD))
        })
    })
    .await?;
    for field in more {
        stage.set(field, "one").await?;
    }
    for (password, expected) in [("one", "valid"), ("two", "invalid: differs"), ("one", "valid")] {
        stage.set(PASSWORD, password).await?;
        for field in more {
            stage.shows(
                field,
                expected,
                &format!("the password `{password}`, which three fields read"),
                HELP,
            )?;
        }
    }
    each_rule_reads_its_own(&cx, HELP).await?;
    // A field that was validated, and never set.
    let stage = Stage::new(&cx, |form| {
        form.field(PASSWORD).field(AGAIN).sync_rule(AGAIN, "same", &[PASSWORD], same_as(PASSWORD))
    })
    .await?;
    let _ = cx.call(VALIDATE, stage.form.validate(AGAIN)).await?;
    stage.shows(AGAIN, "valid", "two empty fields, and the confirmation was validated", HELP)?;
    stage.set(PASSWORD, "one").await?;
    stage.shows(
        AGAIN,
        "invalid: differs",
        "the password was set, and its confirmation was validated before",
        "a field that was validated is not pristine",
    )?;
    // A rule that asks: waiting, running, and with an answer.
    let service = Service::new(cx.timeline(), "same", 100).reads(&[PASSWORD, EMAIL]);
    service.ends("one", Ends::With(Verdict::error(DIFFERS)));
    let stage = Stage::new(&cx, |form| {
        form.field(AGAIN).field(EMAIL).field(PASSWORD).rule(AGAIN, service.clone(), after(100))
    })
    .await?;
    for (at, field, value) in [
        (0, PASSWORD, "p"),
        (50, AGAIN, "one"),
        (100, PASSWORD, "q"), // waits until 150
        (250, EMAIL, "e"),    // runs from 200 to 300
        (600, PASSWORD, "r"), // has its answer at 450
        (1000, AGAIN, "two"),
        (1300, EMAIL, "f"),
    ] {
        stage.set_at(at, field, value).await?;
        if at >= 50 {
            stage.shows(
                AGAIN,
                "pending",
                &format!("{field} was set, which the field's check reads"),
                HELP,
            )?;
        }
    }
    stage.at(2000).await;
    ensure_eq!(service.saw(), ["one q ", "one q e", "one r e", "two r e", "two r f"], "a check that reads password and email: the values that it saw, its own first"; help = HELP);
    let asked =
        ["one@200 dropped@250", "one@350-450", "one@700-800", "two@1100-1200", "two@1400-1500"];
    ensure_eq!(service.asked(), asked, "a check with a debounce of 100 ms that reads password and email, which are set at 0, 100, 250, 600 and 1300 ms"; help = "a change of what a check reads is as a change of its value: it waits and asks again");
    stage.shows(AGAIN, "valid", "at the end", HELP)
}

/// Several rules of one field, each of which reads another one, or two.
async fn each_rule_reads_its_own(cx: &Cx, help: &'static str) -> Outcome {
    let others = [PASSWORD, EMAIL, FieldId::new("third"), FieldId::new("fourth")];
    let services: [Service; 4] = std::array::from_fn(|number| {
        let read: Vec<_> = others.iter().copied().skip(number).take(1 + number % 2).collect();
        Service::new(cx.timeline(), "reads", 50).reads(&read)
    });
    let stage = Stage::new(cx, |form| {
        let fields = others.iter().fold(form.field(AGAIN), |form, field| form.field(*field));
        others.iter().zip(&services).fold(fields, |form, (field, service)| {
            let read = *field;
            form.rule(AGAIN, service.clone(), after(0)).sync_rule(
                AGAIN,
                "unlike",
                &[read],
                move |_, form| {
                    let same = form.get(read) == Some("same");
                    if same { Verdict::error(DIFFERS) } else { Verdict::ok() }
                },
            )
        })
    })
    .await?;
    stage.set(AGAIN, "x").await?;
    stage.at(100).await;
    for (number, field) in others.into_iter().enumerate() {
        let when = format!("rule {} of four reads {field}, which was set", number + 1);
        stage.set(field, "same").await?;
        stage.shows(AGAIN, "invalid: differs", &when, help)?;
        stage.set(field, "other").await?;
        stage.shows(AGAIN, "pending", &when, help)?;
        stage.at(stage.now() + 100).await;
        stage.shows(AGAIN, "valid", &when, help)?;
    }
    // The second one also reads the third field, and the last one has no fifth.
    let saw = services.each_ref().map(|service| service.saw().last().cloned().unwrap_or_default());
    ensure_eq!(saw, ["x other", "x other other", "x other", "x other"], "four rules of one field that read one, two, one and one of four others, after changes of all of these: what each of them saw last"; help = help);
    Ok(())
}

pub async fn a_change_checks_nothing_else(cx: Cx) -> Outcome {
    const HELP: &str = "keep with each run and each answer the values that it is about; where they have not changed, leave it";
    let [a, b, c, d] = [FieldId::new("a"), FieldId::new("b"), FieldId::new("c"), FieldId::new("d")];
    let service = |name| Service::new(cx.timeline(), name, 100);
    let (reads_a, own, reads_b, alone) = (
        service("reads-a").reads(&[a]),
        service("own"),
        service("reads-b").reads(&[b]),
        service("alone"),
    );
    own.takes("b2", 1000);
    reads_a.takes("b2", 0);
    // Checked again, these would be answered by a failure, which is not kept.
    let stage = Stage::new(&cx, |form| {
        [a, b, c, d]
            .iter()
            .fold(form, |form, field| form.field(*field))
            .rule(b, own.clone(), after(10))
            .rule(b, reads_a.clone(), after(10))
            .rule(c, reads_b.clone(), after(10))
            .rule(d, alone.clone(), after(10))
    })
    .await?;
    for (field, value) in [(a, "a1"), (b, "b1"), (c, "c1"), (d, "d1")] {
        stage.set(field, value).await?;
    }
    stage.at(200).await;
    stage.set(a, "a2").await?;
    stage.shows(b, "pending", "a was changed, and b has a rule that reads it", HELP)?;
    for other in [c, d] {
        stage.shows(other, "valid", "a was changed, which this field does not read", HELP)?;
    }
    stage.at(400).await;
    ensure_eq!(reads_a.saw(), ["b1 a1", "b1 a2"], "a was changed: the rule of b that reads it"; help = HELP);
    let counts = [own.count(), reads_b.count(), alone.count()];
    ensure_eq!(counts, [1, 1, 1], "a was changed: the checks of the other rule of b, of c, which reads b, and of d"; help = HELP);
    // While the other check of b runs.
    stage.set(b, "b2").await?;
    stage.shows(
        c,
        "pending",
        "b was changed, which c reads",
        "a change of a field in the middle of a chain checks its readers",
    )?;
    stage.set_at(600, a, "a3").await?;
    stage.set_at(700, a, "a4").await?;
    stage.set_at(800, c, "c2").await?;
    stage.at(2000).await;
    ensure_eq!(own.asked().get(1).map(String::as_str), Some("b2@410-1410"), "a check of b, while a is changed, which the check does not read"; help = HELP);
    ensure_eq!(own.count(), 2, "the checks of the rule of b that reads no other field"; help = HELP);
    ensure_eq!(reads_b.saw(), ["c1 b1", "c1 b2", "c2 b2"], "the rule of c, which reads b"; help = HELP);
    ensure_eq!(reads_a.saw().len(), 5, "the rule of b that reads a, after two values of b and four of a"; help = HELP);
    // A check that failed is not repeated by the change of something else.
    own.ends("b3", Ends::Fails(level5::form_validator::CheckFailed::TimedOut));
    stage.set(b, "b3").await?;
    stage.set_at(2300, a, "a5").await?;
    stage.at(2600).await;
    ensure_eq!(own.count(), 3, "a check of b failed, then a was changed, which it does not read: its checks"; help = HELP);
    stage.shows(d, "valid", "a field that reads none", HELP)
}

pub async fn rules_see_what_they_read(cx: Cx) -> Outcome {
    const HELP: &str = "make a snapshot for each rule, of its own field and those that it reads; what it could see besides would be missing in the key of its verdict";
    let service = Service::new(cx.timeline(), "free", 0).reads(&[EMAIL]);
    service.looks_at(&[NAME, EMAIL, PASSWORD]);
    let stage = Stage::new(&cx, |form| {
        form.field(NAME)
            .field(EMAIL)
            .field(PASSWORD)
            .rule(NAME, service.clone(), after(0))
            .sync_rule(PASSWORD, "blind", &[NAME], |value, form| {
                let seen = [NAME, EMAIL, PASSWORD].map(|field| form.get(field).map(str::to_owned));
                let is = |seen: &Option<String>, text| seen.as_deref() == text;
                let right =
                    is(&seen[0], Some("n")) && is(&seen[1], None) && is(&seen[2], Some(value));
                if right { Verdict::ok() } else { Verdict::error(TAKEN) }
            })
    })
    .await?;
    for (field, value) in [(EMAIL, "e"), (NAME, "n"), (PASSWORD, "p")] {
        stage.set(field, value).await?;
    }
    stage.at(0).await;
    ensure_eq!(service.saw(), ["n n e -"], "a check of the name that reads the email: its value, and what it sees of name, email and password"; help = HELP);
    stage.shows(
        PASSWORD,
        "valid",
        "a plain rule that reads the name, and must see that and its own value, and not the email",
        HELP,
    )?;
    let all = stage.form.submit(|all| async move {
        let all: Vec<_> = all.iter().map(|(field, value)| format!("{field}={value}")).collect();
        Ok::<_, level5::form_validator::ServerErrors>(all)
    });
    let all = cx.call(SUBMIT, all).await?.value;
    ensure_eq!(all.unwrap_or_default(), ["email=e", "name=n", "password=p"], "what `submit` sends"; help = "it sends all fields");
    Ok(())
}
