//! What fetches do.

use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use futures::future::{join, join_all};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level4::ttl_cache::{Config, TtlCache};
use tokio::time::{sleep, timeout};

use super::{Cache, FETCH, TTL, cache, fetch, get};
use crate::fetches::{Ends, Fetches};
use crate::ops::{End, NEWEST_WAKER, nz};
use crate::panics::Payload;

/// A call of `get_or_fetch` at a time, with a fetch of 50 ms.
async fn call(cache: &Cache, record: &Fetches, key: &str, at: u64, ends: Ends) -> (u64, String) {
    sleep(ms(at)).await;
    fetch(cache, record, key, 50, ends).await
}

fn came(at: u64, run: usize, age: u64) -> (u64, String) {
    (at, format!("run {run}, {age} ms old, fresh"))
}

pub async fn one_fetch_for_all_callers(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for count in [2, 10, draw.index(30) + 3] {
        let cache = cache(&cx, 10, TTL, 0).await?;
        let record = Fetches::new();
        let times: Vec<_> =
            (0..count).map(|number| if number == 0 { 0 } else { draw.between(0..=49) }).collect();
        // By two handles in turn.
        let other = cache.clone();
        let calls = times.iter().enumerate().map(|(number, at)| {
            let cache = if number % 2 == 0 { &cache } else { &other };
            call(cache, &record, "a", *at, Ends::Value)
        });
        let answers = cx.call(FETCH, join_all(calls)).await?.value;
        ensure!(record.count() == 1, "{count} callers of a missing key at the same time: {} fetches", record.count();
            expected = "one, for all who ask while it runs", help = "share the fetch: `SingleFlight`");
        for answer in answers {
            ensure_eq!(answer, came(50, 1, 0), "{count} callers shared a fetch of 50 ms");
        }
    }
    Ok(())
}

pub async fn keys_are_apart(cx: Cx) -> Outcome {
    let word = cx.draw().word();
    let longer = format!("{word}s");
    let keys = ["", "a", "A", &word, &longer];
    let cache = cache(&cx, 10, TTL, 0).await?;
    let record = Fetches::new();
    let calls = keys.iter().chain(&keys).map(|key| call(&cache, &record, key, 0, Ends::Value));
    let answers = cx.call(FETCH, join_all(calls)).await?.value;
    for (number, answer) in answers.into_iter().enumerate() {
        let key = number % keys.len();
        ensure_eq!(answer, came(50, key + 1, 0), "a caller of the key {:?}", keys[key];
            help = "each key has its own value and its own fetch");
    }
    for (number, key) in keys.iter().enumerate() {
        ensure_eq!(
            get(&cache, key),
            format!("run {}, 0 ms old, fresh", number + 1),
            "`get` of the key {key:?}"
        );
    }
    Ok(())
}

pub async fn errors_are_not_kept(cx: Cx) -> Outcome {
    let cache = cache(&cx, 10, TTL, 500).await?;
    let record = Fetches::new();
    let calls = [0, 10, 49].map(|at| call(&cache, &record, "a", at, Ends::Error));
    for answer in cx.call(FETCH, join_all(calls)).await?.value {
        ensure_eq!(
            answer,
            (50, "the error of run 1".to_owned()),
            "three callers share a fetch that fails"
        );
    }
    ensure_eq!(get(&cache, "a"), "nothing", "`get` after a fetch that failed"; help = "an error is not kept");
    let next = cx.call(FETCH, call(&cache, &record, "a", 0, Ends::Value)).await?.value;
    ensure_eq!(next, came(100, 2, 0), "who asks after a fetch that failed"; help = "an error is not kept");
    // A stale value outlives a failed fetch.
    sleep(ms(TTL + 10)).await;
    let failed = cx.call(FETCH, call(&cache, &record, "a", 0, Ends::Error)).await?.value;
    ensure_eq!(
        failed,
        (260, "the error of run 3".to_owned()),
        "a fetch fails while a stale value is there"
    );
    ensure_eq!(get(&cache, "a"), "run 2, 160 ms old, stale", "`get` after a fetch that failed, with a stale value";
        help = "a failed fetch leaves what is there");
    Ok(())
}

pub async fn a_fetch_lives_as_long_as_its_callers(cx: Cx) -> Outcome {
    const HELP: &str = "the fetch is shared by its callers: it goes on for the last one, which may not be the first one";
    let first = cache(&cx, 10, TTL, 0).await?;
    let record = Fetches::new();
    let leaves = timeout(ms(20), call(&first, &record, "a", 0, Ends::Value));
    let stays = timeout(ms(10_000), call(&first, &record, "a", 10, Ends::Value));
    let (left, stayed) = cx.call(FETCH, join(leaves, stays)).await?.value;
    ensure!(left.is_err(), "a fetch of 50 ms was over at 20 ms");
    ensure!(record.count() == 1, "the first caller was dropped: {} fetches", record.count(); expected = "one", help = HELP);
    ensure_eq!(stayed.unwrap_or_default(), came(50, 1, 0), "the first caller of a fetch was dropped; what the second one gets"; help = HELP);
    ensure_eq!(get(&first, "a"), "run 1, 0 ms old, fresh", "the first caller of a fetch was dropped; what is kept";
        help = "the value is kept by the fetch, not by the caller who began it");

    let second = cache(&cx, 10, TTL, 0).await?;
    let record = Fetches::new();
    let leave = [0, 5].map(|at| timeout(ms(20), call(&second, &record, "a", at, Ends::Value)));
    cx.call(FETCH, join_all(leave)).await?;
    let ended = record.seen().first().and_then(|run| run.ended);
    ensure!(matches!(ended, Some((20, End::Dropped))), "all callers of a fetch were dropped at 20 ms, and it goes on";
        expected = "it is dropped with the last of them");
    let next = timeout(ms(10_000), call(&second, &record, "a", 0, Ends::Value));
    let next = cx.call(FETCH, next).await?.value.unwrap_or_default();
    ensure_eq!(next, came(70, 2, 0), "who asks after all callers of a fetch were dropped");

    // A caller that one task has polled and another one awaits, alone and with another caller.
    for alone in [true, false] {
        let third = cache(&cx, 10, TTL, 0).await?;
        let record = Fetches::new();
        let mut moved = Box::pin(fetch(&third, &record, "a", 50, Ends::Value));
        ensure!(
            moved.as_mut().now_or_never().is_none(),
            "a fetch of 50 ms is over at its first poll"
        );
        // The other one first, and in a task of its own: it drives the fetch.
        let callers: FuturesUnordered<_> = (!alone)
            .then(|| fetch(&third, &record, "a", 50, Ends::Value).boxed_local())
            .into_iter()
            .chain([moved.boxed_local()])
            .collect();
        let answers = timeout(ms(10_000), callers.collect::<Vec<_>>());
        let answers = cx.call(FETCH, answers).await?.value.unwrap_or_default();
        let fine = answers.iter().all(|answer| *answer == came(50, 1, 0));
        ensure!(fine && answers.len() == 1 + usize::from(!alone), "a caller of a fetch of 50 ms was polled by one task and is awaited by another one: it is not woken";
            expected = "all callers have the value at 50 ms", observed = format!("{answers:?}"),
            help = NEWEST_WAKER);
    }
    Ok(())
}

pub async fn an_obsolete_fetch_is_not_kept(cx: Cx) -> Outcome {
    const HELP: &str = "the fetch began before the change, so what it brings may be from before it: look whether it \
                        is still wanted when it ends, under the lock under which `put` and `invalidate` change that";
    let a = || "a".to_owned();
    for put in [false, true] {
        let what = if put { "put" } else { "invalidated" };
        let cache = cache(&cx, 10, TTL, 0).await?;
        let (record, other) = (Fetches::new(), cache.clone());
        let changes = async {
            sleep(ms(20)).await;
            // By another handle of the cache.
            if put {
                other.put(a(), "put".to_owned());
            } else {
                other.invalidate(&a());
            }
        };
        let waits = [0, 10].map(|at| call(&cache, &record, "a", at, Ends::Value));
        let (answers, ()) = cx.call(FETCH, join(join_all(waits), changes)).await?.value;
        for answer in answers {
            ensure_eq!(
                answer,
                came(50, 1, 0),
                "a key is {what} at 20 ms, while its fetch is on its way: what those who wait get"
            );
        }
        let expected = if put { "put, 30 ms old, fresh" } else { "nothing" };
        ensure_eq!(get(&cache, "a"), expected, "a key was {what} while its fetch was on its way: what is kept"; help = HELP);
    }
    // Who asks after it does not join, and the old end does not touch the newer fetch.
    let late = cache(&cx, 10, TTL, 0).await?;
    let record = Fetches::new();
    let changes = async {
        sleep(ms(20)).await;
        late.invalidate(&a());
    };
    let calls = [0, 30, 60].map(|at| call(&late, &record, "a", at, Ends::Value));
    let (answers, ()) = cx.call(FETCH, join(join_all(calls), changes)).await?.value;
    let expected = [came(50, 1, 0), came(80, 2, 0), came(80, 2, 0)];
    ensure_eq!(answers.as_slice(), expected.as_slice(), "callers at 0, 30 and 60 ms, and the key is invalidated at 20 ms"; help = HELP);
    ensure_eq!(get(&late, "a"), "run 2, 0 ms old, fresh", "a key was invalidated at 20 ms and fetched again from 30 ms on: what is kept"; help = HELP);
    obsolete_for_later_callers(&cx).await?;
    // Another key's fetch is still wanted.
    let other = cache(&cx, 10, TTL, 0).await?;
    let changes = async {
        sleep(ms(20)).await;
        other.invalidate(&"b".to_owned());
    };
    let record = Fetches::new();
    cx.call(FETCH, join(call(&other, &record, "a", 0, Ends::Value), changes)).await?;
    ensure_eq!(
        get(&other, "a"),
        "run 1, 0 ms old, fresh",
        "another key was invalidated while this one was fetched"
    );
    Ok(())
}

/// After a change of its key, no later caller joins a fetch, whatever has become of the value that was put.
async fn obsolete_for_later_callers(cx: &Cx) -> Outcome {
    const HELP: &str = "`put` and `invalidate` end the sharing of a fetch that is on its way: a later caller begins another one";
    let a = || "a".to_owned();
    for (what, stale_for) in [
        ("put at 20 ms, and the value is stale at 120 ms", 50),
        ("put at 20 ms, and the value is gone at 120 ms", 0),
        ("put at 20 ms and invalidated at 110 ms", 0),
        ("invalidated at 20 and put at 30 ms", 0),
    ] {
        let cache = cache(cx, 10, TTL, stale_for).await?;
        let record = Fetches::new();
        let changes = async {
            sleep(ms(20)).await;
            if what.starts_with("put") {
                cache.put(a(), "put".to_owned());
            } else {
                cache.invalidate(&a());
                sleep(ms(10)).await;
                cache.put(a(), "put".to_owned());
            }
            if what.ends_with("110 ms") {
                sleep(ms(90)).await;
                cache.invalidate(&a());
            }
        };
        let old = fetch(&cache, &record, "a", 200, Ends::Value);
        let later = [140, 170].map(|at| call(&cache, &record, "a", at, Ends::Value));
        let all = join(old, join(join_all(later), changes));
        let (old, (later, ())) = cx.call(FETCH, all).await?.value;
        ensure_eq!(
            old,
            came(200, 1, 0),
            "a key is {what}, while its fetch from 0 to 200 ms is on its way: what the caller of that fetch gets"
        );
        ensure_eq!(later, [came(190, 2, 0), came(190, 2, 0)], "a key is {what}, while its fetch from 0 to 200 ms is on its way: what callers at 140 and at 170 ms get"; help = HELP);
        ensure_eq!(get(&cache, "a"), "run 2, 10 ms old, fresh", "a key is {what}, while its fetch from 0 to 200 ms is on its way, and is fetched again until 190 ms: what is kept at 200 ms"; help = HELP);
    }
    Ok(())
}

pub async fn a_panic_leaves_no_trace(cx: Cx) -> Outcome {
    let word = cx.draw().word();
    for payload in Payload::all(&word) {
        for ends in [Ends::Panic(payload.clone()), Ends::PanicInClosure(payload.clone())] {
            let cache = cache(&cx, 10, TTL, 0).await?;
            let record = Fetches::new();
            let panics = |at| {
                let call = timeout(ms(1000), call(&cache, &record, "a", at, ends.clone()));
                AssertUnwindSafe(call).catch_unwind()
            };
            let other = timeout(ms(1000), call(&cache, &record, "b", 10, Ends::Value));
            let (panicked, other) =
                cx.call(FETCH, join(join_all([panics(0), panics(0)]), other)).await?.value;
            ensure!(panicked.iter().all(Result::is_err), "a fetch panics, and a caller that waits for it does not panic";
                expected = "the panic reaches all who wait for it");
            ensure!(
                other.is_ok(),
                "a fetch of one key panics, and a caller of another key gets nothing"
            );
            ensure_eq!(get(&cache, "a"), "nothing", "`get` after a fetch that panicked");
            let next = timeout(ms(1000), call(&cache, &record, "a", 0, Ends::Value));
            let next = cx.call(FETCH, AssertUnwindSafe(next).catch_unwind()).await?.value;
            let fine = matches!(&next, Ok(Ok((_, text))) if text.ends_with(", 0 ms old, fresh"));
            ensure!(fine, "a fetch panicked, and the next caller of the key gets no value";
                expected = "it fetches", help = "leave the maps from a destructor, and hold no lock while `fetch` runs");
        }
    }
    a_key_that_panics_costs_no_value(&cx).await
}

/// A key whose `clone` panics while the flag is set. The cache may keep the key, and clone it later.
struct Key(&'static str, Arc<AtomicBool>);

impl Key {
    fn new(name: &'static str) -> Self {
        Self(name, Arc::default())
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        if self.1.load(SeqCst) {
            // Without a report: the grader shows no panic of its own.
            std::panic::resume_unwind(Box::new("a bug of the key"));
        }
        Self(self.0, Arc::clone(&self.1))
    }
}

async fn a_key_that_panics_costs_no_value(cx: &Cx) -> Outcome {
    const HELP: &str =
        "clone the key before anything is taken out: then a panic leaves all as it was";
    let config = Config { capacity: nz(2), ttl: ms(TTL), stale_for: ms(0) };
    let made = cx.call_fn("TtlCache::new", || TtlCache::<Key, u32, ()>::new(config)).await?;
    let cache = made.map_err(|error| Fail::new(error.to_string()))?;
    for (name, value) in [("a", 1), ("b", 2)] {
        cx.call_fn("TtlCache::put", || cache.put(Key::new(name), value)).await?;
    }
    let got = |name| cache.get(&Key::new(name)).map(|hit| hit.value);
    for name in ["c", "a"] {
        let panicking = Arc::new(AtomicBool::new(true));
        let key = Key(name, Arc::clone(&panicking));
        let panics = || catch_unwind(AssertUnwindSafe(|| cache.put(key, 3))).is_err();
        let has_panicked = cx.call_fn("TtlCache::put", panics).await?;
        panicking.store(false, SeqCst);
        // A `put` need not clone its key.
        if !has_panicked {
            break;
        }
        let both = cx.call_fn("TtlCache::get", || (got("a"), got("b"))).await?;
        ensure_eq!(both, (Some(1), Some(2)), "a cache is full with a and b, and a `put` of {name} has panicked in the `clone` of its key: the values of a and b"; help = HELP);
    }
    for (name, value) in [("d", 4), ("e", 5), ("f", 6)] {
        cx.call_fn("TtlCache::put", || cache.put(Key::new(name), value)).await?;
    }
    let now = cx.call_fn("TtlCache::get", || (cache.len(), got("e"), got("f"))).await?;
    ensure_eq!(now, (2, Some(5), Some(6)), "three values more, in a cache with a capacity of two: how many there are, and the last two"; help = HELP);
    Ok(())
}
