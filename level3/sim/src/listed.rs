//! The simulated provider as one that lists its intents.

use futures::FutureExt as _;
use level3_domain::ids::IntentId;
use level3_domain::provider::{CallFuture, Intent, IntentList, IntentPage, ProviderError};

use crate::{IntentTruth, World};

/// Intents on a page: as many as on one of Stripe's.
const PAGE: usize = 100;

fn shown(truth: IntentTruth) -> Intent {
    Intent {
        refunded: truth.is_refunded(),
        id: truth.id,
        payment: truth.payment,
        amount: truth.amount,
        status: truth.status,
    }
}

/// The simulated provider, without latencies and faults.
impl IntentList for World {
    fn intents(&self, after: Option<IntentId>) -> CallFuture<IntentPage> {
        let mut newest_first = World::intents(self).into_iter().rev().map(shown).peekable();
        if let Some(after) = after
            && !newest_first.by_ref().any(|intent| intent.id == after)
        {
            let message = format!("no intent {after}");
            return std::future::ready(Err(ProviderError::Invalid { message })).boxed();
        }
        let intents: Vec<_> = newest_first.by_ref().take(PAGE).collect();
        let last = intents.last().map(|intent| intent.id.clone());
        let next = if newest_first.peek().is_some() { last } else { None };
        std::future::ready(Ok(IntentPage { intents, next, ..IntentPage::default() })).boxed()
    }

    fn intent(&self, id: IntentId) -> CallFuture<Option<Intent>> {
        let found = World::intents(self).into_iter().find(|truth| truth.id == id);
        std::future::ready(Ok(found.map(shown))).boxed()
    }
}
