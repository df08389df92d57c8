//! Capacity, large figures, threads.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures::FutureExt as _;
use futures::future::{join, poll_immediate};
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, list, ms, scarce};
use level4::ttl_cache::{Config, TtlCache};
use tokio::runtime::Builder;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::{FETCH, TTL, cache, fetch, get};
use crate::fetches::{Ends, Fetches};
use crate::ops::nz;
use crate::panics::Payload;

const THREADS: usize = 4;
const KEYS: usize = 2_000;

pub async fn keeps_what_was_used_last(cx: Cx) -> Outcome {
    const HELP: &str =
        "a put, an arrival and a hit are uses; the value goes whose last use is longest ago";
    let mut draw = cx.draw();
    let drawn = draw.index(40) + 2;
    for capacity in [1, 2, 10, drawn] {
        let cache = cache(&cx, capacity, TTL, 50).await?;
        for number in 0..10 * capacity {
            cache.put(number.to_string(), "put".to_owned());
            ensure!(cache.len() <= capacity, "a capacity of {capacity}, and `len` is {}", cache.len();
                expected = "never more than the capacity");
        }
        let kept: Vec<_> = (0..10 * capacity)
            .filter(|number| get(&cache, &number.to_string()) != "nothing")
            .collect();
        let expected: Vec<_> = (9 * capacity..10 * capacity).collect();
        ensure_eq!(list(&kept), list(&expected), "a capacity of {capacity}, and {} keys were put in a row: what is kept", 10 * capacity; help = HELP);
    }
    // Hits by `get`, by `get_or_fetch`, arrivals and puts of a key that is there: each makes its key the youngest.
    let cache = cache(&cx, 4, TTL, 50).await?;
    let record = Fetches::new();
    for key in ["a", "b", "c", "d"] {
        cache.put(key.to_owned(), "put".to_owned());
    }
    let kept = || {
        // Without a use: a clone of the whole would be one. The keys are asked in the order of their age.
        cache.len()
    };
    get(&cache, "a");
    cx.call(FETCH, fetch(&cache, &record, "b", 0, Ends::Value)).await?;
    cache.put("c".to_owned(), "again".to_owned());
    // The oldest use is that of d, then a, b, c.
    for (new, gone) in [("e", "d"), ("f", "a"), ("g", "b"), ("h", "c")] {
        cx.call(FETCH, fetch(&cache, &record, new, 0, Ends::Value)).await?;
        ensure!(kept() == 4, "a capacity of 4, and `len` is {}", kept(); expected = "4");
        ensure_eq!(get(&cache, gone), "nothing", "put a, b, c, d; get a; get_or_fetch b; put c again; then fetch e, f, g, h: {gone} when {new} came"; help = HELP);
    }
    // A value that takes the place of its own older one makes no room.
    let full = ["e", "f", "g", "h"];
    for key in full {
        cache.put(key.to_owned(), "again".to_owned());
    }
    // The value whose last use is the newest.
    cache.put("h".to_owned(), "and again".to_owned());
    let missing = full.into_iter().find(|key| get(&cache, key) == "nothing");
    ensure!(missing.is_none(), "a full cache: keys that are there were put again, the one that was used last at the end, and {} is gone", missing.unwrap_or_default();
        expected = "all are there: a new value of a key takes the place of the old one", help = HELP);
    // The same with arrivals: the values are stale, so each of them is fetched again.
    sleep(ms(TTL + 10)).await;
    for key in ["h", "g", "f", "e", "e"] {
        cx.call(FETCH, fetch(&cache, &record, key, 0, Ends::Value)).await?;
    }
    let missing = full.into_iter().find(|key| get(&cache, key) == "nothing");
    ensure!(missing.is_none(), "a full cache of stale values: each of them was fetched again, and {} is gone", missing.unwrap_or_default();
        expected = "all are there: what arrives takes the place of the old value of its key", help = HELP);
    // A stale hit is a use too.
    sleep(ms(TTL + 10)).await;
    get(&cache, "e");
    cache.put("i".to_owned(), "put".to_owned());
    ensure!(get(&cache, "e") != "nothing", "a stale value was read, and made room for another one before those that were not"; help = HELP);
    // The age decides nothing: a value that is stale stays if it was used later than a fresh one.
    let cache = self::cache(&cx, 2, TTL, 50).await?;
    cache.put("old".to_owned(), "put".to_owned());
    sleep(ms(60)).await;
    cache.put("new".to_owned(), "put".to_owned());
    sleep(ms(50)).await;
    get(&cache, "old");
    cache.put("third".to_owned(), "put".to_owned());
    let kept = ["old", "new", "third"].map(|key| get(&cache, key));
    ensure_eq!(kept, ["put, 110 ms old, stale", "nothing", "put, 0 ms old, fresh"], "a capacity of 2: `old` is put at 0 and read at 110 ms, when it is stale; `new` is put at 60 ms, and `third` at 110 ms"; help = HELP);
    a_key_that_comes_back_is_young(&cx).await
}

/// A key whose value has gone and that comes back was used last when it came back.
async fn a_key_that_comes_back_is_young(cx: &Cx) -> Outcome {
    for (invalidated, fetched) in [(true, false), (true, true), (false, false), (false, true)] {
        let cache = cache(cx, 2, TTL, 50).await?;
        let record = Fetches::new();
        cache.put("a".to_owned(), "put".to_owned());
        sleep(ms(TTL)).await;
        cache.put("b".to_owned(), "put".to_owned());
        let how = if invalidated {
            cache.invalidate(&"a".to_owned());
            "is invalidated"
        } else {
            sleep(ms(60)).await;
            get(&cache, "a");
            "is gone by its age"
        };
        let comes = if fetched {
            cx.call(FETCH, fetch(&cache, &record, "a", 0, Ends::Value)).await?;
            "is fetched"
        } else {
            cache.put("a".to_owned(), "again".to_owned());
            "is put"
        };
        cache.put("c".to_owned(), "put".to_owned());
        let kept = ["a", "b", "c"].map(|key| get(&cache, key) != "nothing");
        ensure_eq!(kept, [true, false, true], "a capacity of 2: a and b are put, a {how} and {comes} again, then c is put; whether a, b and c are kept";
            help = "what has gone leaves no note of its use: the next value of its key is as old as its own last use");
    }
    Ok(())
}

pub async fn begins_with_the_first_poll(cx: Cx) -> Outcome {
    let cache = cache(&cx, 10, TTL, 0).await?;
    let record = Fetches::new();
    let made = cache.get_or_fetch("a".to_owned(), record.work(50, Ends::Value));
    ensure!(
        record.count() == 0,
        "a future of `get_or_fetch` was made and not polled, and it has fetched"
    );
    cache.put("a".to_owned(), "put".to_owned());
    let hit = cx.call(FETCH, made).await?.value;
    let fine = matches!(&hit, Ok(hit) if hit.value == "put");
    ensure!(fine && record.count() == 0, "a value was put before the first poll of a future of `get_or_fetch`, and it fetches";
        expected = "a hit: the future looks when it is polled");
    Ok(())
}

pub async fn keeps_no_more_than_its_capacity(cx: Cx) -> Outcome {
    let config = Config { capacity: nz(16), ttl: ms(TTL), stale_for: ms(0) };
    let cache: TtlCache<u64, Arc<()>, u64> =
        TtlCache::new(config).map_err(|error| Fail::new(format!("refused: {error:?}")))?;
    let value = Arc::new(());
    // A fetch that is on its way is no value yet.
    {
        let mut never = Box::pin(cache.get_or_fetch(0, std::future::pending));
        let _ = cx.call(FETCH, poll_immediate(&mut never)).await?;
        let (len, is_empty) = (cache.len(), cache.is_empty());
        ensure!(len == 0 && is_empty, "a fetch is on its way and no value is kept: `len` is {len}, and `is_empty` is {is_empty}"; expected = "0 and true");
    }
    for key in 0..100 {
        cache.put(key, Arc::clone(&value));
    }
    let memory = scarce(1 << 19);
    for round in 0..20_u64 {
        let many = async {
            for number in 0..2_000 {
                let key = 1000 + round * 10_000 + number;
                let kept = Arc::clone(&value);
                let _ = cache
                    .get_or_fetch(key, move || async move {
                        if key % 3 == 0 { Err(key) } else { Ok(kept) }
                    })
                    .await;
                let never =
                    cache.get_or_fetch(key + 5_000, std::future::pending::<Result<Arc<()>, u64>>);
                let _ = poll_immediate(never).await;
                cache.put(key + 5_000, Arc::clone(&value));
                if key % 2 == 0 {
                    cache.invalidate(&key);
                }
                let _ = cache.get(&key);
            }
        };
        cx.call(FETCH, many).await?;
        let (len, alive) = (cache.len(), Arc::strong_count(&value) - 1);
        ensure!(len <= 16, "a capacity of 16, and `len` is {len}");
        ensure!(alive == len, "`len` is {len}, and {alive} values are alive";
            expected = "what is removed is dropped at once");
    }
    uses_leave_nothing(&cx, &value).await?;
    drop(memory);
    fetches_leave_nothing(&cx).await?;
    // Gone by its age: dropped when it is asked for.
    cache.put(1, Arc::clone(&value));
    sleep(ms(TTL + 10)).await;
    let before = Arc::strong_count(&value);
    let gone = cache.get(&1).is_none();
    ensure!(gone && Arc::strong_count(&value) < before, "a value that is gone by its age was asked for, and it is still kept";
        expected = "it is dropped");
    Ok(())
}

/// A cache that is never full: however often a value is used or replaced, it takes the room of one.
async fn uses_leave_nothing(cx: &Cx, value: &Arc<()>) -> Outcome {
    let config = Config { capacity: nz(1_000), ttl: ms(1_000_000), stale_for: ms(0) };
    let cache: TtlCache<u64, Arc<()>, u64> =
        TtlCache::new(config).map_err(|error| Fail::new(format!("refused: {error:?}")))?;
    for key in 0..4 {
        cache.put(key, Arc::clone(value));
    }
    for _ in 0..20 {
        let many = async {
            for number in 0..1_000 {
                let _ = cache.get(&(number % 4));
                let kept = Arc::clone(value);
                let _ = cache.get_or_fetch(number % 4, move || async move { Ok(kept) }).await;
                cache.put(number % 3, Arc::clone(value));
            }
        };
        cx.call(FETCH, many).await?;
    }
    Ok(())
}

/// Callers that wait for a fetch and leave, while it goes on for another one; and fetches of keys that no caller asks for
/// again, which fail, panic or are dropped.
async fn fetches_leave_nothing(cx: &Cx) -> Outcome {
    let config = Config { capacity: nz(16), ttl: ms(TTL), stale_for: ms(0) };
    // Large keys: a few of them are much.
    let cache: TtlCache<[u64; 64], u64, u64> =
        TtlCache::new(config).map_err(|error| Fail::new(format!("refused: {error:?}")))?;
    let asks = |key| cache.get_or_fetch([key; 64], std::future::pending);
    let mut stays = Box::pin(asks(0));
    let _ = cx.call(FETCH, poll_immediate(&mut stays)).await?;
    let mut memory = None;
    for round in 0..20 {
        let many = async {
            for number in 0..300 {
                let _ = poll_immediate(join(asks(0), asks(0))).await;
                // tokio notes each wait of a task that is never pending; the notes go when it is.
                yield_now().await;
                let key = 3 * (1 + 300 * round + number);
                let _ = poll_immediate(asks(key)).await;
                let _ = cache.get_or_fetch([key + 1; 64], move || async move { Err(key) }).await;
                if number % 10 == 0 {
                    let panics = || async { Payload::Literal("no luck").throw() };
                    let panics = AssertUnwindSafe(cache.get_or_fetch([key + 2; 64], panics));
                    let _ = panics.catch_unwind().await;
                }
            }
        };
        cx.call(FETCH, many).await?;
        // What is allocated once does not count.
        memory.get_or_insert_with(|| scarce(128 << 10));
    }
    drop(memory);
    Ok(())
}

pub async fn threads_share_a_cache(cx: Cx) -> Outcome {
    let config = Config { capacity: nz(2 * KEYS), ttl: ms(1_000_000), stale_for: ms(0) };
    let cache: TtlCache<usize, usize, ()> =
        TtlCache::new(config).map_err(|error| Fail::new(format!("refused: {error:?}")))?;
    let fetches = Arc::new(AtomicUsize::new(0));
    let (shared, counted) = (cache.clone(), Arc::clone(&fetches));
    let served = cx.on_threads(FETCH, THREADS, move |_| {
        let Ok(runtime) = Builder::new_current_thread().enable_time().build() else { return 0 };
        runtime.block_on(async {
            let mut served = 0;
            for key in 0..KEYS {
                let counted = Arc::clone(&counted);
                let fetch = move || async move {
                    counted.fetch_add(1, SeqCst);
                    yield_now().await;
                    Ok(key)
                };
                let hit = shared.get_or_fetch(key, fetch).await;
                served += usize::from(matches!(hit, Ok(hit) if hit.value == key));
            }
            served
        })
    })?;
    ensure!(
        served.iter().all(|served| *served == KEYS),
        "a caller on one of {THREADS} threads got another value, or none"
    );
    let fetches = fetches.load(SeqCst);
    ensure!(fetches == KEYS, "{THREADS} threads ask for {KEYS} keys: {fetches} fetches";
        expected = "one for each key",
        help = "between the look and the fetch another thread may have brought the value: the fetch checks for it before it begins");
    ensure!(cache.len() == KEYS, "{KEYS} keys were fetched, and `len` is {}", cache.len());
    Ok(())
}
