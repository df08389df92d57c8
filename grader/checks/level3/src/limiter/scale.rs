//! Long waits, long lines, large figures, several limiters.

use std::time::Duration;

use futures::future::{join, poll_immediate};
use grader_kit::{Cx, Fail, Outcome, ensure, ms, scarce};
use level3::deadline::Deadline;
use level3::limiter::{Priority, RateLimiter};
use tokio::time::sleep;

use super::bench::{Bench, NAME, limiter, told, wait_of};
use crate::parts::nzu;
use Priority::{Charge, Refund};

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    let limiter = limiter(1, 500_000)?;
    let calls = async {
        for _ in 0..2 {
            if let Ok(permit) = limiter.acquire(Charge, Deadline::never()).await {
                permit.used();
            }
        }
    };
    let call = cx.call(NAME, calls).await?;
    ensure!(call.polls < 1000, "a wait of 500 s took {} looks at the clock", call.polls;
        expected = "a few: sleep until the slot is free",
        help = "a loop that sleeps for a moment and checks again costs a processor when thousands wait");
    Ok(())
}

pub async fn takes_the_same_time_at_any_limit(cx: Cx) -> Outcome {
    let limiter = limiter(100_000, 1000)?;
    let calls = async {
        for _ in 0..100_000_u32 {
            match limiter.acquire(Charge, Deadline::never()).await {
                Ok(permit) => permit.used(),
                Err(error) => return Err(wait_of(error)),
            }
        }
        Ok(())
    };
    let call = cx.call("100 000 calls of RateLimiter::acquire", calls).await?;
    ensure!(call.value.is_ok(), "a free slot was refused");
    ensure!(
        call.took == ms(0),
        "100 000 calls at 100 000 a second took {} ms",
        call.took.as_millis()
    );
    Ok(())
}

pub async fn a_long_line_costs_no_more(cx: Cx) -> Outcome {
    const MANY: usize = 100_000;
    let limiter = limiter(1, 1000)?;
    let mut draw = cx.draw();
    let script = async {
        let Ok(permit) = limiter.acquire(Charge, Deadline::never()).await else {
            return Err((
                "a free slot was refused".to_owned(),
                "a permit at once: the window is empty",
                "the first caller finds the window empty",
            ));
        };
        let mut line = Vec::new();
        for number in 0..MANY {
            let priority = if number % 5 == 0 { Refund } else { Charge };
            // Twelve days: the last of them would be served after 28 hours.
            let deadline = Deadline::after(Duration::from_secs(1_000_000));
            line.push(Box::pin(limiter.acquire(priority, deadline)));
        }
        for caller in &mut line {
            match poll_immediate(caller).await {
                None => {}
                Some(Ok(_)) => return Err((
                    "one call in a window is allowed, its permit is held and not used yet, and another permit is given".to_owned(),
                    "all others wait: the only slot is taken",
                    "a permit that is held takes its slot, also before it is used: count held slots and made calls together",
                )),
                Some(Err(error)) => {
                    let wait = wait_of(error);
                    return Err((
                        format!("a caller with twelve days to wait was refused, with a wait of {wait:?}"),
                        "it waits: its slot comes within 28 hours",
                        "each caller ahead takes one slot of a second: 100 000 of them are served in 28 hours",
                    ));
                }
            }
        }
        draw.shuffle(&mut line);
        // All but one go away, from anywhere in the line.
        line.truncate(1);
        permit.used();
        match line.pop() {
            Some(last) => last.await.map(drop).map_err(|error| {
                let why =
                    format!("all callers but one went away, and this one was refused: {error}");
                (
                    why,
                    "it is served: the others are gone",
                    "a caller that goes away leaves the line and takes no slot",
                )
            }),
            None => Ok(()),
        }
    };
    let call = cx.call("RateLimiter::acquire, with 100 000 callers in the line", script).await?;
    if let Err((why, expected, help)) = call.value {
        return Err(Fail::new(why).expected(expected).help(help));
    }
    ensure!(call.took < ms(1100), "100 000 callers came, and all but one went away again: this one was served after {} ms", call.took.as_millis();
        expected = "1000 ms");
    Ok(())
}

/// The failure of a call, with the figures of its limiter.
pub fn with(figures: &str, fail: Fail) -> Fail {
    Fail { headline: format!("{figures}: {}", fail.headline), ..fail }
}

pub async fn takes_any_figures(cx: Cx) -> Outcome {
    let long = Duration::from_secs(365 * 86_400);
    let make = || RateLimiter::new(nzu(usize::MAX), Duration::MAX);
    let Ok(limiter) = cx.call_fn("RateLimiter::new", make).await? else {
        return Err(Fail::new("RateLimiter::new refuses the largest figures"));
    };
    let call = cx.call(NAME, limiter.admit(Charge, Deadline::after(Duration::MAX))).await;
    let call = call.map_err(|fail| with("usize::MAX calls in Duration::MAX", fail))?;
    ensure!(
        call.value.is_ok() && call.took == ms(0),
        "the first call of {} in Duration::MAX is not let through at once",
        usize::MAX
    );
    let make = || RateLimiter::new(nzu(1), Duration::MAX);
    let Ok(limiter) = cx.call_fn("RateLimiter::new", make).await? else {
        return Err(Fail::new("RateLimiter::new refuses a window of Duration::MAX"));
    };
    let call = cx.call(NAME, limiter.admit(Charge, Deadline::never())).await;
    let _ = call.map_err(|fail| with("1 call in Duration::MAX, and none before it", fail))?;
    let (used, waiting) = cx
        .call_fn("RateLimiter::usage", || limiter.usage())
        .await
        .map(|usage| (usage.in_window, usage.waiting_charges))?;
    ensure!(
        (used, waiting) == (1, 0),
        "one call in a window of Duration::MAX: usage() counts {used}"
    );
    for deadline in [Deadline::after(ms(1000)), Deadline::after(Duration::from_secs(86_400))] {
        let call = cx.call(NAME, limiter.admit(Refund, deadline)).await;
        let call = call.map_err(|fail| with("1 call in Duration::MAX, and a second one", fail))?;
        let wait = call.value.map_err(wait_of);
        ensure!(matches!(wait, Err(wait) if wait > long) && call.took == ms(0), "1 call in Duration::MAX, and a second one: after {} ms the caller was {}", call.took.as_millis(), told(wait);
            expected = "refused at once, with a wait of more than a year",
            help = "`Instant + Duration` panics on overflow: use numbers that saturate, or checked_add");
    }
    let bench = Bench::new(&cx, 1)?;
    cx.call_fn("RateLimiter::pause_for", || bench.limiter.pause_for(Duration::MAX)).await?;
    let call = cx.call(NAME, bench.go("a charge", Charge, Deadline::after(ms(1000)))).await;
    let call =
        call.map_err(|fail| with("1 call a second, after pause_for(Duration::MAX)", fail))?;
    let wait = call.value.map_err(wait_of);
    ensure!(matches!(wait, Err(wait) if wait > long) && call.took == ms(0), "a pause of Duration::MAX: after {} ms the caller was {}", call.took.as_millis(), told(wait);
        expected = "refused at once, with a wait of more than a year");
    forgets_old_calls(&cx).await
}

/// However large the limit is, only the calls of the last window take memory.
async fn forgets_old_calls(cx: &Cx) -> Outcome {
    const EACH: usize = 1000;
    let Ok(limiter) = RateLimiter::new(nzu(usize::MAX), ms(1)) else {
        return Err(grader_kit::Fail::new("RateLimiter::new refuses a window of 1 ms"));
    };
    let window = async || {
        for _ in 0..EACH {
            let _ = limiter.admit(Charge, Deadline::never()).await;
        }
        sleep(ms(2)).await;
    };
    // Once before memory gets scarce: as much as a window needs may stay.
    cx.call(NAME, window()).await?;
    let memory = scarce(256 << 10);
    for _ in 0..40 {
        cx.call(NAME, window()).await?;
    }
    drop(memory);
    Ok(())
}

pub async fn each_limiter_counts_for_itself(cx: Cx) -> Outcome {
    let window = cx.draw().between(500..=5000);
    let benches = [Bench::with(&cx, 1, window)?, Bench::with(&cx, 1, window)?];
    let [one, other] = &benches;
    one.crowd(1).await?;
    one.limiter.pause_for(ms(2 * window));
    let waits = one.go("a charge", Charge, Deadline::never());
    let goes = async {
        sleep(ms(1)).await;
        cx.call(NAME, other.go("of another account", Charge, Deadline::never())).await
    };
    let (waits, goes) = join(cx.call(NAME, waits), goes).await;
    let (waits, goes) = (waits?, goes?);
    ensure!(goes.took == ms(0), "one limiter is full, paused and waited for; a call of another one had to wait for {} ms", goes.took.as_millis();
        expected = "no wait: each account has a limiter of its own",
        help = "keep the calls in the struct, not in a static");
    ensure!(
        (ms(2 * window)..ms(2 * window + 100)).contains(&waits.took),
        "a pause of {} ms ended after {} ms",
        2 * window,
        waits.took.as_millis()
    );
    Ok(())
}
