//! Values whose own code uses the cache.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use futures::stream::BoxStream;
use grader_kit::{Cx, Fail, Outcome, ensure_eq, lock, ms};
use jiff::Timestamp;
use level5::conflict::SourceId;
use level5::multi_source_cache::{
    CacheConfig, CacheSource, MultiSourceCache, Rule, SourceError, Stamped, Update,
};

use super::{ADD, GET, LIMIT, MISSING, RARELY, SET, TTL, nz};

type Cache = MultiSourceCache<&'static str, Nosy>;

/// A value that asks its cache something whenever it is cloned or dropped.
struct Nosy {
    number: u64,
    cache: Arc<OnceLock<Weak<Cache>>>,
}

impl Nosy {
    fn asks(&self) {
        if let Some(cache) = self.cache.get().and_then(Weak::upgrade) {
            std::hint::black_box(cache.len());
        }
    }
}

impl Clone for Nosy {
    fn clone(&self) -> Self {
        self.asks();
        Self { number: self.number, cache: Arc::clone(&self.cache) }
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.asks();
    }
}

type Has = Arc<Mutex<BTreeMap<&'static str, Stamped<Nosy>>>>;

struct Source(Has);

impl CacheSource<&'static str, Nosy> for Source {
    fn id(&self) -> SourceId {
        "a".into()
    }

    fn priority(&self) -> u8 {
        1
    }

    async fn load(&self, key: &&'static str) -> Result<Option<Stamped<Nosy>>, SourceError> {
        Ok(lock(&self.0).get(key).cloned())
    }

    fn updates(&self) -> Option<BoxStream<'static, Update<&'static str, Nosy>>> {
        None
    }
}

pub async fn a_value_may_use_the_cache(cx: Cx) -> Outcome {
    for rule in [Rule::Newest, Rule::Priority, Rule::Merge(Arc::new(newest))] {
        uses_the_cache(&cx, rule).await?;
    }
    Ok(())
}

fn newest(values: &[(level5::conflict::Stamp, Nosy)]) -> Nosy {
    match values.last() {
        Some((_, value)) => value.clone(),
        None => Nosy { number: 0, cache: Arc::default() },
    }
}

async fn uses_the_cache(cx: &Cx, rule: Rule<Nosy>) -> Outcome {
    let config = CacheConfig {
        capacity: nz(2),
        ttl: ms(TTL),
        missing_ttl: ms(MISSING),
        load_timeout: ms(LIMIT),
        pulls_at_once: nz(4),
        rule,
    };
    let made = cx.call_fn("MultiSourceCache::new", || Cache::new(config)).await?;
    let cache =
        Arc::new(made.map_err(|error| Fail::new(format!("a cache is refused: {error:?}")))?);
    let handle = Arc::new(OnceLock::new());
    let _ = handle.set(Arc::downgrade(&cache));
    let written = |at: i64, number: u64| Stamped {
        value: Nosy { number, cache: Arc::clone(&handle) },
        at: Timestamp::from_second(at).unwrap_or_default(),
        version: 1,
        ttl: None,
    };
    let has: Has = Arc::default();
    let source = Source(Arc::clone(&has));
    cx.call_fn(ADD, || cache.add_source(source, RARELY))
        .await?
        .map_err(|error| Fail::new(format!("a source is refused: {error:?}")))?;
    let from = SourceId::new("a");
    // A first value, a newer one, the same stamp again, an older one; then two other keys, so that the first one goes.
    for (key, at, number) in
        [("x", 5, 1), ("x", 6, 2), ("x", 6, 3), ("x", 4, 4), ("y", 1, 5), ("z", 1, 6), ("z", 2, 7)]
    {
        let set = cx.call_fn(SET, || cache.set(key, written(at, number), &from).map(drop)).await?;
        ensure_eq!(set, Ok(()), "a set of a value whose destructor asks the cache for its length");
    }
    let number = async |key: &'static str, limit| {
        let got = cx.call(GET, cache.get(&key, limit)).await?.value;
        Ok::<_, Fail>(got.ok().flatten().map(|cached| cached.value.number))
    };
    ensure_eq!(
        number("z", None).await?,
        Some(7),
        "a value whose `clone` asks the cache for its length"
    );
    // A load with a newer value, one with the same, and one without.
    lock(&has).insert("z", written(9, 8));
    for _ in 0..2 {
        ensure_eq!(
            number("z", Some(ms(0))).await?,
            Some(8),
            "a value that a load brings, whose own code asks the cache for its length"
        );
    }
    let gone = lock(&has).remove("z");
    drop(gone);
    cx.pass(ms(10)).await;
    // The source has it no more. What the answer is, is the business of other criteria.
    number("z", Some(ms(0))).await?;
    let removed = cx.call_fn("MultiSourceCache::remove_source", || cache.remove_source(&from));
    ensure_eq!(
        removed.await?,
        true,
        "the removal of a source whose values ask the cache for its length"
    );
    Ok(())
}
