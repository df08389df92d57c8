//! Every fault at every kind of call, singly and in pairs.

use std::collections::BTreeSet;

use level3::gateway::GatewayConfig;
use level3_sim::CallSite;

use super::case::{Case, Slot, compatible};
use super::one::{FaultCase, one_payment};

/// The kinds of calls that the sweep disturbs, in the order of a payment.
pub const SITES: [CallSite; 10] = [
    CallSite::Create,
    CallSite::Fraud,
    CallSite::Confirm,
    CallSite::Save,
    CallSite::Receipt,
    CallSite::ReceiptSent,
    CallSite::Cancel,
    CallSite::Refund,
    CallSite::Void,
    CallSite::Find,
];

/// A case that was tried.
#[derive(Debug)]
pub struct Tried {
    /// The case that was run.
    pub case: Case,
    /// The outcome of the case.
    pub trial: FaultCase,
}

/// The result of a sweep.
#[derive(Debug, Default)]
pub struct Swept {
    /// How many cases were run.
    pub run: usize,
    /// Pairs that were not run because one of the two never happens when the other does: they are
    /// single faults again.
    pub equal_to_single: usize,
    /// Pairs that were not judged because one of the two alone breaks a rule already.
    pub not_judged: usize,
    /// The first case that broke a rule.
    pub broken: Option<Tried>,
}

/// The result of a slot that was tried alone.
#[derive(Debug)]
pub struct Single {
    /// The fault, and the calls that met it.
    pub slot: Slot,
    /// The outcome of the case.
    pub trial: FaultCase,
    sites: BTreeSet<CallSite>,
}

/// Tries every slot alone.
///
/// All cases run side by side, each with a world of its own, so that they share virtual time.
pub async fn singles(config: &GatewayConfig) -> Vec<Single> {
    let slots: Vec<Slot> = SITES.into_iter().flat_map(Slot::all_of).collect();
    let cases = slots.iter().map(|slot| Case { slots: vec![*slot] }).collect();
    let trials = side_by_side(cases, config).await;
    slots
        .into_iter()
        .zip(trials)
        .map(|(slot, (_, trial))| {
            let sites = trial.calls.iter().map(|call| call.site).collect();
            Single { slot, trial, sites }
        })
        .collect()
}

/// All pairs of which `site` is the later one in a payment's order.
///
/// A pair of which one fault is never met when the other happens is not run: as long as a fault is not
/// met, a run does not depend on it, so the pair is the other fault alone.
pub async fn pairs(
    site: CallSite,
    singles: &[Single],
    config: &GatewayConfig,
    mut visit: impl FnMut(&Case, &FaultCase),
) -> Swept {
    let mut swept = Swept::default();
    let mut cases = Vec::new();
    let place = |site: CallSite| SITES.iter().position(|known| *known == site);
    for later in singles.iter().filter(|single| single.slot.site == site) {
        for earlier in singles.iter().filter(|single| place(single.slot.site) <= place(site)) {
            let same_site = earlier.slot.site == site;
            // Of two faults of one kind of call each pair comes once: the one of the first call first.
            if !compatible(earlier.slot, later.slot) || (same_site && earlier.slot.always) {
                continue;
            }
            if !earlier.trial.broken.is_empty() || !later.trial.broken.is_empty() {
                swept.not_judged += 1;
                continue;
            }
            if !earlier.sites.contains(&site) || !later.sites.contains(&earlier.slot.site) {
                swept.equal_to_single += 1;
                continue;
            }
            cases.push(Case { slots: vec![earlier.slot, later.slot] });
        }
    }
    swept.run = cases.len();
    for (case, trial) in side_by_side(cases, config).await {
        visit(&case, &trial);
        if !trial.broken.is_empty() && swept.broken.is_none() {
            swept.broken = Some(Tried { case, trial });
        }
    }
    swept
}

async fn side_by_side(cases: Vec<Case>, config: &GatewayConfig) -> Vec<(Case, FaultCase)> {
    let running: Vec<_> = cases
        .into_iter()
        .map(|case| {
            let (config, mine) = (config.clone(), case.clone());
            (case, tokio::spawn(async move { one_payment(&mine, &config).await }))
        })
        .collect();
    let mut trials = Vec::with_capacity(running.len());
    for (case, trial) in running {
        let trial = trial.await.unwrap_or_else(|_| FaultCase::panicked());
        trials.push((case, trial));
    }
    trials
}
