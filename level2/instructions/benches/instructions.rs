//! How many instructions a load takes with each strategy; see [`bench_kit::instructions`].

use std::process::ExitCode;
use std::sync::Arc;

use bench_kit::instructions::{self, HotPath};
use bench_kit::paused;
use level2::all_settled::Timeouts;
use level2::source::SimulatedSource;
use level2::strategy::Strategy;

fn main() -> ExitCode {
    let path = |name, run| HotPath { name, times: 2000, run };
    instructions::main(
        "level2-instructions",
        &[
            path("sequential", |times| load(Strategy::Sequential, times)),
            path("parallel", |times| load(Strategy::Parallel, times)),
            path("race", |times| load(Strategy::Race, times)),
            path("all-settled", |times| load(Strategy::AllSettled, times)),
        ],
    )
}

fn load(strategy: Strategy, times: u64) {
    let runtime = paused::runtime().expect("a runtime");
    for _ in 0..times {
        let source = Arc::new(SimulatedSource::default());
        std::hint::black_box(runtime.block_on(strategy.run(source, Timeouts::default())));
    }
}
