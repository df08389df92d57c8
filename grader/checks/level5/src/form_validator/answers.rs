//! What checks answer: verdicts that are kept, and failures.

use std::num::NonZeroUsize;
use std::time::Duration;

use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level5::form_validator::{CheckFailed, Checking, FieldStatus, ServerErrors, Verdict};

use super::fakes::{Ends, Service};
use super::{
    AGAIN, EMAIL, NAME, PASSWORD, SHORT, SUBMIT, Stage, TAKEN, VALIDATE, VALIDATE_ALL, WEAK, after,
    shown,
};

fn unavailable(why: &str) -> Ends {
    Ends::Fails(CheckFailed::Unavailable(why.to_owned()))
}

pub async fn verdicts_are_remembered(cx: Cx) -> Outcome {
    const HELP: &str =
        "keep each verdict under everything that the rule saw, and use it before a check begins";
    let service = Service::new(cx.timeline(), "free", 100);
    service.ends("b", Ends::With(Verdict { errors: vec![TAKEN], warnings: vec![WEAK] }));
    let other = Service::new(cx.timeline(), "other", 100);
    let stage = Stage::new(&cx, |form| {
        form.field(NAME).rule(NAME, service.clone(), after(50)).rule(NAME, other.clone(), after(50))
    })
    .await?;
    for (at, value, expected) in [
        (0, "a", "valid"),
        (200, "b", "invalid: taken, warned: weak"),
        (400, "a", "valid"),
        (600, "b", "invalid: taken, warned: weak"),
        (800, "A", "valid"),
        (1000, "a ", "valid"),
    ] {
        stage.set_at(at, NAME, value).await?;
        stage
            .shows_at(at + 150, NAME, expected, &format!("`{value}` was set at {at} ms"), HELP)
            .await?;
    }
    let expected = ["a@50", "b@250", "A@850", "a @1050"];
    ensure_eq!(service.began(), expected, "the values a, b, a, b, A and `a ` one after the other: the checks"; help = HELP);
    ensure_eq!(other.began(), expected, "the checks of another rule of the same field"; help = "rules share no verdicts");
    stage.set_at(1200, NAME, "b").await?;
    stage
        .shows_at(
            1250,
            NAME,
            "invalid: taken, warned: weak",
            "a value whose verdict is known, when the debounce is over",
            HELP,
        )
        .await?;
    // Under all that the rule sees.
    let match_service = Service::new(cx.timeline(), "match", 10).reads(&[PASSWORD]);
    let stage = Stage::new(&cx, |form| {
        form.field(PASSWORD).field(AGAIN).rule(AGAIN, match_service.clone(), after(10))
    })
    .await?;
    for (at, field, value) in [
        (0, AGAIN, "x"),
        (100, PASSWORD, "x"),
        (200, PASSWORD, "y"),
        (300, PASSWORD, "x"),
        (400, AGAIN, "y"),
        (500, AGAIN, "x"),
        (600, PASSWORD, ""),
    ] {
        stage.set_at(at, field, value).await?;
    }
    stage.at(1000).await;
    ensure_eq!(match_service.saw(), ["x ", "x x", "x y", "y x"], "a rule of one field that reads another: the pairs that were checked"; help = HELP);
    rules_of_one_name(&cx).await
}

/// Rules with the same name, in one field and in two: each has its own verdicts.
async fn rules_of_one_name(cx: &Cx) -> Outcome {
    const HELP: &str = "a verdict belongs to a rule, and not to the name of one: keep the verdicts of each rule with the rule";
    let services: [Service; 3] = std::array::from_fn(|_| Service::new(cx.timeline(), "free", 100));
    services[1].ends("x", Ends::With(Verdict::error(TAKEN)));
    services[2].ends("x", Ends::With(Verdict::error(SHORT)));
    let stage = Stage::new(cx, |form| {
        form.field(NAME)
            .field(EMAIL)
            .rule(NAME, services[0].clone(), after(0))
            // It begins when the first one has its verdict.
            .rule(NAME, services[1].clone(), after(300))
            .rule(EMAIL, services[2].clone(), after(0))
    })
    .await?;
    for round in 0..2 {
        let began = stage.now();
        stage.set(NAME, "x").await?;
        stage.at(began + 500).await;
        stage.set(EMAIL, "x").await?;
        stage.at(began + 1000).await;
        let when = if round == 0 {
            "two rules of the name and one of the email, all called `free`, and the value `x` in both fields"
        } else {
            "the same, when both fields were set to something else and to `x` again"
        };
        stage.shows(NAME, "invalid: taken", when, HELP)?;
        stage.shows(EMAIL, "invalid: short", when, HELP)?;
        stage.set(NAME, "y").await?;
        stage.set(EMAIL, "y").await?;
        stage.at(began + 2000).await;
    }
    for service in services {
        ensure_eq!(service.count(), 2, "three rules called `free`, whose values are x, y, x and y: the checks of one of them"; help = HELP);
    }
    Ok(())
}

pub async fn verdicts_get_old(cx: Cx) -> Outcome {
    const HELP: &str = "a verdict counts while its age is less than `ttl`; the age begins when the verdict arrives";
    let drawn = cx.draw().between(300..=90_000);
    for ttl in [1000, drawn] {
        let service = Service::new(cx.timeline(), "free", 200);
        let checking = Checking { ttl: ms(ttl), ..after(0) };
        let stage =
            Stage::new(&cx, |form| form.field(NAME).rule(NAME, service.clone(), checking)).await?;
        stage.set(NAME, "a").await?;
        stage.set_at(200, NAME, "").await?;
        stage.set_at(200 + ttl - 1, NAME, "a").await?;
        let young = format!("a verdict of {} ms, with a ttl of {ttl} ms", ttl - 1);
        stage.shows_at(200 + ttl - 1, NAME, "valid", &young, HELP).await?;
        stage.set(NAME, "b").await?;
        stage.set_at(200 + ttl, NAME, "a").await?;
        let old = format!("a verdict of {ttl} ms, with a ttl of {ttl} ms");
        stage.shows_at(200 + ttl, NAME, "pending", &old, HELP).await?;
    }
    for (capacity, times) in [(1, 10), (3, 10), (1200, 2)] {
        let service = Service::new(cx.timeline(), "free", 0);
        let kept = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        let checking = Checking { capacity: kept, ttl: Duration::MAX, ..after(0) };
        let stage =
            Stage::new(&cx, |form| form.field(NAME).rule(NAME, service.clone(), checking)).await?;
        let set = async |number: usize| {
            let set = stage.form.set(NAME, &number.to_string());
            cx.settle().await;
            set.map_err(|error| grader_kit::Fail::new(error.to_string()))
        };
        let all = times * capacity;
        for number in 0..all {
            set(number).await?;
        }
        let before = service.count();
        for number in (all - capacity..all).rev() {
            set(number).await?;
        }
        ensure_eq!(service.count(), before, "{all} values with a capacity of {capacity}: checks after the last {capacity} were set again"; help = "the verdicts that were used last are kept");
        // The youngest of them first: if one verdict more was kept, it is that one.
        for number in (0..all - capacity).rev() {
            set(number).await?;
        }
        ensure_eq!(service.count(), before + all - capacity, "{all} values with a capacity of {capacity}: checks after the others were set again"; help = "keep no more verdicts than `capacity`");
    }
    a_hit_is_a_use(&cx).await
}

/// A verdict that is used again goes later than one that came after it.
async fn a_hit_is_a_use(cx: &Cx) -> Outcome {
    const HELP: &str =
        "the verdict goes that was not used for the longest time, and not the one that came first";
    let mut draw = cx.draw();
    let capacity = 3 + draw.index(5);
    let service = Service::new(cx.timeline(), "free", 0);
    let kept = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
    let checking = Checking { capacity: kept, ttl: Duration::MAX, ..after(0) };
    let stage =
        Stage::new(cx, |form| form.field(NAME).rule(NAME, service.clone(), checking)).await?;
    let set = async |number: usize| {
        let set = stage.form.set(NAME, &number.to_string());
        cx.settle().await;
        set.map_err(|error| grader_kit::Fail::new(error.to_string()))
    };
    for number in 0..capacity {
        set(number).await?;
    }
    // The first ones once more, in any order; then as many new ones as the others were.
    let again = 1 + draw.index(capacity - 1);
    let mut first: Vec<_> = (0..again).collect();
    draw.shuffle(&mut first);
    for number in &first {
        set(*number).await?;
    }
    for number in capacity..2 * capacity - again {
        set(number).await?;
    }
    let before = service.count();
    for number in &first {
        set(*number).await?;
    }
    ensure_eq!(service.count(), before, "a capacity of {capacity}: that many values, then the first {again} of them once more, then {} new ones; the checks when the first {again} are set again", capacity - again; help = HELP);
    Ok(())
}

pub async fn a_failed_check_is_unknown(cx: Cx) -> Outcome {
    const HELP: &str = "a check that fails is neither a verdict nor an error of the user: the status is `Unknown`, with the rule and the reason";
    let why = cx.draw().word();
    let services: Vec<_> =
        ["first", "second", "third"].map(|name| Service::new(cx.timeline(), name, 50)).into();
    services[0].ends("x", Ends::With(Verdict { errors: vec![TAKEN], warnings: vec![WEAK] }));
    services[1].ends("x", unavailable(&why));
    services[2].ends("x", Ends::Fails(CheckFailed::TimedOut));
    services[1].ends("y", unavailable(&why));
    let stage = Stage::new(&cx, |form| {
        services
            .iter()
            .fold(form.field(NAME), |form, service| form.rule(NAME, service.clone(), after(0)))
    })
    .await?;
    stage.set(NAME, "x").await?;
    let expected = format!(
        "unknown (second: the check is not available: {why}, third: the check took too long), taken, warned: weak"
    );
    stage
        .shows_at(50, NAME, &expected, "one check finds an error, and two have no verdict", HELP)
        .await?;
    stage.set(NAME, "y").await?;
    let expected = format!("unknown (second: the check is not available: {why})");
    stage.shows_at(100, NAME, &expected, "one check of three has no verdict", HELP).await?;
    stage.set(NAME, "z").await?;
    stage.shows_at(150, NAME, "valid", "all three accept the next value", HELP).await?;
    // Limits.
    const LIMIT: &str = "`tokio::time::timeout` around the check; the debounce does not count";
    let drawn = cx.draw().between(20..=30_000);
    for (limit, checking) in [
        (10_000, after(40)),
        (drawn, Checking { timeout: ms(drawn), ..after(40) }),
        (1, Checking { timeout: ms(1), ..after(40) }),
    ] {
        let service = Service::new(cx.timeline(), "slow", 0);
        service.ends("x", Ends::Never);
        service.takes("y", limit - 1);
        let stage =
            Stage::new(&cx, |form| form.field(NAME).rule(NAME, service.clone(), checking)).await?;
        stage.set(NAME, "x").await?;
        let when = format!(
            "a check without an answer, and a limit of {limit} ms after a debounce of 40 ms"
        );
        stage.shows_at(40 + limit - 1, NAME, "pending", &when, LIMIT).await?;
        stage
            .shows_at(40 + limit, NAME, "unknown (slow: the check took too long)", &when, LIMIT)
            .await?;
        ensure_eq!(service.asked(), [format!("x@40 dropped@{}", 40 + limit)], "{when}"; help = "a check is dropped at its limit");
        let again = stage.now();
        stage.set(NAME, "y").await?;
        stage
            .shows_at(
                again + 40 + limit - 1,
                NAME,
                "valid",
                &format!("a check that takes 1 ms less than its limit of {limit} ms"),
                LIMIT,
            )
            .await?;
        at_the_limit(&stage, &service, limit).await?;
    }
    Ok(())
}

/// An answer in the moment of the limit may count or not, but there is a status, and it stays.
async fn at_the_limit(stage: &Stage<'_>, service: &Service, limit: u64) -> Outcome {
    const HELP: &str =
        "the answer or the limit, whichever is seen first; after that nothing of this check counts";
    for (value, ends, counts) in [
        ("tie", Ends::With(Verdict::ok()), "valid"),
        ("error", Ends::With(Verdict::error(SHORT)), "invalid: short"),
        ("down", unavailable("down"), "unknown (slow: the check is not available: down)"),
    ] {
        service.takes(value, limit);
        service.ends(value, ends);
        let began = stage.now();
        stage.set(NAME, value).await?;
        stage.at(began + 40 + limit).await;
        let at_once = stage.status(NAME);
        ensure!(at_once == counts || at_once == "unknown (slow: the check took too long)", "a check that answers exactly at its limit of {limit} ms: the status of the field then";
            expected = format!("{counts}, or unknown since the check took too long"), observed = at_once, help = HELP);
        stage.at(began + 2 * (40 + limit)).await;
        ensure_eq!(stage.status(NAME), at_once, "a check that answered exactly at its limit of {limit} ms: the status of the field a while later"; help = HELP);
    }
    Ok(())
}

pub async fn a_failed_check_is_repeated(cx: Cx) -> Outcome {
    const HELP: &str = "keep no failure; `validate` runs the checks again that failed, without a debounce, and leaves the verdicts";
    let (good, bad) =
        (Service::new(cx.timeline(), "good", 50), Service::new(cx.timeline(), "bad", 50));
    bad.ends("x", unavailable("down"));
    let stage = Stage::new(&cx, |form| {
        form.field(NAME).rule(NAME, good.clone(), after(100)).rule(NAME, bad.clone(), after(100))
    })
    .await?;
    stage.set(NAME, "x").await?;
    let unknown = "unknown (bad: the check is not available: down)";
    stage.shows_at(150, NAME, unknown, "a check failed", HELP).await?;
    // Still down, then up again.
    for (ends, expected, took) in [
        (unavailable("down"), unknown, 50),
        (Ends::With(Verdict::error(SHORT)), "invalid: short", 50),
        (Ends::Never, "invalid: short", 0),
    ] {
        bad.ends("x", ends);
        let call = cx.call(VALIDATE, stage.form.validate(NAME)).await?;
        let status = call.value.map_or_else(|error| error.to_string(), |status| shown(&status));
        ensure_eq!(status, expected, "`validate` of a field with a check that failed, or whose check has a verdict now"; help = HELP);
        ensure_eq!(call.took, ms(took), "how long that took; a check takes 50 ms"; help = HELP);
    }
    ensure_eq!(bad.count(), 3, "the checks of the rule that failed twice"; help = HELP);
    ensure_eq!(good.count(), 1, "the checks of the other rule, which has its verdict"; help = HELP);
    every_failure_is_repeated(&cx).await?;
    old_verdicts_stay(&cx).await?;
    // The same value later.
    bad.ends("y", unavailable("down"));
    let began = stage.now();
    for (at, value) in [(0, "y"), (300, "z"), (600, "y")] {
        stage.set_at(began + at, NAME, value).await?;
        if at == 300 {
            bad.ends("y", Ends::With(Verdict::ok()));
        }
    }
    stage
        .shows_at(
            began + 900,
            NAME,
            "valid",
            "a value whose check failed, another one, and the first one again",
            HELP,
        )
        .await
}

/// Whatever the reason of the failure is. That of a panic is the rule's own here.
async fn every_failure_is_repeated(cx: &Cx) -> Outcome {
    const HELP: &str =
        "a check that failed has no verdict, however it failed: `validate` runs it again";
    let mut draw = cx.draw();
    let mut kinds = [
        unavailable("down"),
        unavailable(""),
        Ends::Fails(CheckFailed::TimedOut),
        Ends::Fails(CheckFailed::Panicked("told by the rule".to_owned())),
    ];
    draw.shuffle(&mut kinds);
    for all in [false, true] {
        let service = Service::new(cx.timeline(), "free", 20);
        let stage =
            Stage::new(cx, |form| form.field(NAME).rule(NAME, service.clone(), after(10))).await?;
        for (number, kind) in kinds.iter().enumerate() {
            let value = format!("value {number}");
            let began = stage.now();
            service.ends(&value, kind.clone());
            stage.set(NAME, &value).await?;
            stage.at(began + 200).await;
            let before = stage.status(NAME);
            ensure!(before.starts_with("unknown"), "the check of a value ends so: {kind:?}; the status of the field"; expected = "unknown", observed = before);
            let asked = service.count();
            service.ends(&value, Ends::With(Verdict::ok()));
            if all {
                drop(cx.call(VALIDATE_ALL, stage.form.validate_all()).await?);
            } else {
                drop(cx.call(VALIDATE, stage.form.validate(NAME)).await?);
            }
            let seen = (stage.status(NAME), service.count() - asked);
            ensure_eq!(seen, ("valid".to_owned(), 1), "the check of a value has ended so: {kind:?}; then the field is validated{}: its status, and how often the service was asked by that", if all { " with all others" } else { "" }; help = HELP);
        }
    }
    Ok(())
}

/// A verdict that a field has is not asked for again, however old it is: `ttl` decides about the next value.
async fn old_verdicts_stay(cx: &Cx) -> Outcome {
    const HELP: &str = "`validate` leaves a check that has its verdict about the value of now: `ttl` says for how long a verdict is used for a value that is set again";
    let (good, bad) =
        (Service::new(cx.timeline(), "good", 50), Service::new(cx.timeline(), "bad", 50));
    let reads = Service::new(cx.timeline(), "reads", 50).reads(&[EMAIL]);
    bad.ends("x", unavailable("down"));
    let checking = Checking { ttl: ms(1000), ..after(100) };
    let stage = Stage::new(cx, |form| {
        [&good, &bad, &reads].into_iter().fold(form.field(NAME).field(EMAIL), |form, service| {
            form.rule(NAME, service.clone(), checking)
        })
    })
    .await?;
    stage.set(NAME, "x").await?;
    for (at, how) in [(5000, "validate"), (10_000, "validate_all"), (15_000, "submit")] {
        stage.at(at).await;
        match how {
            "validate" => drop(cx.call(VALIDATE, stage.form.validate(NAME)).await?),
            "validate_all" => drop(cx.call(VALIDATE_ALL, stage.form.validate_all()).await?),
            _ => {
                let send = |_| async { Ok::<(), ServerErrors>(()) };
                drop(cx.call(SUBMIT, stage.form.submit(send)).await?);
            }
        }
        ensure_eq!(good.count(), 1, "`{how}` of a field whose verdict is older than its ttl of 1 s: the checks of the rule that has it"; help = HELP);
    }
    ensure_eq!(bad.count(), 4, "the checks of the rule that failed each time"; help = HELP);
    stage.set(EMAIL, "e").await?;
    stage.at(20_000).await;
    ensure_eq!((good.count(), reads.count()), (1, 2), "a change of the email, which one of two rules reads, when their verdicts are old: the checks of both"; help = HELP);
    Ok(())
}

/// A plain rule that panics when another field is set, beside rules that do not.
async fn a_reader_panics(cx: &Cx) -> Outcome {
    const HELP: &str = "a panic is the failure of its rule: the other rules of the field, and the field that was set, are as they would be without it";
    let stage = Stage::new(cx, |form| {
        form.field(NAME)
            .field(EMAIL)
            .field(PASSWORD)
            .sync_rule(NAME, "broken", &[EMAIL], |_, form| {
                if form.get(EMAIL) == Some("boom") {
                    std::panic::resume_unwind(Box::new("a bug"));
                }
                Verdict::ok()
            })
            .sync_rule(NAME, "fine", &[], |_, _| Verdict::ok())
            .sync_rule(PASSWORD, "reads", &[EMAIL], |_, form| {
                if form.get(EMAIL) == Some("boom") { Verdict::error(TAKEN) } else { Verdict::ok() }
            })
    })
    .await?;
    stage.set(NAME, "n").await?;
    stage.set(PASSWORD, "p").await?;
    for (email, of_name, of_password) in [
        ("fine", "valid", "valid"),
        ("boom", "unknown (broken: the check panicked: a bug)", "invalid: taken"),
        ("fine", "valid", "valid"),
        ("boom", "unknown (broken: the check panicked: a bug)", "invalid: taken"),
    ] {
        stage.set(EMAIL, email).await?;
        let when = format!(
            "the email is `{email}`, and a rule of the name, which reads it, panics for `boom`"
        );
        stage.shows(NAME, of_name, &when, HELP)?;
        stage.shows(EMAIL, "valid", &when, HELP)?;
        stage.shows(PASSWORD, of_password, &when, HELP)?;
    }
    Ok(())
}

pub async fn a_panic_is_a_failed_check(cx: Cx) -> Outcome {
    const HELP: &str =
        "catch the panic of a rule, in `set` and in its task, and treat it as a check that failed";
    let service = Service::new(cx.timeline(), "free", 20);
    let quiet = Service::new(cx.timeline(), "quiet", 60);
    service.ends("x", Ends::Panics("no luck"));
    let stage = Stage::new(&cx, |form| {
        form.field(NAME)
            .field(EMAIL)
            .field(PASSWORD)
            .rule(NAME, service.clone(), after(10))
            .rule(NAME, quiet.clone(), after(10))
            .rule(PASSWORD, quiet.clone(), after(10))
            .sync_rule(EMAIL, "plain", &[], |value, _| {
                if value == "x" {
                    std::panic::resume_unwind(Box::new(String::from("a bug")));
                }
                Verdict::ok()
            })
    })
    .await?;
    stage.set(PASSWORD, "p").await?;
    stage.set(NAME, "x").await?;
    stage.set(EMAIL, "x").await?;
    stage.shows(
        EMAIL,
        "unknown (plain: the check panicked: a bug)",
        "a plain rule panics",
        HELP,
    )?;
    stage.set(EMAIL, "y").await?;
    stage.shows(EMAIL, "valid", "the next value of a field whose plain rule panicked", HELP)?;
    stage
        .shows_at(
            69,
            NAME,
            "pending",
            "one check panicked at 30 ms, and another one ends at 70 ms",
            HELP,
        )
        .await?;
    stage
        .shows_at(
            70,
            NAME,
            "unknown (free: the check panicked: no luck)",
            "one of two checks panicked",
            HELP,
        )
        .await?;
    stage.shows(PASSWORD, "valid", "a check of another field panicked", HELP)?;
    stage.set(NAME, "y").await?;
    stage
        .shows_at(140, NAME, "valid", "the next value of a field whose check panicked", HELP)
        .await?;
    a_reader_panics(&cx).await?;
    // The same value: its check panics again, and then its service works.
    stage.set(NAME, "x").await?;
    stage
        .shows_at(
            stage.now() + 100,
            NAME,
            "unknown (free: the check panicked: no luck)",
            "the check panicked again",
            HELP,
        )
        .await?;
    service.ends("x", Ends::With(Verdict::ok()));
    let again = cx.call(VALIDATE, stage.form.validate(NAME)).await?.value;
    let valid = again == Ok(FieldStatus::Valid { warnings: Vec::new() });
    ensure!(valid, "a value whose check panicked, again, and its service works: {again:?}"; expected = "valid", help = HELP);
    Ok(())
}
