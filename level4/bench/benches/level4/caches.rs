//! Values that are kept and runs that are shared, beside moka, quick_cache and async_singleflight.

use std::convert::Infallible;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

use futures::future::join_all;
use level4::single_flight::SingleFlight;
use level4::ttl_cache::{Config, TtlCache};
use tokio::runtime::Runtime;

use crate::work::{HOUR, later, work};
use bench_kit::work::Work;

type Failed = Box<dyn std::error::Error>;

/// Values that a cache holds.
const HELD: u64 = 1000;

/// Callers that share a run.
const CALLERS: u64 = 100;

/// The work of a hit: the goal is about it.
pub const HIT: &str = "cache, a hit";

/// The peer of the goal about hits.
pub const QUICK: &str = "quick_cache";

/// A cache of this course.
pub type Own = TtlCache<u64, u64, Infallible>;

/// A cache of moka, with the same limits.
pub type Moka = moka::future::Cache<u64, u64>;

/// A cache of quick_cache.
pub type Quick = quick_cache::sync::Cache<u64, u64>;

/// All of them.
pub fn all(runtime: &Runtime) -> Result<Vec<Work<'_>>, Failed> {
    Ok(vec![hit(runtime)?, miss(runtime)?, alone(runtime), shared(runtime)])
}

/// An empty cache of level 4 for so many values.
pub fn empty(capacity: u64) -> Result<Own, Failed> {
    let capacity = NonZeroUsize::new(usize::try_from(capacity)?).ok_or("a capacity is not zero")?;
    Ok(TtlCache::new(Config { capacity, ttl: HOUR, stale_for: Duration::ZERO })?)
}

/// An empty cache of moka for so many values.
pub fn moka(capacity: u64) -> Moka {
    moka::future::Cache::builder().max_capacity(capacity).time_to_live(HOUR).build()
}

/// An empty cache of quick_cache for so many values.
pub fn quick(capacity: u64) -> Quick {
    Quick::new(usize::try_from(capacity).unwrap_or(usize::MAX))
}

/// The keys of a cache that is full: a step that shares no factor with their number comes to each of them, in no
/// order that a cache of the processor would know.
pub fn keys(held: u64) -> impl FnMut() -> u64 {
    let mut next = 0;
    move || {
        next = (next + 7919) % held;
        next
    }
}

fn hit(runtime: &Runtime) -> Result<Work<'_>, Failed> {
    // Room for more than they hold: quick_cache and moka may refuse a value of a cache that is nearly full.
    let (own, moka, quick) = (empty(2 * HELD)?, moka(2 * HELD), quick(2 * HELD));
    runtime.block_on(async {
        for key in 0..HELD {
            own.put(key, key);
            moka.insert(key, key).await;
            quick.insert(key, key);
        }
        moka.run_pending_tasks().await;
    });
    let (mut first, mut second, mut third) = (keys(HELD), keys(HELD), keys(HELD));
    Ok(Work::new(HIT, move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                black_box(own.get(&first()));
            }
        });
    })
    .beside("moka", "tokio's clock; the exact order of use; the age of a hit", move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                black_box(moka.get(&second()).await);
            }
        });
    })
    .beside(QUICK, "no age and no clock; a use sets a flag", move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                black_box(quick.get(&third()));
            }
        });
    }))
}

/// A key that is not there: a fetch, its value kept, the oldest value gone.
fn miss(runtime: &Runtime) -> Result<Work<'_>, Failed> {
    let (own, moka, quick) = (empty(HELD)?, moka(HELD), quick(HELD));
    let (mut first, mut second, mut third) = (0.., 0.., 0..);
    Ok(Work::new("cache, a miss", move |times| {
        runtime.block_on(async {
            for key in (&mut first).take(usize::try_from(times).unwrap_or(usize::MAX)) {
                let _ = black_box(own.get_or_fetch(key, work).await);
            }
        });
    })
    .beside(
        "moka try_get_with",
        "a caller that is not polled stops the others; errors in an `Arc`",
        move |times| {
            runtime.block_on(async {
                for key in (&mut second).take(usize::try_from(times).unwrap_or(usize::MAX)) {
                    let _ = black_box(moka.try_get_with(key, work()).await);
                }
            });
        },
    )
    .beside(
        "quick_cache get_or_insert_async",
        "no age; an error reaches the caller that fetched alone",
        move |times| {
            runtime.block_on(async {
                for key in (&mut third).take(usize::try_from(times).unwrap_or(usize::MAX)) {
                    let _ = black_box(quick.get_or_insert_async(&key, work()).await);
                }
            });
        },
    ))
}

/// A run with one caller.
fn alone(runtime: &Runtime) -> Work<'_> {
    let own = SingleFlight::<u64, u64, Infallible>::new();
    let group = async_singleflight::Group::<u64, u64, Infallible>::new();
    Work::new("single flight, one caller", move |times| {
        runtime.block_on(async {
            for key in 0..times {
                let _ = black_box(own.run(key, work).await);
            }
        });
    })
    .beside(
        "async_singleflight",
        "when the first caller goes, its work is lost and another caller begins again",
        move |times| {
            runtime.block_on(async {
                for key in 0..times {
                    let _ = black_box(group.work(&key, work()).await);
                }
            });
        },
    )
}

/// A caller of a hundred that share a run.
fn shared(runtime: &Runtime) -> Work<'_> {
    let own = SingleFlight::<u64, u64, Infallible>::new();
    let group = async_singleflight::Group::<u64, u64, Infallible>::new();
    let moka: Moka = moka(HELD);
    let mut next = 0..;
    Work::new("single flight, a caller of a hundred", move |times| {
        runtime.block_on(async {
            for key in 0..times.div_ceil(CALLERS) {
                black_box(join_all((0..CALLERS).map(|_| own.run(key, later))).await);
            }
        });
    })
    .beside(
        "async_singleflight",
        "when the first caller goes, its work is lost and another caller begins again",
        move |times| {
            runtime.block_on(async {
                for key in 0..times.div_ceil(CALLERS) {
                    let calls = (0..CALLERS).map(|_| group.work(&key, later()));
                    black_box(join_all(calls).await);
                }
            });
        },
    )
    .beside(
        "moka get_with",
        "a caller that is not polled stops the others; no errors",
        move |times| {
            runtime.block_on(async {
                for _ in 0..times.div_ceil(CALLERS) {
                    let key = next.next().unwrap_or_default();
                    let value = || async {
                        tokio::task::yield_now().await;
                        black_box(1)
                    };
                    let calls = (0..CALLERS).map(|_| moka.get_with(key, value()));
                    black_box(join_all(calls).await);
                }
            });
        },
    )
}
