//! How the cost of an item grows with the number of items.

use std::hint::black_box;
use std::num::NonZeroU32;

use bench_criterion::plot::{self, Curve};
use bench_kit::contest::{self, Case, Outcome};
use bench_kit::stats::Bounded;
use futures::future::join_all;
use futures::{StreamExt as _, stream};
use level4::bulkhead::{Bulkheads, PoolConfig};
use level4::chunk::{ChunkExt as _, Chunks};
use level4::debounce::{Debounce, DebounceExt as _, Edge};
use level4::limiter::Limiter;
use level4::resubscribe::{Again, Resubscribe, resubscribe};
use level4::single_flight::SingleFlight;
use level4::sources::{Overflow, from_events};
use level4::state_store::Store;
use std::convert::Infallible;
use tokio::runtime::Runtime;

use crate::work::{HOUR, SIZE, drain, later};
use crate::{caches, states};

type Failed = Box<dyn std::error::Error>;

/// The smallest size, and the largest one for items that come one after the other.
const FIRST: u64 = 1000;
const LAST: u64 = 1_000_000;

/// The largest number of calls that wait at the same time: a million futures would not fit into every machine.
const LAST_AT_ONCE: u64 = 100_000;

/// Items of a measurement, at least: small sizes are repeated.
const ITEMS: u64 = 50_000;

/// A cost at several sizes.
#[derive(Debug, Clone)]
pub struct Growth {
    /// Nanoseconds for an item, at each size.
    pub curve: Curve,
    /// How many times as much an item costs at the largest size as at the smallest.
    pub ratio: Bounded,
}

/// All of them.
pub fn all(runtime: &Runtime, quick: bool) -> Result<Vec<Growth>, Failed> {
    let items = if quick { LAST / 100 } else { LAST };
    let calls = if quick { LAST_AT_ONCE / 10 } else { LAST_AT_ONCE };
    let chunks = Chunks::new(SIZE, HOUR)?;
    let burst = Debounce::new(HOUR, Edge::Trailing)?;
    Ok(vec![
        growth("an item of a chunk, by items", items, |size| {
            drain(runtime, stream::iter(0..size).chunk_within(chunks));
        }),
        growth("a debounced item, by items", items, |size| {
            drain(runtime, stream::iter(0..size).debounce(burst));
        }),
        growth("an item that is passed on, by items", items, |size| {
            let source = || stream::iter(0..size).map(Ok::<_, ()>);
            drain(runtime, resubscribe(source, Resubscribe::default()));
        }),
        growth("a resubscription, by failures", items, |size| {
            let source = || stream::iter([Ok(1), Err(())]);
            let otherwise = Again::AtOnce { attempts: NonZeroU32::MAX };
            let items = resubscribe(source, Resubscribe { otherwise, ..Resubscribe::default() });
            drain(runtime, items.take(usize::try_from(size).unwrap_or(usize::MAX)));
        }),
        growth("an event, by events", items, |size| {
            let (emitter, mut events) = from_events(SIZE, Overflow::DropOldest);
            runtime.block_on(async {
                for event in 0..size {
                    emitter.emit(event).await;
                    black_box(events.next().await);
                }
            });
        }),
        growth("a change of a state, by changes", items, |size| {
            let store = Store::new(0_u64);
            (0..size).for_each(|_| store.update(|count| *count += 1));
            black_box(store.view());
        }),
        hits(runtime, items)?,
        lists(runtime)?,
        growth("a limited operation, by operations of the batch", calls, |size| {
            let limiter = Limiter::new(SIZE);
            let ops = (0..size).map(|_| later).collect();
            black_box(runtime.block_on(limiter.run_all(ops)));
        }),
        growth("a call of a pool, by calls at once", calls, |size| {
            let pools = Bulkheads::new();
            let config =
                PoolConfig { max_concurrent: SIZE, max_queued: usize::MAX, queue_timeout: None };
            if pools.add("it", config).is_ok() {
                let calls = (0..size).map(|_| pools.run("it", later));
                black_box(runtime.block_on(join_all(calls)));
            }
        }),
        growth("a run with one caller, by runs at once", calls, |size| {
            let runs = SingleFlight::<u64, u64, Infallible>::new();
            let calls = (0..size).map(|key| runs.run(key, later));
            black_box(runtime.block_on(join_all(calls)));
        }),
    ])
}

fn sizes(last: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(FIRST), |size| Some(size * 10)).take_while(move |&size| size <= last)
}

/// `run(n)` does it with `n` items.
fn growth(name: &str, last: u64, run: impl Fn(u64)) -> Growth {
    let run = &run;
    let case = |size: u64| {
        let all = size.max(ITEMS);
        Case::new(size.to_string(), move |times| (0..times / size).for_each(|_| run(size)))
            .in_batches_of(all)
    };
    let mut cases: Vec<Case<'_>> = sizes(last).map(case).collect();
    found(name, FIRST, last, &contest::run(&mut cases, true))
}

/// A hit, in a cache that holds so many values.
fn hits(runtime: &Runtime, last: u64) -> Result<Growth, Failed> {
    let mut cases = Vec::new();
    for size in sizes(last) {
        let cache = caches::empty(size)?;
        runtime.block_on(async { (0..size).for_each(|key| cache.put(key, key)) });
        let mut key = caches::keys(size);
        cases.push(Case::new(size.to_string(), move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    black_box(cache.get(&key()));
                }
            });
        }));
    }
    let outcome = contest::run(&mut cases, true);
    Ok(found("a hit of a cache, by values that it holds", FIRST, last, &outcome))
}

/// An update of a list with so many items. Each makes another list, for its readers keep the one before, and a copy of
/// it for the next start.
fn lists(runtime: &Runtime) -> Result<Growth, Failed> {
    let (first, last) = (100, 10_000);
    let mut cases = Vec::new();
    for size in [first, 1000, last] {
        // What makes no sense is found here, and not while it is measured.
        let _ = states::list(1, size)?;
        let run = move |times| {
            if let Ok(list) = states::list(times, size) {
                states::follow(runtime, &list, times);
            }
        };
        // As many items as a thousand updates of the shortest list have.
        cases.push(Case::new(size.to_string(), run).in_batches_of(u64::from(100_000 / size)));
    }
    let outcome = contest::run(&mut cases, true);
    Ok(found("an update of a list, by its items", u64::from(first), u64::from(last), &outcome))
}

fn found(name: &str, first: u64, last: u64, outcome: &Outcome) -> Growth {
    let point = |size: &str| Some((size.parse().ok()?, outcome.nanos(size).median));
    let points = outcome.names().filter_map(point).collect();
    let ratio = outcome.ratio(&last.to_string(), &first.to_string());
    Growth { curve: Curve { name: name.to_owned(), points }, ratio }
}

/// The picture of all curves.
pub fn picture(found: &[Growth]) -> Result<String, Failed> {
    let curves: Vec<Curve> = found.iter().map(|growth| growth.curve.clone()).collect();
    plot::svg("CPU time for an item", "how many", "nanoseconds", &curves)
}
