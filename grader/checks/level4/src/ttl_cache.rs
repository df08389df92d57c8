//! `ttl_cache::TtlCache`.

mod fetching;
mod scale;

use std::time::Duration;

use futures::future::poll_immediate;
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level4::ttl_cache::{Config, ConfigError, Hit, TtlCache};
use tokio::time::sleep;

use crate::fetches::{Ends, Fetches};
use crate::ops::nz;

pub use fetching::{
    a_fetch_lives_as_long_as_its_callers, a_panic_leaves_no_trace, an_obsolete_fetch_is_not_kept,
    errors_are_not_kept, keys_are_apart, one_fetch_for_all_callers,
};
pub use scale::{
    begins_with_the_first_poll, keeps_no_more_than_its_capacity, keeps_what_was_used_last,
    threads_share_a_cache,
};

const FETCH: &str = "TtlCache::get_or_fetch";
const TTL: u64 = 100;

type Cache = TtlCache<String, String, String>;

async fn cache(cx: &Cx, capacity: usize, ttl: u64, stale_for: u64) -> Result<Cache, Fail> {
    let config = Config { capacity: nz(capacity), ttl: ms(ttl), stale_for: ms(stale_for) };
    let made = cx.call_fn("TtlCache::new", move || Cache::new(config)).await?;
    made.map_err(|error| {
        Fail::new(format!("a ttl of {ttl} ms is refused: {error:?}")).expected("it is accepted")
    })
}

/// A hit as a message shows it: value, age in milliseconds, fresh or stale.
fn shown(hit: Option<Hit<String>>) -> String {
    let Some(hit) = hit else { return "nothing".to_owned() };
    let fresh = if hit.fresh { "fresh" } else { "stale" };
    format!("{}, {} ms old, {fresh}", hit.value, hit.age.as_millis())
}

/// The answer of `get_or_fetch`, shown, and when it came.
async fn fetch(
    cache: &Cache,
    record: &Fetches,
    key: &str,
    length: u64,
    ends: Ends,
) -> (u64, String) {
    let answer = cache.get_or_fetch(key.to_owned(), record.work(length, ends)).await;
    let shown = match answer {
        Ok(hit) => shown(Some(hit)),
        Err(error) => format!("the error of {error}"),
    };
    (record.now(), shown)
}

fn get(cache: &Cache, key: &str) -> String {
    shown(cache.get(&key.to_owned()))
}

pub async fn a_fresh_value_needs_no_fetch(cx: Cx) -> Outcome {
    let ttl = cx.draw().between(2..=5000);
    for ttl in [TTL, 1, ttl] {
        let cache = cache(&cx, 10, ttl, 50).await?;
        let record = Fetches::new();
        let ask = || cx.call(FETCH, fetch(&cache, &record, "a", 0, Ends::Value));
        ask().await?;
        sleep(ms(ttl - 1)).await;
        let hit = ask().await?.value.1;
        ensure_eq!(hit, format!("run 1, {} ms old, fresh", ttl - 1), "a ttl of {ttl} ms: who asks {} ms after the value came", ttl - 1;
            help = "a value is fresh while its age is less than the ttl");
        // The hit did not make it younger.
        sleep(ms(1)).await;
        let miss = ask().await?.value.1;
        ensure_eq!(miss, "run 2, 0 ms old, fresh", "a ttl of {ttl} ms: who asks {ttl} ms after the value came";
            help = "at the ttl itself a value is not fresh any more; a hit does not make it younger");
    }
    // Times that are no whole number of milliseconds.
    let config = Config {
        capacity: nz(1),
        ttl: Duration::from_micros(1_500),
        stale_for: Duration::from_micros(1_100),
    };
    let cache: Cache = TtlCache::new(config)
        .map_err(|error| Fail::new(format!("a ttl of 1.5 ms is refused: {error:?}")))?;
    let record = Fetches::new();
    for (at, expected) in [
        (0, "run 1, 0 ms old, fresh"),
        (1, "run 1, 1 ms old, fresh"),
        (2, "run 2, 0 ms old, fresh"),
    ] {
        let hit = cx.call(FETCH, fetch(&cache, &record, "a", 0, Ends::Value)).await?.value.1;
        ensure_eq!(hit, expected, "a ttl of 1.5 ms: who asks at {at} ms"; help = "compare the times as they are, without rounding");
        sleep(ms(1)).await;
    }
    // Nothing found is a value too.
    let empty: TtlCache<u32, Option<String>, String> =
        TtlCache::new(Config { capacity: nz(1), ttl: ms(TTL), stale_for: ms(0) })
            .map_err(|error| Fail::new(format!("refused: {error:?}")))?;
    let none = || async { Ok(None) };
    cx.call(FETCH, empty.get_or_fetch(1, none)).await?;
    let again = || async { Err("fetched again".to_owned()) };
    let hit = cx.call(FETCH, empty.get_or_fetch(1, again)).await?.value;
    ensure!(matches!(hit, Ok(Hit { value: None, .. })), "the value `None` is fetched again while it is fresh";
        expected = "it is a value like any other");
    Ok(())
}

pub async fn the_age_begins_with_the_arrival(cx: Cx) -> Outcome {
    const HELP: &str =
        "take the time when the fetch has ended: a fetch may take longer than the ttl";
    let cache = cache(&cx, 10, TTL, 50).await?;
    let record = Fetches::new();
    let first = cx.call(FETCH, fetch(&cache, &record, "a", 200, Ends::Value)).await?.value;
    ensure_eq!(first, (200, "run 1, 0 ms old, fresh".to_owned()), "a fetch of 200 ms, with a ttl of {TTL} ms"; help = HELP);
    sleep(ms(50)).await;
    let hit = cx.call(FETCH, fetch(&cache, &record, "a", 200, Ends::Value)).await?.value;
    ensure_eq!(hit, (250, "run 1, 50 ms old, fresh".to_owned()), "who asks 50 ms after the end of that fetch"; help = HELP);
    cache.put("b".to_owned(), "put".to_owned());
    sleep(ms(30)).await;
    ensure_eq!(get(&cache, "b"), "put, 30 ms old, fresh", "who asks 30 ms after a put");
    ensure_eq!(get(&cache, "a"), "run 1, 80 ms old, fresh", "who asks 80 ms after the end of the fetch"; help = HELP);
    // A caller that waits for the fetch, and is not polled when its value arrives.
    for (late, fresh) in
        [(1, "fresh"), (30, "fresh"), (TTL - 1, "fresh"), (TTL, "stale"), (TTL + 300, "stale")]
    {
        let cache = self::cache(&cx, 10, TTL, 50).await?;
        let record = Fetches::new();
        let script = async {
            let mut waits = Box::pin(fetch(&cache, &record, "a", 50, Ends::Value));
            let began = poll_immediate(&mut waits).await;
            let other = fetch(&cache, &record, "a", 50, Ends::Value).await;
            sleep(ms(late)).await;
            (began, other, waits.await)
        };
        let (began, other, answer) = cx.call(FETCH, script).await?.value;
        ensure!(began.is_none(), "a fetch of 50 ms is over at its first poll");
        ensure_eq!(
            other,
            (50, "run 1, 0 ms old, fresh".to_owned()),
            "a caller that shares the fetch of another one"
        );
        ensure_eq!(answer, (50 + late, format!("run 1, {late} ms old, {fresh}")), "a fetch ends at 50 ms, and one of its callers is polled {late} ms later, with a ttl of {TTL} ms: what it gets";
            help = "keep the time of the arrival with the value, and calculate the age when a caller gets it");
    }
    Ok(())
}

pub async fn stale_values_can_be_read(cx: Cx) -> Outcome {
    let stale_for = cx.draw().between(2..=500);
    for (ttl, stale_for) in [(TTL, 50), (TTL, 0), (1, 1), (TTL, stale_for)] {
        let cache = cache(&cx, 10, ttl, stale_for).await?;
        cache.put("a".to_owned(), "put".to_owned());
        let mut now = 0;
        let end = ttl + stale_for;
        for at in [ttl - 1, ttl, ttl + 1, end - 1, end, end + 1] {
            if at < now {
                continue;
            }
            sleep(ms(at - now)).await;
            now = at;
            let expected = match at {
                at if at < ttl => format!("put, {at} ms old, fresh"),
                at if at < end => format!("put, {at} ms old, stale"),
                _ => "nothing".to_owned(),
            };
            ensure_eq!(get(&cache, "a"), expected, "a ttl of {ttl} ms and {stale_for} ms more: `get` at {at} ms";
                help = "fresh while age < ttl; readable while age < ttl + stale_for");
        }
    }
    Ok(())
}

pub async fn puts_and_forgets(cx: Cx) -> Outcome {
    let cache = cache(&cx, 10, TTL, 0).await?;
    let (a, word) = ("a".to_owned(), cx.draw().word());
    cache.invalidate(&a);
    ensure_eq!(get(&cache, "a"), "nothing", "a key that was never put");
    cache.put(a.clone(), word.clone());
    sleep(ms(60)).await;
    cache.put(a.clone(), "again".to_owned());
    sleep(ms(60)).await;
    ensure_eq!(get(&cache, "a"), "again, 60 ms old, fresh", "a value was put, and another one 60 ms later; at 120 ms";
        help = "a put begins a new age");
    ensure!(cache.len() == 1, "one key was put twice, and `len` is {}", cache.len(); expected = "1");
    cache.put("b".to_owned(), word.clone());
    cache.invalidate(&a);
    ensure_eq!(get(&cache, "a"), "nothing", "a key that was invalidated");
    ensure_eq!(get(&cache, "b"), format!("{word}, 0 ms old, fresh"), "another key was invalidated");
    ensure!(cache.len() == 1, "two keys were put and one invalidated, and `len` is {}", cache.len(); expected = "1");
    let other = cache.clone();
    other.put(a.clone(), "shared".to_owned());
    ensure_eq!(get(&cache, "a"), "shared, 0 ms old, fresh", "a value was put by a clone";
        help = "a clone is a handle to the same values");
    Ok(())
}

pub async fn refuses_a_ttl_of_zero(cx: Cx) -> Outcome {
    let make = |ttl, stale_for| {
        let config = Config { capacity: nz(2), ttl, stale_for };
        cx.call_fn("TtlCache::new", move || Cache::new(config))
    };
    for stale_for in [Duration::ZERO, ms(100), Duration::MAX] {
        let refused = make(Duration::ZERO, stale_for).await?;
        ensure!(
            matches!(refused, Err(ConfigError::ZeroTtl)),
            "a ttl of zero is not refused as ZeroTtl"
        );
        for ttl in [Duration::from_nanos(1), ms(1), Duration::MAX] {
            ensure!(make(ttl, stale_for).await?.is_ok(), "a ttl of {ttl:?} with stale_for {stale_for:?} is refused"; expected = "it is accepted");
        }
    }
    for (ttl, stale_for, fresh) in [
        (Duration::MAX, Duration::MAX, "fresh"),
        (Duration::MAX, Duration::ZERO, "fresh"),
        (ms(1), Duration::MAX, "stale"),
    ] {
        let Ok(cache) = make(ttl, stale_for).await? else { continue };
        cache.put("a".to_owned(), "put".to_owned());
        sleep(Duration::from_secs(1000)).await;
        let hit = cx.call_fn("TtlCache::get", || get(&cache, "a")).await?;
        ensure_eq!(hit, format!("put, 1000000 ms old, {fresh}"), "a ttl of {ttl:?} and {stale_for:?} more, after 1000 s";
            help = "the sum of two long times overflows: `saturating_add`");
    }
    Ok(())
}
