//! Which value counts, and which keys are kept.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, list, ms};
use level5::conflict::Stamp;
use level5::multi_source_cache::{Rule, Stamped, SyncMode};
use tokio::time::sleep;

use super::fakes::{Fake, Has, value, written};
use super::{GET, TTL, add, config, get, made, nz, over, set, shown, within};

fn of(at: i64, version: u64, value: &str) -> Stamped<String> {
    Stamped { version, ..written(at, value) }
}

pub async fn the_newest_stamp_counts(cx: Cx) -> Outcome {
    const HELP: &str =
        "the greatest stamp counts: time, version, source; the order of arrival does not";
    let mut draw = cx.draw();
    let sources = [Fake::new(&cx, "a", 9), Fake::new(&cx, "b", 5), Fake::new(&cx, "c", 1)];
    let refs = [&sources[0], &sources[1], &sources[2]];
    let cache = over(&cx, config(Rule::Newest), &refs).await?;
    for round in 0..60 {
        let key = round.to_string();
        let mut newest: Option<((i64, u64, &str), String)> = None;
        let mut script = Vec::new();
        for _ in 0..6 {
            let (at, version) = (i64::try_from(draw.below(3)).unwrap_or_default(), draw.below(2));
            let from = *draw.pick(&["a", "b", "c"]);
            let text = format!("{at} v{version} of {from}");
            let outcome = set(&cx, &cache, &key, of(at, version, &text), from).await?;
            let stamp = (at, version, from);
            script.push(text.clone());
            let expected = match &newest {
                Some((best, _)) if *best > stamp => format!("superseded by {}", best.2),
                _ => "stored".to_owned(),
            };
            if newest.as_ref().is_none_or(|(best, _)| *best < stamp) {
                newest = Some((stamp, text));
            }
            ensure_eq!(outcome, expected, "Newest: the last of the sets [{}]", list(&script); help = HELP);
            let expected = newest.as_ref().map(|(_, text)| format!("{text}, 0 ms old"));
            ensure_eq!(Some(get(&cx, &cache, &key).await?), expected, "Newest: what counts after the sets [{}]", list(&script); help = HELP);
        }
    }
    let stranger = set(&cx, &cache, "x", written(1, "one"), "stranger").await?;
    ensure_eq!(stranger, "unknown source stranger", "a set from a source that was not added");
    Ok(())
}

pub async fn priority_holds_within_the_ttl(cx: Cx) -> Outcome {
    const HELP: &str = "of the values that are within their ttl the one of the highest priority counts, of equal ones the newest";
    let drawn = cx.draw().between(2..=100_000);
    for ttl in [TTL, 1, drawn] {
        let high = Fake::new(&cx, "high", 200);
        let low = Fake::new(&cx, "low", 3);
        let same = Fake::new(&cx, "same", 3);
        let mut config = config(Rule::Priority);
        config.ttl = ms(ttl);
        let cache = over(&cx, config, &[&low, &high, &same]).await?;
        set(&cx, &cache, "x", written(10, "high"), "high").await?;
        if ttl > 1 {
            sleep(ms(ttl - 1)).await;
            let outcome = set(&cx, &cache, "x", written(99, "low"), "low").await?;
            ensure_eq!(outcome, "superseded by high", "Priority: a lower source sets a newer value {} ms after the higher one, with a ttl of {ttl} ms", ttl - 1; help = HELP);
            let answer = get(&cx, &cache, "x").await?;
            ensure_eq!(answer, format!("high, {} ms old", ttl - 1), "Priority: what counts then"; help = HELP);
            sleep(ms(1)).await;
        } else {
            sleep(ms(ttl)).await;
        }
        let outcome = set(&cx, &cache, "x", written(100, "later"), "low").await?;
        ensure_eq!(outcome, "stored", "Priority: a lower source sets a value {ttl} ms after the higher one, with a ttl of {ttl} ms"; help = HELP);
        let answer = get(&cx, &cache, "x").await?;
        ensure_eq!(answer, "later, 0 ms old", "Priority: what counts when the higher value is past its ttl"; help = HELP);
        // The higher one counts again, also with an older stamp than that of the lower one.
        let outcome = set(&cx, &cache, "x", written(11, "again"), "high").await?;
        ensure_eq!(outcome, "stored", "Priority: the higher source sets a value with an older stamp than the lower one"; help = HELP);
        let outcome = set(&cx, &cache, "x", written(5, "old"), "high").await?;
        ensure_eq!(outcome, "superseded by high", "Priority: a source sets a value that is older than its own"; help = HELP);
        let answer = get(&cx, &cache, "x").await?;
        ensure_eq!(answer, "again, 0 ms old", "Priority: what counts then"; help = HELP);
        // Equal priorities.
        set(&cx, &cache, "y", written(5, "low"), "low").await?;
        let older = set(&cx, &cache, "y", written(4, "same"), "same").await?;
        let newer = set(&cx, &cache, "y", written(6, "same"), "same").await?;
        ensure_eq!((older.as_str(), newer.as_str()), ("superseded by low", "stored"), "Priority: a source of equal priority sets an older and a newer value"; help = HELP);
    }
    Ok(())
}

pub async fn merges_with_the_function(cx: Cx) -> Outcome {
    const HELP: &str = "keep the newest value of each source, and give all of them to the function, the oldest stamp first";
    let mut draw = cx.draw();
    let joined = |parts: &[(Stamp, String)]| {
        let parts = parts.iter().map(|(stamp, value)| format!("{}={value}", stamp.source));
        parts.collect::<Vec<_>>().join("+")
    };
    let sources = [Fake::new(&cx, "a", 9), Fake::new(&cx, "b", 5), Fake::new(&cx, "c", 1)];
    let refs = [&sources[0], &sources[1], &sources[2]];
    let cache = over(&cx, config(Rule::Merge(Arc::new(joined))), &refs).await?;
    let outcome = set(&cx, &cache, "x", written(5, "five"), "b").await?;
    ensure_eq!(outcome, "stored", "Merge: one source has a value"; help = "there is nothing to merge");
    let outcome = set(&cx, &cache, "x", written(7, "seven"), "a").await?;
    ensure_eq!(outcome, "merged: b=five+a=seven", "Merge: a second source has a value"; help = HELP);
    let outcome = set(&cx, &cache, "x", written(6, "six"), "c").await?;
    ensure_eq!(outcome, "merged: b=five+c=six+a=seven", "Merge: a third source has an older value"; help = HELP);
    let outcome = set(&cx, &cache, "x", written(8, "eight"), "b").await?;
    ensure_eq!(outcome, "merged: c=six+a=seven+b=eight", "Merge: the first source has a newer value"; help = HELP);
    let outcome = set(&cx, &cache, "x", written(4, "four"), "b").await?;
    ensure_eq!(outcome, "superseded by b", "Merge: the first source sets a value that is older than its own"; help = HELP);
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "c=six+a=seven+b=eight, 0 ms old", "Merge: what counts then"; help = HELP);
    merges_old_values_too(&cx, joined, HELP).await?;
    // Any order.
    let mut script = Vec::new();
    for source in ["a", "b", "c"] {
        for _ in 0..draw.between(1..=3) {
            let at = i64::try_from(draw.below(4)).unwrap_or_default();
            script.push((source, at, format!("{at}")));
        }
    }
    let mut expected = None;
    for round in 0..20 {
        draw.shuffle(&mut script);
        let key = format!("order {round}");
        for (source, at, text) in &script {
            set(&cx, &cache, &key, written(*at, text), source).await?;
        }
        let answer = get(&cx, &cache, &key).await?;
        let first = expected.get_or_insert_with(|| answer.clone());
        let shown: Vec<_> = script.iter().map(|(source, at, _)| format!("{source}={at}")).collect();
        ensure_eq!(&answer, first, "Merge: the sets [{}] in this order, and in another one", list(&shown); help = HELP);
    }
    Ok(())
}

/// Values of which some are past their ttl: a source that has not sent a newer value has still the one that it sent.
async fn merges_old_values_too(
    cx: &Cx,
    joined: impl Fn(&[(Stamp, String)]) -> String + Send + Sync + Copy + 'static,
    help: &'static str,
) -> Outcome {
    let mut draw = cx.draw();
    for own in [None, Some(draw.between(1..=100)), Some(20 * TTL)] {
        let sources = [Fake::new(cx, "a", 9), Fake::new(cx, "b", 5), Fake::new(cx, "c", 1)];
        let refs = [&sources[0], &sources[1], &sources[2]];
        let cache = over(cx, config(Rule::Merge(Arc::new(joined))), &refs).await?;
        // The age of the first one, which has a ttl of its own.
        let age = own.unwrap_or(TTL).min(2 * TTL) + draw.between(1..=50);
        let first = Stamped { ttl: own.map(ms), ..written(5, "five") };
        let from = *draw.pick(&["a", "b", "c"]);
        let other = if from == "b" { "a" } else { "b" };
        set(cx, &cache, "x", first, from).await?;
        sleep(ms(age)).await;
        let what = format!(
            "Merge, with a ttl of {TTL} ms: {from} sets a value with a ttl of {own:?} ms, and {age} ms later {other} sets one"
        );
        let outcome = set(cx, &cache, "x", written(7, "seven"), other).await?;
        let merged = format!("{from}=five+{other}=seven");
        ensure_eq!(outcome, format!("merged: {merged}"), "{what}: what the set returns"; help = help);
        // A load, if the cache begins one, finds nothing.
        for source in refs {
            source.all(Has::Error("down"));
        }
        let answer = get(cx, &cache, "x").await?;
        ensure!(answer.starts_with(&format!("{merged},")), "{what}: what counts is {answer}"; expected = merged, help = help);
        // A load that brings a value of one of them, long after the ttl of all.
        sleep(ms(30 * TTL)).await;
        let third = ["a", "b", "c"].into_iter().find(|id| *id != from && *id != other);
        for source in refs {
            source.all(if Some(source.id().as_str()) == third {
                value(9, "nine")
            } else {
                Has::Error("down")
            });
        }
        let answer = get(cx, &cache, "x").await?;
        let expected = format!("{merged}+{}=nine", third.unwrap_or_default());
        ensure_eq!(answer, format!("{expected}, 0 ms old"), "{what}; {} ms later a load finds a value of the third source, and the two others fail: what counts", 30 * TTL; help = help);
        // And none at all.
        sleep(ms(30 * TTL)).await;
        for source in refs {
            source.all(Has::Error("down"));
        }
        let answer = get(cx, &cache, "x").await?;
        ensure!(answer.starts_with(&format!("{expected},")), "{what}; then a third one has a value; {} ms later all sources fail: {answer}", 30 * TTL; expected = "the merge of the three values", help = help);
    }
    Ok(())
}

pub async fn a_set_during_a_load_stays(cx: Cx) -> Outcome {
    let draw = cx.draw().between(1..=99);
    for at in [50, 1, 99, draw] {
        for (loaded, set_at, expected) in [(1, 2, "set"), (3, 2, "loaded")] {
            let source = Fake::new(&cx, "a", 1).takes(100).otherwise(value(loaded, "loaded"));
            let cache = over(&cx, config(Rule::Newest), &[&source]).await?;
            let key = "x".to_owned();
            let sets = async {
                sleep(ms(at)).await;
                let _ = cache.set("x".to_owned(), written(set_at, "set"), &source.id());
            };
            let (answer, ()) = cx.call(GET, join(cache.get(&key, None), sets)).await?.value;
            let what = format!(
                "a load brings a value of {loaded} at 100 ms, and one of {set_at} is set at {at} ms"
            );
            let answer = shown(answer);
            ensure!(answer.starts_with(expected), "{what}: the caller gets {answer}"; expected = format!("the newer one, `{expected}`"),
                help = "the answer of a load is offered like a set: the newer stamp stays");
            let kept = get(&cx, &cache, "x").await?;
            ensure!(kept.starts_with(expected), "{what}: {kept} is kept"; expected = format!("the newer one, `{expected}`"),
                help = "the answer of a load is offered like a set: the newer stamp stays");
        }
        stays_beside_an_absence(&cx, at).await?;
    }
    Ok(())
}

/// A load, or a pull, that finds nothing: what was set or reported after its question stays.
async fn stays_beside_an_absence(cx: &Cx, at: u64) -> Outcome {
    const HELP: &str = "that a source has no value was true when it was asked: it takes out what had arrived before the question, and nothing that has arrived since then";
    for (by_pull, known, reported) in [
        (false, false, false),
        (false, true, false),
        (false, false, true),
        (true, true, false),
        (true, true, true),
    ] {
        let source = Fake::new(cx, "a", 1).with_updates().takes(100);
        let mut config = config(Rule::Newest);
        config.missing_ttl = DAYS;
        let cache = made(cx, config).await?;
        add(cx, &cache, &source, SyncMode::Hybrid { every: DAYS }).await?;
        let key = "x".to_owned();
        if known {
            set(cx, &cache, &key, written(1, "old"), "a").await?;
            sleep(ms(10)).await;
        }
        let asks = async {
            if by_pull {
                source.lose(1);
                sleep(ms(100)).await;
            } else {
                drop(cache.get(&key, Some(ms(0))).await);
            }
        };
        let sets = async {
            sleep(ms(at)).await;
            if reported {
                source.push("x", written(2, "new"));
            } else {
                drop(cache.set("x".to_owned(), written(2, "new"), &source.id()));
            }
        };
        cx.call(GET, join(asks, sets)).await?;
        cx.settle().await;
        let count = source.count();
        let kept = get(cx, &cache, "x").await?;
        let what = format!(
            "a {} asks at 0 ms and hears at 100 ms that the source has no value, and at {at} ms one is {}",
            if by_pull { "pull" } else { "load" },
            if reported { "reported" } else { "set" }
        );
        ensure!(kept.starts_with("new,") && source.count() == count, "{what}: afterwards the cache has {kept}, after {} more loads", source.count() - count; expected = "the new value, without a load", help = HELP);
    }
    Ok(())
}

pub async fn a_value_has_its_own_ttl(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(2..=100_000);
    for ttl in [50, TTL + 500, drawn] {
        let own = Stamped { ttl: Some(ms(ttl)), ..written(1, "own") };
        let source = Fake::new(&cx, "a", 1).otherwise(value(2, "loaded"));
        let cache = over(&cx, config(Rule::Newest), &[&source]).await?;
        set(&cx, &cache, "x", own, "a").await?;
        sleep(ms(ttl - 1)).await;
        let hit = get(&cx, &cache, "x").await?;
        ensure_eq!(
            hit,
            format!("own, {} ms old", ttl - 1),
            "a value with a ttl of {ttl} ms, in a cache with {TTL} ms"
        );
        sleep(ms(6)).await;
        let miss = get(&cx, &cache, "x").await?;
        ensure_eq!(miss, "loaded, 0 ms old", "a value with a ttl of {ttl} ms, in a cache with {TTL} ms, {} ms after its set", ttl + 5; help = "`Stamped::ttl` goes before the ttl of the cache");
    }
    comes_again_with_another(&cx).await
}

/// An interval that does not end within a test.
const DAYS: Duration = Duration::from_secs(86_400 * 300);

/// How a value comes again that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Set,
    Update,
    Load,
    Pull,
}

/// A value that comes again with an equal stamp has the ttl that it comes with, shorter or longer than before.
async fn comes_again_with_another(cx: &Cx) -> Outcome {
    const HELP: &str = "a value that comes again with an equal stamp has arrived again: its age and its ttl are those of the last arrival";
    let mut draw = cx.draw();
    for rule in [Rule::Newest, Rule::Priority] {
        for way in [Again::Set, Again::Update, Again::Load, Again::Pull] {
            let (short, long) = (draw.between(50..=500), draw.between(3000..=60_000));
            for (first, second) in
                [(Some(long), Some(short)), (Some(short), Some(long)), (Some(short), None)]
            {
                let of = |ttl: Option<u64>| Stamped { ttl: ttl.map(ms), ..written(1, "same") };
                let source = Fake::new(cx, "a", 1).with_updates();
                let cache = made(cx, config(rule.clone())).await?;
                add(cx, &cache, &source, SyncMode::Hybrid { every: DAYS }).await?;
                let key = "x".to_owned();
                set(cx, &cache, &key, of(first), "a").await?;
                sleep(ms(20)).await;
                source.all(Has::Value(of(second)));
                match way {
                    Again::Set => drop(set(cx, &cache, &key, of(second), "a").await?),
                    Again::Update => source.push(&key, of(second)),
                    Again::Load => drop(cx.call(GET, cache.get(&key, Some(ms(0)))).await?),
                    // Updates were lost: it is pulled at once.
                    Again::Pull => source.lose(1),
                }
                cx.settle().await;
                let ttl = second.unwrap_or(TTL);
                source.all(value(2, "loaded"));
                sleep(ms(ttl - 1)).await;
                let what = format!(
                    "{rule:?}: a value with a ttl of {first:?} ms comes again after 20 ms by a {way:?}, with an equal stamp and a ttl of {second:?} ms, in a cache with {TTL} ms"
                );
                let hit = get(cx, &cache, &key).await?;
                ensure_eq!(hit, format!("same, {} ms old", ttl - 1), "{what}: what is read {} ms after that", ttl - 1; help = HELP);
                // The ttl itself is the business of `a_fresh_value_needs_no_load`.
                sleep(ms(6)).await;
                let miss = get(cx, &cache, &key).await?;
                ensure_eq!(miss, "loaded, 0 ms old", "{what}: what is read {} ms after that", ttl + 5; help = HELP);
            }
        }
    }
    Ok(())
}

pub async fn keeps_its_capacity(cx: Cx) -> Outcome {
    const HELP: &str =
        "for one key more, the key goes that was not asked for or set for the longest time";
    let drawn = cx.draw().index(40) + 2;
    for capacity in [1, 2, 10, drawn] {
        let source = Fake::new(&cx, "a", 1).otherwise(value(1, "loaded"));
        source.has("gone", Has::Nothing);
        let mut config = config(Rule::Newest);
        config.capacity = nz(capacity);
        let cache = over(&cx, config, &[&source]).await?;
        for number in 0..10 * capacity {
            let key = number.to_string();
            if number % 2 == 0 {
                set(&cx, &cache, &key, written(1, "set"), "a").await?;
            } else {
                get(&cx, &cache, &key).await?;
            }
            ensure!(cache.len() <= capacity, "a capacity of {capacity}, and `len` is {}", cache.len(); expected = "never more than the capacity");
        }
        source.take_calls();
        for number in 9 * capacity..10 * capacity {
            get(&cx, &cache, &number.to_string()).await?;
        }
        ensure_eq!(source.take_calls(), "none", "a capacity of {capacity}: the loads of the {capacity} keys that were used last"; help = HELP);
        get(&cx, &cache, "gone").await?;
        ensure!(cache.len() <= capacity, "a key that is missing everywhere was asked for, with a capacity of {capacity}: `len` is {}", cache.len(); expected = "what is known to be missing counts too");
    }
    // A hit is a use.
    let source = Fake::new(&cx, "a", 1).otherwise(value(1, "loaded"));
    let mut three = config(Rule::Newest);
    three.capacity = nz(3);
    let cache = over(&cx, three, &[&source]).await?;
    for key in ["x", "y", "z"] {
        get(&cx, &cache, key).await?;
    }
    get(&cx, &cache, "x").await?;
    set(&cx, &cache, "y", written(2, "set"), "a").await?;
    get(&cx, &cache, "new").await?;
    source.take_calls();
    for key in ["x", "y", "new"] {
        get(&cx, &cache, key).await?;
    }
    ensure_eq!(source.take_calls(), "none", "a capacity of 3: x, y, z are loaded, x is asked for, y is set, and a fourth key comes; the loads of x, y and the fourth"; help = HELP);
    ensure!(
        !cache.is_empty() && cache.len() == 3,
        "a capacity of 3 and four keys: `len` is {}",
        cache.len()
    );
    is_used_whatever_it_is(&cx).await
}

/// A call that asks for a key uses it, whether it finds a value, nothing, or sources that fail; others are no uses.
async fn is_used_whatever_it_is(cx: &Cx) -> Outcome {
    const HELP: &str = "a key is used when a caller asks for it or sets it, also if it is known to be missing; what a source delivers by itself is no use";
    let mut draw = cx.draw();
    for round in 0..12 {
        let source = Fake::new(cx, "a", 1).with_updates().otherwise(value(1, "loaded"));
        source.has("missing", Has::Nothing);
        let mut three = config(Rule::Newest);
        (three.capacity, three.ttl, three.missing_ttl) = (nz(3), DAYS, DAYS);
        let cache = made(cx, three).await?;
        add(cx, &cache, &source, SyncMode::Hybrid { every: DAYS }).await?;
        let mut keys = ["missing", "x", "y"];
        if round > 0 {
            draw.shuffle(&mut keys);
        }
        for key in keys {
            get(cx, &cache, key).await?;
        }
        // Two of them are used again, in any order; a source reports the third, or it is pulled.
        let idle = if round < 6 { [2, 0][round % 2] } else { draw.index(3) };
        let mut used: Vec<_> = (0..3).filter(|number| *number != idle).collect();
        draw.shuffle(&mut used);
        let mut script = Vec::new();
        for number in used {
            match draw.index(4) {
                // A load that fails, a set that does not count and one of what is there are uses too.
                1 => {
                    source.has(keys[number], Has::Error("down"));
                    within(cx, &cache, keys[number], Some(ms(0))).await?;
                    source.has(
                        keys[number],
                        if keys[number] == "missing" { Has::Nothing } else { value(1, "loaded") },
                    );
                }
                at @ 2..=3 if keys[number] != "missing" => {
                    let at = if at == 2 { 0 } else { 1 };
                    set(cx, &cache, keys[number], written(at, "loaded"), "a").await?;
                }
                _ => drop(get(cx, &cache, keys[number]).await?),
            }
            script.push(keys[number]);
        }
        if keys[idle] != "missing" {
            source.push(keys[idle], written(2, "reported"));
        }
        source.lose(1);
        cx.settle().await;
        get(cx, &cache, "new").await?;
        source.take_calls();
        for key in &script {
            get(cx, &cache, key).await?;
        }
        get(cx, &cache, "new").await?;
        let calls = source.take_calls();
        ensure_eq!(calls, "none", "a capacity of 3: {} are asked for, then {} are asked for or set, and then a fourth key is asked for; no source has the key `missing`. The loads of {} and the fourth", list(keys), list(&script), list(&script); help = HELP);
    }
    Ok(())
}
