//! Which errors are followed by another subscription, and when.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use grader_kit::marbles::Marbles;
use grader_kit::{Cx, Outcome, ensure_eq, lock};
use level4::resubscribe::retry::Jitter;
use level4::resubscribe::{Again, Resubscribe};

use super::source::{Source, Step};
use super::{
    RESUBSCRIBE, after, always, backoff, expect, expect_subscriptions, make, nz32, rule, shown,
};

pub async fn items_pass(cx: Cx) -> Outcome {
    let number = u32::try_from(cx.draw().between(10..=99)).unwrap_or(10);
    let script = [
        Step::Item(number),
        Step::Wait(40),
        Step::Item(2),
        Step::Item(2),
        Step::Wait(20),
        Step::Item(1),
        Step::Wait(5),
        Step::End,
    ];
    let source = Source::new(&cx, [script.to_vec()], vec![Step::Item(9), Step::End]);
    let shown = number.to_string();
    let expected = [(0, shown.as_str()), (40, "2"), (40, "2"), (60, "1"), (65, "|")];
    let what = "a source that yields four items and ends";
    let help = "items pass when they come; the end of the source is the end";
    expect(&cx, (&source, always(after(3)?)), 60_000, &expected, what, help).await?;
    expect_subscriptions(&source, &[0], what, "an end is no error")?;
    // The end of one that had to be subscribed to twice.
    let scripts = [vec![Step::Error(503)], vec![Step::Item(1), Step::End]];
    let source = Source::new(&cx, scripts, vec![Step::Item(9), Step::End]);
    let expected = [(1_000, "1"), (1_000, "|")];
    let what = "a source that fails, and the next one yields an item and ends";
    expect(&cx, (&source, always(after(3)?)), 60_000, &expected, what, help).await
}

pub async fn waits_grow(cx: Cx) -> Outcome {
    const HELP: &str = "after the failed attempt number n wait for `backoff.delay(n, unit)`, without jitter: 1, 2, 4, 8, 10, 10 s";
    let status = u16::try_from(cx.draw().between(500..=599)).unwrap_or(500);
    let source = Source::failing(&cx, &[status]);
    let what = "a source that fails at once; waits of 1 s, doubled, at most 10 s";
    expect(&cx, (&source, always(after(99)?)), 30_000, &[], what, HELP).await?;
    expect_subscriptions(&source, &[0, 1_000, 3_000, 7_000, 15_000, 25_000], what, HELP)?;
    // A wait begins when the error comes.
    let script = vec![Step::Wait(300), Step::Error(status)];
    let source = Source::new(&cx, [], script);
    let what = "a source that fails after 300 ms; waits of 1 s, doubled, at most 10 s";
    expect(&cx, (&source, always(after(99)?)), 9_000, &[], what, HELP).await?;
    expect_subscriptions(&source, &[0, 1_300, 3_600, 7_900], what, HELP)
}

pub async fn the_last_error_passes(cx: Cx) -> Outcome {
    for (attempts, expected, times) in [
        (1, (0, "503 after 1"), &[0][..]),
        (2, (1_000, "503 after 2"), &[0, 1_000]),
        (4, (7_000, "503 after 4"), &[0, 1_000, 3_000, 7_000]),
    ] {
        let source = Source::failing(&cx, &[503]);
        let what = format!("a source that fails at once, and {attempts} attempts");
        let help = "the error of the last attempt comes out at once, and then the end; the first subscription is an attempt";
        let expected = [expected, (expected.0, "|")];
        expect(&cx, (&source, always(after(attempts)?)), 60_000, &expected, &what, help).await?;
        expect_subscriptions(&source, times, &what, help)?;
    }
    // The last one, and not the first.
    let source = Source::failing(&cx, &[501, 502, 503]);
    let what = "errors 501, 502 and 503, and three attempts";
    let expected = [(3_000, "503 after 3"), (3_000, "|")];
    expect(&cx, (&source, always(after(3)?)), 60_000, &expected, what, "the last error comes out")
        .await
}

pub async fn each_class_has_its_own_count(cx: Cx) -> Outcome {
    const HELP: &str = "one count for each rule: the attempts of one class take none from another, and its waits begin with the first";
    let how = || -> Result<_, grader_kit::Fail> {
        let rules = vec![
            rule(|error| error.0 == 429, backoff(100, 4)?),
            rule(|error| error.0 >= 500, after(4)?),
        ];
        Ok(Resubscribe { rules, otherwise: Again::Never, ..Resubscribe::default() })
    };
    let source = Source::failing(&cx, &[429, 429, 429, 503]);
    let what = "429 three times, then 503; four attempts for each of the two, waits of 100 ms and 1 s, doubled";
    let expected = [(7_700, "503 after 7"), (7_700, "|")];
    expect(&cx, (&source, how()?), 60_000, &expected, what, HELP).await?;
    expect_subscriptions(&source, &[0, 100, 300, 700, 1_700, 3_700, 7_700], what, HELP)?;
    // In turn.
    let source = Source::failing(&cx, &[503, 429, 503, 429, 503, 429, 429]);
    let what =
        "503 and 429 in turn; four attempts for each of the two, waits of 100 ms and 1 s, doubled";
    let expected = [(7_700, "429 after 7"), (7_700, "|")];
    expect(&cx, (&source, how()?), 60_000, &expected, what, HELP).await?;
    expect_subscriptions(&source, &[0, 1_000, 1_100, 3_100, 3_300, 7_300, 7_700], what, HELP)
}

pub async fn the_first_rule_decides(cx: Cx) -> Outcome {
    const HELP: &str = "of the rules whose class the error belongs to, the first one decides, and only its count grows";
    let rules = vec![
        rule(|error| error.0 == 503, after(3)?),
        rule(|error| error.0 >= 500, backoff(100, 3)?),
        rule(|_| true, Again::Never),
    ];
    let how = Resubscribe { rules, otherwise: Again::Never, ..Resubscribe::default() };
    let source = Source::failing(&cx, &[503, 503, 500, 502, 504]);
    let what = "503, 503, 500, 502 and 504; rules for 503 (1 s, doubled), for 500 and more (100 ms, doubled), for all";
    let expected = [(3_300, "504 after 5"), (3_300, "|")];
    expect(&cx, (&source, how), 60_000, &expected, what, HELP).await?;
    expect_subscriptions(&source, &[0, 1_000, 3_000, 3_100, 3_300], what, HELP)?;
    // Also when its attempts are used up.
    let source = Source::failing(&cx, &[503]);
    let rules =
        vec![rule(|error| error.0 == 503, after(2)?), rule(|error| error.0 >= 500, after(5)?)];
    let how = Resubscribe { rules, otherwise: after(5)?, ..Resubscribe::default() };
    let what = "503 for good; two attempts by the rule for 503, five by that for 500 and more, and five for all others";
    let expected = [(1_000, "503 after 2"), (1_000, "|")];
    let help = "the first rule decides, also when its attempts are used up: the error passes to no other rule";
    expect(&cx, (&source, how), 60_000, &expected, what, help).await
}

pub async fn other_errors_have_a_count_too(cx: Cx) -> Outcome {
    const HELP: &str = "the errors that no rule is about are one more class, with one count";
    let source = Source::failing(&cx, &[400, 404]);
    let rules = vec![rule(|error| error.0 >= 500, after(9)?)];
    let how = Resubscribe { rules, otherwise: backoff(500, 2)?, ..Resubscribe::default() };
    let what = "400 and 404, and a rule for 500 and more; two attempts for all other errors";
    let expected = [(500, "404 after 2"), (500, "|")];
    expect(&cx, (&source, how), 60_000, &expected, what, HELP).await?;
    let source = Source::failing(&cx, &[400]);
    let rules = vec![rule(|error| error.0 >= 500, after(9)?)];
    let how = Resubscribe { rules, otherwise: Again::Never, ..Resubscribe::default() };
    let expected = [(0, "400 after 1"), (0, "|")];
    let what = "400, and a rule for 500 and more; no other error is tried again";
    expect(
        &cx,
        (&source, how),
        60_000,
        &expected,
        what,
        "`Again::Never`: the error comes out at once",
    )
    .await
}

pub async fn an_item_resets_the_counts(cx: Cx) -> Outcome {
    let script = || vec![Step::Item(1), Step::Error(503)];
    // Without.
    let source = Source::new(&cx, [], script());
    let how = Resubscribe { reset_on_item: false, ..always(after(3)?) };
    let expected = [(0, "1"), (1_000, "1"), (3_000, "1"), (3_000, "503 after 3"), (3_000, "|")];
    let what = "an item and an error, again and again; three attempts, and no reset";
    expect(
        &cx,
        (&source, how),
        60_000,
        &expected,
        what,
        "without `reset_on_item` the counts are those of the whole life",
    )
    .await?;
    // With.
    let source = Source::new(&cx, [], script());
    let how = Resubscribe { reset_on_item: true, ..always(after(3)?) };
    let expected = [(0, "1"), (1_000, "1"), (2_000, "1"), (3_000, "1"), (4_000, "1")];
    let what = "an item and an error, again and again; three attempts, and a reset";
    let help = "an item sets the counts to zero: the next wait is the first one of the schedule";
    expect(&cx, (&source, how), 4_500, &expected, what, help).await?;
    // All of them, by each item, and not before.
    let scripts = [
        vec![Step::Error(503)],
        vec![Step::Error(429)],
        vec![Step::Item(1), Step::Error(429)],
        vec![Step::Error(503)],
        vec![Step::Error(503)],
    ];
    // With a rule for one of the two classes, and with one for each.
    let for_429 = || Ok::<_, grader_kit::Fail>(rule(|error| error.0 == 429, after(2)?));
    let for_503 = rule(|error| error.0 == 503, after(3)?);
    for (rules, otherwise) in
        [(vec![for_429()?], after(3)?), (vec![for_503, for_429()?], Again::Never)]
    {
        let source = Source::new(&cx, scripts.clone(), vec![Step::Error(503)]);
        let what = format!(
            "503, 429, an item, 429, then 503 for good; two attempts for 429, three for 503, {} of two as rules, and a reset",
            rules.len()
        );
        let how = Resubscribe { rules, reset_on_item: true, otherwise, ..Resubscribe::default() };
        let expected = [(2_000, "1"), (6_000, "503 after 6"), (6_000, "|")];
        let help = "an item sets all counts to zero, an error none; `subscriptions` is the number of all subscriptions, which nothing resets";
        expect(&cx, (&source, how), 60_000, &expected, &what, help).await?;
    }
    Ok(())
}

pub async fn at_once_is_at_once(cx: Cx) -> Outcome {
    let source = Source::failing(&cx, &[503]);
    let how = always(Again::AtOnce { attempts: nz32(5) });
    let what = "a source that fails at once, and five attempts at once";
    let expected = [(0, "503 after 5"), (0, "|")];
    expect(
        &cx,
        (&source, how),
        60_000,
        &expected,
        what,
        "no wait and no timer: also a `sleep` of zero takes a millisecond",
    )
    .await?;
    expect_subscriptions(&source, &[0; 5], what, "no wait")?;
    // Beside a rule that waits.
    let source = Source::failing(&cx, &[429, 503, 503]);
    let rules = vec![rule(|error| error.0 == 429, after(3)?)];
    let how = Resubscribe {
        rules,
        otherwise: Again::AtOnce { attempts: nz32(2) },
        ..Resubscribe::default()
    };
    let expected = [(1_000, "503 after 3"), (1_000, "|")];
    let what = "429, 503 and 503; 503 is tried twice and at once, 429 after 1 s";
    expect(&cx, (&source, how), 60_000, &expected, what, "each rule has its own waits").await
}

/// Returns the numbers of a script, then 1.
#[derive(Debug)]
struct Numbers(Mutex<(VecDeque<f64>, usize)>);

impl Jitter for Numbers {
    fn unit(&self) -> f64 {
        let mut numbers = lock(&self.0);
        numbers.1 += 1;
        numbers.0.pop_front().unwrap_or(1.0)
    }
}

pub async fn each_wait_draws(cx: Cx) -> Outcome {
    const HELP: &str = "`backoff.delay(failed, jitter.unit())`: one number for each wait, and none where there is no wait";
    let numbers = Arc::new(Numbers(Mutex::new(([0.0, 0.5, 1.0].into(), 0))));
    let with = |again| {
        let jitter = Arc::clone(&numbers) as Arc<dyn Jitter>;
        Resubscribe { jitter, ..always(again) }
    };
    let drawn = || lock(&numbers.0).1;
    let source = Source::failing(&cx, &[503]);
    let what = "a source that fails: 1 s, doubled, four attempts, and jitter of 0, 0.5 and 1";
    // 500, then 1500 of 2000, then 4000.
    let expected = [(6_000, "503 after 4"), (6_000, "|")];
    expect(&cx, (&source, with(after(4)?)), 60_000, &expected, what, HELP).await?;
    expect_subscriptions(&source, &[0, 500, 2_000, 6_000], what, HELP)?;
    ensure_eq!(drawn(), 3, "three waits of a backoff: the numbers that were drawn"; help = HELP);
    let source = Source::failing(&cx, &[503]);
    let stream = make(&source, with(Again::AtOnce { attempts: nz32(5) }));
    cx.call(RESUBSCRIBE, Marbles::record(100, stream, shown)).await?;
    ensure_eq!(drawn(), 3, "five attempts at once after it: the numbers that were drawn in all"; help = HELP);
    Ok(())
}
