//! `cargo bench -p level2`: when your strategies return and what they cost, beside the reference's.
//!
//! The page is `target/bench/level2.html`. Strategies that are not written yet are said to be so.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bench_kit::contest::{self, Case};
use bench_kit::paused;
use bench_learner::{Figures, Subject, main as compare};
use level2::all_settled::Timeouts;
use level2::source::SimulatedSource;
use level2::strategy::Strategy;

/// No load of five sources that answer within 600 ms waits for so long.
const LIMIT: Duration = Duration::from_secs(600);

/// The default limits, spelled out: `Timeouts::default` is an exercise too, and the other strategies do
/// not need it.
const TIMEOUTS: Timeouts = Timeouts {
    sales: Duration::from_secs(5),
    users: Duration::from_secs(3),
    orders: Duration::from_secs(3),
    low_stock: Duration::from_secs(5),
    reviews: Duration::from_secs(3),
};

fn main() -> ExitCode {
    let subjects = Strategy::ALL.map(|strategy| Subject { name: strategy.name(), measure });
    compare("level2", "learner", &subjects)
}

fn measure(name: &str) -> Result<Figures, String> {
    let strategy = Strategy::ALL.into_iter().find(|strategy| strategy.name() == name);
    let strategy = strategy.ok_or("there is no such strategy")?;
    let runtime = paused::runtime().map_err(|error| error.to_string())?;
    let load = || strategy.run(Arc::new(SimulatedSource::default()), TIMEOUTS);
    let summary = runtime
        .block_on(async { tokio::time::timeout(LIMIT, load()).await })
        .map_err(|_| format!("does not return within {} virtual seconds", LIMIT.as_secs()))?;
    let behaviour = format!(
        "after {} ms with {} sections{}",
        summary.returned.as_millis(),
        summary.sections,
        match summary.followed.last() {
            Some((_, at)) => format!(", the last one after {} ms", at.as_millis()),
            None => String::new(),
        }
    );
    let case = Case::new(name, |times| {
        for _ in 0..times {
            std::hint::black_box(runtime.block_on(load()));
        }
    });
    let nanos = contest::run(&mut [case], true).nanos(name).median;
    Ok(Figures { behaviour, nanos })
}
