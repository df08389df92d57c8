//! How long payments take, on the paused clock: the same figures in every run and on every machine.

use std::time::Duration;

use bench_criterion::VirtualTime;
use bench_kit::paused;
use criterion::{Criterion, SamplingMode};
use level3::gateway::GatewayConfig;
use level3_harness::{Load, percentile};
use level3_sim::Rates;

/// As in `level3/examples/performance.rs`, with fewer payments: a benchmark runs its load many times.
fn load(rates: Rates) -> Load {
    Load { payments: 1000, every: Duration::from_millis(2), share: 10, rates, seed: 1 }
}

type Failed = Box<dyn std::error::Error>;

/// One benchmark for each percentile of a load of 1000 payments.
pub fn pages(criterion: &mut Criterion<VirtualTime>) -> Result<(), Failed> {
    let runtime = paused::runtime()?;
    let loads =
        [("assignment's failures", Rates::ASSIGNMENT), ("10 % failures", Rates::TEN_PERCENT)];
    for (name, rates) in loads {
        let mut group = criterion.benchmark_group(format!("latency, {name}"));
        group.sampling_mode(SamplingMode::Flat);
        for percent in [50, 95, 99, 100] {
            group.bench_function(format!("p{percent}"), |bencher| {
                bencher.iter_custom(|times| {
                    let one = || {
                        let tally = runtime.block_on(load(rates).run(&GatewayConfig::default()));
                        let tally = tally.expect("the default figures fit together");
                        percentile(&tally.latencies, percent)
                    };
                    (0..times).map(|_| one()).sum()
                });
            });
        }
        group.finish();
    }
    Ok(())
}
