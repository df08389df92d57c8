//! How many instructions the hot paths of level 4 take; see [`bench_kit::instructions`].
//!
//! The streams are measured for an item, the calls for a call.

use std::convert::Infallible;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use bench_kit::instructions::{self, HotPath};
use bench_kit::paused;
use futures::{Stream, StreamExt, stream};
use level4::bulkhead::{Bulkheads, PoolConfig};
use level4::chunk::{ChunkExt, Chunks};
use level4::debounce::{Debounce, DebounceExt, Edge};
use level4::limiter::Limiter;
use level4::single_flight::SingleFlight;
use level4::state_store::Store;
use level4::ttl_cache::{Config, TtlCache};

const HOUR: Duration = Duration::from_secs(3600);

/// Of a limit, a chunk, a cache.
const SIZE: NonZeroUsize = NonZeroUsize::new(100).unwrap();

fn main() -> ExitCode {
    let path = |name, run| HotPath { name, times: 20_000, run };
    instructions::main(
        "level4-instructions",
        &[
            path("limiter-run", limited),
            path("bulkhead-run", pooled),
            path("ttl-cache-hit", hits),
            path("single-flight-alone", alone),
            path("state-store-update", updates),
            path("chunk-item", chunked),
            path("debounce-item", debounced),
        ],
    )
}

/// On a paused clock: what reads it takes the same way each time.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    paused::runtime().expect("a runtime").block_on(future)
}

async fn work() -> Result<u64, Infallible> {
    Ok(black_box(1))
}

fn limited(times: u64) {
    let limiter = Limiter::new(SIZE);
    block_on(async {
        for _ in 0..times {
            let _ = black_box(limiter.run(work).await);
        }
    });
}

fn pooled(times: u64) {
    let pools = Bulkheads::new();
    let config = PoolConfig { max_concurrent: SIZE, max_queued: 0, queue_timeout: None };
    pools.add("it", config).expect("a new name");
    block_on(async {
        for _ in 0..times {
            let _ = black_box(pools.run("it", work).await);
        }
    });
}

fn hits(times: u64) {
    let config = Config { capacity: SIZE, ttl: HOUR, stale_for: Duration::ZERO };
    let cache = TtlCache::<u64, u64, Infallible>::new(config).expect("valid");
    block_on(async {
        cache.put(1, 1);
        for _ in 0..times {
            let _ = black_box(cache.get(black_box(&1)));
        }
    });
}

fn alone(times: u64) {
    let flights = SingleFlight::<u64, u64, Infallible>::new();
    block_on(async {
        for key in 0..times {
            let _ = black_box(flights.run(key, work).await);
        }
    });
}

fn updates(times: u64) {
    let store = Store::new(0_u64);
    for _ in 0..times {
        store.update(|count| *count += 1);
    }
    black_box(store.view());
}

/// Reads a stream to its end.
fn drain<T>(items: impl Stream<Item = T>) {
    block_on(items.for_each(|item| {
        black_box(item);
        std::future::ready(())
    }));
}

fn chunked(times: u64) {
    let how = Chunks::new(SIZE, HOUR).expect("valid");
    drain(stream::iter(0..times).chunk_within(how));
}

fn debounced(times: u64) {
    let how = Debounce::new(HOUR, Edge::Trailing).expect("valid");
    drain(stream::iter(0..times).debounce(how));
}
