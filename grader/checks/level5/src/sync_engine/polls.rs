//! When sources are polled.

use std::time::Duration;

use grader_kit::{Cx, Outcome, ensure_eq, failed, list, ms};
use level5::conflict::Standing;
use level5::sync_engine::{
    Config, ConfigError, Engine, MOST_BUFFERED, MemoryStore, SourceMeta, interval,
};
use tokio::time::sleep;

use super::fakes::{Fake, Mode, written};
use super::{ADD, LIMIT, NEWEST, RARELY, START, add, config, get, lasting, meta, started, wall};

pub async fn refuses_zeros(cx: Cx) -> Outcome {
    let good = config(NEWEST);
    let zero_ttl = Config { ttl: Duration::ZERO, ..good.clone() };
    let zero_timeout = Config { fetch_timeout: Duration::ZERO, ..good.clone() };
    let one_more = MOST_BUFFERED + 1;
    let more = Config { buffered: super::nz(one_more), ..good.clone() };
    let most = Config { buffered: super::nz(usize::MAX), ..good };
    for (config, expected) in [
        (zero_ttl, ConfigError::ZeroTtl),
        (zero_timeout, ConfigError::ZeroFetchTimeout),
        (more, ConfigError::TooManyBuffered(one_more)),
        (most, ConfigError::TooManyBuffered(usize::MAX)),
    ] {
        let made = cx.call(START, Engine::start(config, MemoryStore::new(), wall())).await?.value;
        let error = failed(made, "a setting makes no sense")?;
        ensure_eq!(error, expected, "an engine with a setting that makes no sense");
    }
    let longest = Config { ttl: Duration::MAX, fetch_timeout: Duration::MAX, ..config(NEWEST) };
    let engine = started(&cx, longest).await?;
    let source = Fake::new(&cx, "a").with([written("x", 1, "one")]);
    let added = cx.call_fn(ADD, || engine.add_source(source.clone(), meta(1, ms(0)))).await?;
    let error = failed(added, "the interval is zero")?;
    ensure_eq!(error, ConfigError::ZeroInterval("a".into()), "a source with an interval of zero");
    cx.settle().await;
    ensure_eq!(source.take_polls(), "none", "the polls of a source that was refused");
    add(&cx, &engine, &source, meta(1, Duration::MAX)).await?;
    ensure_eq!(source.polls(), 1, "the polls of a source with the longest interval"; help = "every other time is accepted");
    Ok(())
}

pub async fn polls_at_once(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let engine = started(&cx, lasting(NEWEST)).await?;
    let values: Vec<_> = (0..draw.between(3..=9)).map(|n| (format!("r{n}"), draw.word())).collect();
    let source = Fake::new(&cx, "a").with(values.iter().map(|(id, v)| written(id, 1, v)));
    sleep(ms(draw.below(50))).await;
    let now = cx.timeline().now_ms();
    add(&cx, &engine, &source, meta(1, RARELY)).await?;
    ensure_eq!(source.take_polls(), now.to_string(), "the polls of a source that was added at {now} ms";
        help = "the first poll comes at once, and not after an interval");
    for (id, value) in &values {
        let read = get(&cx, &engine, id).await?;
        ensure_eq!(read, format!("fresh v={value}"), "what is read of {id} after the first poll");
    }
    ensure_eq!(source.take_fetches(), "none", "the fetches of records that a poll has delivered");
    let slow = Fake::new(&cx, "slow");
    let expected = SourceMeta { latency: ms(60_000), ..meta(1, RARELY) };
    add(&cx, &engine, &slow, expected).await?;
    ensure_eq!(
        slow.polls(),
        1,
        "the polls of a source that is expected to be slow, when it was added"
    );
    Ok(())
}

pub async fn polls_at_its_interval(cx: Cx) -> Outcome {
    const HELP: &str = "count from the beginning of the last poll, with its length as the latency";
    let mut draw = cx.draw();
    for (every, latency, priority, expected) in [
        (1000, 100, 5, 250),
        (1000, 2000, 0, 2000),
        (1000, 60_000, 0, 10_000),
        (1000, 0, 255, 250),
        (1000, 900, 4, 540),
        (1_000_000_000, 500, 0, 500_000_000),
    ] {
        let observed =
            cx.call_fn("interval", || interval(ms(every), ms(latency), priority)).await?;
        ensure_eq!(
            observed,
            ms(expected),
            "the interval for `every` of {every} ms, a latency of {latency} ms and priority {priority}"
        );
    }
    for _ in 0..12 {
        // All products are whole milliseconds, and each poll is over within its interval.
        let (every, latency) = (100 * draw.between(20..=40), 100 * draw.between(0..=7));
        let tenths = draw.between(1..=10);
        let priority = u8::try_from(10 - tenths).unwrap_or_default();
        let expected = every * latency.max(500) * tenths.max(5) / 10_000;
        let engine = started(&cx, Config { fetch_timeout: ms(60_000), ..config(NEWEST) }).await?;
        let source = Fake::new(&cx, "a");
        source.takes(latency);
        let began = cx.timeline().now_ms();
        add(&cx, &engine, &source, meta(priority, ms(every))).await?;
        sleep(ms(4 * expected + expected / 2)).await;
        let times = list((0..5).map(|round| began + round * expected));
        ensure_eq!(source.take_polls(), times, "`every` is {every} ms, the polls take {latency} ms, and the priority is {priority}: an interval of {expected} ms"; help = HELP);
    }
    // The latency is measured; the expected one counts only before the first answer.
    let engine = started(&cx, Config { fetch_timeout: ms(60_000), ..config(NEWEST) }).await?;
    let source = Fake::new(&cx, "a");
    source.takes(3000);
    let began = cx.timeline().now_ms();
    let meta = SourceMeta { latency: ms(100), ..meta(0, ms(2000)) };
    add(&cx, &engine, &source, meta).await?;
    sleep(ms(5000)).await;
    source.takes(100);
    sleep(ms(2500)).await;
    let times = list([0, 6000, 7000].map(|at| began + at));
    ensure_eq!(source.take_polls(), times, "`every` is 2000 ms, and the polls take 3000 ms first and 100 ms then"; help = HELP);
    let engine = started(&cx, config(NEWEST)).await?;
    let source = Fake::new(&cx, "a");
    source.mode(Mode::Error("down"));
    let began = cx.timeline().now_ms();
    let meta = SourceMeta {
        standing: Standing { priority: 0, trust: 0 },
        latency: ms(1500),
        every: ms(1000),
    };
    add(&cx, &engine, &source, meta).await?;
    sleep(ms(3500)).await;
    ensure_eq!(source.take_polls(), list([0, 3000].map(|at| began + at)), "the first poll of a source fails; its expected latency is 1500 ms, and `every` is 1000 ms";
        help = "before the first answer the latency is that of the `SourceMeta`; the wait is twice the interval");
    Ok(())
}

pub async fn one_poll_at_a_time(cx: Cx) -> Outcome {
    const HELP: &str = "poll, then wait until the next multiple of the interval";
    let mut draw = cx.draw();
    for (every, rounds) in [(300, 7), (600, 4), (700, 3)] {
        let length = 100 * draw.between(6..=12);
        let engine = started(&cx, Config { fetch_timeout: ms(60_000), ..config(NEWEST) }).await?;
        let source = Fake::new(&cx, "a");
        source.takes(length);
        let began = cx.timeline().now_ms();
        add(&cx, &engine, &source, meta(9, ms(every))).await?;
        // With priority 9 it is the half of `every` times the length in seconds.
        let interval = every * length / 2000;
        let step = rounds * interval;
        sleep(ms(3 * step + 1)).await;
        ensure_eq!(source.most_polls(), 1, "a poll takes {length} ms, and the interval is {interval} ms: the most polls at once"; help = HELP);
        let times = list((0..=3).map(|round| began + round * step));
        ensure_eq!(source.take_polls(), times, "a poll takes {length} ms, and the interval is {interval} ms: the moments of the polls"; help = HELP);
    }
    Ok(())
}

pub async fn failures_back_off(cx: Cx) -> Outcome {
    const HELP: &str = "from the end of a failed poll: the interval times 2, 4, 8 and so on, at most ten times `every`";
    let mut draw = cx.draw();
    for length in [0, draw.between(1..=400)] {
        let engine = started(&cx, config(NEWEST)).await?;
        let (fails, works) = (Fake::new(&cx, "fails"), Fake::new(&cx, "works"));
        fails.mode(Mode::Error("down"));
        fails.takes(length);
        let began = cx.timeline().now_ms();
        add(&cx, &engine, &works, meta(0, ms(10_000))).await?;
        add(&cx, &engine, &fails, meta(0, ms(1000))).await?;
        let mut times = vec![began];
        for wait in [1000, 2000, 4000, 8000, 10_000, 10_000] {
            times.push(times[times.len() - 1] + length + wait);
        }
        let last = times[6];
        sleep(ms(last - began + length + 5000)).await;
        ensure_eq!(fails.take_polls(), list(times), "all polls fail, after {length} ms each; the interval is 500 ms and `every` 1000 ms"; help = HELP);
        let expected = list(
            (0..).map(|round| began + 5000 * round).take_while(|at| *at < last + length + 5000),
        );
        ensure_eq!(works.take_polls(), expected, "the polls of the other source, with an interval of 5000 ms"; help = "each source has a pace of its own");
        fails.mode(Mode::Answers);
        let next = last + length + 10_000;
        sleep(ms(5000 + 700)).await;
        fails.mode(Mode::Error("down again"));
        sleep(ms(500 + length + 1100)).await;
        let expected = list([next, next + 500, next + 1000, next + 2000 + length]);
        ensure_eq!(fails.take_polls(), expected, "the source answers twice and fails again"; help = "an answer ends the row of failures");
    }
    counts_from_the_start(&cx).await?;
    failures_have_no_latency(&cx, Mode::Error("down")).await
}

/// A source that has failed for long is removed and added again: its failures do not count for the new one.
async fn counts_from_the_start(cx: &Cx) -> Outcome {
    let engine = started(cx, config(NEWEST)).await?;
    let source = Fake::new(cx, "a");
    source.mode(Mode::Error("down"));
    add(cx, &engine, &source, meta(0, ms(1000))).await?;
    // Polls at 0, 1000, 3000 and 7000 ms.
    sleep(ms(7500)).await;
    cx.call_fn("Engine::remove_source", || engine.remove_source(&"a".into())).await?;
    source.take_polls();
    let began = cx.timeline().now_ms();
    add(cx, &engine, &source, meta(0, ms(1000))).await?;
    sleep(ms(3500)).await;
    let times = list([0, 1000, 3000].map(|at| began + at));
    ensure_eq!(source.take_polls(), times, "a source has failed four times, is removed and added again, and fails again; the interval is 500 ms and `every` 1000 ms: the moments of its polls since it was added again"; help = "the failures in a row belong to a registration");
    Ok(())
}

/// The length of a poll that has failed, or was given up, says nothing about the latency of its source.
async fn failures_have_no_latency(cx: &Cx, mode: Mode) -> Outcome {
    let length = cx.draw().between(600..=9000);
    // A poll that hangs is given up after this time.
    let limit = if mode == Mode::Hangs { length } else { 60_000 };
    let engine = started(cx, Config { fetch_timeout: ms(limit), ..config(NEWEST) }).await?;
    let source = Fake::new(cx, "a");
    let began = cx.timeline().now_ms();
    add(cx, &engine, &source, meta(0, ms(1000))).await?;
    source.mode(mode);
    source.takes(if mode == Mode::Hangs { 0 } else { length });
    // Polls at 0, which is answered at once, at 500, and two more, each a wait after the end of the one before.
    let third = 500 + length + 1000;
    let fourth = third + length + 2000;
    sleep(ms(fourth - 1)).await;
    source.mode(Mode::Answers);
    source.takes(0);
    sleep(ms(600)).await;
    let times = list([0, 500, third, fourth, fourth + 500].map(|at| began + at));
    ensure_eq!(source.take_polls(), times, "a poll is answered at once, the next two fail after {length} ms each ({mode:?}), and then the source answers at once again; `every` is 1000 ms and the interval 500 ms: the moments of the polls";
        help = "the latency is the length of the newest poll that was answered; how long a failure takes does not count");
    Ok(())
}

pub async fn a_hanging_poll_is_given_up(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(2..=3000);
    for limit in [LIMIT, 1, 2500, drawn] {
        let engine = started(&cx, Config { fetch_timeout: ms(limit), ..config(NEWEST) }).await?;
        let source = Fake::new(&cx, "a").with([written("x", 1, "one")]);
        source.mode(Mode::Hangs);
        let began = cx.timeline().now_ms();
        add(&cx, &engine, &source, meta(0, ms(1000))).await?;
        sleep(ms(limit)).await;
        cx.settle().await;
        ensure_eq!(source.running(), (0, 1), "a poll hangs, and {limit} ms have passed, which is the `fetch_timeout`: the calls that run, and those that were dropped";
            help = "`tokio::time::timeout` around each answer");
        source.mode(Mode::Answers);
        sleep(ms(1000)).await;
        cx.settle().await;
        ensure_eq!(source.take_polls(), list([began, began + limit + 1000]), "the polls of a source that hangs once"; help = "a poll that was given up has failed");
    }
    failures_have_no_latency(&cx, Mode::Hangs).await
}

pub async fn refuses_a_second_source(cx: Cx) -> Outcome {
    let engine = started(&cx, lasting(NEWEST)).await?;
    let first = Fake::new(&cx, "a").with([written("x", 1, "first")]);
    let second = Fake::new(&cx, "a").with([written("x", 2, "second")]);
    add(&cx, &engine, &first, meta(0, ms(1000))).await?;
    first.take_polls();
    let added = cx.call_fn(ADD, || engine.add_source(second.clone(), meta(9, ms(200)))).await?;
    let error = failed(added, "there is a source of this id")?;
    ensure_eq!(error, ConfigError::DuplicateSource("a".into()), "a second source with the same id");
    sleep(ms(2100)).await;
    ensure_eq!(second.take_polls(), "none", "the polls of a source that was refused");
    ensure_eq!(first.polls(), 4, "the polls of the first source in 2.1 s, with an interval of 0.5 s"; help = "it goes on as before");
    ensure_eq!(
        get(&cx, &engine, "x").await?,
        "fresh v=first",
        "what counts when a second source was refused"
    );
    Ok(())
}
