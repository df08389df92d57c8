//! Many payments at once.

use std::time::Duration;

use level3::gateway::GatewayConfig;
use level3_harness::{Load, percentile};
use level3_sim::Rates;

#[tokio::test(start_paused = true)]
async fn ten_percent_of_failures_leave_the_books_balanced() {
    let rates = Rates::TEN_PERCENT;
    // All on one gateway, at a rate that the provider's limit can take.
    let load =
        Load { payments: 2000, every: Duration::from_millis(25), share: 2000, rates, seed: 3 };
    let tally = load.run(&GatewayConfig::default()).await.unwrap();
    assert_eq!((tally.unbalanced, tally.stuck), (0, 0));
    assert!(tally.success().share > 99.0, "{:?}", tally.success());
    assert_eq!(percentile(&tally.latencies, 50), Duration::from_millis(1100));
    assert!(tally.longest <= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn more_than_the_provider_takes_is_refused_and_not_lost() {
    let rates = Rates::ASSIGNMENT;
    let load =
        Load { payments: 2000, every: Duration::from_millis(1), share: 2000, rates, seed: 3 };
    let tally = load.run(&GatewayConfig::default()).await.unwrap();
    assert_eq!((tally.unbalanced, tally.stuck), (0, 0));
    assert!(tally.longest <= Duration::from_secs(10));
}
