//! What `build` refuses, and fields that are not there.

use std::collections::BTreeSet;
use std::time::Duration;

use grader_kit::{Cx, Draw, Fail, Outcome, ensure, ensure_eq, ms};
use level5::form_validator::{Checking, ConfigError, FieldId, FormBuilder, UnknownField, Verdict};

use super::fakes::Service;
use super::{EMAIL, NAME, PASSWORD, SHORT, Stage, VALIDATE, after, built, shown};

const LETTERS: [FieldId; 8] = [
    FieldId::new("a"),
    FieldId::new("b"),
    FieldId::new("c"),
    FieldId::new("d"),
    FieldId::new("e"),
    FieldId::new("f"),
    FieldId::new("g"),
    FieldId::new("h"),
];

/// A form of these fields, and for each pair a rule of the first that reads the second.
fn reading(
    form: FormBuilder,
    fields: &[FieldId],
    reads: &[(FieldId, FieldId)],
    service: &Service,
) -> FormBuilder {
    let form = fields.iter().fold(form, |form, field| form.field(*field));
    reads.iter().enumerate().fold(form, |form, (number, (field, read))| {
        if number % 2 == 0 {
            form.sync_rule(*field, "plain", &[*read], |_, _| Verdict::ok())
        } else {
            form.rule(*field, service.clone().reads(&[*read]), after(0))
        }
    })
}

fn names(fields: &[FieldId]) -> String {
    fields.iter().map(|field| field.as_str()).collect::<Vec<_>>().join(" ")
}

/// Whether this is the circle, from any of its fields on.
fn is_circle(found: &[FieldId], circle: &[FieldId]) -> bool {
    let turned = |by: usize| circle.iter().cycle().skip(by).take(circle.len());
    found.len() == circle.len() && (0..circle.len()).any(|by| turned(by).eq(found))
}

pub async fn a_cycle_is_named(cx: Cx) -> Outcome {
    let service = Service::new(cx.timeline(), "free", 0);
    let mut draw = cx.draw();
    for length in [1, 2, 3, 8] {
        let (fields, rules, circle) = with_circle(&mut draw, length);
        names_circle(&cx, &fields, &rules, &circle, &service).await?;
    }
    // Wherever a search begins: two fields in a circle, and two on the way to it or from it.
    for roles in permutations(&LETTERS[..4]) {
        let [one, other, way, next] = roles[..] else { break };
        for to_the_circle in [true, false] {
            let beside = if to_the_circle { (next, one) } else { (one, way) };
            let mut rules = vec![(one, other), (other, one), (way, next), beside];
            for backwards in [false, true] {
                let mut fields = LETTERS[..4].to_vec();
                if backwards {
                    rules.reverse();
                    fields.reverse();
                }
                names_circle(&cx, &fields, &rules, &[one, other], &service).await?;
            }
        }
    }
    // Many ways to a field are no circle; neither is a rule that reads the same field as another one.
    for _ in 0..4 {
        let mut order = LETTERS;
        draw.shuffle(&mut order);
        let mut rules = Vec::new();
        for (number, field) in order.iter().enumerate() {
            for read in &order[number + 1..] {
                if draw.chance(60) || number == 0 {
                    rules.push((*field, *read));
                    rules.push((*field, *read));
                }
            }
        }
        draw.shuffle(&mut rules);
        let made = built(&cx, |form| reading(form, &LETTERS, &rules, &service)).await?;
        if let Err(error) = made {
            return Err(Fail::new(format!("a form without a circle is refused: {error:?}"))
                .help("a field that was met before and is done closes no circle"));
        }
    }
    // A chain of two thousand fields.
    let names: Vec<&'static str> = (0..2000).map(|number| &*format!("f{number}").leak()).collect();
    let fields: Vec<_> = names.iter().map(|name| FieldId::new(name)).collect();
    let rules: Vec<_> = fields.windows(2).map(|pair| (pair[0], pair[1])).collect();
    let made = built(&cx, |form| reading(form, &fields, &rules, &service)).await?;
    ensure!(made.is_ok(), "a chain of 2000 fields is refused: {:?}", made.map(|_| ()));
    Ok(())
}

/// `build` refuses a form of these fields, whose rules read one another, and names the circle.
async fn names_circle(
    cx: &Cx,
    fields: &[FieldId],
    rules: &[(FieldId, FieldId)],
    circle: &[FieldId],
    service: &Service,
) -> Outcome {
    const HELP: &str = "a search in depth: a field that is met while it is on the path closes a circle, which is the path from there on";
    let made = built(cx, |form| reading(form, fields, rules, service)).await?;
    let read = rules.iter().map(|(field, read)| format!("{field} reads {read}"));
    let read = grader_kit::list(read);
    match made {
        Err(ConfigError::Cycle(found)) => ensure!(
            is_circle(&found, circle), "{read}: the cycle is [{}]", names(&found);
            expected = format!("[{}], or the same from another field on", names(circle)), help = HELP),
        Err(error) => return Err(Fail::new(format!("{read}: {error:?}")).expected("a cycle")),
        Ok(_) => {
            return Err(Fail::new(format!("{read}: the form is accepted"))
                .expected(format!("the cycle [{}]", names(circle)))
                .help(HELP));
        }
    }
    Ok(())
}

/// All orders of some fields.
fn permutations(fields: &[FieldId]) -> Vec<Vec<FieldId>> {
    fields.iter().fold(vec![Vec::new()], |orders, field| {
        let longer = |order: Vec<FieldId>| {
            (0..=order.len()).map(move |place| {
                let mut longer = order.clone();
                longer.insert(place, *field);
                longer
            })
        };
        orders.into_iter().flat_map(longer).collect()
    })
}

/// Some of the letters in a circle, and the others before it, after it or beside it.
fn with_circle(
    draw: &mut Draw,
    length: usize,
) -> (Vec<FieldId>, Vec<(FieldId, FieldId)>, Vec<FieldId>) {
    let mut letters = LETTERS;
    draw.shuffle(&mut letters);
    let (circle, others) = letters.split_at(length);
    let next = circle.iter().cycle().skip(1);
    let mut rules: Vec<_> = circle.iter().zip(next).map(|(a, b)| (*a, *b)).collect();
    let mut after = BTreeSet::new();
    for pair in others.windows(2) {
        rules.push((pair[0], pair[1]));
        after.insert(pair[1]);
    }
    if let Some(first) = others.first() {
        // They lead to the circle, or the circle to them.
        rules.push(if draw.chance(50) {
            (others[others.len() - 1], circle[draw.index(length)])
        } else {
            (circle[draw.index(length)], *first)
        });
    }
    draw.shuffle(&mut rules);
    let mut fields = LETTERS.to_vec();
    draw.shuffle(&mut fields);
    (fields, rules, circle.to_vec())
}

pub async fn bad_settings_are_refused(cx: Cx) -> Outcome {
    const HELP: &str = "`build` returns a `ConfigError` for what makes no sense, and takes everything else as it is";
    let service = Service::new(cx.timeline(), "free", 0);
    let ask = || service.clone();
    let refused =
        async |what: &str, expected: ConfigError, form: &dyn Fn(FormBuilder) -> FormBuilder| {
            let found = built(&cx, form).await?.map(|_| ());
            ensure_eq!(found, Err(expected), "{what}"; help = HELP);
            Ok::<_, Fail>(())
        };
    let plain = |form: FormBuilder, field, reads: &[FieldId]| {
        form.sync_rule(field, "plain", reads, |_, _| Verdict::error(SHORT))
    };
    refused("no field", ConfigError::NoFields, &|form| form).await?;
    refused("a field twice", ConfigError::DuplicateField(EMAIL), &|form| {
        form.field(NAME).field(EMAIL).field(EMAIL)
    })
    .await?;
    let unknown = |rule| ConfigError::UnknownField { field: PASSWORD, rule };
    let two = |form: FormBuilder| form.field(NAME).field(EMAIL);
    refused("a plain rule of a field that is not there", unknown("plain"), &|form| {
        plain(two(form), PASSWORD, &[])
    })
    .await?;
    refused("a check of a field that is not there", unknown("free"), &|form| {
        two(form).rule(PASSWORD, ask(), after(0))
    })
    .await?;
    refused("a plain rule that reads a field that is not there", unknown("plain"), &|form| {
        plain(two(form), NAME, &[EMAIL, PASSWORD])
    })
    .await?;
    refused("a check that reads a field that is not there", unknown("free"), &|form| {
        two(form).rule(EMAIL, ask().reads(&[PASSWORD]), after(0))
    })
    .await?;
    let zero = Duration::ZERO;
    refused("a time limit of zero", ConfigError::ZeroTimeout("free"), &|form| {
        two(form).rule(EMAIL, ask(), Checking { timeout: zero, ..after(0) })
    })
    .await?;
    refused("a ttl of zero", ConfigError::ZeroTtl("free"), &|form| {
        two(form).rule(EMAIL, ask(), Checking { ttl: zero, ..after(0) })
    })
    .await?;
    let nano = Duration::from_nanos(1);
    for time in [nano, Duration::MAX] {
        let all = Checking { debounce: time, timeout: time, ttl: time, ..Checking::default() };
        let made = built(&cx, |form| {
            let form = plain(form.rule(EMAIL, ask().reads(&[NAME]), all), NAME, &[PASSWORD]);
            form.field(PASSWORD).field(EMAIL).field(NAME)
        })
        .await?;
        ensure!(made.is_ok(), "times of {time:?}, and rules that are added before their fields: {:?}", made.map(|_| ());
            expected = "the form is accepted", help = HELP);
    }
    lives_with_any_time(&cx).await?;
    let (default, hundred) = (Checking::default(), std::num::NonZeroUsize::new(100));
    let times = (default.debounce, default.timeout, default.ttl, Some(default.capacity));
    let expected =
        (Duration::from_millis(300), Duration::from_secs(10), Duration::from_secs(300), hundred);
    ensure_eq!(times, expected, "the default of `Checking`");
    Ok(())
}

/// A form with the longest times works: a limit that is never reached, a verdict that is never old, and a debounce that
/// only `validate` ends.
async fn lives_with_any_time(cx: &Cx) -> Outcome {
    const HELP: &str = "`Duration::MAX` is a way to say never: the sum of an instant and a duration may be no instant, so hand the duration to `sleep` and `timeout`, and compare ages";
    for long in [Duration::MAX, Duration::from_secs(u64::from(u32::MAX) * 1000)] {
        let service = Service::new(cx.timeline(), "free", 100);
        let checking = Checking { timeout: long, ttl: long, ..after(10) };
        let stage =
            Stage::new(cx, |form| form.field(NAME).rule(NAME, service.clone(), checking)).await?;
        let when = format!(
            "a `timeout` and a `ttl` of {long:?}, a debounce of 10 ms, and a check of 100 ms"
        );
        for (at, value) in [(0, "a"), (1000, "b"), (2000, "a")] {
            stage.set_at(at, NAME, value).await?;
            stage.shows_at(at + 110, NAME, "valid", &when, HELP).await?;
        }
        ensure_eq!(service.began(), ["a@10", "b@1010"], "{when}: the checks of the values a, b and a"; help = HELP);
        let service = Service::new(cx.timeline(), "free", 100);
        let checking = Checking { debounce: long, ..Checking::default() };
        let stage =
            Stage::new(cx, |form| form.field(NAME).rule(NAME, service.clone(), checking)).await?;
        let when = format!("a debounce of {long:?}");
        stage.set(NAME, "a").await?;
        stage.shows_at(30_000, NAME, "pending", &when, HELP).await?;
        let call = cx.call(VALIDATE, stage.form.validate(NAME)).await?;
        let status = call.value.map_or_else(|error| error.to_string(), |status| shown(&status));
        ensure_eq!((status.as_str(), call.took), ("valid", ms(100)), "{when}, and `validate` of a field whose check waits for it"; help = HELP);
    }
    Ok(())
}

pub async fn unknown_fields_are_errors(cx: Cx) -> Outcome {
    const HELP: &str = "a field that the form does not have is `UnknownField`, with its name";
    let stage = Stage::new(&cx, |form| form.field(NAME)).await?;
    for field in [EMAIL, PASSWORD] {
        let expected = UnknownField(field);
        let form = &stage.form;
        ensure_eq!(form.set(field, "x"), Err(expected), "`set` of a field that is not there"; help = HELP);
        ensure_eq!(form.value(field), Err(expected), "`value` of a field that is not there"; help = HELP);
        let watched = form.field(field).map(|_| ());
        ensure_eq!(watched, Err(expected), "`field` of a field that is not there"; help = HELP);
        let validated = cx.call(VALIDATE, form.validate(field)).await?.value;
        ensure_eq!(validated, Err(expected), "`validate` of a field that is not there"; help = HELP);
    }
    stage.shows(NAME, "pristine", "the methods were asked for other fields", HELP)?;
    let set = stage.form.set(NAME, "x");
    ensure_eq!(set, Ok(()), "`set` of a field that is there");
    Ok(())
}
