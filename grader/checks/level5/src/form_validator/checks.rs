//! Rules of one field: when they run, and which answer counts.

use grader_kit::{Cx, Outcome, dropped_at, ensure, ensure_eq};
use level5::form_validator::{FieldId, Verdict};

use super::fakes::{Ends, Service};
use super::{
    EMAIL, NAME, PASSWORD, SHORT, SUBMIT, Stage, TAKEN, VALIDATE, WEAK, after, at_least, shown,
};
use level5::form_validator::{Code, ServerErrors};

pub async fn plain_rules_answer_at_once(cx: Cx) -> Outcome {
    const HELP: &str =
        "`set` runs the rules that answer at once, and publishes the status before it returns";
    let mut draw = cx.draw();
    let least = draw.between(2..=9);
    let stage = Stage::new(&cx, |form| {
        let least = usize::try_from(least).unwrap_or(2);
        form.field(NAME).field(EMAIL).sync_rule(NAME, "length", &[], at_least(least))
    })
    .await?;
    let value = |field| stage.form.value(field).unwrap_or_default();
    for field in [NAME, EMAIL] {
        stage.shows(field, "pristine", "a form as it was made", HELP)?;
        ensure_eq!(value(field), "", "a form as it was made: the value of {field}");
    }
    let mut reader =
        stage.form.field(NAME).map_err(|error| grader_kit::Fail::new(error.to_string()))?;
    for length in [least - 1, least, 1, least + 30, 0, least] {
        let text = "é".repeat(usize::try_from(length).unwrap_or_default());
        stage.set(NAME, &text).await?;
        let expected = if length < least { "invalid: short" } else { "valid" };
        stage.shows(
            NAME,
            expected,
            &format!("at least {least} characters, and `set` with {length}"),
            HELP,
        )?;
        ensure_eq!(value(NAME), text, "the value of a field that was set");
        let seen = reader.has_changed().is_ok().then(|| shown(&reader.borrow_and_update()));
        ensure_eq!(seen.as_deref(), Some(expected), "what a reader that was there before sees"; help = HELP);
    }
    stage.shows(
        EMAIL,
        "pristine",
        "another field was set",
        "a field is touched by its own `set` only",
    )?;
    stage.set(EMAIL, "").await?;
    stage.shows(
        EMAIL,
        "valid",
        "a field without rules, set to nothing",
        "`set` makes a field touched, whatever the value is; without rules it is valid",
    )
}

pub async fn all_rules_run(cx: Cx) -> Outcome {
    const HELP: &str = "keep a list of rules for each field, each with its own answer, and make the status of all of them";
    let code = |number: usize| Code::new(["a", "b", "c", "d"][number % 4]);
    // Plain rules alone: all of them answer, in their order.
    let both =
        |error: Code, warning: Code| Verdict { errors: vec![error], warnings: vec![warning] };
    let stage = Stage::new(&cx, |form| {
        form.field(NAME)
            .sync_rule(NAME, "one", &[], move |_, _| both(code(3), WEAK))
            .sync_rule(NAME, "two", &[], |_, _| Verdict::ok())
            .sync_rule(NAME, "three", &[], move |_, _| both(code(0), TAKEN))
            .sync_rule(NAME, "four", &[], move |_, _| Verdict {
                errors: vec![SHORT, code(1)],
                warnings: vec![],
            })
    })
    .await?;
    stage.set(NAME, "x").await?;
    stage.shows(NAME, "invalid: d, a, short, b, warned: weak, taken", "four plain rules", HELP)?;
    // Hundreds of rules.
    let stage = Stage::new(&cx, |form| {
        (0..300_usize).fold(form.field(NAME), |form, number| {
            form.sync_rule(NAME, "one of many", &[], move |_, _| Verdict::error(code(number)))
        })
    })
    .await?;
    stage.set(NAME, "x").await?;
    let expected = grader_kit::list((0..300).map(code));
    stage.shows(NAME, &format!("invalid: {expected}"), "three hundred plain rules", HELP)?;
    // Checks that end in every order, and a plain rule between them.
    for takes in [[10, 20, 30], [30, 20, 10], [20, 30, 10], [10, 10, 10]] {
        let services: Vec<_> = takes
            .iter()
            .zip(["first", "second", "third"])
            .enumerate()
            .map(|(number, (takes, name))| {
                let service = Service::new(cx.timeline(), name, *takes);
                service.ends("x", Ends::With(both(code(number), code(number + 1))));
                service
            })
            .collect();
        let stage = Stage::new(&cx, |form| {
            let rule = |number: usize| services[number].clone();
            form.rule(NAME, rule(0), after(0))
                .rule(NAME, rule(1), after(0))
                .sync_rule(NAME, "plain", &[], |_, _| Verdict::warning(WEAK))
                .rule(NAME, rule(2), after(0))
                .field(NAME)
        })
        .await?;
        stage.set(NAME, "x").await?;
        let when =
            format!("three checks that take {takes:?} ms, and a plain rule before the third");
        stage.shows_at(30, NAME, "invalid: a, b, c, warned: b, c, weak, d", &when, HELP).await?;
    }
    Ok(())
}

pub async fn plain_rules_come_first(cx: Cx) -> Outcome {
    const HELP: &str = "run the plain rules first; if one of them does not accept the value, drop the field's checks and begin none";
    let service = Service::new(cx.timeline(), "free", 100);
    let stage = Stage::new(&cx, |form| {
        form.field(NAME).rule(NAME, service.clone(), after(50)).sync_rule(
            NAME,
            "length",
            &[],
            at_least(3),
        )
    })
    .await?;
    stage.set(NAME, "ab").await?;
    stage.shows(
        NAME,
        "invalid: short",
        "a plain rule behind the check does not accept the value",
        HELP,
    )?;
    stage.shows_at(500, NAME, "invalid: short", "a while later", HELP).await?;
    ensure_eq!(service.asked(), Vec::<String>::new(), "what the service was asked about a value that a plain rule does not accept"; help = HELP);
    // While the check waits, and while it runs.
    stage.set(NAME, "abc").await?;
    stage.set_at(520, NAME, "a").await?;
    stage.shows(NAME, "invalid: short", "a check waited, and the next value is too short", HELP)?;
    stage.at(700).await;
    ensure_eq!(service.asked(), Vec::<String>::new(), "what the service was asked: the value was replaced while its check waited"; help = HELP);
    stage.set(NAME, "abcd").await?;
    stage.set_at(800, NAME, "b").await?;
    stage.shows(NAME, "invalid: short", "a check ran, and the next value is too short", HELP)?;
    stage.shows_at(1200, NAME, "invalid: short", "when that check would have ended", HELP).await?;
    ensure_eq!(service.asked(), ["abcd@750 dropped@800"], "what the service was asked: the value was replaced while its check ran"; help = HELP);
    stage.set(NAME, "abcd").await?;
    stage.shows(
        NAME,
        "pending",
        "the value that plain rules accept, again",
        "a check that was dropped has no answer; it has to begin again",
    )?;
    stage.shows_at(1350, NAME, "valid", "that check has ended", HELP).await
}

pub async fn one_check_after_the_debounce(cx: Cx) -> Outcome {
    const HELP: &str = "each new value begins the wait again; when it is over, one check of the newest value begins";
    let drawn = cx.draw().between(2..=900);
    for debounce in [500, 1, drawn, 600_000] {
        let service = Service::new(cx.timeline(), "free", 100);
        let stage =
            Stage::new(&cx, |form| form.field(NAME).rule(NAME, service.clone(), after(debounce)))
                .await?;
        let step = if debounce == 1 { 0 } else { (debounce - 1).min(100) };
        for (number, value) in ["a", "ab", "abc"].iter().enumerate() {
            let at = step * u64::try_from(number).unwrap_or_default();
            stage.set_at(at, NAME, value).await?;
        }
        let begins = 2 * step + debounce;
        stage.at(begins - 1).await;
        ensure_eq!(service.asked(), Vec::<String>::new(), "a debounce of {debounce} ms, three values {step} ms apart; what was asked 1 ms before its end"; help = HELP);
        stage.at(begins + 1000).await;
        ensure_eq!(service.asked(), [format!("abc@{begins}-{}", begins + 100)], "a debounce of {debounce} ms, and three values {step} ms apart"; help = HELP);
        // The next burst is another one.
        let again = stage.now();
        stage.set(NAME, "x").await?;
        stage.at(again + debounce + 500).await;
        let expected = format!("x@{}", again + debounce);
        ensure_eq!(service.began().last(), Some(&expected), "a debounce of {debounce} ms, and another value later"; help = HELP);
    }
    let (now, soon, late) = (
        Service::new(cx.timeline(), "now", 50),
        Service::new(cx.timeline(), "soon", 50),
        Service::new(cx.timeline(), "late", 50),
    );
    let stage = Stage::new(&cx, |form| {
        form.field(NAME)
            .rule(NAME, late.clone(), after(300))
            .rule(NAME, now.clone(), after(0))
            .rule(NAME, soon.clone(), after(70))
    })
    .await?;
    stage.set(NAME, "a").await?;
    stage.at(1000).await;
    for (service, expected) in [(now, "a@0-50"), (soon, "a@70-120"), (late, "a@300-350")] {
        ensure_eq!(service.asked(), [expected], "three rules of a field with debounces of 300, 0 and 70 ms"; help = "each rule has its own debounce, and none waits for another");
    }
    comes_back(&cx).await?;
    validated_before(&cx).await
}

/// A value that is typed, replaced and typed again: the debounce counts from the last change.
async fn comes_back(cx: &Cx) -> Outcome {
    const HELP: &str = "each new value begins the wait again, also one that was there before: the value was the same since the last `set` that changed it";
    let mut draw = cx.draw();
    for _ in 0..4 {
        let debounce = draw.between(100..=900);
        let (left, back) = (draw.between(1..=debounce / 2), draw.between(1..=debounce / 2));
        let service = Service::new(cx.timeline(), "free", 100);
        let stage =
            Stage::new(cx, |form| form.field(NAME).rule(NAME, service.clone(), after(debounce)))
                .await?;
        for (at, value) in [(0, "a"), (left, "b"), (left + back, "a")] {
            stage.set_at(at, NAME, value).await?;
        }
        stage.at(5000).await;
        ensure_eq!(service.began(), [format!("a@{}", left + back + debounce)], "a debounce of {debounce} ms, and the value is `a` at 0 ms, `b` at {left} ms and `a` again at {} ms: its checks", left + back; help = HELP);
    }
    Ok(())
}

/// `validate` ends the wait of the checks that wait then, and of no later one.
async fn validated_before(cx: &Cx) -> Outcome {
    const HELP: &str = "what ends a debounce belongs to one run of a check: nothing of it may be left for the next value";
    // A debounce of 100 ms and a check of 100 ms: `validate` while it waits, at its beginning, while it runs, at its end
    // and later, once and twice.
    let drawn = cx.draw().between(1..=300);
    for at in [0, 50, 100, 150, 200, 250, drawn] {
        for times in [1, 2] {
            let (service, other) = (
                Service::new(cx.timeline(), "free", 100),
                Service::new(cx.timeline(), "other", 100),
            );
            let stage = Stage::new(cx, |form| {
                form.field(NAME).rule(NAME, service.clone(), after(100)).rule(
                    NAME,
                    other.clone(),
                    after(300),
                )
            })
            .await?;
            stage.set(NAME, "a").await?;
            stage.at(at).await;
            for _ in 0..times {
                dropped_at(cx, VALIDATE, 1, stage.form.validate(NAME)).await?;
            }
            // Before the first check has ended, and when all is done.
            for (next, value) in [(at + 20, "b"), (at + 2000, "c")] {
                stage.set_at(next, NAME, value).await?;
                stage.at(next + 1000).await;
                for (service, debounce) in [(&service, 100), (&other, 300)] {
                    let expected = format!("{value}@{}", next + debounce);
                    ensure_eq!(service.began().last(), Some(&expected), "`a` was set at 0 ms and validated {times} times at {at} ms, and `{value}` was set at {next} ms, with a debounce of {debounce} ms: the last check"; help = HELP);
                }
            }
        }
    }
    Ok(())
}

pub async fn pending_at_once(cx: Cx) -> Outcome {
    const HELP: &str = "a field is pending from `set` on, while its check waits and while it runs; the old status was about another value";
    let service = Service::new(cx.timeline(), "free", 100);
    service.ends("bad", Ends::With(Verdict::error(TAKEN)));
    let slow = Service::new(cx.timeline(), "slow", 300);
    let stage = Stage::new(&cx, |form| {
        form.field(NAME)
            .field(EMAIL)
            .rule(NAME, service.clone(), after(500))
            .rule(EMAIL, service.clone(), after(0))
            .rule(EMAIL, slow.clone(), after(0))
    })
    .await?;
    stage.set(NAME, "bad").await?;
    stage.shows(NAME, "pending", "right after `set`", HELP)?;
    for at in [1, 499, 500, 599] {
        stage
            .shows_at(at, NAME, "pending", "a debounce of 500 ms and a check of 100 ms", HELP)
            .await?;
    }
    stage
        .shows_at(600, NAME, "invalid: taken", "a debounce of 500 ms and a check of 100 ms", HELP)
        .await?;
    let mut reader =
        stage.form.field(NAME).map_err(|error| grader_kit::Fail::new(error.to_string()))?;
    stage.set_at(700, NAME, "good").await?;
    stage.shows(NAME, "pending", "a value that was not accepted, and another one", HELP)?;
    let seen = async {
        let mut seen: Vec<(String, u64)> = Vec::new();
        while reader.changed().await.is_ok() {
            let status = shown(&reader.borrow_and_update());
            // A second notice of the same status is no fault.
            if seen.last().is_none_or(|(last, _)| *last != status) {
                seen.push((status, stage.now()));
            }
            if seen.last().is_some_and(|(last, _)| last != "pending") {
                break;
            }
        }
        seen.iter().map(|(status, at)| format!("{status}@{at}")).collect::<Vec<_>>()
    };
    let seen = cx.call("watch::Receiver::changed", seen).await?.value;
    ensure_eq!(seen, ["pending@700", "valid@1300"], "what a reader that waits for changes sees of a value set at 700 ms"; help = HELP);
    let began = stage.now();
    stage.set(EMAIL, "bad").await?;
    for (after, expected) in
        [(0, "pending"), (100, "pending"), (299, "pending"), (300, "invalid: taken")]
    {
        stage
            .shows_at(
                began + after,
                EMAIL,
                expected,
                "checks of 100 and 300 ms, and the first one finds an error",
                "a field is pending until the last of its checks has an answer",
            )
            .await?;
    }
    Ok(())
}

pub async fn the_newest_value_counts(cx: Cx) -> Outcome {
    const HELP: &str = "abort the check of the old value, and let an outcome count only if it is of the newest run";
    let ends = |ends: Option<Ends>| {
        (
            ends.clone(),
            match ends {
                Some(Ends::With(_)) => "invalid: taken",
                Some(Ends::Fails(_)) => "unknown (free: the check took too long)",
                _ => "valid",
            },
        )
    };
    let outcomes = [
        ends(None),
        ends(Some(Ends::With(Verdict::error(TAKEN)))),
        ends(Some(Ends::Fails(level5::form_validator::CheckFailed::TimedOut))),
    ];
    for (old, _) in &outcomes {
        for (new, expected) in &outcomes {
            // The old check ends later, at the same time, earlier than the new one; or in the moment of the new value.
            for (slow, quick) in [(1000, 100), (1000, 900), (150, 700), (100, 300), (1000, 0)] {
                let service = Service::new(cx.timeline(), "free", 0);
                service.takes("a", slow);
                service.takes("ab", quick);
                for (value, ends) in [("a", old), ("ab", new)] {
                    if let Some(ends) = ends {
                        service.ends(value, ends.clone());
                    }
                }
                let stage =
                    Stage::new(&cx, |form| form.field(NAME).rule(NAME, service.clone(), after(0)))
                        .await?;
                stage.set(NAME, "a").await?;
                // At 100 ms without settling: a check of 100 ms may be just about to end.
                tokio::time::sleep_until(stage.since + grader_kit::ms(100)).await;
                stage.set(NAME, "ab").await?;
                let when = format!(
                    "a check of `a` that takes {slow} ms, and at 100 ms `ab` with one of {quick} ms"
                );
                if quick > 0 {
                    stage.shows(NAME, "pending", &when, HELP)?;
                    stage.shows_at(100 + quick - 1, NAME, "pending", &when, HELP).await?;
                }
                stage.shows_at(100 + quick, NAME, expected, &when, HELP).await?;
                stage.shows_at(2000, NAME, expected, &when, HELP).await?;
                if slow > 100 {
                    ensure_eq!(service.asked().first().map(String::as_str), Some("a@0 dropped@100"), "{when}: the first check"; help = "drop the future of the old check, so that its service stops too");
                }
            }
        }
    }
    Ok(())
}

/// A field that was validated is touched: its empty value is no new one.
async fn touched_by_validate(cx: &Cx) -> Outcome {
    const HELP: &str = "`validate` touches the field, so a `set` of the value that it has changes nothing: the check goes on";
    let mut draw = cx.draw();
    for at in [draw.between(1..=99), draw.between(100..=400)] {
        let service = Service::new(cx.timeline(), "free", 100);
        let stage =
            Stage::new(cx, |form| form.field(NAME).rule(NAME, service.clone(), after(200))).await?;
        dropped_at(cx, VALIDATE, 1, stage.form.validate(NAME)).await?;
        stage.set_at(at, NAME, "").await?;
        stage.at(2000).await;
        let what = format!("a pristine field is validated at 0 ms, and set to nothing at {at} ms");
        ensure_eq!(service.count(), 1, "{what}: its checks, of 100 ms each"; help = HELP);
        stage.shows(NAME, "valid", &what, HELP)?;
    }
    Ok(())
}

pub async fn the_same_value_changes_nothing(cx: Cx) -> Outcome {
    const HELP: &str = "compare the new value with the old one, and return if the field is touched and they are equal";
    let service = Service::new(cx.timeline(), "free", 100);
    service.ends("b", Ends::Fails(level5::form_validator::CheckFailed::TimedOut));
    let fields: [FieldId; 2] = [NAME, PASSWORD];
    let stage = Stage::new(&cx, |form| {
        fields.iter().fold(form, |form, field| form.field(*field)).rule(
            NAME,
            service.clone(),
            after(200),
        )
    })
    .await?;
    for at in [0, 150, 250] {
        stage.set_at(at, NAME, "a").await?;
    }
    stage.at(300).await;
    ensure_eq!(service.asked(), ["a@200-300"], "the same value at 0, 150 and 250 ms, a debounce of 200 ms and a check of 100 ms"; help = HELP);
    stage.set(NAME, "a").await?;
    stage.shows(NAME, "valid", "the same value when the check has ended", HELP)?;
    stage.set_at(400, NAME, "b").await?;
    stage.at(700).await;
    stage.set(NAME, "b").await?;
    stage.at(1500).await;
    ensure!(service.count() == 2, "a check failed, and the same value was set again: {} checks in all", service.count();
        expected = "two: `validate` is what repeats a failed check", help = HELP);
    touched_by_validate(&cx).await?;
    // The server's error is about this value too.
    stage.set(NAME, "c").await?;
    let refuses = async |_| {
        let errors = ServerErrors { fields: vec![(NAME, TAKEN)], form: Vec::new() };
        Err::<(), _>(errors)
    };
    let _ = cx.call(SUBMIT, stage.form.submit(refuses)).await?;
    stage.set(NAME, "c").await?;
    stage.shows(NAME, "invalid: taken", "the server refused a value, and it was set again", HELP)
}
