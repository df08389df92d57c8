//! `deadline::Deadline` against its model.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use grader_kit::{Cx, Outcome, ms};
use level3::deadline::{Deadline, Elapsed};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use tokio::time::{Instant, sleep, timeout};

use super::{Difference, Script, compare};
use crate::parts::bug;

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    /// A deadline so long from now.
    After(u64),
    /// At an instant so long from the beginning of the script.
    At(u64),
    /// The deadline with this number, counted from the last one, earlier by a reserve.
    Earlier(usize, u64),
    Stricter(usize, usize),
    /// What is left, and whether work of this length fits.
    Ask(usize, u64),
    Run {
        which: usize,
        takes: u64,
        panics: bool,
        patience: Option<u64>,
    },
}

#[derive(Debug, Clone)]
struct Play(Vec<Step>);

/// Short, with few values, so that instants meet.
fn time() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0_u64), Just(1), Just(20), Just(50), 0_u64..120]
}

fn plays() -> impl Strategy<Value = Play> {
    let which = || 0_usize..4;
    let run = (which(), time(), any::<bool>(), prop::option::weighted(0.3, time()));
    let step = prop_oneof![
        2 => time().prop_map(Step::Wait),
        2 => time().prop_map(Step::After),
        1 => time().prop_map(Step::At),
        1 => (which(), time()).prop_map(|(which, reserve)| Step::Earlier(which, reserve)),
        1 => (which(), which()).prop_map(|(one, other)| Step::Stricter(one, other)),
        3 => (which(), time()).prop_map(|(which, needed)| Step::Ask(which, needed)),
        3 => run.prop_map(|(which, takes, panics, patience)| {
            // One in two of those that end badly would hide too much.
            Step::Run { which, takes, panics: panics && takes % 3 == 0, patience }
        }),
    ];
    prop::collection::vec(step, 1..25).prop_map(Play)
}

fn named(which: usize) -> String {
    match which {
        0 => "the last deadline".to_owned(),
        n => format!("the last deadline but {n}"),
    }
}

impl Script for Play {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec!["a deadline after 100 ms".to_owned()];
        lines.extend(self.0.iter().map(|step| match step {
            Step::Wait(time) => format!("{time} ms go by"),
            Step::After(limit) => format!("a deadline after {limit} ms"),
            Step::At(at) => format!("a deadline at {at} ms of the script"),
            Step::Earlier(which, reserve) => format!("{} earlier by {reserve} ms", named(*which)),
            Step::Stricter(one, other) => {
                format!("the stricter of {} and {}", named(*one), named(*other))
            }
            Step::Ask(which, needed) => {
                format!("what is left of {}, and does work of {needed} ms fit?", named(*which))
            }
            Step::Run { which, takes, panics, patience } => {
                let end = if *panics { "then panics" } else { "then returns" };
                let leaves = patience.map_or(String::new(), |time| {
                    format!(", for a caller that leaves after {time} ms")
                });
                format!("{} runs work that takes {takes} ms and {end}{leaves}", named(*which))
            }
        }));
        lines
    }
}

/// What a run ends with, if its end does not hang on which of two timers comes first.
fn model(
    left: u64,
    takes: u64,
    panics: bool,
    patience: Option<u64>,
) -> Option<(u64, &'static str)> {
    if left == 0 {
        return Some((0, "Elapsed, and the work was not polled"));
    }
    let (ends, how) = match takes <= left {
        true if panics => (takes, "the panic of the work"),
        true => (takes, "the result of the work"),
        false => (left, "Elapsed, and the work is dropped"),
    };
    match patience {
        Some(time) if time == ends => None,
        Some(time) if time < ends => Some((time, "its caller is gone, and the work is dropped")),
        _ => Some((ends, how)),
    }
}

/// Agrees with the model of a deadline.
pub async fn deadline(cx: Cx) -> Outcome {
    compare(&cx, plays(), async |play: &Play| {
        Ok(cx.call("Deadline::run", played(play)).await?.value)
    })
    .await
}

async fn played(play: &Play) -> Result<(), Difference> {
    let began = Instant::now();
    let now = || began.elapsed().as_millis() as u64;
    let mut made = vec![(100, Deadline::after(ms(100)))];
    for (number, step) in play.0.iter().enumerate() {
        let differs = |headline: &str, expected: String, observed: String| Difference {
            step: number + 1,
            headline: headline.to_owned(),
            expected,
            observed,
        };
        let of = |which: usize| made[made.len().saturating_sub(which + 1)];
        match *step {
            Step::Wait(time) => sleep(ms(time)).await,
            Step::After(limit) => made.push((now() + limit, Deadline::after(ms(limit)))),
            Step::At(at) => made.push((at, Deadline::at(began + ms(at)))),
            Step::Earlier(which, reserve) => {
                let (at, deadline) = of(which);
                made.push((at.saturating_sub(reserve), deadline.earlier_by(ms(reserve))));
            }
            Step::Stricter(one, other) => {
                let (one, other) = (of(one), of(other));
                made.push((one.0.min(other.0), one.1.min(other.1)));
            }
            Step::Ask(which, needed) => {
                let (at, deadline) = of(which);
                let left = at.saturating_sub(now());
                let wanted = (ms(left), left == 0, left > 0 && left >= needed);
                let found = (deadline.remaining(), deadline.is_over(), deadline.allows(ms(needed)));
                if wanted != found {
                    let said = |(left, over, fits)| {
                        format!("{left:?} left, over: {over}, work of {needed} ms fits: {fits}")
                    };
                    return Err(differs(
                        "a deadline gives another answer",
                        said(wanted),
                        said(found),
                    ));
                }
            }
            Step::Run { which, takes, panics, patience } => {
                let (at, deadline) = of(which);
                let Some(wanted) = model(at.saturating_sub(now()), takes, panics, patience) else {
                    return Ok(());
                };
                let found = run(deadline, takes, panics, patience).await;
                if wanted != (found.0, &*found.1) {
                    let said = |(at, how): (u64, &str)| format!("{how}, after {at} ms");
                    return Err(differs(
                        "a run does not end as it should",
                        said(wanted),
                        said((found.0, &found.1)),
                    ));
                }
            }
        }
    }
    Ok(())
}

async fn run(deadline: Deadline, takes: u64, panics: bool, patience: Option<u64>) -> (u64, String) {
    let began = Instant::now();
    let (polled, dropped) = (std::cell::Cell::new(false), std::cell::Cell::new(false));
    let guard = crate::parts::OnDrop(&dropped);
    let work = async {
        polled.set(true);
        let _guard = guard;
        if takes > 0 {
            sleep(ms(takes)).await;
        }
        if panics {
            bug("the work");
        }
    };
    let run = AssertUnwindSafe(deadline.run(work)).catch_unwind();
    let ended = match patience {
        None => Some(run.await),
        Some(patience) => timeout(ms(patience), run).await.ok(),
    };
    let work = match (polled.get(), dropped.get()) {
        (false, _) => "the work was not polled",
        (true, true) => "the work is dropped",
        (true, false) => "the work lives on",
    };
    let how = match ended {
        None => format!("its caller is gone, and {work}"),
        Some(Err(_)) => "the panic of the work".to_owned(),
        Some(Ok(Ok(()))) => "the result of the work".to_owned(),
        Some(Ok(Err(Elapsed))) => format!("Elapsed, and {work}"),
    };
    (began.elapsed().as_millis() as u64, how)
}
