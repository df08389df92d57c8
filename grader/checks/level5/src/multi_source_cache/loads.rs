//! When the sources are asked, and in which order.

use futures::future::{join, join_all};
use grader_kit::{Cx, Outcome, ensure, ensure_eq, list, ms};
use level5::conflict::SourceId;
use level5::multi_source_cache::{Rule, Stamped, SyncMode};
use tokio::time::sleep;

use super::fakes::{Fake, Has, value, written};
use super::{GET, LIMIT, MISSING, RARELY, TTL, add, config, get, over, set, shown, within};

pub async fn one_load_for_all_callers(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for count in [2, 10, draw.index(30) + 3] {
        let source = Fake::new(&cx, "a", 1).takes(50);
        source.has("x", value(1, "one"));
        source.has("y", value(1, "two"));
        let cache = over(&cx, config(Rule::Newest), &[&source]).await?;
        let times: Vec<_> =
            (0..count).map(|number| if number == 0 { 0 } else { draw.between(0..=49) }).collect();
        let began = cx.timeline().now_ms();
        let ask = |key: &'static str, at: u64| {
            let (cache, cx) = (&cache, &cx);
            async move {
                sleep(ms(at)).await;
                let answer = shown(cache.get(&key.to_owned(), None).await);
                format!("{answer} at {}", cx.timeline().now_ms() - began)
            }
        };
        let calls = times.iter().map(|at| ask("x", *at));
        let answers = cx.call(GET, join_all(calls)).await?.value;
        ensure!(source.count() == 1, "{count} callers ask for a missing key at {} ms: {} loads", list(&times), source.count();
            expected = "one, for all who ask while it runs", help = "`SingleFlight` of level 4, with the key");
        for answer in answers {
            ensure_eq!(
                answer,
                "one, 0 ms old at 50",
                "{count} callers share a load of 50 ms: what each gets"
            );
        }
        let other = get(&cx, &cache, "y").await?;
        ensure_eq!(other, "two, 0 ms old", "another key"; help = "each key has its own value and its own load");
        // Stale: one load again.
        sleep(ms(TTL + 5)).await;
        source.has("x", value(2, "new"));
        let calls = [0, 0, 49].map(|at| ask("x", at));
        let before = source.count();
        cx.call(GET, join_all(calls)).await?;
        ensure!(source.count() - before == 1, "three callers ask for a stale key: {} loads", source.count() - before; expected = "one");
    }
    Ok(())
}

pub async fn a_fresh_value_needs_no_load(cx: Cx) -> Outcome {
    let ttl = cx.draw().between(2..=100_000);
    for (ttl, rule) in [
        (TTL, Rule::Newest),
        (1, Rule::Newest),
        (ttl, Rule::Newest),
        (TTL, Rule::Priority),
        (ttl, Rule::Priority),
    ] {
        let source = Fake::new(&cx, "a", 1).otherwise(value(1, "one"));
        let mut config = config(rule);
        config.ttl = ms(ttl);
        let cache = over(&cx, config, &[&source]).await?;
        get(&cx, &cache, "x").await?;
        sleep(ms(ttl - 1)).await;
        source.all(value(2, "two"));
        let hit = get(&cx, &cache, "x").await?;
        ensure_eq!(hit, format!("one, {} ms old", ttl - 1), "a ttl of {ttl} ms, {} ms after the load", ttl - 1;
            help = "a value is fresh while its age is less than its ttl");
        sleep(ms(1)).await;
        let miss = get(&cx, &cache, "x").await?;
        ensure_eq!(miss, "two, 0 ms old", "a ttl of {ttl} ms, {ttl} ms after the load"; help = "at the ttl itself a value is stale, and a hit does not make it younger");
    }
    // The age counts from the arrival, and a load that finds the same value confirms it.
    let slow = Fake::new(&cx, "a", 1).takes(300).otherwise(value(1, "one"));
    let cache = over(&cx, config(Rule::Newest), &[&slow]).await?;
    for round in 1..=2 {
        let loaded = get(&cx, &cache, "x").await?;
        ensure_eq!(loaded, "one, 0 ms old", "load number {round}, of 300 ms"; help = "the age counts from the arrival of the answer; an equal answer confirms the value");
        sleep(ms(TTL - 1)).await;
        let hit = get(&cx, &cache, "x").await?;
        ensure_eq!(hit, format!("one, {} ms old", TTL - 1), "{} ms after load number {round}, with a ttl of {TTL} ms", TTL - 1;
            help = "the age counts from the arrival of the answer; an equal answer confirms the value");
        sleep(ms(1)).await;
    }
    Ok(())
}

pub async fn callers_set_their_own_limit(cx: Cx) -> Outcome {
    const HELP: &str =
        "without a load only if the age is less than the ttl and less than `max_age`";
    let source = Fake::new(&cx, "a", 1).otherwise(value(1, "one"));
    let cache = over(&cx, config(Rule::Newest), &[&source]).await?;
    let limit = cx.draw().between(2..=TTL - 1);
    for limit in [100, 1, limit] {
        within(&cx, &cache, "x", Some(ms(0))).await?;
        let loads = source.count();
        sleep(ms(limit - 1)).await;
        within(&cx, &cache, "x", Some(ms(limit))).await?;
        ensure!(source.count() == loads, "a value is {} ms old, and a caller accepts less than {limit} ms: a load", limit - 1; expected = "no load", help = HELP);
        sleep(ms(1)).await;
        within(&cx, &cache, "x", Some(ms(limit))).await?;
        ensure!(source.count() == loads + 1, "a value is {limit} ms old, and a caller accepts less than {limit} ms: {} loads", source.count() - loads; expected = "one load", help = HELP);
    }
    for _ in 0..3 {
        let loads = source.count();
        within(&cx, &cache, "x", Some(ms(0))).await?;
        ensure!(source.count() == loads + 1, "`Some(0)`: {} loads", source.count() - loads; expected = "one, each time", help = HELP);
    }
    let loads = source.count();
    sleep(ms(TTL + 5)).await;
    within(&cx, &cache, "x", Some(ms(10 * TTL))).await?;
    ensure!(source.count() == loads + 1, "a value is {} ms old, its ttl is {TTL} ms, and a caller accepts {} ms: {} loads", TTL + 5, 10 * TTL, source.count() - loads;
        expected = "one: a long `max_age` does not prolong the ttl", help = HELP);
    Ok(())
}

pub async fn asks_by_priority(cx: Cx) -> Outcome {
    const HELP: &str =
        "ask the highest priority first, and the next one only if it fails or has nothing";
    let mut draw = cx.draw();
    let names = ["a", "b", "c", "d"];
    for _ in 0..20 {
        let mut priorities = [0, 7, 100, 255];
        draw.shuffle(&mut priorities);
        let mut sources: Vec<_> = names
            .iter()
            .zip(priorities)
            .map(|(name, priority)| (priority, Fake::new(&cx, name, priority).takes(10)))
            .collect();
        let refs: Vec<_> = sources.iter().map(|(_, source)| source).collect();
        let cache = over(&cx, config(Rule::Newest), &refs).await?;
        sources.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        // The first so many have no value, each in a way of its own; all others have one.
        let without = draw.index(sources.len());
        for (number, (_, source)) in sources.iter().enumerate() {
            source.all(match number {
                number if number >= without => value(1, names[number]),
                _ if draw.chance(50) => Has::Nothing,
                _ => Has::Error("down"),
            });
        }
        let began = cx.timeline().now_ms();
        let answer = get(&cx, &cache, "x").await?;
        ensure_eq!(answer, format!("{}, 0 ms old", names[without]), "four sources, of which the first {without} by priority have no answer"; help = HELP);
        for (number, (priority, source)) in sources.iter().enumerate() {
            let expected = if number <= without {
                format!("{} x", began + 10 * number as u64)
            } else {
                "none".to_owned()
            };
            ensure_eq!(source.calls(), expected, "the loads of the source with priority {priority}, the {}. of four, when {without} before have no answer; each takes 10 ms", number + 1; help = HELP);
        }
    }
    Ok(())
}

pub async fn a_hanging_source_is_passed_over(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(2..=100_000);
    for limit in [LIMIT, 1, 100_000, drawn] {
        let hangs = Fake::new(&cx, "hangs", 9).otherwise(Has::Hangs);
        let works = Fake::new(&cx, "works", 1).otherwise(value(1, "one"));
        let mut config = config(Rule::Newest);
        config.load_timeout = ms(limit);
        let cache = over(&cx, config, &[&hangs, &works]).await?;
        let began = cx.timeline().now_ms();
        let answer = get(&cx, &cache, "x").await?;
        ensure_eq!((answer.as_str(), cx.timeline().now_ms() - began), ("one, 0 ms old", limit), "a source hangs, with a `load_timeout` of {limit} ms, and another one has the value: the answer, and when it comes";
            help = "`tokio::time::timeout` around each load");
        let (running, _, dropped) = hangs.running();
        ensure_eq!((running, dropped), (0, 1), "a load was given up after {limit} ms: how many run, and how many were dropped"; help = "drop the load that took too long");
    }
    Ok(())
}

pub async fn a_stale_value_is_marked(cx: Cx) -> Outcome {
    const HELP: &str = "if no source has an answer, an older value is better than none; `stale` says why it is old";
    let first = Fake::new(&cx, "first", 9).otherwise(value(1, "one"));
    let second = Fake::new(&cx, "second", 1);
    let cache = over(&cx, config(Rule::Newest), &[&second, &first]).await?;
    get(&cx, &cache, "x").await?;
    sleep(ms(TTL + 5)).await;
    first.all(Has::Error("down"));
    second.all(Has::Error("broken"));
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, format!("one, {} ms old, stale (first: down; second: broken)", TTL + 5), "all sources fail, and a value is {} ms old, with a ttl of {TTL} ms", TTL + 5; help = HELP);
    second.all(Has::Hangs);
    let answer = get(&cx, &cache, "x").await?;
    let age = TTL + 5 + LIMIT;
    ensure_eq!(answer, format!("one, {age} ms old, stale (first: down; second: timed out after {LIMIT} ms)"), "one source fails and the other one hangs"; help = HELP);
    // Each caller asks again until a source answers.
    first.all(value(2, "two"));
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "two, 0 ms old", "the first source works again"; help = "a failure is not kept");
    // A caller who accepts nothing older, and a value that is within its ttl.
    sleep(ms(30)).await;
    first.all(Has::Error("down"));
    second.all(Has::Nothing);
    let answer = within(&cx, &cache, "x", Some(ms(0))).await?;
    ensure_eq!(answer, "two, 30 ms old, stale (first: down)", "`Some(0)`, and the source fails"; help = HELP);
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "two, 30 ms old", "a value within its ttl, after a load that failed"; help = "it is fresh: no load, and no mark");
    a_value_that_has_just_come_is_not_stale(&cx).await
}

/// A value is set while the sources are asked, and then they fail.
async fn a_value_that_has_just_come_is_not_stale(cx: &Cx) -> Outcome {
    const HELP: &str =
        "a value that has arrived since the call is no older one: mark only what was there before";
    for (limit, older) in [(None, false), (Some(ms(0)), false), (Some(ms(0)), true)] {
        for (ttl, stale) in [(None, ""), (Some(ms(20)), ", stale (a: down)")] {
            let source = Fake::new(cx, "a", 1).takes(100);
            source.all(value(1, "one"));
            let cache = over(cx, config(Rule::Newest), &[&source]).await?;
            if older {
                get(cx, &cache, "x").await?;
                sleep(ms(10)).await;
            }
            source.all(Has::Error("down"));
            let (key, from) = ("x".to_owned(), SourceId::new("a"));
            let sets = async {
                sleep(ms(40)).await;
                cache.set(key.clone(), Stamped { ttl, ..written(5, "set") }, &from)
            };
            let (answer, _) = cx.call(GET, join(cache.get(&key, limit), sets)).await?.value;
            let before = if older { "a value is there; " } else { "" };
            ensure_eq!(shown(answer), format!("set, 60 ms old{stale}"), "{before}a call with {limit:?}, 40 ms later a value with a ttl of {} ms is set, and 60 ms after that the source fails: what the call returns", ttl.map_or(TTL, |ttl| ttl.as_millis() as u64); help = HELP);
        }
    }
    Ok(())
}

pub async fn all_failing_is_an_error(cx: Cx) -> Outcome {
    let first = Fake::new(&cx, "first", 9).otherwise(Has::Error("down"));
    let second = Fake::new(&cx, "second", 5).otherwise(Has::Hangs);
    let third = Fake::new(&cx, "third", 1).otherwise(Has::Error("broken"));
    let cache = over(&cx, config(Rule::Newest), &[&third, &first, &second]).await?;
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, format!("failed: first: down; second: timed out after {LIMIT} ms; third: broken"), "three sources fail, and there is no value";
        help = "an error with each source and its failure, in the order in which they were asked");
    third.all(Has::Nothing);
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, format!("failed: first: down; second: timed out after {LIMIT} ms"), "two sources fail, and one has no value";
        help = "it is not known that the value is missing: one of those that failed may have it");
    third.all(value(1, "one"));
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "one, 0 ms old", "the third source has a value now"; help = "an error is not kept");
    Ok(())
}

pub async fn remembers_what_is_missing(cx: Cx) -> Outcome {
    const HELP: &str =
        "that every source has nothing is remembered while its age is less than `missing_ttl`";
    let drawn = cx.draw().between(2..=TTL);
    for missing in [MISSING, 1, drawn] {
        let sources = [Fake::new(&cx, "a", 9), Fake::new(&cx, "b", 1)];
        let mut config = config(Rule::Newest);
        config.missing_ttl = ms(missing);
        let cache = over(&cx, config, &[&sources[0], &sources[1]]).await?;
        for round in 1..=2 {
            let answer = get(&cx, &cache, "x").await?;
            ensure_eq!(answer, "nothing", "no source has the value");
            for source in &sources {
                ensure!(source.count() == round, "no source has the value, and {} was asked {} times in {round} rounds", source.id(), source.count(); expected = "each source once in a round", help = HELP);
            }
            sleep(ms(missing - 1)).await;
            let answer = get(&cx, &cache, "x").await?;
            ensure!(answer == "nothing" && sources[0].count() == round, "a `missing_ttl` of {missing} ms, and {} ms after all sources had nothing they are asked again", missing - 1; expected = "no load", help = HELP);
            sleep(ms(1)).await;
        }
        sources[1].all(value(1, "one"));
        let answer = get(&cx, &cache, "x").await?;
        ensure_eq!(answer, "one, 0 ms old", "a `missing_ttl` of {missing} ms is over, and a source has the value"; help = HELP);
    }
    let source = Fake::new(&cx, "a", 1);
    let mut none = config(Rule::Newest);
    none.missing_ttl = ms(0);
    let cache = over(&cx, none, &[&source]).await?;
    for round in 1..=3 {
        get(&cx, &cache, "x").await?;
        ensure!(source.count() == round, "a `missing_ttl` of zero: {} loads for {round} calls", source.count(); expected = "one for each call");
    }
    // A value ends it, and so does `Some(0)`.
    let cache = over(&cx, config(Rule::Newest), &[&source]).await?;
    get(&cx, &cache, "x").await?;
    let loads = source.count();
    within(&cx, &cache, "x", Some(ms(0))).await?;
    ensure!(source.count() == loads + 1, "`Some(0)` of a key that is known to be missing: {} loads", source.count() - loads; expected = "one");
    let outcome = set(&cx, &cache, "x", written(1, "set"), "a").await?;
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(
        (outcome.as_str(), answer.as_str()),
        ("stored", "set, 0 ms old"),
        "a key was missing, and a value is set"
    );
    is_missing_only_if_all_say_so(&cx).await
}

/// That one source has no value, or not any more, says nothing about the others.
async fn is_missing_only_if_all_say_so(cx: &Cx) -> Outcome {
    const HELP: &str = "a key is missing when every source has answered that it has no value: not because a load of it has ended, and not because one source has withdrawn its value";
    // A load asks the first source alone; later a pull finds that it has no value any more.
    for rule in [Rule::Newest, Rule::Priority] {
        let first = Fake::new(cx, "first", 9).otherwise(value(2, "first"));
        let second = Fake::new(cx, "second", 1).otherwise(value(1, "second"));
        let mut long = config(rule.clone());
        long.missing_ttl = ms(100 * TTL);
        let cache = over(cx, long, &[&second]).await?;
        add(cx, &cache, &first, SyncMode::Pull { every: ms(300) }).await?;
        let answer = get(cx, &cache, "x").await?;
        ensure_eq!(answer, "first, 0 ms old", "{rule:?}: two sources have the value");
        first.all(Has::Nothing);
        sleep(ms(350)).await;
        // Whether the value of the first one is withdrawn is the question of another criterion.
        let answer = get(cx, &cache, "x").await?;
        ensure!(answer != "nothing", "{rule:?}: a load has asked the first source alone, and a pull finds that it has no value any more; the second one has one, and was not asked yet: {answer}"; expected = "the value of the second source", help = HELP);
    }
    // A source that is added, or removed, while another one is asked.
    for priority in [1, 200] {
        let slow = Fake::new(cx, "slow", 9).takes(100);
        let added = Fake::new(cx, "added", priority).otherwise(value(1, "added"));
        let cache = over(cx, config(Rule::Newest), &[&slow]).await?;
        let key = "x".to_owned();
        let adds = async {
            sleep(ms(50)).await;
            cache.add_source(added.clone(), RARELY).is_ok()
        };
        cx.call(GET, join(cache.get(&key, None), adds)).await?;
        let answer = get(cx, &cache, "x").await?;
        ensure!(answer.starts_with("added,"), "a source of priority {priority} was added while the only other one, of priority 9, was asked for a key that it does not have: {answer} for the next caller"; expected = "the value of the new source", help = HELP);
    }
    let leaves = Fake::new(cx, "leaves", 9).takes(100).otherwise(value(9, "leaves"));
    let stays = Fake::new(cx, "stays", 1).otherwise(value(1, "stays"));
    let cache = over(cx, config(Rule::Newest), &[&leaves, &stays]).await?;
    let key = "x".to_owned();
    let removes = async {
        sleep(ms(50)).await;
        cache.remove_source(&leaves.id());
    };
    let (answer, ()) = cx.call(GET, join(cache.get(&key, None), removes)).await?.value;
    let (answer, next) = (shown(answer), get(cx, &cache, "x").await?);
    ensure!(answer != "nothing" && next != "nothing", "the first source was removed while it was asked, and the second one has the value: the caller gets {answer}, and the next one {next}"; expected = "the value of the second source", help = HELP);
    Ok(())
}
