//! The strategies, and the same work done with other people's crates.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bench_criterion::VirtualTime;
use bench_kit::contest::Case;
use criterion::Criterion;
use futures::future::try_join_all;
use futures_concurrency::prelude::*;
use level2::all_settled::Timeouts;
use level2::model::Section;
use level2::source::{DashboardSource, SimulatedSource};
use level2::strategy::Strategy;
use peak_alloc::PeakAlloc;
use tokio::runtime::Runtime;

/// The peers: what they do, and which strategy does that work with what more.
pub const PEERS: [(&str, Strategy); 5] = [
    ("tokio::try_join!", Strategy::Parallel),
    ("futures::try_join_all", Strategy::Parallel),
    ("futures-concurrency try_join", Strategy::Parallel),
    ("futures-concurrency join", Strategy::AllSettled),
    ("tower timeout, in a join", Strategy::AllSettled),
];

/// Longer than any source takes.
const LIMIT: Duration = Duration::from_secs(5);

fn source() -> Arc<dyn DashboardSource> {
    Arc::new(SimulatedSource::default())
}

/// Virtual time from the call of each strategy to its return.
pub fn pages(criterion: &mut Criterion<VirtualTime>, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("returns after");
    for strategy in Strategy::ALL {
        group.bench_function(strategy.name(), |bencher| {
            bencher.to_async(runtime).iter_custom(|times| async move {
                let mut returned = Duration::ZERO;
                for _ in 0..times {
                    returned += strategy.run(source(), Timeouts::default()).await.returned;
                }
                returned
            });
        });
    }
    group.finish();
}

/// CPU time of one load: the strategies, then the peers.
pub fn cases(runtime: &Runtime) -> Vec<Case<'_>> {
    let strategies = Strategy::ALL.map(|strategy| {
        Case::new(strategy.name(), move |times| {
            for _ in 0..times {
                black_box(runtime.block_on(strategy.run(source(), Timeouts::default())));
            }
        })
    });
    let peers = PEERS.iter().enumerate().map(|(index, (name, _))| {
        Case::new(*name, move |times| {
            for _ in 0..times {
                black_box(runtime.block_on(peer(index)));
            }
        })
    });
    strategies.into_iter().chain(peers).collect()
}

/// One load with the peer of that place in [`PEERS`]; how many sections it got.
async fn peer(index: usize) -> usize {
    let source = source();
    match index {
        0 => {
            let all = tokio::try_join!(
                source.sales(),
                source.users(),
                source.orders(),
                source.low_stock(),
                source.reviews()
            );
            usize::from(black_box(all).is_ok()) * Section::ALL.len()
        }
        1 => {
            let calls = Section::ALL.map(|section| section.fetch(Arc::clone(&source)));
            black_box(try_join_all(calls).await).map_or(0, |all| all.len())
        }
        2 => {
            let calls = Section::ALL.map(|section| section.fetch(Arc::clone(&source)));
            black_box(calls.try_join().await).map_or(0, |all| all.len())
        }
        3 => {
            let calls = Section::ALL
                .map(|section| tokio::time::timeout(LIMIT, section.fetch(Arc::clone(&source))));
            arrived(black_box(calls.join().await).map(|call| call.is_ok_and(|call| call.is_ok())))
        }
        _ => {
            use tower::ServiceExt as _;
            let calls = Section::ALL.map(|section| {
                let source = Arc::clone(&source);
                tower::ServiceBuilder::new()
                    .timeout(LIMIT)
                    .service_fn(move |()| section.fetch(Arc::clone(&source)))
                    .oneshot(())
            });
            arrived(black_box(calls.join().await).map(|call| call.is_ok()))
        }
    }
}

fn arrived(calls: [bool; 5]) -> usize {
    calls.into_iter().filter(|&arrived| arrived).count()
}

/// Most bytes that each strategy has allocated at once during a load.
pub fn peaks(runtime: &Runtime, allocator: &PeakAlloc) -> Vec<(Strategy, usize)> {
    let peak = |strategy: Strategy| {
        let load = || runtime.block_on(strategy.run(source(), Timeouts::default()));
        // The first load fills what is there once for all.
        black_box(load());
        let before = allocator.current_usage();
        allocator.reset_peak_usage();
        black_box(load());
        (strategy, allocator.peak_usage().saturating_sub(before))
    };
    Strategy::ALL.into_iter().map(peak).collect()
}
