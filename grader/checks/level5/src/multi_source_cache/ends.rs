//! Ends: of sources, callers and the cache; and panics.

use std::sync::Arc;

use futures::future::join;
use grader_kit::{Cx, Outcome, dropped_at, ensure, ensure_eq, ms};
use level5::multi_source_cache::{Pushes, Rule, SyncMode, SyncStatus};
use tokio::time::{sleep, timeout};

use super::fakes::{Fake, Has, value, written};
use super::{GET, TTL, add, config, get, made, over, set, shown, within};

const DAY: u64 = 86_400_000;

pub async fn a_removed_source_is_gone(cx: Cx) -> Outcome {
    let source = Fake::new(&cx, "a", 9).with_updates().otherwise(value(5, "gone"));
    let other = Fake::new(&cx, "b", 1).otherwise(value(1, "stays"));
    let cache = over(&cx, config(Rule::Newest), &[&other]).await?;
    let tasks = cx.alive_tasks();
    add(&cx, &cache, &source, SyncMode::Hybrid { every: ms(300) }).await?;
    get(&cx, &cache, "x").await?;
    let removed =
        cx.call_fn("MultiSourceCache::remove_source", || cache.remove_source(&source.id())).await?;
    ensure!(removed, "a source was removed: `remove_source` returns false"; expected = "true: there was one");
    cx.settle().await;
    ensure!(source.streams_alive() == 0, "a source was removed, and the stream of its updates is still held"; expected = "it is dropped");
    ensure!(cx.alive_tasks() <= tasks, "a source was removed: {} tasks are alive, and before it was added it were {tasks}", cx.alive_tasks(); expected = "what follows it has ended");
    source.take_calls();
    sleep(ms(2 * TTL)).await;
    ensure_eq!(source.take_calls(), "none", "the loads of a source after its removal");
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "stays, 0 ms old", "a source with a newer value was removed: what counts then"; help = "its values go with it");
    ensure_eq!(source.take_calls(), "none", "the loads of a source after its removal"; help = "it is not asked any more");
    let outcome = set(&cx, &cache, "x", written(9, "set"), "a").await?;
    ensure_eq!(outcome, "unknown source a", "a set from a source that was removed");
    ensure_eq!(cache.status(&source.id()), None, "the status of a source that was removed");
    let again =
        cx.call_fn("MultiSourceCache::remove_source", || cache.remove_source(&source.id())).await?;
    ensure!(!again, "a source was removed twice: `remove_source` returns true"; expected = "false: there was none");
    // A load that is on its way when its source is removed.
    let slow = Fake::new(&cx, "slow", 200).takes(100).otherwise(value(9, "late"));
    add(&cx, &cache, &slow, super::RARELY).await?;
    let (key, forced) = ("x".to_owned(), Some(ms(0)));
    let removes = async {
        sleep(ms(50)).await;
        cache.remove_source(&slow.id());
    };
    cx.call(GET, join(cache.get(&key, forced), removes)).await?;
    let answer = get(&cx, &cache, "x").await?;
    ensure!(!answer.starts_with("late"), "a source was removed while a load of it was on its way, and its answer counts afterwards: {answer}"; expected = "it is not kept");
    // It can be added again.
    let back = Fake::new(&cx, "a", 9).otherwise(value(7, "back"));
    add(&cx, &cache, &back, super::RARELY).await?;
    let answer = within(&cx, &cache, "x", forced).await?;
    ensure_eq!(answer, "back, 0 ms old", "a source that was removed is added again");
    is_another_one_afterwards(&cx).await?;
    leaves_a_load(&cx).await
}

/// A source is removed and added again: nothing of the first one is left.
async fn is_another_one_afterwards(cx: &Cx) -> Outcome {
    const HELP: &str = "a source that is added again is another one: with figures, a stream and an interval of its own";
    let every = cx.draw().between(100..=900);
    let source = Fake::new(cx, "a", 1).with_updates().otherwise(value(5, "before"));
    let mut config = config(Rule::Newest);
    config.ttl = ms(DAY);
    let cache = made(cx, config).await?;
    add(cx, &cache, &source, SyncMode::Hybrid { every: ms(every) }).await?;
    get(cx, &cache, "x").await?;
    source.lose(3);
    source.all(Has::Error("down"));
    sleep(ms(every + every / 2)).await;
    cx.call_fn("MultiSourceCache::remove_source", || cache.remove_source(&source.id())).await?;
    // Its values are older than those of the first one.
    source.all(value(2, "after"));
    let began = cx.timeline().now_ms();
    add(cx, &cache, &source, SyncMode::Hybrid { every: ms(every) }).await?;
    let status = cache.status(&source.id());
    let fresh = SyncStatus { pushes: Pushes::Live, lost: 0, failed_pulls: 0 };
    ensure_eq!(status, Some(fresh), "a source has lost updates and failed, is removed and added again: its status"; help = HELP);
    let answer = get(cx, &cache, "x").await?;
    ensure_eq!(answer, "after, 0 ms old", "a source is removed and added again, with an older value: what counts"; help = HELP);
    source.push("x", written(3, "pushed"));
    sleep(ms(1)).await;
    let answer = get(cx, &cache, "x").await?;
    ensure_eq!(answer, "pushed, 1 ms old", "an update of a source that was removed and added again"; help = HELP);
    source.take_calls();
    sleep(ms(2 * every)).await;
    let expected = format!("{} x, {} x", began + every, began + 2 * every);
    ensure_eq!(source.take_calls(), expected, "a source is added again at {began} ms, with a pull every {every} ms: its pulls"; help = HELP);
    Ok(())
}

/// Sources that are removed while another one, or they themselves, are asked.
async fn leaves_a_load(cx: &Cx) -> Outcome {
    let first = Fake::new(cx, "first", 9).takes(100);
    let second = Fake::new(cx, "second", 5).otherwise(value(9, "second"));
    let third = Fake::new(cx, "third", 1).otherwise(value(1, "third"));
    let cache = over(cx, config(Rule::Newest), &[&first, &second, &third]).await?;
    let key = "x".to_owned();
    let removes = async {
        sleep(ms(50)).await;
        cache.remove_source(&second.id());
    };
    let (answer, ()) = cx.call(GET, join(cache.get(&key, None), removes)).await?.value;
    ensure!(second.calls() == "none", "the second of three sources was removed while the first one was asked, and then it was asked itself: {}", second.calls();
        expected = "it is not asked any more, and the third one is", help = "look up the next source when the one before has answered: a list from the beginning of the load is out of date");
    ensure_eq!(
        shown(answer),
        "third, 0 ms old",
        "the first source has nothing, the second one was removed meanwhile, and the third one has the value"
    );
    // Another source takes its id before the removed one has answered.
    let before = Fake::new(cx, "same", 9).takes(100).otherwise(value(9, "before"));
    let after = Fake::new(cx, "same", 9).otherwise(value(1, "after"));
    let cache = over(cx, config(Rule::Newest), &[&before]).await?;
    let replaces = async {
        sleep(ms(50)).await;
        cache.remove_source(&before.id()) && cache.add_source(after.clone(), super::RARELY).is_ok()
    };
    let (_, replaced) = cx.call(GET, join(cache.get(&key, None), replaces)).await?.value;
    ensure!(
        replaced,
        "a source is removed while it is asked, and another one with its id cannot be added"
    );
    let answer = get(cx, &cache, "x").await?;
    ensure!(answer.starts_with("after,"), "a source was removed while it was asked, and another one with its id was added before it had answered: {answer} is known afterwards";
        expected = "the value of the new source", help = "the id alone does not tell whether the answer is from the source that is registered now: number the registrations");
    Ok(())
}

pub async fn dropping_ends_all(cx: Cx) -> Outcome {
    const HELP: &str =
        "the cache owns its tasks: end them when it is dropped; they must not keep the cache alive";
    let tasks = cx.alive_tasks();
    let value_alive = Arc::new(());
    let merge_alive = Arc::clone(&value_alive);
    let rule = Rule::Merge(Arc::new(move |parts: &[(_, String)]| {
        let _alive = &merge_alive;
        parts.iter().map(|(_, value)| value.as_str()).collect()
    }));
    let mut config = config(rule);
    config.ttl = ms(DAY);
    let pushes = Fake::new(&cx, "a", 9).with_updates().otherwise(value(1, "one"));
    let pulls = Fake::new(&cx, "b", 1).otherwise(value(1, "one"));
    let both = Fake::new(&cx, "c", 0).with_updates().otherwise(value(1, "one"));
    let cache = made(&cx, config).await?;
    add(&cx, &cache, &pushes, SyncMode::Push).await?;
    add(&cx, &cache, &pulls, SyncMode::Pull { every: ms(300) }).await?;
    add(&cx, &cache, &both, SyncMode::Hybrid { every: ms(300) }).await?;
    get(&cx, &cache, "x").await?;
    // In the middle of a pull.
    let pulls = pulls.takes(200);
    sleep(ms(350)).await;
    ensure!(
        pulls.running().0 == 1,
        "50 ms after a pull of one key began, {} loads run; each takes 200 ms",
        pulls.running().0
    );
    cx.call_fn("dropping the cache", || drop(cache)).await?;
    cx.settle().await;
    ensure_eq!(pulls.running().0, 0, "the cache was dropped in the middle of a pull: the loads that run"; help = HELP);
    ensure_eq!((pushes.streams_alive(), both.streams_alive()), (0, 0), "the cache was dropped: the streams of updates that are held"; help = HELP);
    ensure!(cx.alive_tasks() <= tasks, "the cache was dropped: {} tasks are alive, and before it was made it were {tasks}", cx.alive_tasks(); help = HELP);
    ensure!(Arc::strong_count(&value_alive) == 1, "the cache was dropped, and its configuration is still held"; help = HELP);
    for source in [&pushes, &pulls, &both] {
        source.take_calls();
    }
    cx.pass(ms(DAY)).await;
    for source in [&pushes, &pulls, &both] {
        ensure_eq!(source.take_calls(), "none", "the loads of a day after the cache was dropped"; help = HELP);
    }
    Ok(())
}

pub async fn a_panic_is_a_failure(cx: Cx) -> Outcome {
    const HELP: &str = "`catch_unwind` around each load: a panic is a failure of its source";
    let broken = Fake::new(&cx, "broken", 9).with_updates().otherwise(Has::Panics);
    let works = Fake::new(&cx, "works", 1).otherwise(value(1, "one"));
    let cache = over(&cx, config(Rule::Newest), &[&works]).await?;
    add(&cx, &cache, &broken, SyncMode::Hybrid { every: ms(300) }).await?;
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "one, 0 ms old", "the first source panics, and the second one has the value"; help = HELP);
    sleep(ms(350)).await;
    broken.all(value(2, "repaired"));
    sleep(ms(300)).await;
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "repaired, 50 ms old", "the pull after one in which the source panicked"; help = HELP);
    broken.push("x", written(3, "pushed"));
    sleep(ms(1)).await;
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "pushed, 1 ms old", "an update after a pull in which the source panicked"; help = HELP);
    broken.all(Has::Panics);
    works.all(Has::Nothing);
    let answer = get(&cx, &cache, "y").await?;
    ensure_eq!(answer, "failed: broken: panicked", "one source panics, and the other one has nothing"; help = HELP);
    Ok(())
}

pub async fn a_load_lives_as_long_as_its_callers(cx: Cx) -> Outcome {
    let source = Fake::new(&cx, "a", 1).takes(100).otherwise(value(1, "one"));
    let cache = over(&cx, config(Rule::Newest), &[&source]).await?;
    let key = "x".to_owned();
    dropped_at(&cx, GET, 50, cache.get(&key, None)).await?;
    cx.settle().await;
    ensure_eq!(source.running(), (0, 1, 1), "the only caller was dropped at 50 ms of 100: the loads that run, the most at once, and those that were dropped";
        help = "the load runs inside of its callers, and not in a task");
    let leaves = timeout(ms(50), cache.get(&key, None));
    let stays = timeout(ms(10_000), cache.get(&key, None));
    let (left, stayed) = cx.call(GET, join(leaves, stays)).await?.value;
    ensure!(left.is_err(), "a load of 100 ms was over at 50 ms");
    let stayed = stayed.map_or_else(|_| "no answer".to_owned(), shown);
    ensure_eq!((stayed.as_str(), source.count()), ("one, 0 ms old", 2), "the first of two callers was dropped: what the other one gets, and the loads in all";
        help = "the load is shared by its callers and goes on for the last one");
    let made = cache.get(&key, Some(ms(0)));
    drop(made);
    ensure!(source.count() == 2, "a future of `get` was made and not polled, and it has asked a source"; expected = "it has done nothing");
    Ok(())
}

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    let pushes = Fake::new(&cx, "a", 9).with_updates().otherwise(value(1, "one"));
    let pulls = Fake::new(&cx, "b", 1).otherwise(value(1, "one"));
    let both = Fake::new(&cx, "c", 0).with_updates().otherwise(value(1, "one"));
    let mut config = config(Rule::Newest);
    config.ttl = ms(100 * DAY);
    let cache = made(&cx, config).await?;
    add(&cx, &cache, &pushes, SyncMode::Push).await?;
    add(&cx, &cache, &pulls, SyncMode::Pull { every: ms(DAY) }).await?;
    add(&cx, &cache, &both, SyncMode::Hybrid { every: ms(DAY) }).await?;
    for key in ["x", "y", "z"] {
        get(&cx, &cache, key).await?;
    }
    both.end();
    // A loop that looks every 10 ms would need minutes of CPU time for it.
    cx.pass(ms(28 * DAY)).await;
    let loads = pulls.count();
    ensure!((81..=84).contains(&loads), "a pull a day of three keys: {loads} loads in four weeks"; expected = "84");
    Ok(())
}
