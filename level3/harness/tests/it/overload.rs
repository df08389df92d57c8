//! More payments than can be paid.

use std::path::PathBuf;
use std::time::Duration;

use level3::gateway::GatewayConfig;
use level3_harness::{Goodput, Surge};
use level3_sim::Rates;

/// What the account can take: 100 calls a second, two for each payment.
const CAPACITY: u32 = 50;

async fn goodput(offered: u32, fraud_workers: Option<usize>, rates: Rates) -> Goodput {
    // With chance at work, a longer time has a steadier mean.
    let lasts = Duration::from_secs(if rates == Rates::NONE { 10 } else { 30 });
    let surge = Surge { offered, lasts, fraud_workers, rates, seed: 2 };
    surge.run(&GatewayConfig::default()).await.expect("the default figures fit together")
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_account_pays_as_much_as_a_busy_one() {
    for rates in [Rates::NONE, Rates::ASSIGNMENT, Rates::TEN_PERCENT] {
        let mut all = Vec::new();
        let most = if rates == Rates::NONE { 100 } else { 10 };
        for times in [1, 2, 10, 100].into_iter().filter(|times| *times <= most) {
            let found = goodput(CAPACITY * times, None, rates).await;
            assert_eq!(found.refused_late, 0, "{times} times: {found:?}");
            all.push(found.paid);
        }
        let peak = all.iter().copied().fold(0.0, f64::max);
        assert!(peak > 40.0, "{all:?}");
        assert!(all.iter().all(|paid| *paid >= 0.95 * peak), "{all:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_admitted_payment_gets_all_its_calls() {
    let found = goodput(10 * CAPACITY, None, Rates::NONE).await;
    assert_eq!((found.failed, found.refused_late), (0, 0));
    assert!(found.longest < Duration::from_millis(2500), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_fraud_check_is_not_flooded() {
    // 32 payments a second: less than the account takes.
    for offered in [64, 320, 3200] {
        let found = goodput(offered, Some(16), Rates::NONE).await;
        assert!(found.paid >= 0.95 * 32.0, "{offered} a second: {found:?}");
        assert_eq!((found.failed, found.refused_late), (0, 0));
    }
}

/// Most requests are refused under overload: what that costs is taken from those that are paid. The
/// instructions are counted by `cargo bench -p level3-instructions -- --save`, and CI compares them.
#[test]
fn a_refused_payment_costs_at_most_a_twentieth_of_a_paid_one() {
    // Cargo tells a test where its package is.
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("run by cargo"));
    let path = package.with_file_name("instructions").join("instructions.txt");
    let counted = std::fs::read_to_string(path).expect("the baseline");
    let instructions = |path: &str| -> f64 {
        let line = counted.lines().find_map(|line| line.strip_prefix(path)?.strip_prefix(' '));
        line.and_then(|count| count.trim().parse().ok()).expect("a count")
    };
    // The client writes the request in both cases.
    let request = instructions("request");
    let paid = instructions("payment-alone") - request;
    let refused = instructions("payment-refused") - request;
    assert!(refused * 20.0 <= paid, "{refused} instructions of {paid}");
}
