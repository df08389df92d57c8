//! Pulls and updates.

use grader_kit::{Cx, Outcome, ensure, ensure_eq, list, ms};
use level5::multi_source_cache::{Pushes, Rule, SyncMode, SyncStatus};
use tokio::time::sleep;

use super::fakes::{Fake, Has, value, written};
use super::{MISSING, TTL, add, config, get, made, nz, set};

const DAY: u64 = 86_400_000;

pub async fn pulls_what_it_knows(cx: Cx) -> Outcome {
    const HELP: &str =
        "each interval, load every key that has a value; the first pull comes after one interval";
    let drawn = cx.draw().between(2..=900);
    for every in [300, 30_000, drawn] {
        let source = Fake::new(&cx, "a", 1).otherwise(value(1, "old"));
        let other = Fake::new(&cx, "b", 0).otherwise(value(1, "other"));
        let mut config = config(Rule::Newest);
        config.ttl = ms(DAY);
        let cache = made(&cx, config).await?;
        let began = cx.timeline().now_ms();
        add(&cx, &cache, &source, SyncMode::Pull { every: ms(every) }).await?;
        add(&cx, &cache, &other, super::RARELY).await?;
        sleep(ms(every + every / 2)).await;
        ensure_eq!(source.take_calls(), "none", "a pull every {every} ms, and no key is known"; help = HELP);
        get(&cx, &cache, "x").await?;
        set(&cx, &cache, "y", written(1, "set"), "b").await?;
        source.take_calls();
        source.all(value(2, "new"));
        sleep(ms(2 * every)).await;
        let at = |rounds: u64| began + rounds * every;
        let expected = format!("{} x, {} y, {} x, {} y", at(2), at(2), at(3), at(3));
        ensure_eq!(source.take_calls(), expected, "a pull every {every} ms since {began}, and the keys x and y are known"; help = HELP);
        let age = every / 2;
        for key in ["x", "y"] {
            let answer = get(&cx, &cache, key).await?;
            ensure_eq!(answer, format!("new, {age} ms old"), "what is known of {key} after a pull"; help = HELP);
        }
        ensure_eq!(source.take_calls(), "none", "the loads of two callers after a pull");
        // The other source is not pulled.
        ensure_eq!(other.take_calls(), "none", "the loads of a source with a long interval"; help = "each source has an interval of its own");
        let status = cache.status(&source.id());
        ensure_eq!(
            status,
            Some(SyncStatus { pushes: Pushes::None, lost: 0, failed_pulls: 0 }),
            "the status of a source that is pulled"
        );
        // A failing source is pulled again, and what is known stays.
        source.all(Has::Error("down"));
        sleep(ms(every)).await;
        let failed = cache.status(&source.id()).map(|status| status.failed_pulls);
        ensure_eq!(failed, Some(2), "`failed_pulls`, when both keys of a pull failed");
        let answer = get(&cx, &cache, "x").await?;
        ensure!(answer.starts_with("new,"), "a pull failed, and what is known is {answer}"; expected = "the value from before");
        source.all(value(3, "newest"));
        sleep(ms(every)).await;
        let answer = get(&cx, &cache, "x").await?;
        ensure!(answer.starts_with("newest,"), "the pull after one that failed: {answer}"; expected = "the newest value");
    }
    // Loads that take a third of the interval.
    let source = Fake::new(&cx, "a", 1).otherwise(value(1, "old"));
    let mut config = config(Rule::Newest);
    config.ttl = ms(DAY);
    let cache = made(&cx, config).await?;
    let began = cx.timeline().now_ms();
    add(&cx, &cache, &source, SyncMode::Pull { every: ms(300) }).await?;
    get(&cx, &cache, "x").await?;
    let source = source.takes(100);
    source.take_calls();
    sleep(ms(1000)).await;
    let expected = [1, 2, 3].map(|round| format!("{} x", began + round * 300)).join(", ");
    ensure_eq!(source.take_calls(), expected, "a pull every 300 ms since {began}, of a source that takes 100 ms"; help = "count the interval from the beginning of a pull");
    makes_up_for_nothing(&cx).await?;
    goes_on_with_the_others(&cx).await?;
    pulls_for_all(&cx).await
}

/// A pull whose source fails for one key, in each way, goes on with the others.
async fn goes_on_with_the_others(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for bad in [Has::Error("down"), Has::Hangs, Has::Nothing] {
        for at_once in [1, 4] {
            let source = Fake::new(cx, "a", 1).otherwise(value(1, "old"));
            let mut config = config(Rule::Newest);
            (config.ttl, config.pulls_at_once) = (ms(DAY), nz(at_once));
            let cache = made(cx, config).await?;
            add(cx, &cache, &source, SyncMode::Pull { every: ms(10_000) }).await?;
            let mut keys = ["v", "w", "x", "y", "z"];
            draw.shuffle(&mut keys);
            for key in keys {
                get(cx, &cache, key).await?;
            }
            source.all(value(2, "new"));
            let of = *draw.pick(&keys);
            source.has(of, bad.clone());
            source.take_calls();
            sleep(ms(10_000 + super::LIMIT + 10)).await;
            let failed = cache.status(&source.id()).map(|status| status.failed_pulls);
            let counted = u64::from(!matches!(bad, Has::Nothing));
            let what = format!(
                "a pull of the keys {}, at most {at_once} at once, and for {of} the source has {bad:?}",
                list(keys)
            );
            ensure_eq!((source.count(), failed), (5, Some(counted)), "{what}: the loads, and `failed_pulls`"; help = "a failure is counted, and the pull goes on; an answer without a value is none");
            for key in keys.into_iter().filter(|key| *key != of) {
                let answer = get(cx, &cache, key).await?;
                ensure!(answer.starts_with("new,"), "{what}: what is known of {key} afterwards is {answer}"; expected = "what the source has since then");
            }
            // The next pull is as if nothing had happened.
            source.all(value(3, "newer"));
            sleep(ms(10_000)).await;
            for key in keys.into_iter().filter(|key| *key != of) {
                let answer = get(cx, &cache, key).await?;
                ensure!(answer.starts_with("newer,"), "{what}: what is known of {key} after the next pull is {answer}"; expected = "what the source has by then");
            }
        }
    }
    Ok(())
}

/// Each source with pulls is asked for every key that has a value, whichever source the value is from.
async fn pulls_for_all(cx: &Cx) -> Outcome {
    const HELP: &str = "a pull asks for every key that has a value, also for those whose value is from another source";
    let mut draw = cx.draw();
    let pulls = Fake::new(cx, "a", 1).with_updates();
    let other = Fake::new(cx, "b", 9).with_updates().otherwise(value(5, "other"));
    let mut config = config(Rule::Newest);
    (config.ttl, config.missing_ttl) = (ms(DAY), ms(DAY));
    let cache = made(cx, config).await?;
    let began = cx.timeline().now_ms();
    add(cx, &cache, &pulls, SyncMode::Hybrid { every: ms(10_000) }).await?;
    add(cx, &cache, &other, SyncMode::Push).await?;
    other.has("nowhere", Has::Nothing);
    // By a load of the other source, a set from it, an update of it, a set of both; and one that no source has.
    let mut ways = ["loaded", "set", "reported", "both", "nowhere"];
    draw.shuffle(&mut ways);
    for key in ways {
        match key {
            "set" | "both" => drop(set(cx, &cache, key, written(5, "other"), "b").await?),
            "reported" => other.push(key, written(5, "other")),
            _ => drop(get(cx, &cache, key).await?),
        }
    }
    set(cx, &cache, "both", written(1, "own"), "a").await?;
    cx.settle().await;
    pulls.take_calls();
    pulls.all(value(7, "newer"));
    pulls.has("reported", Has::Nothing);
    sleep(ms(10_001)).await;
    let at = began + 10_000;
    let expected = list(["both", "loaded", "reported", "set"].map(|key| format!("{at} {key}")));
    ensure_eq!(pulls.take_calls(), expected, "the keys loaded, set and reported have a value of the source b, the key both has one of each, and nowhere has none: the pull of the source a"; help = HELP);
    for (key, expected) in
        [("both", "newer"), ("loaded", "newer"), ("set", "newer"), ("reported", "other")]
    {
        let answer = get(cx, &cache, key).await?;
        ensure!(answer.starts_with(&format!("{expected},")), "a pull of the source a, which has newer values for all keys but reported: what is known of {key} is {answer}"; expected = expected, help = HELP);
    }
    Ok(())
}

/// A pull that takes many intervals.
async fn makes_up_for_nothing(cx: &Cx) -> Outcome {
    let intervals = cx.draw().between(5..=40);
    for (every, length) in [(1000, 5500), (300, 300 * intervals + 150)] {
        let source = Fake::new(cx, "a", 1).otherwise(value(1, "one"));
        let mut config = config(Rule::Newest);
        (config.ttl, config.load_timeout) = (ms(DAY), ms(DAY));
        let cache = made(cx, config).await?;
        add(cx, &cache, &source, SyncMode::Pull { every: ms(every) }).await?;
        get(cx, &cache, "x").await?;
        source.next_take([length]);
        sleep(ms(every + length - 1)).await;
        let during = source.count();
        ensure!(during == 2, "a pull every {every} ms, of which the first takes {length} ms: {} loads before it has ended", during - 1; expected = "one");
        // Up to the end of the second interval from then on.
        sleep(ms(2 * every)).await;
        let after = source.count() - during;
        ensure!((1..=3).contains(&after), "a pull every {every} ms, of which the first takes {length} ms: {after} more within {} ms after it", 2 * every; expected = "2, or 3 if they keep to multiples of the interval",
            help = "what was missed is not made up for: `MissedTickBehavior::Burst`, the default of `tokio::time::interval`, would do so");
    }
    Ok(())
}

pub async fn follows_updates(cx: Cx) -> Outcome {
    let every = SyncMode::Hybrid { every: ms(DAY * 300) };
    for mode in [SyncMode::Push, every] {
        let source = Fake::new(&cx, "a", 1).with_updates().otherwise(value(1, "one"));
        let mut config = config(Rule::Newest);
        config.ttl = ms(10 * DAY);
        let cache = made(&cx, config).await?;
        add(&cx, &cache, &source, mode).await?;
        get(&cx, &cache, "x").await?;
        let loads = source.count();
        for (at, (written_at, text, expected)) in
            [(2, "two", "two"), (3, "three", "three"), (1, "late", "three"), (4, "four", "four")]
                .into_iter()
                .enumerate()
        {
            source.push("x", written(written_at, text));
            sleep(ms(1)).await;
            let answer = get(&cx, &cache, "x").await?;
            ensure_eq!(answer, format!("{expected}, {} ms old", if text == "late" { 2 } else { 1 }), "{mode:?}: one millisecond after update {}, of the source's time {written_at}", at + 1;
                help = "an update is offered like a set, when it comes; an older one is not kept");
        }
        let time = if mode == SyncMode::Push { DAY } else { 60_000 };
        cx.pass(ms(time)).await;
        ensure!(source.count() == loads, "{mode:?}: {} loads in the {} s after the updates", source.count() - loads, time / 1000; expected = "none: updates need no load");
        let status = cache.status(&source.id()).map(|status| status.pushes);
        ensure_eq!(status, Some(Pushes::Live), "{mode:?}: `pushes` while the stream is open");
        ensure_eq!(cache.status(&"z".into()), None, "the status of a source that is not there");
    }
    is_pulled_only(&cx).await
}

/// A source that could report its updates, and is added with `Pull`.
async fn is_pulled_only(cx: &Cx) -> Outcome {
    const HELP: &str = "the mode says what is followed: with `Pull` no stream of updates is held";
    let source = Fake::new(cx, "a", 1).with_updates().otherwise(value(1, "one"));
    let mut config = config(Rule::Newest);
    config.ttl = ms(DAY);
    let cache = made(cx, config).await?;
    add(cx, &cache, &source, SyncMode::Pull { every: ms(DAY) }).await?;
    get(cx, &cache, "x").await?;
    source.push("x", written(2, "two"));
    source.lose(1);
    sleep(ms(50)).await;
    let answer = get(cx, &cache, "x").await?;
    let status = cache.status(&source.id());
    ensure_eq!((source.streams_alive(), answer.as_str(), source.count()), (0, "one, 50 ms old", 1), "a source that could report its updates is added with `Pull`: the streams of it that are held, what is known after an update, and the loads"; help = HELP);
    ensure_eq!(status, Some(SyncStatus { pushes: Pushes::None, lost: 0, failed_pulls: 0 }), "a source that could report its updates is added with `Pull`: its status"; help = HELP);
    Ok(())
}

pub async fn outlives_its_stream(cx: Cx) -> Outcome {
    const HELP: &str = "the end of a stream ends nothing but the stream: note it in the status, and go on with the pulls";
    let every = cx.draw().between(10..=900);
    for every in [300, every] {
        let source = Fake::new(&cx, "a", 1).with_updates().otherwise(value(1, "one"));
        let mut config = config(Rule::Newest);
        config.ttl = ms(DAY);
        let cache = made(&cx, config).await?;
        let began = cx.timeline().now_ms();
        add(&cx, &cache, &source, SyncMode::Hybrid { every: ms(every) }).await?;
        get(&cx, &cache, "x").await?;
        source.push("x", written(2, "two"));
        sleep(ms(1)).await;
        let pushed = get(&cx, &cache, "x").await?;
        ensure_eq!(pushed, "two, 1 ms old", "Hybrid: one millisecond after an update");
        source.end();
        sleep(ms(1)).await;
        let status = cache.status(&source.id()).map(|status| status.pushes);
        ensure_eq!(status, Some(Pushes::Ended), "Hybrid: `pushes` when the stream has ended"; help = HELP);
        source.all(value(3, "three"));
        source.take_calls();
        sleep(ms(3 * every)).await;
        let expected = [1, 2, 3].map(|round| format!("{} x", began + round * every)).join(", ");
        ensure_eq!(source.take_calls(), expected, "Hybrid every {every} ms since {began}: the pulls after the end of the stream"; help = HELP);
        let answer = get(&cx, &cache, "x").await?;
        ensure!(answer.starts_with("three,"), "Hybrid: what is known after a pull: {answer}"; expected = "the value of the pull", help = HELP);
    }
    Ok(())
}

pub async fn counts_what_was_lost(cx: Cx) -> Outcome {
    const HELP: &str = "it is not known which keys have changed: count what was lost, and pull at once where there are pulls";
    let mut draw = cx.draw();
    let (few, many) = (draw.between(1..=200), draw.between(1 << 33..=1 << 40));
    let source = Fake::new(&cx, "a", 1).with_updates().otherwise(value(1, "one"));
    let mut config = config(Rule::Newest);
    config.ttl = ms(DAY);
    let cache = made(&cx, config).await?;
    add(&cx, &cache, &source, SyncMode::Hybrid { every: ms(DAY) }).await?;
    get(&cx, &cache, "x").await?;
    sleep(ms(40)).await;
    source.all(value(2, "two"));
    source.take_calls();
    let mut sum = 0;
    for lost in [few, many] {
        source.lose(lost);
        let at = cx.timeline().now_ms();
        sum += lost;
        sleep(ms(10)).await;
        ensure_eq!(source.take_calls(), format!("{at} x"), "Hybrid: {lost} updates were lost at {at} ms; the loads since"; help = HELP);
        let status = cache.status(&source.id());
        ensure_eq!(status, Some(SyncStatus { pushes: Pushes::Live, lost: sum, failed_pulls: 0 }), "Hybrid: the status after {sum} lost updates"; help = HELP);
    }
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "two, 10 ms old", "Hybrid: what is known after updates were lost"; help = HELP);
    source.push("x", written(3, "three"));
    sleep(ms(1)).await;
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "three, 1 ms old", "Hybrid: an update after some were lost"; help = "the stream goes on");
    loses_without_pulls(&cx).await?;
    loses_during_a_pull(&cx).await
}

/// Updates of a source without pulls are lost: they are counted, and the stream goes on.
async fn loses_without_pulls(cx: &Cx) -> Outcome {
    let lost = cx.draw().between(1..=1000);
    let source = Fake::new(cx, "a", 1).with_updates().otherwise(value(1, "one"));
    let mut config = config(Rule::Newest);
    config.ttl = ms(DAY);
    let cache = made(cx, config).await?;
    add(cx, &cache, &source, SyncMode::Push).await?;
    get(cx, &cache, "x").await?;
    source.take_calls();
    source.lose(lost);
    source.push("x", written(2, "two"));
    source.lose(1);
    sleep(ms(10)).await;
    let status = cache.status(&source.id());
    ensure_eq!(
        status,
        Some(SyncStatus { pushes: Pushes::Live, lost: lost + 1, failed_pulls: 0 }),
        "Push: {lost} updates were lost, and one more later: the status"
    );
    let answer = get(cx, &cache, "x").await?;
    ensure_eq!((answer.as_str(), source.take_calls().as_str()), ("two, 10 ms old", "none"), "Push: updates were lost before and after one: what is known, and the loads"; help = "a source with `Push` is not pulled, also when updates were lost");
    Ok(())
}

/// Updates that are lost while a pull is on its way.
async fn loses_during_a_pull(cx: &Cx) -> Outcome {
    let at = cx.draw().between(1..=99);
    let source = Fake::new(cx, "a", 1).with_updates().otherwise(value(1, "one"));
    let mut config = config(Rule::Newest);
    config.ttl = ms(DAY);
    let cache = made(cx, config).await?;
    add(cx, &cache, &source, SyncMode::Hybrid { every: ms(1000) }).await?;
    get(cx, &cache, "x").await?;
    sleep(ms(300)).await;
    source.take_calls();
    source.next_take([100]);
    source.lose(1);
    sleep(ms(at)).await;
    source.all(value(2, "two"));
    source.take_calls();
    source.lose(1);
    sleep(ms(250)).await;
    let loads = source.count();
    ensure!(loads > 0, "Hybrid: a pull takes 100 ms, and {at} ms after its beginning more updates were lost; {loads} loads within 250 ms"; expected = "one more pull: the one on its way may have read the value before it changed", help = "keep the wish for a pull until a pull has begun after it: `Notify::notify_one` keeps one, `notify_waiters` none");
    let answer = get(cx, &cache, "x").await?;
    ensure!(answer.starts_with("two,"), "Hybrid: what is known after updates were lost during a pull: {answer}"; expected = "the value that the source has since then");
    Ok(())
}

pub async fn pulls_a_few_at_once(cx: Cx) -> Outcome {
    let drawn = cx.draw().index(5) + 2;
    for at_once in [1, 2, drawn] {
        let source = Fake::new(&cx, "a", 1).otherwise(value(1, "one"));
        let mut config = config(Rule::Newest);
        (config.ttl, config.pulls_at_once) = (ms(DAY), nz(at_once));
        let cache = made(&cx, config).await?;
        add(&cx, &cache, &source, SyncMode::Pull { every: ms(10_000) }).await?;
        let keys: Vec<_> = (0..3 * at_once).map(|number| format!("key{number}")).collect();
        for key in &keys {
            get(&cx, &cache, key).await?;
        }
        source.take_calls();
        let source_slow = source.clone().takes(50);
        sleep(ms(10_000 + 1000)).await;
        let (running, most, _) = source_slow.running();
        ensure_eq!((running, most), (0, at_once), "`pulls_at_once` is {at_once}, and {} keys are known: the loads that run after the pull, and the most that ran at once", keys.len();
            help = "a bound on the loads of one pull: `for_each_concurrent`, or a semaphore");
        ensure!(source.count() == keys.len(), "a pull of {} keys: {} loads", keys.len(), source.count(); expected = "one for each");
    }
    // The first answer of a pull takes 5 s.
    for at_once in [2, drawn] {
        let source = Fake::new(&cx, "a", 1).otherwise(value(1, "one"));
        let mut config = config(Rule::Newest);
        (config.ttl, config.pulls_at_once) = (ms(DAY), nz(at_once));
        config.load_timeout = ms(60_000);
        let cache = made(&cx, config).await?;
        add(&cx, &cache, &source, SyncMode::Pull { every: ms(10_000) }).await?;
        let keys: Vec<_> = (0..3 * at_once).map(|number| format!("key{number}")).collect();
        for key in &keys {
            get(&cx, &cache, key).await?;
        }
        source.take_calls();
        source.next_take([5000]);
        let source = source.takes(50);
        sleep(ms(10_000 + 50 * keys.len() as u64 + 20)).await;
        let (running, ..) = source.running();
        ensure_eq!((running, source.count()), (1, keys.len()), "`pulls_at_once` is {at_once}, the first of {} loads takes 5 s and each other one 50 ms: after {} ms, the loads that run, and those that have begun", keys.len(), 50 * keys.len() + 20;
            help = "a load that has ended makes room for the next one: do not wait for the slowest of a group");
    }
    Ok(())
}

pub async fn withdraws_what_is_gone(cx: Cx) -> Outcome {
    const HELP: &str = "a source that has no value any more has no say: take its older value out";
    let first = Fake::new(&cx, "first", 9).otherwise(value(5, "first"));
    let second = Fake::new(&cx, "second", 1).otherwise(value(1, "second"));
    let cache = super::over(&cx, config(Rule::Newest), &[&first, &second]).await?;
    get(&cx, &cache, "x").await?;
    sleep(ms(TTL + 5)).await;
    first.all(Has::Nothing);
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "second, 0 ms old", "the first source had the newest value and has none any more; the second one has an older value"; help = HELP);
    sleep(ms(TTL + 5)).await;
    second.all(Has::Nothing);
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "nothing", "no source has a value any more"; help = HELP);
    // A failure is no such answer.
    sleep(ms(MISSING + 5)).await;
    first.all(value(6, "back"));
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "back, 0 ms old", "the first source has a value again");
    sleep(ms(TTL + 5)).await;
    first.all(Has::Error("down"));
    let answer = get(&cx, &cache, "x").await?;
    ensure!(answer.starts_with("back,"), "the first source fails, and the second one has nothing: {answer}"; expected = "the value of the first one", help = "a failure says nothing about the value");
    withdraws_by_pulls(&cx).await
}

/// No caller asks while a source loses its value: a pull finds it.
async fn withdraws_by_pulls(cx: &Cx) -> Outcome {
    const HELP: &str = "a pull is a load of its source: an answer without a value takes the older one out, a failure takes nothing out, and neither touches the values of other sources";
    let every = cx.draw().between(50..=900);
    for rule in [Rule::Newest, Rule::Priority] {
        let first = Fake::new(cx, "first", 9).with_updates();
        let second = Fake::new(cx, "second", 1);
        let name = format!("{rule:?}");
        let mut config = config(rule);
        (config.ttl, config.missing_ttl) = (ms(DAY), ms(DAY));
        let cache = made(cx, config).await?;
        add(cx, &cache, &first, SyncMode::Hybrid { every: ms(every) }).await?;
        add(cx, &cache, &second, super::RARELY).await?;
        for key in ["both", "alone"] {
            set(cx, &cache, key, written(5, "first"), "first").await?;
        }
        set(cx, &cache, "both", written(1, "second"), "second").await?;
        for (has, expected) in
            [(Has::Error("down"), ["first", "first"]), (Has::Nothing, ["second", "nothing"])]
        {
            first.all(has.clone());
            sleep(ms(every + 1)).await;
            for (key, expected) in ["both", "alone"].into_iter().zip(expected) {
                let answer = get(cx, &cache, key).await?;
                let known = answer.split(',').next().unwrap_or_default();
                ensure_eq!(known, expected, "{name}: the source `first`, which had a value, was pulled and has {has:?} now; what is known of the key `{key}`"; help = HELP);
            }
        }
    }
    Ok(())
}
