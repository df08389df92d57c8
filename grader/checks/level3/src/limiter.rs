//! `limiter::RateLimiter`.

mod bench;
mod permits;
mod queue;
mod scale;
mod threads;

use futures::future::{join, poll_immediate};
use grader_kit::{Cx, Draw, Fail, Outcome, ensure, list, ms};
use level3::deadline::Deadline;
use level3::limiter::{LimiterConfigError, Priority, RateLimiter};
use tokio::time::sleep;

use crate::parts::nzu;
use Priority::Charge;
use bench::{Bench, NAME, limiter, wait_of};
pub use permits::{
    a_permit_counts_from_its_use, an_unused_permit_frees_its_slot, figures_are_those_of_now,
    waits_when_the_server_says_so,
};
pub use queue::{
    a_dropped_caller_delays_no_other, refunds_go_first, serves_in_order,
    takes_its_place_when_polled,
};
pub use scale::{
    a_long_line_costs_no_more, each_limiter_counts_for_itself, takes_any_figures,
    takes_the_same_time_at_any_limit, waits_without_looking,
};
pub use threads::threads_share_one_limit;

pub async fn goes_again_after_one_window(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let drawn = draw.between(2..=20_000);
    for (window, gap) in [(1000, 400), (drawn, draw.below(drawn))] {
        let bench = Bench::with(&cx, 2, window)?;
        bench.crowd(1).await?;
        sleep(ms(gap)).await;
        bench.crowd(3).await?;
        // Not later: whether too many went before is a criterion of its own.
        let last = bench.instants().last().copied().unwrap_or_default();
        ensure!(last <= window + gap, "2 in {window} ms, one call at 0 and three at {gap} ms: the last went at {last} ms";
            expected = format!("{} ms: a call counts while its age is below {window} ms", window + gap),
            help = "sleep until the call that is in the way is exactly a window old, not longer");
    }
    let (limit, window) = (draw.between(2..=30) as usize, draw.between(100..=5000));
    let bench = Bench::with(&cx, limit, window)?;
    let times = spread(&mut draw, limit, window);
    bench.calls_at(&times, None).await?;
    bench.crowd(limit).await?;
    let instants = bench.instants();
    let late =
        times.iter().zip(instants.iter().skip(limit)).find(|(at, went)| **went > *at + window);
    if let Some((at, went)) = late {
        return Err(Fail::new(format!(
            "limit {limit} in {window} ms; {limit} calls are spread over a window, and {limit} callers wait: one of them went at {went} ms"
        ))
        .expected(format!("at {} ms: the slot of the call of {at} ms is free one window after it", at + window))
        .observed(format!("calls at {} ms", list(&instants)))
        .help("each call frees its own slot, one window after it was made"));
    }
    Ok(())
}

/// The instants of `count` calls, the first at 0 and all within one window.
fn spread(draw: &mut Draw, count: usize, window: u64) -> Vec<u64> {
    let mut times: Vec<u64> = (1..count).map(|_| draw.between(1..=window - 2)).collect();
    times.push(0);
    times.sort_unstable();
    times
}

pub async fn no_window_sees_too_many(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let window = draw.between(100..=5000);
    let (limit, begin) = (draw.between(3..=60) as usize, draw.between(window / 2..=window - 2));
    let cases = [
        (100, 1000, 0, 0),
        (100, 1000, 950, 100),
        (limit, window, begin, window / 3),
        (1, window, begin, 0),
    ];
    for (limit, window, begin, pause) in cases {
        let bench = Bench::with(&cx, limit, window)?;
        // Calls at the end of one second and at the begin of the next one; or all at once.
        sleep(ms(begin)).await;
        bench.crowd(limit).await?;
        sleep(ms(pause)).await;
        bench.crowd(if pause == 0 { 1 } else { limit }).await?;
        let (most, from) = bench.most_in_a_window();
        let span =
            if window == 1000 { "the second".to_owned() } else { format!("the {window} ms") };
        ensure!(most <= limit, "{most} calls in {span} from {from} ms on";
            expected = format!("at most {limit} in any {window} ms, wherever they begin"),
            observed = format!("{limit} calls came at {begin} ms, more at {} ms", begin + pause),
            help = "a counter that starts again every second lets 200 through around the turn; a token \
                    bucket lets its burst through and refills meanwhile. Remember the instants of the \
                    last 100 calls");
    }
    // Spread over a window, and again as many when the first of them is a window old; then at any instants. None of them
    // waits: how many of those that wait go together is a criterion of its own.
    for round in 0..3 {
        let (limit, window) = (draw.between(2..=30) as usize, draw.between(100..=5000));
        let bench = Bench::with(&cx, limit, window)?;
        let mut times = spread(&mut draw, limit, window);
        match round {
            0 => times.extend(vec![window; limit]),
            _ => times.extend((0..5 * limit).map(|_| draw.between(1..=3 * window))),
        }
        times.sort_unstable();
        bench.calls_at(&times, Some(1)).await?;
        let (most, from) = bench.most_in_a_window();
        ensure!(most <= limit, "callers come spread over the time: {most} calls in the {window} ms from {from} ms on";
            expected = format!("at most {limit} in any {window} ms, wherever they begin"),
            observed = format!("callers at {} ms, calls at {} ms", list(&times), list(bench.instants())),
            help = "each call counts for one window from its own instant: when the oldest call is a window old, the others \
                    count still");
    }
    Ok(())
}

pub async fn waiters_are_admitted_within_the_limit(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (limit, window) = (draw.between(2..=40) as usize, draw.between(10..=5000));
    let many = 3 * limit + draw.below(limit as u64) as usize;
    for (limit, window, count) in [(100, 1000, 350), (limit, window, many)] {
        let bench = Bench::with(&cx, limit, window)?;
        bench.crowd(count).await?;
        let (most, from) = bench.most_in_a_window();
        ensure!(most <= limit, "{most} of {count} calls that came together went in the {window} ms from {from} ms on";
            expected = format!("at most {limit} in any {window} ms, those who waited included"),
            help = "a caller that wakes up has to check again whether there is a slot");
        ensure!(
            bench.instants().len() == count,
            "{} of {count} calls were made",
            bench.instants().len()
        );
    }
    Ok(())
}

pub async fn a_hopeless_wait_is_refused_at_once(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let window = draw.between(100..=10_000);
    for (window, gone) in [(1000, 300), (window, draw.between(1..=window / 2))] {
        let left = window - gone;
        for deadline in [left * 5 / 7, left, 1] {
            let bench = Bench::with(&cx, 2, window)?;
            bench.crowd(2).await?;
            sleep(ms(gone)).await;
            let call = bench.go("a charge", Charge, Deadline::after(ms(deadline)));
            let call = cx.call(NAME, call).await?;
            let Err(error) = call.value else {
                return Err(Fail::new(format!("a call was made although the next slot comes in {left} ms, and its deadline in {deadline} ms"))
                    .expected("refused: nothing begins at the deadline itself, or after it"));
            };
            let why = if deadline == left {
                "its slot comes at the deadline itself, which is too late".to_owned()
            } else {
                format!("its slot comes {} ms after the deadline", left - deadline)
            };
            let help = if deadline == left {
                "a slot that comes at the deadline itself is too late: refuse if the wait is as long as the time that is left, or longer"
            } else {
                "compute when the slot comes before you wait for it"
            };
            ensure!(call.took == ms(0), "a slot in {left} ms, a deadline in {deadline} ms: refused after {} ms", call.took.as_millis();
                expected = format!("refused after 0 ms: {why}"), help = help);
            let wait = wait_of(error);
            ensure!(wait == ms(left), "a slot in {left} ms: the refusal names a wait of {} ms", wait.as_millis();
                expected = format!("{left} ms, the time that it would have had to wait"));
            let call =
                cx.call(NAME, bench.go("a charge", Charge, Deadline::after(ms(left + 1)))).await?;
            ensure!(call.value.is_ok(), "refused although the slot comes 1 ms before the deadline");
        }
    }
    // A slot is free, but it is too late.
    for late in [0, 5] {
        let bench = Bench::new(&cx, 2)?;
        let over = Deadline::after(ms(0));
        sleep(ms(late)).await;
        let call = cx.call(NAME, bench.go("a charge", Charge, over)).await?;
        let wait = call.value.map_err(wait_of);
        ensure!(wait == Err(ms(0)) && call.took == ms(0), "a slot is free and the deadline {}: {}",
            if late == 0 { "is now".to_owned() } else { format!("was {late} ms ago") },
            match wait { Ok(()) => "a call is made".to_owned(), Err(wait) => format!("refused after {} ms, with a wait of {wait:?}", call.took.as_millis()) };
            expected = "refused at once, with a wait of zero: nothing begins when the deadline is over");
    }
    polled_too_late(&cx).await
}

/// A caller that waits is polled again when its deadline is over: by then a slot has become free.
async fn polled_too_late(cx: &Cx) -> Outcome {
    for late in [0, 1, 700] {
        for released in [false, true] {
            let bench = Bench::new(cx, 1)?;
            let held = if released { Some(bench.permit().await?) } else { None };
            if !released {
                bench.crowd(1).await?;
            }
            let mut waits = Box::pin(bench.go("late", Charge, Deadline::after(ms(1500))));
            ensure!(
                poll_immediate(&mut waits).await.is_none(),
                "a call was made although the only slot is taken"
            );
            sleep(ms(1200)).await;
            drop(held);
            sleep(ms(300 + late)).await;
            let call = cx.call(NAME, waits).await?;
            ensure!(call.value.is_err() && call.took == ms(0),
                "a caller waits, a slot becomes free before its deadline, and it is polled again {}: {}",
                if late == 0 { "exactly at the deadline".to_owned() } else { format!("{late} ms after the deadline") },
                if call.value.is_ok() { "a call is made".to_owned() } else { format!("refused after {} ms more", call.took.as_millis()) };
                expected = "refused at once: nothing begins when the deadline is over",
                help = "look at the deadline first each time that a waiting caller is polled, and then for a slot");
            let next = cx.call(NAME, bench.go("next", Charge, Deadline::after(ms(1)))).await?;
            ensure!(next.value.is_ok(), "a caller was refused at its deadline, and the next one is refused although the slot is free";
                expected = "a call at once: a refused caller takes no slot and leaves the queue");
        }
    }
    Ok(())
}

pub async fn those_ahead_count_too(cx: Cx) -> Outcome {
    // Two go at 0, two at 1000, two at 2000, and one at 3000, as one more does that comes at 500.
    let after = async |deadline: std::time::Duration| {
        let bench = Bench::new(&cx, 2)?;
        let one_more = async {
            sleep(ms(500)).await;
            let until = 500 + deadline.as_millis();
            cx.timeline().record("a caller", format!("comes, with a deadline at {until} ms"));
            cx.call(NAME, bench.go("the caller of 500 ms", Charge, Deadline::after(deadline))).await
        };
        let (crowd, one_more) = join(bench.crowd(7), one_more).await;
        crowd?;
        one_more
    };
    let late = after(ms(2000)).await?;
    ensure!(late.value.is_err() && late.took == ms(0),
        "2 calls a second; a caller comes at 500 ms, with 5 ahead of it and a deadline at 2500 ms: it is {} at {} ms",
        if late.value.is_ok() { "served" } else { "refused" }, 500 + late.took.as_millis();
        expected = "refused at once, at 500 ms: its slot becomes free at 3000 ms, after those of the callers ahead",
        help = "each caller ahead takes a slot, and each slot becomes free once per window");
    let in_time = after(ms(2600)).await?;
    ensure!(in_time.value.is_ok(), "2 calls a second; a caller comes at 500 ms, with 5 ahead of it and a deadline at 3100 ms: it is refused at {} ms",
        500 + in_time.took.as_millis();
        expected = "served at 3000 ms",
        help = "each slot becomes free once per window: a caller with 5 before it waits for the third window and no longer");
    // In general: with `ahead` callers before it, the slot comes after so many windows.
    let mut draw = cx.draw();
    let (limit, window) = (draw.between(1..=5), draw.between(20..=1000));
    // At least as many as there are slots, so that it is not served with the first of them.
    let ahead = limit + draw.between(0..=17);
    let slot = window * (1 + ahead / limit);
    let gone = draw.between(1..=window - 1);
    for (deadline, goes) in [(slot, false), (slot + 1, true)] {
        let bench = Bench::with(&cx, limit as usize, window)?;
        let one_more = async {
            sleep(ms(gone)).await;
            let deadline = Deadline::after(ms(deadline - gone));
            cx.call(NAME, bench.go("one more", Charge, deadline)).await
        };
        let (crowd, call) = join(bench.crowd((limit + ahead) as usize), one_more).await;
        crowd?;
        let call = call?;
        let got = match call.value.map_err(wait_of) {
            Ok(()) => format!("called at {} ms", gone + call.took.as_millis() as u64),
            Err(wait) => format!(
                "refused after {} ms, with a wait of {} ms",
                call.took.as_millis(),
                wait.as_millis()
            ),
        };
        let expected = if goes {
            format!("called at {slot} ms")
        } else {
            format!("refused after 0 ms, with a wait of {} ms", slot - gone)
        };
        let help = if goes {
            "caller number n in the queue gets the slot n modulo the limit, a whole window later for each round"
        } else {
            "compute the slot of this caller from those ahead of it, and refuse it before it waits; a slot at the deadline itself is too late"
        };
        ensure!(got == expected, "limit {limit} in {window} ms; a caller comes at {gone} ms, behind {ahead} that wait, and its deadline is at {deadline} ms: {got}";
            expected = format!("{expected}: its slot comes free at {slot} ms"),
            observed = format!("{got}; calls at {} ms", list(bench.instants())),
            help = help);
    }
    each_has_its_own_slot(&cx, &mut draw).await
}

/// The calls were made at different instants, so each caller in the queue has a slot of its own to wait for.
async fn each_has_its_own_slot(cx: &Cx, draw: &mut Draw) -> Outcome {
    for _ in 0..4 {
        let (limit, window) = (draw.between(2..=8) as usize, draw.between(100..=2000));
        let times = spread(draw, limit, window);
        let ahead = draw.below(3 * limit as u64) as usize;
        let slot = times[ahead % limit] + window * (1 + (ahead / limit) as u64);
        // When those that wait are served is a criterion of its own.
        let bench = Bench::with(cx, limit, window)?;
        bench.calls_at(&times, None).await?;
        bench.crowd(ahead + 1).await?;
        if bench.instants().last() != Some(&slot) {
            return Ok(());
        }
        for (deadline, goes) in [(slot, false), (slot + 1, true)] {
            let bench = Bench::with(cx, limit, window)?;
            bench.calls_at(&times, None).await?;
            let now = bench.now();
            let waits = bench.crowd(ahead);
            let until = Deadline::after(ms(deadline - now));
            let one_more = cx.call(NAME, bench.go("one more", Charge, until));
            let (waits, call) = join(waits, one_more).await;
            waits?;
            let call = call?;
            let took = call.took.as_millis() as u64;
            let got = match call.value.map_err(wait_of) {
                Ok(()) => format!("called at {} ms", now + took),
                Err(wait) => {
                    format!("refused after {took} ms, with a wait of {} ms", wait.as_millis())
                }
            };
            let expected = match goes {
                true => format!("called at {slot} ms"),
                false => format!("refused after 0 ms, with a wait of {} ms", slot - now),
            };
            ensure!(got == expected,
                "limit {limit} in {window} ms, calls at {} ms; a caller comes at {now} ms, behind {ahead} that wait, and its deadline is at {deadline} ms: {got}",
                list(&times);
                expected = format!("{expected}: its slot is free at {slot} ms"),
                observed = format!("{got}; calls at {} ms", list(bench.instants())),
                help = "the slots become free in the order of their calls: the caller with n ahead of it gets the slot of call n, \
                        not that of the oldest call");
        }
    }
    Ok(())
}

pub async fn a_refused_caller_takes_no_slot(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(20..=10_000);
    for window in [1000, drawn] {
        let bench = Bench::with(&cx, 2, window)?;
        bench.crowd(2).await?;
        sleep(ms(window / 2)).await;
        let mut served = 0;
        for _ in 0..10 {
            let call = bench.go("a hopeless charge", Charge, Deadline::after(ms(1)));
            // Whether it is refused at once is a criterion of its own.
            served += usize::from(cx.call(NAME, call).await?.value.is_ok());
        }
        sleep(ms(window - window / 2 + 1)).await;
        let now = bench.now();
        bench.crowd_of(2, "a later charge").await?;
        let later = bench.instants_of("a later charge");
        let before = match served {
            0 => "after 10 refused calls".to_owned(),
            _ => format!(
                "10 calls had a deadline in 1 ms and no free slot, and {served} of them were served; after them"
            ),
        };
        ensure!(later.iter().all(|at| *at == now), "{before}, two calls at {now} ms went at {} ms", list(&later);
            expected = "at once: all 10 are refused, and refused calls do not count");
    }
    Ok(())
}

pub async fn refuses_a_window_of_zero(cx: Cx) -> Outcome {
    for limit in [1, 100, usize::MAX] {
        let made = cx
            .call_fn("RateLimiter::new", || RateLimiter::new(nzu(limit), ms(0)).map(drop))
            .await?;
        ensure!(matches!(made, Err(LimiterConfigError::ZeroWindow)), "RateLimiter::new accepts a window of zero"; expected = "LimiterConfigError::ZeroWindow");
    }
    limiter(1, 1)?;
    Ok(())
}

/// What the report shows of it.
pub mod scenes {
    use grader_kit::{Cx, Figure, Outcome, ms};
    use tokio::time::sleep;

    use super::bench::Bench;

    const LIMIT: usize = 20;
    const WINDOW: u64 = 1000;

    /// A few calls late in the first window, then more than three windows hold.
    pub async fn crowd(cx: Cx) -> Outcome {
        let bench = Bench::with(&cx, LIMIT, WINDOW)?;
        sleep(ms(600)).await;
        bench.crowd(LIMIT / 2).await?;
        sleep(ms(300)).await;
        bench.crowd(3 * LIMIT + LIMIT / 2).await?;
        cx.show(Figure::Admissions {
            admitted_us: bench.instants().into_iter().map(|at| at * 1000).collect(),
            limit: LIMIT as u64,
            window_us: WINDOW * 1000,
        });
        Ok(())
    }
}
