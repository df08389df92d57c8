//! `retry` against its model.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use grader_kit::{Cx, Fail, Outcome, list, ms};
use level3::deadline::Deadline;
use level3::retry::{Attempt, Backoff, Disposition, Jitter, Reason, RetryPolicy, retry as judged};
use proptest::prelude::{Just, Strategy, prop, prop_oneof};
use tokio::time::{Instant, sleep, timeout};

use super::{Difference, Played, Script, compare};
use crate::parts::{OnDrop, bug, nz};

/// How an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Well,
    Transient,
    After(u64),
    ForGood,
    PanicsBefore,
    Panics,
    ClassifierPanics,
}

#[derive(Debug, Clone)]
struct Play {
    base: u64,
    factor: u64,
    cap: u64,
    attempts: u32,
    least: u64,
    /// In eighths of the random half.
    jitter: u64,
    limit: Option<u64>,
    /// The caller goes away after this time.
    patience: Option<u64>,
    /// How long each attempt takes, and how it ends. After the last one all succeed.
    ends: Vec<(u64, Ends)>,
}

fn plays() -> impl Strategy<Value = Play> {
    let ends = prop_oneof![
        5 => Just(Ends::Transient),
        2 => prop_oneof![Just(0_u64), Just(1), 0_u64..300].prop_map(Ends::After),
        1 => Just(Ends::Well),
        1 => Just(Ends::ForGood),
        1 => prop_oneof![Just(Ends::PanicsBefore), Just(Ends::Panics), Just(Ends::ClassifierPanics)],
    ];
    let took = prop_oneof![3 => Just(0_u64), 1 => 1_u64..80];
    let schedule = (1_u64..6, 1_u64..4, 0_u64..400, 1_u32..8);
    let rest = (prop_oneof![Just(0_u64), 0_u64..100], 0_u64..=8);
    let times = (prop::option::weighted(0.6, 0_u64..900), prop::option::weighted(0.2, 0_u64..900));
    (schedule, rest, times, prop::collection::vec((took, ends), 1..8)).prop_map(
        |((base, factor, more, attempts), (least, jitter), (limit, patience), ends)| {
            // Multiples of 16 ms: no wait has to be rounded.
            let base = 16 * base;
            let cap = base + 16 * (more / 16);
            Play { base, factor, cap, attempts, least, jitter, limit, patience, ends }
        },
    )
}

impl Script for Play {
    fn lines(&self) -> Vec<String> {
        let Self { base, factor, cap, attempts, least, jitter, .. } = self;
        let mut lines = vec![format!(
            "{attempts} attempts, waits of {base} ms times {factor}, at most {cap} ms; the jitter says {}; an \
             attempt needs {least} ms",
            *jitter as f64 / 8.0
        )];
        lines.extend(self.limit.map(|limit| format!("a deadline after {limit} ms")));
        lines.extend(self.patience.map(|time| format!("the caller leaves after {time} ms")));
        lines.extend(self.ends.iter().enumerate().map(|(number, (takes, ends))| {
            let how = match ends {
                Ends::Well => "succeeds".to_owned(),
                Ends::Transient => "fails: Retry".to_owned(),
                Ends::After(time) => format!("fails: RetryAfter({time} ms)"),
                Ends::ForGood => "fails: GiveUp".to_owned(),
                Ends::PanicsBefore => {
                    return format!("attempt {} panics before there is a future", number + 1);
                }
                Ends::Panics => "panics".to_owned(),
                Ends::ClassifierPanics => "fails, and the classifier panics".to_owned(),
            };
            format!("attempt {} takes {takes} ms and {how}", number + 1)
        }));
        lines
    }
}

impl Play {
    fn end(&self, number: u32) -> (u64, Ends) {
        self.ends.get(number as usize - 1).copied().unwrap_or((0, Ends::Well))
    }

    /// The wait after the failed attempt `number`.
    fn wait(&self, number: u32) -> u64 {
        let nominal =
            self.base.saturating_mul(self.factor.saturating_pow(number - 1)).min(self.cap);
        nominal / 2 + nominal * self.jitter / 16
    }
}

/// What happens: when each attempt begins; when it is over, and how.
type Story = (Vec<u64>, u64, String);

fn model(play: &Play) -> Option<Story> {
    let (mut now, mut waited, mut began) = (0, 0, Vec::new());
    let limit = play.limit.unwrap_or(u64::MAX);
    let fits = |at: u64| at < limit && at.saturating_add(play.least) <= limit;
    let failed = |number: u32, waited: u64, reason: &str| {
        format!("{reason} after {number} attempts and {waited} ms of waiting")
    };
    let mut number = 0;
    let how = loop {
        if number == 0 && !fits(0) {
            break failed(0, 0, "DeadlineTooClose");
        }
        number += 1;
        began.push(now);
        let (takes, ends) = play.end(number);
        if ends == Ends::PanicsBefore {
            break "the panic".to_owned();
        }
        now += takes;
        let wait = match ends {
            Ends::Well => {
                break format!(
                    "the value of attempt {number}, after {number} attempts and {waited} ms of waiting"
                );
            }
            Ends::PanicsBefore | Ends::Panics | Ends::ClassifierPanics => {
                break "the panic".to_owned();
            }
            Ends::ForGood => break failed(number, waited, "GivenUp"),
            Ends::After(time) => time,
            Ends::Transient => play.wait(number),
        };
        if number == play.attempts {
            // Whether the last error is classified first makes no difference here.
            break failed(number, waited, "Exhausted");
        }
        if !fits(now + wait) {
            break failed(number, waited, "DeadlineTooClose");
        }
        now += wait;
        waited += wait;
    };
    match play.patience {
        // What comes first in one millisecond is left open.
        Some(time) if time == now || began.contains(&time) => None,
        Some(time) if time < now => {
            began.retain(|at| *at < time);
            Some((began, time, "its caller is gone, and no attempt runs".to_owned()))
        }
        _ => Some((began, now, how)),
    }
}

/// Agrees with the model of a retry.
pub async fn retry(cx: Cx) -> Outcome {
    compare(&cx, plays(), async |play: &Play| {
        let Some(wanted) = model(play) else { return Ok(Ok(())) };
        let found = cx.call("retry", played(play)).await?.value?;
        let said =
            |(began, at, how): &Story| format!("attempts at {} ms; at {at} ms {how}", list(began));
        Played::Ok(match wanted == found {
            true => Ok(()),
            false => Err(Difference {
                step: play.lines().len(),
                headline: "retry does not do what it should".to_owned(),
                expected: said(&wanted),
                observed: said(&found),
            }),
        })
    })
    .await
}

/// Says the same number always.
#[derive(Debug)]
struct Constant(f64);

impl Jitter for Constant {
    fn unit(&self) -> f64 {
        self.0
    }
}

async fn played(play: &Play) -> Result<Story, Fail> {
    let backoff = Backoff::new(ms(play.base), play.factor as f64, ms(play.cap), nz(play.attempts));
    let Ok(backoff) = backoff else {
        return Err(Fail::new("Backoff::new refuses a valid schedule"));
    };
    let policy = RetryPolicy { backoff, min_attempt: ms(play.least) };
    let start = Instant::now();
    let now = || start.elapsed().as_millis() as u64;
    let (began, idle) = (RefCell::new(Vec::new()), Cell::new(true));
    let deadline = play.limit.map_or_else(Deadline::never, |limit| Deadline::after(ms(limit)));
    let op = |attempt: Attempt| {
        began.borrow_mut().push(now());
        let (takes, ends) = play.end(began.borrow().len() as u32);
        if ends == Ends::PanicsBefore {
            bug("before there is a future");
        }
        idle.set(false);
        let guard = OnDrop(&idle);
        async move {
            let _guard = guard;
            if takes > 0 {
                sleep(ms(takes)).await;
            }
            match ends {
                Ends::Panics => bug("an attempt"),
                Ends::Well => Ok(attempt.number),
                _ => Err(ends),
            }
        }
    };
    let classify = |ends: &Ends| match ends {
        Ends::ClassifierPanics => bug("the classifier"),
        Ends::After(time) => Disposition::RetryAfter(ms(*time)),
        Ends::ForGood => Disposition::GiveUp,
        _ => Disposition::Retry,
    };
    let jitter = Constant(play.jitter as f64 / 8.0);
    let retried = AssertUnwindSafe(judged(&policy, &jitter, deadline, classify, op)).catch_unwind();
    let ended = match play.patience {
        None => Some(retried.await),
        Some(patience) => timeout(ms(patience), retried).await.ok(),
    };
    let figures = |attempts: u32, waited: Duration| {
        format!("after {attempts} attempts and {} ms of waiting", waited.as_millis())
    };
    let how = match ended {
        None if idle.get() => "its caller is gone, and no attempt runs".to_owned(),
        None => "its caller is gone, and an attempt runs on".to_owned(),
        Some(Err(_)) => "the panic".to_owned(),
        Some(Ok(Ok(retried))) => {
            format!(
                "the value of attempt {}, {}",
                retried.value,
                figures(retried.attempts, retried.backoff)
            )
        }
        Some(Ok(Err(error))) => {
            let reason = match error.reason {
                Reason::Exhausted => "Exhausted",
                Reason::GivenUp => "GivenUp",
                Reason::DeadlineTooClose => "DeadlineTooClose",
            };
            format!("{reason} {}", figures(error.attempts, error.backoff))
        }
    };
    let at = now();
    if play.patience == Some(at) {
        // Longer than any wait: no attempt comes later.
        sleep(ms(600)).await;
    }
    Ok((began.into_inner(), at, how))
}
