//! `multi_source_cache::MultiSourceCache`.

mod ends;
mod fakes;
mod follows;
mod loads;
mod settings;
mod stored;
mod values;

use std::num::NonZeroUsize;
use std::time::Duration;

use grader_kit::{Cx, Fail, ms};
use level5::conflict::SourceId;
use level5::multi_source_cache::{
    AllSourcesFailed, CacheConfig, Cached, Failure, MultiSourceCache, Rule, SetOutcome, Stamped,
    SyncMode,
};

pub use ends::{
    a_load_lives_as_long_as_its_callers, a_panic_is_a_failure, a_removed_source_is_gone,
    dropping_ends_all, waits_without_looking,
};
pub use follows::{
    counts_what_was_lost, follows_updates, outlives_its_stream, pulls_a_few_at_once,
    pulls_what_it_knows, withdraws_what_is_gone,
};
pub use loads::{
    a_fresh_value_needs_no_load, a_hanging_source_is_passed_over, a_stale_value_is_marked,
    all_failing_is_an_error, asks_by_priority, callers_set_their_own_limit,
    one_load_for_all_callers, remembers_what_is_missing,
};
pub use settings::{
    accepts_every_other_time, follows_only_sources_with_updates, refuses_a_second_source,
    refuses_zeros,
};
pub use stored::{
    a_set_during_a_load_stays, a_value_has_its_own_ttl, keeps_its_capacity,
    merges_with_the_function, priority_holds_within_the_ttl, the_newest_stamp_counts,
};
pub use values::a_value_may_use_the_cache;

use fakes::Fake;

const GET: &str = "MultiSourceCache::get";
const SET: &str = "MultiSourceCache::set";
const ADD: &str = "MultiSourceCache::add_source";
const TTL: u64 = 1000;
const LIMIT: u64 = 500;
const MISSING: u64 = 200;

type Cache = MultiSourceCache<String, String>;
type Config = CacheConfig<String>;

const fn nz(count: usize) -> NonZeroUsize {
    match NonZeroUsize::new(count) {
        Some(count) => count,
        None => NonZeroUsize::MIN,
    }
}

fn config(rule: Rule<String>) -> Config {
    CacheConfig {
        capacity: nz(100),
        ttl: ms(TTL),
        missing_ttl: ms(MISSING),
        load_timeout: ms(LIMIT),
        pulls_at_once: nz(4),
        rule,
    }
}

/// An interval that does not end within a test.
const RARELY: SyncMode = SyncMode::Pull { every: Duration::from_secs(86_400 * 365) };

async fn made(cx: &Cx, config: Config) -> Result<Cache, Fail> {
    let made = cx.call_fn("MultiSourceCache::new", || Cache::new(config)).await?;
    made.map_err(|error| Fail::new(format!("a cache is refused: {error:?}")).expected("it is made"))
}

/// Adds a source that must be accepted.
async fn add(cx: &Cx, cache: &Cache, source: &Fake, mode: SyncMode) -> Result<(), Fail> {
    let added = cx.call_fn(ADD, || cache.add_source(source.clone(), mode)).await?;
    // What follows the source has its first turn: it may ask for the updates there.
    cx.settle().await;
    added.map_err(|error| {
        Fail::new(format!("the source {} with {mode:?} is refused: {error:?}", source.id()))
            .expected("it is added")
    })
}

/// A cache with the sources, none of which is pulled within a test.
async fn over(cx: &Cx, config: Config, sources: &[&Fake]) -> Result<Cache, Fail> {
    let cache = made(cx, config).await?;
    for source in sources {
        add(cx, &cache, source, RARELY).await?;
    }
    Ok(cache)
}

type Answer = Result<Option<Cached<String>>, AllSourcesFailed>;

/// `v1, 30 ms old`, with what failed where it is stale.
fn shown(answer: Answer) -> String {
    match answer {
        Ok(None) => "nothing".to_owned(),
        Err(failed) => format!("failed: {}", failures(&failed)),
        Ok(Some(cached)) => {
            let stale = cached.stale.map(|why| format!(", stale ({})", failures(&why)));
            let (age, stale) = (cached.age.as_millis(), stale.unwrap_or_default());
            format!("{}, {age} ms old{stale}", cached.value)
        }
    }
}

fn failures(failed: &AllSourcesFailed) -> String {
    let one = |(source, failure): &(SourceId, Failure)| match failure {
        Failure::Failed(error) => format!("{source}: {}", error.0),
        Failure::TimedOut(limit) => format!("{source}: timed out after {} ms", limit.as_millis()),
        Failure::Panicked => format!("{source}: panicked"),
    };
    failed.failures.iter().map(one).collect::<Vec<_>>().join("; ")
}

async fn get(cx: &Cx, cache: &Cache, key: &str) -> Result<String, Fail> {
    within(cx, cache, key, None).await
}

async fn within(
    cx: &Cx,
    cache: &Cache,
    key: &str,
    max_age: Option<Duration>,
) -> Result<String, Fail> {
    let key = key.to_owned();
    Ok(shown(cx.call(GET, cache.get(&key, max_age)).await?.value))
}

/// What a set has done: `stored`, `merged: ab`, `superseded by b`.
async fn set(
    cx: &Cx,
    cache: &Cache,
    key: &str,
    value: Stamped<String>,
    from: &str,
) -> Result<String, Fail> {
    let from = SourceId::new(from);
    let outcome = cx.call_fn(SET, || cache.set(key.to_owned(), value, &from)).await?;
    Ok(match outcome {
        Ok(SetOutcome::Stored) => "stored".to_owned(),
        Ok(SetOutcome::Merged(value)) => format!("merged: {value}"),
        Ok(SetOutcome::Superseded { by }) => format!("superseded by {by}"),
        Err(error) => format!("unknown source {}", error.0),
    })
}
