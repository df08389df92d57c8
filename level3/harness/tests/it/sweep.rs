//! Every fault alone, and the pairs at the calls that undo. The grader runs all pairs.

use level3::gateway::GatewayConfig;
use level3_harness::{Case, one_payment, pairs, singles};
use level3_sim::CallSite;

#[tokio::test(start_paused = true)]
async fn no_fault_breaks_a_rule() {
    let config = GatewayConfig::default();
    let singles = singles(&config).await;
    for single in &singles {
        assert!(single.trial.broken.is_empty(), "{}: {:?}", single.slot, single.trial.broken);
    }
    for site in [CallSite::Cancel, CallSite::Refund, CallSite::Void] {
        let swept = pairs(site, &singles, &config, |case, trial| {
            assert!(trial.broken.is_empty(), "{case}: {:?}", trial.broken);
        })
        .await;
        assert!(swept.run > 100, "{site}: {} pairs", swept.run);
    }
}

#[tokio::test(start_paused = true)]
async fn cases_are_written_as_they_are_read() {
    for text in ["none", "confirm=lose-reply", "save*=hang+refund=500"] {
        let case: Case = text.parse().unwrap();
        assert_eq!(case.to_string(), text);
    }
    assert!("confirm".parse::<Case>().is_err());
    assert!("confirm=nothing".parse::<Case>().is_err());
    let trial = one_payment(&Case::default(), &GatewayConfig::default()).await;
    assert_eq!(trial.broken, [""; 0]);
}
