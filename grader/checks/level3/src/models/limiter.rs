//! `limiter::RateLimiter` against its model.

use std::cell::RefCell;

use futures::future::{join, join_all};
use grader_kit::{Cx, Outcome, ms};
use level3::deadline::Deadline;
use level3::limiter::{LimitError, Priority, RateLimiter, Usage};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use tokio::time::{Instant, sleep, timeout};

use super::{Difference, Script, compare};
use crate::parts::nzu;

const COMES_BEFORE: u64 = 600;
const LONGEST_HOLD: u64 = 300;
const LONGEST_WINDOW: u64 = 300;
const LONGEST_PAUSE: u64 = 400;

/// A caller.
#[derive(Debug, Clone)]
struct Caller {
    comes: u64,
    refund: bool,
    /// Makes its future at the beginning, and polls it when it comes.
    early: bool,
    /// Goes away after this time, if it still waits.
    patience: Option<u64>,
    /// Must have its permit before this time after it comes.
    limit: Option<u64>,
    /// Holds its permit for this time.
    holds: u64,
    /// Then makes its call, or gives the permit back.
    calls: bool,
}

#[derive(Debug, Clone)]
struct Play {
    limit: usize,
    window: u64,
    callers: Vec<Caller>,
    /// When the server asks for a pause, and for how long.
    pauses: Vec<(u64, u64)>,
    /// When the figures are compared.
    looks: Vec<u64>,
}

fn callers() -> impl Strategy<Value = Vec<Caller>> {
    let caller = (
        0..COMES_BEFORE,
        any::<bool>(),
        any::<bool>(),
        prop::option::weighted(0.2, 1_u64..400),
        prop_oneof![3 => Just(0_u64), 1 => 1..LONGEST_HOLD],
        prop::bool::weighted(0.8),
    );
    let caller = caller.prop_map(|(comes, refund, early, patience, holds, calls)| Caller {
        comes,
        refund,
        early,
        patience,
        limit: None,
        holds,
        calls,
    });
    prop::collection::vec(caller, 1..16)
}

fn plays() -> impl Strategy<Value = Play> {
    let pauses = prop::collection::vec((0..COMES_BEFORE, 0..LONGEST_PAUSE), 0..3);
    let looks = prop::collection::vec(0..COMES_BEFORE + 300, 0..8);
    let limits = prop::collection::vec(prop::option::weighted(0.6, 1_u64..900), 16);
    let figures = (1_usize..5, prop_oneof![Just(250), 1..LONGEST_WINDOW], any::<bool>());
    (figures, callers(), pauses, looks, limits).prop_map(
        |((limit, window, deadlines), mut callers, mut pauses, looks, limits)| {
            if deadlines {
                // When a caller that was overtaken learns that its deadline cannot be kept is left open. So
                // none is overtaken here, and nothing makes a slot later than it seemed.
                pauses.clear();
                for (caller, limit) in callers.iter_mut().zip(limits) {
                    (caller.refund, caller.holds, caller.limit) = (false, 0, limit);
                }
            }
            Play { limit, window, callers, pauses, looks }
        },
    )
}

impl Script for Play {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("a limiter: {} calls in any {} ms", self.limit, self.window)];
        lines.extend(self.callers.iter().enumerate().map(|(number, caller)| {
            let what = if caller.refund { "a refund" } else { "a charge" };
            let made = if caller.early { " (its future was made at 0 ms)" } else { "" };
            let mut line =
                format!("caller {} comes at {} ms{made} with {what}", number + 1, caller.comes);
            if let Some(limit) = caller.limit {
                line += &format!(", has a deadline {limit} ms later");
            }
            if let Some(patience) = caller.patience {
                line += &format!(", waits for {patience} ms at most");
            }
            let end = if caller.calls { "makes its call" } else { "gives the permit back" };
            line + &match caller.holds {
                0 => format!(", and {end}"),
                time => format!(", and {end} after {time} ms"),
            }
        }));
        lines.extend(
            self.pauses
                .iter()
                .map(|(at, time)| format!("at {at} ms the server asks for a pause of {time} ms")),
        );
        lines
    }
}

/// What a caller gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Got {
    /// Its permit, at this time.
    Permit(u64),
    /// It is refused, at this time, with this wait.
    Refused(u64, u64),
    /// Nothing before it goes away, or before the script is over.
    Nothing,
}

impl Got {
    fn said(self) -> String {
        match self {
            Self::Permit(at) => format!("its permit at {at} ms"),
            Self::Refused(at, wait) => {
                format!("a refusal at {at} ms that names a wait of {wait} ms")
            }
            Self::Nothing => "nothing".to_owned(),
        }
    }
}

/// In the window, held, refunds and charges that wait.
type Figures = [usize; 4];

#[derive(Debug, PartialEq)]
struct Story {
    got: Vec<Got>,
    /// At each look; nothing where something else happens in the same millisecond.
    figures: Vec<Option<Figures>>,
}

/// What happens. Nothing if the script leaves open who is first: two things that matter to each other
/// happen in the same millisecond.
fn model(play: &Play) -> Option<Story> {
    let mut got = vec![Got::Nothing; play.callers.len()];
    let mut figures = vec![None; play.looks.len()];
    let mut line: Vec<usize> = Vec::new();
    // Permits with the time at which they end, and calls with the time from which they do not count.
    let (mut held, mut calls): (Vec<(u64, usize)>, Vec<u64>) = (Vec::new(), Vec::new());
    let mut paused_until = 0;
    let count = play.callers.len() as u64;
    let end = COMES_BEFORE + LONGEST_PAUSE + count * (play.window + LONGEST_HOLD);
    for now in 0..end {
        let comes = |number: &usize| play.callers[*number].comes == now;
        let leaves = |number: &usize| {
            let caller = &play.callers[*number];
            caller.patience.is_some_and(|patience| caller.comes + patience == now)
        };
        let came: Vec<usize> = (0..play.callers.len()).filter(comes).collect();
        let left: Vec<usize> = line.iter().copied().filter(leaves).collect();
        let pauses: Vec<u64> =
            play.pauses.iter().filter(|(at, _)| *at == now).map(|(_, time)| now + time).collect();
        let pause_ends = now > 0 && paused_until == now;
        let ended = held.iter().any(|(at, _)| *at == now) || calls.contains(&now) || pause_ends;
        let others = came.len() + left.len() + pauses.len();
        if others + usize::from(ended) > 1 && others > 0 {
            return None;
        }
        line.retain(|number| !left.contains(number));
        paused_until = pauses.into_iter().fold(paused_until, u64::max);
        calls.retain(|until| *until > now);
        for number in came {
            let caller = &play.callers[number];
            if let Some(limit) = caller.limit {
                // Each slot becomes free once in a window.
                let mut slots: Vec<u64> = calls.clone();
                slots.resize(play.limit, now);
                slots.sort_unstable();
                let ahead = line.len();
                let round = (ahead / play.limit) as u64 * play.window;
                let earliest = slots[ahead % play.limit] + round;
                if earliest >= now + limit {
                    got[number] = Got::Refused(now, earliest - now);
                    continue;
                }
            }
            line.push(number);
        }
        let mut quiet = others == 0 && !ended;
        loop {
            for (_, number) in held.extract_if(.., |(at, _)| *at == now) {
                if play.callers[number].calls {
                    calls.push(now + play.window);
                }
            }
            // Refunds before charges, and first come, first served.
            line.sort_by_key(|number| (!play.callers[*number].refund, play.callers[*number].comes));
            let full = held.len() + calls.len() >= play.limit;
            if line.is_empty() || full || now < paused_until {
                break;
            }
            quiet = false;
            let next = line.remove(0);
            got[next] = Got::Permit(now);
            held.push((now + play.callers[next].holds, next));
        }
        for (look, figures) in play.looks.iter().zip(&mut figures) {
            if *look == now && quiet {
                let refunds = line.iter().filter(|number| play.callers[**number].refund).count();
                *figures = Some([calls.len(), held.len(), refunds, line.len() - refunds]);
            }
        }
    }
    Some(Story { got, figures })
}

/// Agrees with the model of a limiter.
pub async fn limiter(cx: Cx) -> Outcome {
    compare(&cx, plays(), async |play: &Play| {
        let Some(wanted) = model(play) else { return Ok(Ok(())) };
        // By then every caller that gets a permit in the model has called: the others get none.
        let times = wanted.got.iter().map(|got| match got {
            Got::Permit(at) => *at,
            _ => 0,
        });
        let last = times.max().unwrap_or_default();
        let end = COMES_BEFORE.max(last) + 2 * play.window + LONGEST_HOLD;
        let found = cx.call("RateLimiter::acquire", played(play, end)).await?.value;
        let step = play.lines().len();
        let differs = |headline: String, expected: String, observed: String| {
            Ok(Err(Difference { step, headline, expected, observed }))
        };
        for (number, (wanted, found)) in wanted.got.iter().zip(&found.got).enumerate() {
            if wanted != found {
                let headline = format!("caller {} does not get what it should, or not in time", number + 1);
                return differs(headline, wanted.said(), found.said());
            }
        }
        for ((at, wanted), found) in play.looks.iter().zip(&wanted.figures).zip(&found.figures) {
            if let (Some(wanted), Some(found)) = (wanted, found)
                && wanted != found
            {
                let said = |[window, held, refunds, charges]: &Figures| {
                    format!("{window} in the window, {held} held, {refunds} refunds and {charges} charges waiting")
                };
                return differs(format!("usage() at {at} ms says something else"), said(wanted), said(found));
            }
        }
        Ok(Ok(()))
    })
    .await
}

async fn played(play: &Play, end: u64) -> Story {
    let got = RefCell::new(vec![Got::Nothing; play.callers.len()]);
    let figures = RefCell::new(vec![None; play.looks.len()]);
    let Ok(limiter) = RateLimiter::new(nzu(play.limit), ms(play.window)) else {
        return Story { got: got.into_inner(), figures: figures.into_inner() };
    };
    let began = Instant::now();
    let now = || began.elapsed().as_millis() as u64;
    let callers = join_all(play.callers.iter().enumerate().map(|(number, caller)| {
        let (limiter, got) = (&limiter, &got);
        async move {
            let priority = if caller.refund { Priority::Refund } else { Priority::Charge };
            let deadline = caller.limit.map_or_else(Deadline::never, |limit| {
                Deadline::at(began + ms(caller.comes + limit))
            });
            let early = caller.early.then(|| limiter.acquire(priority, deadline));
            sleep(ms(caller.comes)).await;
            let permit = async {
                match early {
                    Some(early) => early.await,
                    None => limiter.acquire(priority, deadline).await,
                }
            };
            let patience = ms(caller.patience.unwrap_or(end).min(end));
            let permit = match timeout(patience, permit).await {
                Ok(Ok(permit)) => permit,
                Ok(Err(LimitError::WouldMissDeadline { wait })) => {
                    got.borrow_mut()[number] = Got::Refused(now(), wait.as_millis() as u64);
                    return;
                }
                Err(_) => return,
            };
            got.borrow_mut()[number] = Got::Permit(now());
            if caller.holds > 0 {
                sleep(ms(caller.holds)).await;
            }
            if caller.calls {
                permit.used();
            }
        }
    }));
    let pauses = join_all(play.pauses.iter().map(|(at, time)| async {
        sleep(ms(*at)).await;
        limiter.pause_for(ms(*time));
    }));
    let looks = join_all(play.looks.iter().enumerate().map(|(number, at)| {
        let (limiter, figures) = (&limiter, &figures);
        async move {
            sleep(ms(*at)).await;
            let Usage { in_window, held, waiting_refunds, waiting_charges } = limiter.usage();
            figures.borrow_mut()[number] =
                Some([in_window, held, waiting_refunds, waiting_charges]);
        }
    }));
    join(callers, join(pauses, looks)).await;
    Story { got: got.into_inner(), figures: figures.into_inner() }
}
