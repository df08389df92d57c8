//! scratch
use level3::gateway::GatewayConfig;
use level3::sim::Rates;
use level3::trial::{Load, percentile};
use std::time::Duration;
#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let seed = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1);
    for rates in [Rates::ASSIGNMENT, Rates::TEN_PERCENT] {
        let load =
            Load { payments: 50_000, every: Duration::from_millis(2), share: 10, rates, seed };
        let t = load.run(&GatewayConfig::default()).await.expect("a valid configuration");
        println!(
            "{:?} paid {} declined {} failed {} comp {} refused {} unb {} stuck {} longest {:?} p50 {:?} p95 {:?} p99 {:?}",
            t.success(),
            t.paid,
            t.declined,
            t.failed,
            t.compensating,
            t.refused,
            t.unbalanced,
            t.stuck,
            t.longest,
            percentile(&t.latencies, 50),
            percentile(&t.latencies, 95),
            percentile(&t.latencies, 99)
        );
    }
}
