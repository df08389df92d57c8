//! `limiter::RateLimiter` against its model.

use std::cell::RefCell;

use futures::future::join_all;
use grader_kit::{Cx, Outcome, ms};
use level3::deadline::Deadline;
use level3::limiter::{Priority, RateLimiter};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use tokio::time::{Instant, sleep, timeout};

use super::{Script, compare, compared};
use crate::parts::nzu;

/// Short, since a criterion has 20 virtual minutes for all its scripts.
const WINDOW: u64 = 250;
const COMES_BEFORE: u64 = 3 * WINDOW;
const LONGEST_HOLD: u64 = 400;

/// Somebody who wants to call.
#[derive(Debug, Clone)]
struct Caller {
    comes: u64,
    refund: bool,
    /// Goes away after this time, if it still waits.
    patience: Option<u64>,
    /// Holds its permit for this time.
    holds: u64,
    /// Then makes its call, or gives the permit back.
    calls: bool,
}

#[derive(Debug, Clone)]
struct Play {
    limit: usize,
    callers: Vec<Caller>,
}

fn plays() -> impl Strategy<Value = Play> {
    let caller = (
        0..COMES_BEFORE,
        any::<bool>(),
        prop::option::weighted(0.2, 1_u64..500),
        prop_oneof![3 => Just(0_u64), 1 => 1..LONGEST_HOLD],
        prop::bool::weighted(0.8),
    );
    let caller = caller.prop_map(|(comes, refund, patience, holds, calls)| Caller {
        comes,
        refund,
        patience,
        holds,
        calls,
    });
    (1_usize..4, prop::collection::vec(caller, 1..16))
        .prop_map(|(limit, callers)| Play { limit, callers })
}

impl Script for Play {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("a limiter: {} calls in any {WINDOW} ms", self.limit)];
        lines.extend(self.callers.iter().enumerate().map(|(number, caller)| {
            let what = if caller.refund { "a refund" } else { "a charge" };
            let mut line =
                format!("caller {} comes at {} ms with {what}", number + 1, caller.comes);
            if let Some(patience) = caller.patience {
                line += &format!(", waits for {patience} ms at most");
            }
            let end = if caller.calls { "makes its call" } else { "gives the permit back" };
            line + &match caller.holds {
                0 => format!(", and {end}"),
                time => format!(", and {end} after {time} ms"),
            }
        }));
        lines
    }
}

/// When each caller gets its permit. Nothing if the script leaves open who is first: two things that
/// matter to each other happen in the same millisecond.
fn model(play: &Play) -> Option<Vec<Option<u64>>> {
    let mut granted = vec![None; play.callers.len()];
    let mut line: Vec<usize> = Vec::new();
    // Permits with the time at which they end, and calls with the time from which they do not count.
    let (mut held, mut calls): (Vec<(u64, usize)>, Vec<u64>) = (Vec::new(), Vec::new());
    let end = COMES_BEFORE + play.callers.len() as u64 * (WINDOW + LONGEST_HOLD);
    for now in 0..end {
        let comes = |number: &usize| play.callers[*number].comes == now;
        let leaves = |number: &usize| {
            let caller = &play.callers[*number];
            caller.patience.is_some_and(|patience| caller.comes + patience == now)
        };
        let came: Vec<usize> = (0..play.callers.len()).filter(comes).collect();
        let left: Vec<usize> = line.iter().copied().filter(leaves).collect();
        let ended = held.iter().any(|(at, _)| *at == now) || calls.contains(&now);
        if came.len() + left.len() + usize::from(ended) > 1 && came.len() + left.len() > 0 {
            return None;
        }
        line.retain(|number| !left.contains(number));
        line.extend(came);
        calls.retain(|until| *until > now);
        loop {
            for (_, number) in held.extract_if(.., |(at, _)| *at == now) {
                if play.callers[number].calls {
                    calls.push(now + WINDOW);
                }
            }
            // Refunds before charges, and first come, first served.
            line.sort_by_key(|number| (!play.callers[*number].refund, play.callers[*number].comes));
            if line.is_empty() || held.len() + calls.len() >= play.limit {
                break;
            }
            let next = line.remove(0);
            granted[next] = Some(now);
            held.push((now + play.callers[next].holds, next));
        }
    }
    Some(granted)
}

/// Agrees with the model of a limiter.
pub async fn limiter(cx: Cx) -> Outcome {
    compare(&cx, plays(), async |play: &Play| {
        let Some(wanted) = model(play) else { return Ok(Ok(())) };
        // By then everybody has called whom the model lets call: who still waits waits in vain.
        let last = wanted.iter().flatten().max().copied().unwrap_or_default();
        let end = COMES_BEFORE.max(last) + 2 * WINDOW + LONGEST_HOLD;
        let found = cx.call("RateLimiter::acquire", granted(play, end)).await?.value;
        let headline = |number| format!("caller {number} does not get its permit when it should");
        Ok(compared(&wanted, &found, headline, |at| match at {
            Some(at) => format!("at {at} ms"),
            None => "never".to_owned(),
        }))
    })
    .await
}

async fn granted(play: &Play, end: u64) -> Vec<Option<u64>> {
    let granted = RefCell::new(vec![None; play.callers.len()]);
    let Ok(limiter) = RateLimiter::new(nzu(play.limit), ms(WINDOW)) else {
        return granted.into_inner();
    };
    let began = Instant::now();
    join_all(play.callers.iter().enumerate().map(|(number, caller)| {
        let (limiter, granted) = (&limiter, &granted);
        async move {
            sleep(ms(caller.comes)).await;
            let priority = if caller.refund { Priority::Refund } else { Priority::Charge };
            let patience = ms(caller.patience.unwrap_or(end).min(end));
            let permit = limiter.acquire(priority, Deadline::never());
            let Ok(Ok(permit)) = timeout(patience, permit).await else { return };
            granted.borrow_mut()[number] = Some(began.elapsed().as_millis() as u64);
            if caller.holds > 0 {
                sleep(ms(caller.holds)).await;
            }
            if caller.calls {
                permit.used();
            }
        }
    }))
    .await;
    granted.into_inner()
}
