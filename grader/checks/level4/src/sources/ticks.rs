//! `timer`.

use std::time::Duration;

use futures::future::poll_immediate;
use futures::{FutureExt as _, StreamExt as _};
use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Fail, Outcome, ensure, ms};
use level4::sources::{Timer, ZeroPeriod, timer};
use tokio::time::{Instant, sleep};

use super::{TIMER, next};

fn made(initial: u64, period: Option<u64>) -> Result<Timer, Fail> {
    timer(ms(initial), period.map(ms)).map_err(|_| {
        Fail::new(format!(
            "timer({initial} ms, {period:?}) is refused, although its period is not zero"
        ))
    })
}

/// What a timer yields up to `limit`, against a line of marbles.
async fn shows(
    cx: &Cx,
    initial: u64,
    period: Option<u64>,
    expected: Marbles,
    limit: u64,
    help: &str,
) -> Outcome {
    let record =
        Marbles::record(limit, made(initial, period)?, |tick| Mark::item(tick.to_string()));
    let observed = cx.call(TIMER, record).await?.value;
    let period = period.map_or("no period".to_owned(), |period| format!("a period of {period} ms"));
    observed.ensure(
        &expected,
        &format!("a timer with an initial delay of {initial} ms and {period} ticks otherwise"),
        help,
    )
}

pub async fn ticks_on_time(cx: Cx) -> Outcome {
    let help = "0 after the initial delay, then one tick a period; a timer without a delay ticks once at the start, not twice";
    for (initial, period, line, limit) in [
        (0, 100, "0---------1---------2", 299),
        (50, 100, "-----0---------1---------2", 349),
        (30, 10, "---0123456", 99),
        (100, 30, "----------0--1--2", 189),
    ] {
        shows(&cx, initial, Some(period), Marbles::line(line), limit, help).await?;
    }
    let mut draw = cx.draw();
    let (initial, period) = (draw.below(5000), draw.between(1..=5000));
    let ticks = (0..8).map(|tick| (initial + tick * period, Mark::item(tick.to_string())));
    shows(&cx, initial, Some(period), Marbles::at(ticks), initial + 8 * period - 1, help).await
}

pub async fn ticks_without_a_period_once(cx: Cx) -> Outcome {
    let help = "without a period the timer ends after its first tick";
    shows(&cx, 50, None, Marbles::line("-----(0|)"), 1000, help).await?;
    shows(&cx, 0, None, Marbles::line("(0|)"), 1000, help).await?;
    let drawn = cx.draw().between(1..=5000);
    let expected = Marbles::at([(drawn, Mark::item("0")), (drawn, Mark::End)]);
    shows(&cx, drawn, None, expected, 10_000, help).await
}

pub async fn a_late_reader_gets_one_tick(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let period = draw.between(50..=500);
    let late = period * draw.between(2..=9) + draw.between(1..=40);
    // Late by less than a period too. Up to 5 ms, where tokio's interval keeps its grid, the contract leaves it open.
    for (period, busy) in [(100, 350), (100, 140), (100, 199), (100, 106), (period, late)] {
        let mut ticks = made(0, Some(period))?;
        let script = async {
            let began = Instant::now();
            let mut seen = Vec::new();
            for busy in [busy, 0, 0] {
                let tick = ticks.next().await;
                seen.push((tick, began.elapsed().as_millis() as u64));
                sleep(ms(busy)).await;
            }
            let tick = ticks.next().await;
            seen.push((tick, began.elapsed().as_millis() as u64));
            seen
        };
        let seen = cx.call(TIMER, script).await?.value;
        let marks = |seen: &[(Option<u64>, u64)]| {
            let mark =
                |tick: &Option<u64>| tick.map_or(Mark::End, |tick| Mark::item(tick.to_string()));
            Marbles::at(seen.iter().map(|(tick, at)| (*at, mark(tick))))
        };
        let expected =
            [(Some(0), 0), (Some(1), busy), (Some(2), busy + period), (Some(3), busy + 2 * period)];
        marks(&seen).ensure(
            &marks(&expected),
            &format!("a period of {period} ms, and a reader that is busy for {busy} ms after the first tick"),
            "the next tick comes a period after the last one was taken. tokio's interval makes up for missed ticks unless its \
             MissedTickBehavior is Delay",
        )?;
    }
    // The first tick can be late as well.
    for late in [6, 40, 250] {
        let mut ticks = made(50, Some(100))?;
        let script = async {
            let began = Instant::now();
            let early = poll_immediate(ticks.next()).await;
            sleep(ms(50 + late)).await;
            let mut seen = Vec::new();
            for _ in 0..3 {
                seen.push((ticks.next().await, began.elapsed().as_millis() as u64));
            }
            (early, seen)
        };
        let (early, seen) = cx.call(TIMER, script).await?.value;
        let expected: Vec<_> = (0..3).map(|tick| (Some(tick), 50 + late + 100 * tick)).collect();
        ensure!(early.is_none() && seen == expected, "an initial delay of 50 ms, a period of 100 ms, and a reader that comes {late} ms late for the first tick: its ticks, with their times in ms";
            expected = format!("{expected:?}"), observed = format!("{seen:?}"),
            help = "the next tick comes a period after the last one was taken");
    }
    Ok(())
}

pub async fn refuses_a_period_of_zero(cx: Cx) -> Outcome {
    for initial in [0, 50] {
        let made = cx.call_fn(TIMER, || timer(ms(initial), Some(Duration::ZERO)).map(drop)).await?;
        ensure!(matches!(made, Err(ZeroPeriod)), "timer({initial} ms, a period of zero) is accepted";
            expected = "ZeroPeriod: it would tick without end in one instant");
    }
    let made = cx
        .call_fn(TIMER, || timer(Duration::ZERO, Some(Duration::from_nanos(1))).map(drop))
        .await?;
    ensure!(made.is_ok(), "a period of one nanosecond is refused"; expected = "only zero is");
    Ok(())
}

pub async fn counts_from_the_first_poll(cx: Cx) -> Outcome {
    let wait = cx.draw().between(1..=5000);
    for initial in [0, 200] {
        let mut ticks = made(initial, Some(100))?;
        sleep(ms(wait)).await;
        let began = cx.timeline().now_ms();
        let first = next(&cx, TIMER, &mut ticks, "a timer that was polled late").await?;
        let at = cx.timeline().now_ms() - began;
        ensure!((first, at) == (Some(0), initial), "a timer with an initial delay of {initial} ms was polled first {wait} ms after it was made: its first tick comes {at} ms after that poll";
            expected = format!("{initial} ms: the time counts from the first poll"),
            help = "make the `Sleep` in the first poll");
    }
    Ok(())
}

pub async fn takes_any_duration(cx: Cx) -> Outcome {
    let far = [Duration::MAX, Duration::from_secs(u64::MAX / 2)];
    for long in far {
        let mut ticks =
            timer(long, Some(ms(100))).map_err(|_| Fail::new("a long initial delay is refused"))?;
        let script = async {
            let first = poll_immediate(ticks.next()).await;
            sleep(ms(100_000)).await;
            (first, poll_immediate(ticks.next()).await)
        };
        let early = cx.call(TIMER, script).await?.value;
        ensure!(
            early == (None, None),
            "a timer with an initial delay of {long:?} ticks within 100 s"
        );
        let mut ticks =
            timer(ms(0), Some(long)).map_err(|_| Fail::new("a long period is refused"))?;
        let script = async {
            let first = ticks.next().await;
            sleep(ms(100_000)).await;
            (first, poll_immediate(ticks.next()).await)
        };
        let seen = cx.call(TIMER, script).await?.value;
        ensure!(seen == (Some(0), None), "a timer with a period of {long:?}, its first tick and what comes within 100 s: {seen:?}";
            expected = "0, and nothing more",
            help = "`Instant::now() + period` panics on overflow; `sleep(period)` does not");
    }
    Ok(())
}

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    let script = async {
        let mut ticks = made(100_000, Some(100_000))?;
        for _ in 0..4 {
            ticks.next().await;
        }
        Ok(())
    };
    let call = cx.call(TIMER, script).await?;
    call.value?;
    ensure!(call.polls < 1000, "four ticks in 400 s took {} polls", call.polls;
        expected = "a few: the timer wakes the reader");
    // A timer that another task has polled before, in its initial delay and in a period.
    for first in [true, false] {
        let mut ticks = made(if first { 100 } else { 0 }, Some(100))?;
        let expected = if first {
            0
        } else {
            let _ = cx.call(TIMER, ticks.next()).await?;
            1
        };
        ensure!(
            ticks.next().now_or_never().is_none(),
            "a timer with a period of 100 ms ticks at once"
        );
        let tick = next(&cx, TIMER, &mut ticks, "a timer that two tasks have polled").await?;
        ensure!(tick == Some(expected), "a timer that two tasks have polled yields {tick:?}"; expected = format!("Some({expected})"));
    }
    Ok(())
}
