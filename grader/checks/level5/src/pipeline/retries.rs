//! Stages that try again.

use std::num::NonZeroU32;
use std::time::Duration;

use grader_kit::{Cx, Outcome, ensure, ensure_eq, list, ms};
use level5::pipeline::Failed;
use level5::pipeline::Failure;
use level5::pipeline::retry::{Backoff, Disposition, Jitter, NoJitter};

use super::works::{Works, fails, takes};
use super::{Answer, Line, all, nz, values};

/// Always the same number.
#[derive(Debug)]
struct Always(f64);

impl Jitter for Always {
    fn unit(&self) -> f64 {
        self.0
    }
}

/// Waits of `base`, twice, four times and so on, up to 2 s.
fn backoff(base: u64, attempts: u32) -> Backoff {
    let attempts = NonZeroU32::new(attempts).unwrap_or(NonZeroU32::MIN);
    Backoff::new(ms(base), 2.0, Duration::from_secs(2), attempts).unwrap_or_default()
}

/// Errors say themselves what follows them.
fn classify(error: &str) -> Disposition {
    match error.split_once(' ') {
        _ if error.starts_with("give up") => Disposition::GiveUp,
        Some(("after", wait)) => Disposition::RetryAfter(ms(wait.parse().unwrap_or(0))),
        _ => Disposition::Retry,
    }
}

/// An item: the errors of its attempts, and then a success.
struct Case {
    attempts: u32,
    jitter: f64,
    errors: &'static [&'static str],
    /// When its attempts begin; each takes 10 ms.
    begins: &'static [u64],
    fails: bool,
}

const CASES: &[Case] = &[
    Case { attempts: 3, jitter: 1.0, errors: &[], begins: &[0], fails: false },
    Case { attempts: 3, jitter: 1.0, errors: &["one"], begins: &[0, 110], fails: false },
    Case {
        attempts: 3,
        jitter: 1.0,
        errors: &["one", "two"],
        begins: &[0, 110, 320],
        fails: false,
    },
    Case {
        attempts: 3,
        jitter: 1.0,
        errors: &["one", "two", "three"],
        begins: &[0, 110, 320],
        fails: true,
    },
    Case { attempts: 1, jitter: 1.0, errors: &["one", "two"], begins: &[0], fails: true },
    Case {
        attempts: 5,
        jitter: 0.5,
        errors: &["one", "two", "three"],
        begins: &[0, 85, 245, 555],
        fails: false,
    },
    Case {
        attempts: 5,
        jitter: 1.0,
        errors: &["one", "give up", "three"],
        begins: &[0, 110],
        fails: true,
    },
    Case {
        attempts: 5,
        jitter: 0.0,
        errors: &["after 700", "two"],
        begins: &[0, 710, 820],
        fails: false,
    },
    // Sooner than the backoff, and not at all later.
    Case {
        attempts: 5,
        jitter: 1.0,
        errors: &["one", "after 20", "three"],
        begins: &[0, 110, 140, 550],
        fails: false,
    },
    Case { attempts: 3, jitter: 0.0, errors: &["after 0"], begins: &[0, 10], fails: false },
    Case {
        attempts: 4,
        jitter: 0.5,
        errors: &["after 99", "after 101", "three"],
        begins: &[0, 109, 220, 530],
        fails: false,
    },
    Case {
        attempts: 2,
        jitter: 1.0,
        errors: &["after 5000", "after 1"],
        begins: &[0, 5010],
        fails: true,
    },
    Case {
        attempts: 2,
        jitter: 1.0,
        errors: &["after 500000"],
        begins: &[0, 500_010],
        fails: false,
    },
    Case {
        attempts: 7,
        jitter: 1.0,
        errors: &["1", "2", "3", "4", "5", "6", "7"],
        begins: &[0, 110, 320, 730, 1540, 3150, 5160],
        fails: true,
    },
];

pub async fn retries_as_the_policy_says(cx: Cx) -> Outcome {
    for Case { attempts, jitter, errors, begins, fails: is_failure } in CASES {
        let works = Works::new(&cx);
        let plan = |item: u64, attempt: u32| match errors.get(attempt as usize - 1) {
            // Only the first item fails.
            Some(error) if item == 0 => fails(10, *error),
            _ => takes(10),
        };
        let first = works.stage("first", 3, plan);
        let first = first.retry(backoff(100, *attempts), Always(*jitter), |error| classify(error));
        let line = Line::new(nz(1)).stage(first).stage(works.stage("second", 3, |_, _| takes(1)));
        let results = all(&cx, &works, line.run(works.input(3))).await?;
        let seen = works.began("first", 0);
        ensure!(seen == *begins, "attempts of 10 ms fail with {}; the backoff has {attempts} attempts and waits of 100 ms, 200 ms and so on, with a jitter of {jitter}: when the attempts began", list(errors.iter());
            expected = list(begins.iter()), observed = list(&seen),
            help = "`level3::retry::retry` makes the attempts and the waits");
        let made = u32::try_from(begins.len()).unwrap_or(0);
        let expected: Answer = match errors.get(begins.len() - 1) {
            Some(error) if *is_failure => Err(Failed {
                stage: "first",
                index: 0,
                attempts: made,
                cause: Failure::Error((*error).to_owned()),
            }),
            _ => Ok(0),
        };
        let own = |answer: &Answer| matches!(answer, Ok(0) | Err(Failed { index: 0, .. }));
        let found = results.into_iter().map(|(_, answer)| answer).find(own);
        ensure_eq!(found, Some(expected), "attempts fail with {}, with {attempts} attempts at most: the result of the item", list(errors.iter());
            help = "`attempts` counts the calls of the work, the first one too; the error is that of the last one");
    }
    the_last_policy_counts(&cx).await?;
    many_attempts(&cx).await?;
    each_stage_for_itself(&cx).await
}

/// `retry` twice: the second call counts.
async fn the_last_policy_counts(cx: &Cx) -> Outcome {
    let works = Works::new(cx);
    let stage = works.stage("a", 1, |_, _| fails(10, "again"));
    let first = stage.retry(backoff(100, 5), NoJitter, |_| Disposition::GiveUp);
    let stage = first.retry(backoff(200, 2), NoJitter, |_| Disposition::Retry);
    all(cx, &works, Line::new(nz(1)).stage(stage).run(works.input(1))).await?;
    let began = works.began("a", 0);
    ensure!(began == [0, 210], "`retry` was called twice, with 5 attempts and waits of 100 ms, and with 2 attempts and waits of 200 ms: when the attempts began";
        expected = "0, 210: the second call replaces the first", observed = list(began));
    Ok(())
}

/// Hundreds of attempts, of two items at the same time.
async fn many_attempts(cx: &Cx) -> Outcome {
    const MOST: u32 = 300;
    let works = Works::new(cx);
    let attempts = NonZeroU32::new(MOST).unwrap_or(NonZeroU32::MIN);
    let backoff = Backoff::new(ms(1), 1.0, ms(1), attempts).unwrap_or_default();
    let stage = works.stage("a", 2, |_, attempt| fails(0, format!("attempt {attempt}")));
    let stage = stage.retry(backoff, NoJitter, |_| Disposition::Retry);
    let mut results = all(cx, &works, Line::new(nz(1)).stage(stage).run(works.input(2))).await?;
    results.sort_by_key(|(_, result)| {
        result.as_ref().map_or_else(|failed| failed.index, |item| *item)
    });
    for (index, (_, result)) in (0..).zip(results) {
        let cause = Failure::Error(format!("attempt {MOST}"));
        let expected: Answer = Err(Failed { stage: "a", index, attempts: MOST, cause });
        ensure_eq!(
            result,
            expected,
            "all of {MOST} attempts fail, of two items at the same time: the result of one of them"
        );
    }
    Ok(())
}

/// The policy of one stage is not that of another, and each item has its own attempts.
async fn each_stage_for_itself(cx: &Cx) -> Outcome {
    let works = Works::new(cx);
    let plan = |_, attempt| if attempt < 3 { fails(10, "again") } else { takes(10) };
    let with = works.stage("with", 2, plan).retry(backoff(50, 3), NoJitter, |_| Disposition::Retry);
    let without = works
        .stage("without", 2, |item, _| if item % 2 == 0 { fails(10, "once") } else { takes(10) });
    let results =
        all(cx, &works, Line::new(nz(1)).stage(with).stage(without).run(works.input(6))).await?;
    for item in 0..6 {
        let calls = [works.began("with", item).len(), works.began("without", item).len()];
        ensure_eq!(
            calls,
            [3, 1],
            "a stage with three attempts, of which the third one succeeds, and then a stage without retries: their calls for item {item}"
        );
    }
    let mut good = values(&results);
    good.sort_unstable();
    ensure!(good == [1, 3, 5] && results.len() == 6, "a stage with retries, and one without in which every other item fails: the values"; expected = "1, 3, 5", observed = list(good));
    Ok(())
}

pub async fn a_waiting_retry_holds_its_slot_only(cx: Cx) -> Outcome {
    const HELP: &str = "the wait belongs to the item: it keeps its slot, and the other slots go on";
    let drawn = cx.draw().index(3) + 2;
    for limit in [2, 3, drawn] {
        let works = Works::new(&cx);
        let plan =
            |item, attempt| if item == 0 && attempt == 1 { fails(10, "again") } else { takes(100) };
        let stage =
            works.stage("a", limit, plan).retry(backoff(1000, 2), NoJitter, |_| Disposition::Retry);
        let results = all(&cx, &works, Line::new(nz(1)).stage(stage).run(works.input(20))).await?;
        // While item 0 waits, from 10 ms to 1010 ms, the others have one slot less.
        let others = (limit - 1) as u64;
        for item in 1..20 {
            let at = works.began("a", item).first().copied().unwrap_or(u64::MAX);
            let expected = (item - 1) / others * 100;
            if expected > 1000 {
                break;
            }
            ensure!(at >= expected, "a stage with a limit of {limit}: item 0 waits for its second attempt from 10 ms to 1010 ms, and item {item} began at {at} ms";
                expected = format!("{expected} ms: the item that waits keeps its slot"), help = HELP);
            ensure!(at <= expected, "a stage with a limit of {limit}: item 0 waits for its second attempt from 10 ms to 1010 ms, and item {item} began at {at} ms";
                expected = format!("{expected} ms: the other slots go on"), help = HELP);
        }
        ensure!(works.began("a", 0) == [0, 1010] && results.len() == 20, "a stage with a limit of {limit}: the attempts of item 0 began at {} ms", list(works.began("a", 0));
            expected = "0, 1010", help = HELP);
    }
    Ok(())
}
