//! Every fault at every kind of call, singly and in pairs.

use std::collections::BTreeSet;

use super::case::{Case, Slot, compatible};
use super::one::{Trial, one_payment};
use crate::gateway::GatewayConfig;
use crate::sim::Site;

/// The kinds of calls that the sweep disturbs, in the order of a payment.
pub const SITES: [Site; 10] = [
    Site::Create,
    Site::Fraud,
    Site::Confirm,
    Site::Save,
    Site::Receipt,
    Site::ReceiptSent,
    Site::Cancel,
    Site::Refund,
    Site::Void,
    Site::Find,
];

/// A case that was tried.
#[derive(Debug)]
pub struct Tried {
    /// Which.
    pub case: Case,
    /// What became of it.
    pub trial: Trial,
}

/// What a sweep has found.
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

/// One slot, tried alone.
#[derive(Debug)]
pub struct Single {
    /// What went wrong.
    pub slot: Slot,
    /// What became of it.
    pub trial: Trial,
    sites: BTreeSet<Site>,
}

/// Tries every slot alone.
pub async fn singles(config: &GatewayConfig) -> Vec<Single> {
    let mut singles = Vec::new();
    for site in SITES {
        for slot in Slot::all_of(site) {
            let trial = one_payment(&Case { slots: vec![slot] }, config).await;
            let sites = trial.calls.iter().map(|call| call.site).collect();
            singles.push(Single { slot, trial, sites });
        }
    }
    singles
}

/// All pairs of which `site` is the later one in a payment's order.
///
/// A pair of which one fault is never met when the other happens is not run: as long as a fault is not
/// met, a run does not depend on it, so the pair is the other fault alone.
pub async fn pairs(
    site: Site,
    singles: &[Single],
    config: &GatewayConfig,
    mut visit: impl FnMut(&Case, &Trial),
) -> Swept {
    let mut swept = Swept::default();
    let place = |site: Site| SITES.iter().position(|known| *known == site);
    for later in singles.iter().filter(|single| single.slot.site == site) {
        for earlier in singles.iter().filter(|single| place(single.slot.site) <= place(site)) {
            let same_site = earlier.slot.site == site;
            // Of two faults of one kind of call each pair comes once: the one of the first call first.
            if !compatible(earlier.slot, later.slot) || (same_site && earlier.slot.always) {
                continue;
            }
            let both = earlier.sites.contains(&site) && later.sites.contains(&earlier.slot.site);
            if !both {
                swept.equal_to_single += 1;
                continue;
            }
            if !earlier.trial.broken.is_empty() || !later.trial.broken.is_empty() {
                swept.not_judged += 1;
                continue;
            }
            let case = Case { slots: vec![earlier.slot, later.slot] };
            let trial = one_payment(&case, config).await;
            swept.run += 1;
            visit(&case, &trial);
            if !trial.broken.is_empty() && swept.broken.is_none() {
                swept.broken = Some(Tried { case, trial });
            }
        }
    }
    swept
}
